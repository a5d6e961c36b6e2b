//! From a seed to a composition: which objects are where, in which colours. Independent of pixels.

use super::SceneOptions;
use super::classes::{self, Part, TABLE};
use super::random::{Draw, cos_sin};
use super::shapes::{Point, at};
use super::texture::{Colour, Texture, colour_distance, hsv, mix, scaled};

/// A scene in unit coordinates: 0..1 along both sides.
pub(super) struct Composition {
    pub(super) backdrop: Backdrop,
    /// Unit vector from the scene towards the light, z towards the viewer.
    pub(super) light: [f32; 3],
    /// Bottom first: clutter, then objects.
    pub(super) pieces: Vec<Piece>,
}

/// The background.
pub(super) struct Backdrop {
    pub(super) wall: Texture,
    /// A second texture below a wavy horizon.
    pub(super) ground: Option<Ground>,
    /// A gradual change of brightness over the scene.
    pub(super) haze: u32,
}

/// The lower part of a backdrop.
pub(super) struct Ground {
    pub(super) horizon: f32,
    pub(super) hills: f32,
    pub(super) seed: u32,
    pub(super) texture: Texture,
}

/// An object, or a piece of clutter.
pub(super) struct Piece {
    /// `None` for clutter.
    pub(super) class: Option<usize>,
    pub(super) parts: Vec<Part>,
    pub(super) centre: Point,
    /// Radius of the circle that contains all parts.
    pub(super) radius: f32,
    /// Cosine and sine of the rotation from upright.
    pub(super) turn: (f32, f32),
    /// Whether left and right are swapped.
    pub(super) mirrored: bool,
    pub(super) palette: Palette,
    /// Darkness of the shadow cast, 0..1.
    pub(super) shadow: f32,
}

/// The colours of one piece.
pub(super) struct Palette {
    pub(super) main: Texture,
    pub(super) second: Texture,
    pub(super) light: Colour,
    pub(super) dark: Colour,
    pub(super) bands: Bands,
}

/// Coloured bands around a sphere.
pub(super) struct Bands {
    /// Unit vector through the poles.
    pub(super) axis: [f32; 3],
    /// Bands from pole to pole.
    pub(super) count: f32,
}

impl Composition {
    /// The composition of a seed.
    pub(super) fn draw(seed: u64, options: &SceneOptions) -> Composition {
        let mut draw = Draw::new(seed);
        let (low, high) = (*options.objects.start(), *options.objects.end());
        let count = low + draw.below(high - low + 1);
        let (x, y) = (draw.between(-0.7, 0.5), draw.between(-0.75, -0.35));
        let light = unit([x, y, 0.8]);
        let (backdrop, behind) = draw_backdrop(&mut draw);
        let mut pieces: Vec<Piece> =
            (0..1 + draw.below(9)).map(|_| draw_clutter(&mut draw, &behind)).collect();
        let circles = place(&mut draw, count, options);
        let classes = distinct_classes(&mut draw, count);
        for (class, (centre, radius)) in classes.into_iter().zip(circles) {
            pieces.push(draw_object(&mut draw, class, centre, radius, &behind));
        }
        Composition { backdrop, light, pieces }
    }
}

/// A backdrop and its colours, with which the objects' colours must contrast.
fn draw_backdrop(draw: &mut Draw) -> (Backdrop, Vec<Colour>) {
    let (hue, contrast) = (draw.unit(), draw.between(0.08, 0.4));
    let frequency = draw.between(1.5, 9.0);
    let colours = backdrop_colours(draw, hue, contrast);
    let wall = Texture::draw(draw, colours, frequency);
    let mut behind = colours.to_vec();
    let ground = draw.chance(0.35).then(|| {
        let hue = draw.unit();
        let colours = backdrop_colours(draw, hue, contrast);
        behind.extend(colours);
        let frequency = draw.between(1.5, 9.0);
        Ground {
            horizon: draw.between(0.35, 0.85),
            hills: draw.between(0.02, 0.3),
            seed: draw.bits(),
            texture: Texture::draw(draw, colours, frequency),
        }
    });
    (Backdrop { wall, ground, haze: draw.bits() }, behind)
}

/// Two related colours, less saturated than most objects.
fn backdrop_colours(draw: &mut Draw, hue: f32, contrast: f32) -> [Colour; 2] {
    let first = hsv(hue, draw.between(0.05, 0.6), draw.between(0.3, 0.95));
    let hue = hue + draw.between(-0.15, 0.15);
    let second = hsv(hue, draw.between(0.05, 0.6), draw.between(0.2, 1.0));
    let distance = colour_distance(first, second).max(1e-3);
    [first, mix(first, second, (contrast / distance).min(1.0))]
}

/// A shape of no class: in colours of the backdrop or of objects, with or without relief.
fn draw_clutter(draw: &mut Draw, behind: &[Colour]) -> Piece {
    let mut palette = draw_palette(draw, &[]);
    if draw.chance(0.6) {
        let base = behind[draw.below(behind.len())];
        let factor = draw.between(0.65, 1.35);
        palette.main.colours = palette.main.colours.map(|c| scaled(mix(base, c, 0.25), factor));
        palette.second.colours = palette.second.colours.map(|c| scaled(mix(base, c, 0.25), factor));
    }
    Piece {
        class: None,
        parts: classes::clutter(draw),
        centre: at(draw.unit(), draw.unit()),
        radius: draw.between(0.03, 0.2),
        turn: cos_sin(draw.unit()),
        mirrored: false,
        palette,
        shadow: if draw.chance(0.5) { draw.between(0.1, 0.45) } else { 0.0 },
    }
}

