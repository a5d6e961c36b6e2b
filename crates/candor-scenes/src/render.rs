//! From a composition to pixels and masks, at any resolution.

use image::{Rgb, RgbImage};

use super::SceneObject;
use super::classes::{Ink, Part, REACH};
use super::generate::{Backdrop, Composition, Palette, Piece};
use super::shapes::{Point, at};
use super::texture::{Colour, fractal, mix, scaled, smooth};

/// Width of a part's dark outline and of its rounded rim, in radii of the object.
const OUTLINE: f32 = 0.035;
const RIM: f32 = 0.22;
/// Offset of a piece's shadow downwards, and its softness, in radii.
const SHADOW_OFFSET: f32 = 0.12;
const SHADOW_SOFTNESS: f32 = 0.3;

/// Renders the picture of a scene at `size`×`size` pixels, with the objects in the order in which they were drawn.
pub(super) fn render(scene: &Composition, size: u32) -> (RgbImage, Vec<SceneObject>) {
    let pixel = 1.0 / size as f32;
    let side = size as usize;
    let position = |i: usize| at(((i % side) as f32 + 0.5) * pixel, ((i / side) as f32 + 0.5) * pixel);
    let mut canvas: Vec<Colour> =
        (0..side * side).map(|i| backdrop(&scene.backdrop, position(i), pixel)).collect();
    let mut owner: Vec<Option<usize>> = vec![None; canvas.len()];
    let mut distances = Vec::new();
    for (index, piece) in scene.pieces.iter().enumerate() {
        let reach = piece.radius * (REACH + SHADOW_OFFSET + SHADOW_SOFTNESS);
        let span = |c: f32| {
            let clamp = |v: f32| v.clamp(0.0, side as f32) as usize;
            clamp((c - reach) * side as f32)..clamp((c + reach) * side as f32 + 1.0)
        };
        for y in span(piece.centre.y) {
            for x in span(piece.centre.x) {
                let i = y * side + x;
                let (colour, coverage) =
                    paint(piece, scene.light, position(i), pixel, canvas[i], &mut distances);
                canvas[i] = colour;
                if piece.class.is_some() && coverage >= 0.5 {
                    owner[i] = Some(index);
                }
            }
        }
    }
    let image = RgbImage::from_fn(size, size, |x, y| {
        Rgb(canvas[y as usize * side + x as usize].map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8))
    });
    let objects = scene.pieces.iter().enumerate().filter_map(|(index, piece)| {
        let mask: Vec<bool> = owner.iter().map(|&o| o == Some(index)).collect();
        piece.class.map(|class| SceneObject { class, bbox: bounds(&mask, side), mask })
    });
    (image, objects.collect())
}

/// The bounding box of the true pixels, x0 y0 x1 y1 with the ends excluded; all 0 if there are none.
fn bounds(mask: &[bool], width: usize) -> [u32; 4] {
    let mut bbox = [u32::MAX, u32::MAX, 0, 0];
    for (i, _) in mask.iter().enumerate().filter(|(_, m)| **m) {
        let (x, y) = ((i % width) as u32, (i / width) as u32);
        bbox = [bbox[0].min(x), bbox[1].min(y), bbox[2].max(x + 1), bbox[3].max(y + 1)];
    }
    if bbox[2] == 0 { [0; 4] } else { bbox }
}

fn backdrop(backdrop: &Backdrop, p: Point, pixel: f32) -> Colour {
    let mut colour = backdrop.wall.colour(p, pixel);
    if let Some(ground) = &backdrop.ground {
        let height = ground.horizon + ground.hills * (fractal(ground.seed, at(p.x * 3.0, 0.5), 3) - 0.5);
        let below = (0.5 + (p.y - height) / pixel).clamp(0.0, 1.0);
        if below > 0.0 {
            let depth = 1.0 - 0.25 * (1.0 - ((p.y - height) * 4.0).clamp(0.0, 1.0));
            colour = mix(colour, scaled(ground.texture.colour(p, pixel), depth), below);
        }
    }
    scaled(colour, 0.85 + 0.3 * fractal(backdrop.haze, at(p.x * 2.0, p.y * 2.0), 2))
}

