//! Colours and two-colour textures; objects, clutter and backgrounds share them, so that no texture indicates a class.

use super::random::{Draw, cos_sin, lattice};
use super::shapes::{Point, at};

/// Red, green and blue in 0..=1, as stored in the file (no gamma).
pub(super) type Colour = [f32; 3];

/// `a` where `t` is 0, `b` where it is 1.
pub(super) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t]
}

/// A colour made brighter or darker by a factor.
pub(super) fn scaled(c: Colour, factor: f32) -> Colour {
    c.map(|v| (v * factor).clamp(0.0, 1.0))
}

/// Euclidean distance, 0..=√3.
pub(super) fn colour_distance(a: Colour, b: Colour) -> f32 {
    let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt()
}

/// A colour from hue (in turns), saturation and value.
pub(super) fn hsv(hue: f32, saturation: f32, value: f32) -> Colour {
    let h = (hue - hue.floor()) * 6.0;
    let channel = |offset: f32| {
        let k = (offset + h) - ((offset + h) / 6.0).floor() * 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// The pattern of a texture.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Gradient,
    Stripes,
    Waves,
    Dots,
    Checks,
    Rings,
    Noise,
    Marble,
}

const PATTERNS: [Pattern; 8] = [
    Pattern::Gradient,
    Pattern::Stripes,
    Pattern::Waves,
    Pattern::Dots,
    Pattern::Checks,
    Pattern::Rings,
    Pattern::Noise,
    Pattern::Marble,
];

/// Two colours arranged in a pattern.
#[derive(Clone, Debug)]
pub(super) struct Texture {
    pattern: Pattern,
    /// The pattern's colours.
    pub(super) colours: [Colour; 2],
    /// Periods per unit length.
    frequency: f32,
    direction: (f32, f32),
    phase: Point,
    /// Strength of the fine irregularities that every surface has.
    grain: f32,
    seed: u32,
}

impl Texture {
    /// A random texture with the given colours and about `frequency` periods per unit length.
    pub(super) fn draw(draw: &mut Draw, colours: [Colour; 2], frequency: f32) -> Texture {
        Texture {
            pattern: PATTERNS[draw.below(PATTERNS.len())],
            colours,
            frequency: frequency * draw.between(0.7, 1.4),
            direction: cos_sin(draw.unit()),
            phase: at(draw.unit(), draw.unit()),
            grain: draw.between(0.08, 0.3),
            seed: draw.bits(),
        }
    }

    /// The colour at `p`; `pixel` is the width over which edges are blurred.
    pub(super) fn colour(&self, p: Point, pixel: f32) -> Colour {
        let c = mix(self.colours[0], self.colours[1], self.amount(p, pixel));
        let f = self.frequency * 2.3;
        scaled(c, 1.0 + self.grain * (fractal(self.seed ^ 0x5bd1, at(p.x * f, p.y * f), 3) - 0.5) * 2.0)
    }

    /// Fraction of the second colour at `p`, 0..=1.
    fn amount(&self, p: Point, pixel: f32) -> f32 {
        let f = self.frequency;
        let t = p.turned(self.direction);
        let q = at(t.x * f + self.phase.x, t.y * f + self.phase.y);
        // One period is 1 in q, so an edge is blurred over `pixel * f`.
        let edge = |signed: f32| (0.5 + signed / (pixel * f).max(1e-4)).clamp(0.0, 1.0);
        match self.pattern {
            Pattern::Gradient => triangle(t.x * 0.45 + self.phase.x),
            Pattern::Stripes => edge((triangle(q.x) - 0.5) * 0.5),
            Pattern::Waves => edge((triangle(q.x + 0.35 * smooth(triangle(q.y * 0.8))) - 0.5) * 0.5),
            Pattern::Dots => {
                let row = (q.y).floor();
                let x = q.x + 0.5 * row;
                let d = at(x - x.floor() - 0.5, q.y - row - 0.5);
                edge(0.3 - d.norm())
            }
            Pattern::Checks => {
                let (x, y) =
                    (edge((triangle(q.x * 0.7) - 0.5) * 0.7), edge((triangle(q.y * 0.7) - 0.5) * 0.7));
                x + y - 2.0 * x * y
            }
            Pattern::Rings => {
                let c = at(p.x - self.phase.x + 0.5, p.y - self.phase.y + 0.5);
                edge((triangle(c.norm() * f) - 0.5) * 0.5)
            }
            Pattern::Noise => (fractal(self.seed, q, 4) * 2.4 - 0.7).clamp(0.0, 1.0),
            Pattern::Marble => smooth(triangle(q.x * 0.6 + 1.6 * fractal(self.seed, q, 3))),
        }
    }
}

/// A triangle wave with period 1 and values 0..=1.
fn triangle(t: f32) -> f32 {
    (t - t.floor() - 0.5).abs() * 2.0
}

/// 3t² − 2t³: maps 0..=1 to itself with zero slope at the ends.
pub(super) fn smooth(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// Value noise, 0..1: random values on the integer grid, smoothly interpolated.
fn value_noise(seed: u32, p: Point) -> f32 {
    let (x, y) = (floor(p.x), floor(p.y));
    let (tx, ty) = (smooth(p.x - x as f32), smooth(p.y - y as f32));
    let row = |y: i32| {
        let (a, b) = (lattice(seed, x, y), lattice(seed, x.wrapping_add(1), y));
        a + (b - a) * tx
    };
    let (top, bottom) = (row(y), row(y.wrapping_add(1)));
    top + (bottom - top) * ty
}

/// ⌊v⌋. On instruction sets without rounding, `f32::floor` is a function call.
fn floor(v: f32) -> i32 {
    let truncated = v as i32;
    truncated - i32::from(v < truncated as f32)
}

/// Value noise summed over octaves with halved wavelength and weight, 0..1.
pub(super) fn fractal(seed: u32, p: Point, octaves: u32) -> f32 {
    let (mut sum, mut total, mut weight, mut scale) = (0.0, 0.0, 1.0, 1.0);
    for octave in 0..octaves {
        sum += weight * value_noise(seed.wrapping_add(octave), at(p.x * scale, p.y * scale));
        total += weight;
        weight *= 0.5;
        scale *= 2.0;
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_the_known_ones() {
        for (hue, want) in
            [(0.0, [1.0, 0.0, 0.0]), (1.0 / 3.0, [0.0, 1.0, 0.0]), (2.0 / 3.0, [0.0, 0.0, 1.0])]
        {
            assert!(colour_distance(hsv(hue, 1.0, 1.0), want) < 1e-5, "hue {hue}");
        }
        assert_eq!(hsv(0.3, 0.0, 0.5), [0.5; 3]);
    }

    #[test]
    fn textures_stay_between_black_and_white() {
        let mut draw = Draw::new(3);
        for _ in 0..200 {
            let texture = Texture::draw(&mut draw, [[0.1, 0.5, 0.9], [1.0, 0.2, 0.0]], 3.0);
            let p = at(draw.between(-1.0, 1.0), draw.between(-1.0, 1.0));
            assert!((0.0..=1.0).contains(&texture.amount(p, 0.02)), "{texture:?}");
            assert!(texture.colour(p, 0.02).iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