fn draw_object(draw: &mut Draw, class: usize, centre: Point, radius: f32, behind: &[Colour]) -> Piece {
    let limit = TABLE[class].turn;
    Piece {
        class: Some(class),
        parts: (TABLE[class].build)(draw),
        centre,
        radius,
        turn: cos_sin(draw.between(-limit, limit)),
        mirrored: draw.chance(0.5),
        palette: draw_palette(draw, behind),
        shadow: draw.between(0.15, 0.5),
    }
}

/// Random colours that differ from all of `behind`.
fn draw_palette(draw: &mut Draw, behind: &[Colour]) -> Palette {
    let main = contrasting_colours(draw, behind);
    let second = contrasting_colours(draw, &[&main[..1], behind].concat());
    let frequency = draw.between(1.0, 2.6);
    let tint = draw.unit();
    let axis = unit([draw.between(-1.0, 1.0), draw.between(-1.0, 1.0), draw.between(0.15, 0.9)]);
    Palette {
        main: Texture::draw(draw, main, frequency),
        second: Texture::draw(draw, second, frequency),
        light: hsv(tint, draw.between(0.0, 0.15), draw.between(0.88, 1.0)),
        dark: hsv(tint, draw.between(0.1, 0.5), draw.between(0.08, 0.2)),
        bands: Bands { axis, count: 4.0 + draw.below(4) as f32 },
    }
}

/// A colour that contrasts with `behind` and a second one of nearly the same hue, or sometimes of any hue.
fn contrasting_colours(draw: &mut Draw, behind: &[Colour]) -> [Colour; 2] {
    let mut best = ([0.5; 3], 0.0, -1.0);
    // The best of sixteen contrasts well enough even with four backdrop colours.
    for _ in 0..16 {
        let hue = draw.unit();
        let colour = hsv(hue, draw.between(0.3, 0.95), draw.between(0.45, 1.0));
        let distance = behind.iter().map(|&b| colour_distance(colour, b)).fold(f32::INFINITY, f32::min);
        if distance > best.2 {
            best = (colour, hue, distance);
        }
        if best.2 > 0.45 {
            break;
        }
    }
    let turn = if draw.chance(0.25) { draw.unit() } else { draw.between(-0.09, 0.09) };
    let other = hsv(best.1 + turn, draw.between(0.25, 0.95), draw.between(0.4, 1.0));
    [best.0, mix(best.0, other, draw.between(0.3, 1.0))]
}

/// `count` different class indices in random order.
fn distinct_classes(draw: &mut Draw, count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..TABLE.len()).collect();
    (0..count).map(|_| left.swap_remove(draw.below(left.len()))).collect()
}

/// Centres and radii of circles inside the scene that overlap by at most a tenth of their radii.
fn place(draw: &mut Draw, count: usize, options: &SceneOptions) -> Vec<(Point, f32)> {
    let (low, high) = (*options.scale.start(), *options.scale.end());
    let high = high.min(0.8 / (count.max(1) as f32).sqrt()).max(low);
    let mut circles: Vec<(Point, f32)> = Vec::new();
    let (mut shrink, mut failures) = (1.0, 0);
    while circles.len() < count {
        let radius = 0.5 * draw.between(low, high) * shrink;
        let centre = at(draw.between(radius, 1.0 - radius), draw.between(radius, 1.0 - radius));
        if circles.iter().all(|(c, r)| centre.minus(*c).norm() > 0.95 * (radius + r)) {
            circles.push((centre, radius));
        } else {
            failures += 1;
            if failures % 40 == 0 {
                shrink *= 0.9;
            }
        }
    }
    circles
}

/// The vector normalised to length 1.
fn unit(v: [f32; 3]) -> [f32; 3] {
    let norm = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt().max(1e-6);
    v.map(|c| c / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_a_scene_differ_and_all_occur() {
        let mut seen = [false; TABLE.len()];
        for seed in 0..60 {
            let composition = Composition::draw(seed, &SceneOptions { objects: 4..=4, ..Default::default() });
            let mut present: Vec<usize> = composition.pieces.iter().filter_map(|p| p.class).collect();
            present.sort_unstable();
            present.dedup();
            assert_eq!(present.len(), 4, "seed {seed}");
            present.into_iter().for_each(|c| seen[c] = true);
        }
        assert_eq!(seen, [true; TABLE.len()]);
    }

    #[test]
    fn circles_stay_inside_and_apart() {
        for count in 0..=12 {
            let circles = place(&mut Draw::new(count as u64), count, &SceneOptions::default());
            assert_eq!(circles.len(), count);
            for (i, (c, r)) in circles.iter().enumerate() {
                assert!(c.x - r > -1e-6 && c.x + r < 1.0 + 1e-6 && c.y - r > -1e-6 && c.y + r < 1.0 + 1e-6);
                for (d, s) in &circles[..i] {
                    assert!(c.minus(*d).norm() > 0.95 * (r + s));
                }
            }
        }
    }
}