/// The colour at `p` with the piece in front of `behind`, and the fraction of the pixel that the piece covers.
/// `distances` is scratch space.
fn paint(
    piece: &Piece,
    light: [f32; 3],
    p: Point,
    pixel: f32,
    behind: Colour,
    distances: &mut Vec<f32>,
) -> (Colour, f32) {
    let blur = pixel / piece.radius;
    let away = p.minus(piece.centre);
    let place = |v: Point| {
        let upright = at(v.x / piece.radius, v.y / piece.radius).turned((piece.turn.0, -piece.turn.1));
        if piece.mirrored { at(-upright.x, upright.y) } else { upright }
    };
    let q = place(away);
    let nearest = 0.5 * blur;
    distances.clear();
    distances.extend(piece.parts.iter().map(|part| part.distance(q, nearest)));
    let share = |part: usize| (0.5 - distances[part] / blur).clamp(0.0, 1.0);
    // Parts under an opaque part are not visible.
    let opaque = |part: &usize| piece.parts[*part].ink != Ink::Shade && share(*part) >= 1.0;
    let lowest = (0..distances.len()).rev().find(opaque);
    let mut colour = behind;
    if piece.shadow > 0.0 && lowest.is_none() {
        let offset = SHADOW_OFFSET * piece.radius;
        let depth = shadow(&piece.parts, place(at(away.x + light[0] * offset, away.y + light[1] * offset)));
        colour = scaled(colour, 1.0 - piece.shadow * depth);
    }
    let coverage = (0..distances.len()).map(share).fold(0.0, f32::max);
    let away = at(away.x / piece.radius, away.y / piece.radius);
    let lit = Lit { lean: away.x * light[0] + away.y * light[1], light, away };
    for (i, part) in piece.parts.iter().enumerate().skip(lowest.unwrap_or(0)) {
        if share(i) > 0.0 {
            let painted = ink(part, &piece.palette, q, distances[i], blur, &lit, colour);
            colour = mix(colour, painted, share(i));
        }
    }
    (colour, coverage)
}

/// Fraction of the light that the shadow takes at the point, 0..=1.
fn shadow(parts: &[Part], p: Point) -> f32 {
    let mut nearest = 0.5 * SHADOW_SOFTNESS;
    for part in parts {
        nearest = nearest.min(part.distance(p, nearest));
        if nearest <= -0.5 * SHADOW_SOFTNESS {
            break;
        }
    }
    smooth((0.5 - nearest / SHADOW_SOFTNESS).clamp(0.0, 1.0))
}

/// The lighting at a point of a piece.
struct Lit {
    /// Height of the point towards the light within the piece, −1..=1.
    lean: f32,
    light: [f32; 3],
    /// The point relative to the piece's centre, in radii, not rotated with the piece.
    away: Point,
}

/// The colour of a part at `q`, whose signed distance to the outline is `distance`.
fn ink(
    part: &Part,
    palette: &Palette,
    q: Point,
    distance: f32,
    blur: f32,
    lit: &Lit,
    below: Colour,
) -> Colour {
    let (flat, relief) = match part.ink {
        Ink::Shade => return scaled(below, 0.72),
        Ink::Sphere => return sphere(palette, q, blur, lit),
        Ink::Main => (palette.main.colour(q, blur), 1.0),
        Ink::Second => (palette.second.colour(q, blur), 1.0),
        Ink::Light => (palette.light, 0.5),
        Ink::Dark => return palette.dark,
    };
    let rim = (1.0 + distance / RIM).clamp(0.0, 1.0);
    let shade = 1.0 + relief * (0.22 * lit.lean - 0.25 * rim * rim);
    let outline = (0.5 + (distance + OUTLINE) / blur.max(0.02)).clamp(0.0, 1.0);
    mix(scaled(flat, shade), scaled(flat, 0.3), 0.85 * outline)
}

/// A ball: bands of latitude around a tilted axis, diffuse light and a highlight.
fn sphere(palette: &Palette, q: Point, blur: f32, lit: &Lit) -> Colour {
    let height = |p: Point| (1.0 - p.dot(p)).max(0.0).sqrt();
    let axis = palette.bands.axis;
    let latitude = q.x * axis[0] + q.y * axis[1] + height(q) * axis[2];
    let band = (latitude + 1.0) * 0.5 * palette.bands.count;
    let wave = (band - band.floor() - 0.5).abs() * 2.0;
    let edge = (0.5 + (wave - 0.5) / (blur * palette.bands.count)).clamp(0.0, 1.0);
    let flat = mix(palette.main.colour(q, blur), palette.light, edge);
    let z = height(lit.away);
    let facing = (lit.away.x * lit.light[0] + lit.away.y * lit.light[1] + z * lit.light[2]).max(0.0);
    let shine = (facing * facing) * (facing * facing);
    let shine = (shine * shine) * (shine * shine);
    mix(scaled(flat, 0.35 + 0.75 * facing), [1.0; 3], 0.55 * shine * shine)
}
