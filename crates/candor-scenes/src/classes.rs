//! The twelve classes, and the parts that their objects consist of.
//!
//! Coordinates: the object's own, upright, within the unit circle except for a cat's ears. Colours and textures are drawn
//! elsewhere and independently of the class; classes differ only in form.

use super::random::{Draw, cos_sin};
use super::shapes::{Point, Shape, at, curve, ellipse, petal, rectangle, stroke};

/// Maximum distance of any part from its object's centre.
pub(super) const REACH: f32 = 1.15;

/// The colour of a part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ink {
    /// The object's main texture.
    Main,
    /// The object's second texture.
    Second,
    /// Nearly white.
    Light,
    /// Nearly black.
    Dark,
    /// A shadow over the parts below.
    Shade,
    /// The main colours as bands of a sphere, with a sphere's shading.
    Sphere,
}

/// One painted shape of an object; later parts cover earlier ones.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) shape: Shape,
    pub(super) ink: Ink,
    /// Centre and radius of a circle around the shape.
    circle: (Point, f32),
}

impl Part {
    /// Signed distance to the outline if it is below `limit`; otherwise any value of at least `limit`.
    pub(super) fn distance(&self, p: Point, limit: f32) -> f32 {
        let outside = p.minus(self.circle.0).norm() - self.circle.1;
        if outside >= limit { outside } else { self.shape.distance(p) }
    }
}

/// A class: its name, its maximum rotation from upright (in turns) and how it is built.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) turn: f32,
    pub(super) build: fn(&mut Draw) -> Vec<Part>,
}

const fn class(name: &'static str, turn: f32, build: fn(&mut Draw) -> Vec<Part>) -> Class {
    Class { name, turn, build }
}

/// All classes; the position is the class index.
pub(super) const TABLE: [Class; 12] = [
    class("ball", 0.5, ball),
    class("cat", 0.08, cat),
    class("fish", 0.1, fish),
    class("flower", 0.5, flower),
    class("gear", 0.5, gear),
    class("heart", 0.1, heart),
    class("house", 0.06, house),
    class("leaf", 0.5, leaf),
    class("moon", 0.5, moon),
    class("mushroom", 0.08, mushroom),
    class("star", 0.5, star),
    class("tree", 0.06, tree),
];

fn part(ink: Ink, shape: Shape) -> Part {
    let circle = shape.circle();
    Part { shape, ink, circle }
}

fn polygon(points: &[(f32, f32)]) -> Shape {
    Shape::Polygon(points.iter().map(|&(x, y)| at(x, y)).collect())
}

/// The same shape twice, on both sides of the axis of symmetry.
fn both_sides(ink: Ink, shape: impl Fn(f32) -> Shape) -> [Part; 2] {
    [part(ink, shape(-1.0)), part(ink, shape(1.0))]
}

fn ball(_: &mut Draw) -> Vec<Part> {
    vec![part(Ink::Sphere, Shape::Disc(at(0.0, 0.0), 0.96))]
}

fn cat(draw: &mut Draw) -> Vec<Part> {
    let width = draw.between(0.72, 0.82);
    let ear = draw.between(0.85, 0.95);
    let mut parts = Vec::new();
    parts.extend(both_sides(Ink::Main, |s| {
        polygon(&[(0.68 * ear * s, -0.98 * ear), (0.1 * s, -0.4), (width * s, 0.15)])
    }));
    parts.extend(both_sides(Ink::Second, |s| {
        polygon(&[(0.6 * s, -0.68), (0.32 * s, -0.38), (0.62 * s, -0.14)])
    }));
    parts.push(part(Ink::Main, ellipse(at(0.0, 0.17), width, 0.66)));
    parts.extend(both_sides(Ink::Light, |s| Shape::Disc(at(0.31 * s, 0.05), 0.18)));
    let pupil = draw.between(0.06, 0.11);
    parts.extend(both_sides(Ink::Dark, |s| ellipse(at(0.31 * s, 0.05), pupil, 0.15)));
    parts.extend(both_sides(Ink::Light, |s| ellipse(at(0.13 * s, 0.47), 0.17, 0.13)));
    parts.push(part(Ink::Dark, polygon(&[(-0.11, 0.3), (0.11, 0.3), (0.0, 0.42)])));
    for (y, dy) in [(0.42, -0.06), (0.52, 0.06)] {
        parts.extend(both_sides(Ink::Dark, |s| stroke(at(0.3 * s, y), at(0.88 * s, y + dy), 0.035)));
    }
    parts
}

fn fish(draw: &mut Draw) -> Vec<Part> {
    let height = draw.between(0.38, 0.48);
    let tail = draw.between(0.42, 0.54);
    vec![
        part(Ink::Second, polygon(&[(0.28, 0.0), (0.84, -tail), (0.7, 0.0), (0.84, tail)])),
        part(Ink::Second, polygon(&[(-0.45, -0.25), (-0.05, -0.72), (0.3, -0.62), (0.22, -0.15)])),
        part(Ink::Second, polygon(&[(-0.2, 0.25), (0.02, 0.68), (0.24, 0.6), (0.15, 0.2)])),
        part(
            Ink::Main,
            curve(32, |t| {
                let (c, s) = cos_sin(t);
                at(-0.22 + 0.72 * c, height * s * (1.0 - 0.28 * c))
            }),
        ),
        part(Ink::Second, polygon(&[(-0.2, 0.02), (0.14, -0.12), (0.14, 0.2)])),
        part(Ink::Dark, stroke(at(-0.92, 0.1), at(-0.7, 0.14), 0.05)),
        part(Ink::Light, Shape::Disc(at(-0.58, -0.1), 0.14)),
        part(Ink::Dark, Shape::Disc(at(-0.6, -0.1), 0.075)),
    ]
}

fn flower(draw: &mut Draw) -> Vec<Part> {
    let count = 5 + draw.below(4);
    let (_, half) = cos_sin(0.5 / count as f32);
    let across = 0.6 * half * draw.between(1.0, 1.15);
    let mut parts: Vec<Part> =
        (0..count).map(|i| part(Ink::Main, petal(i as f32 / count as f32, 0.58, 0.4, across))).collect();
    parts.push(part(Ink::Second, Shape::Disc(at(0.0, 0.0), draw.between(0.26, 0.34))));
    parts
}

fn gear(draw: &mut Draw) -> Vec<Part> {
    let teeth = 8 + draw.below(5);
    let depth = draw.between(0.72, 0.79);
    let mut points = Vec::new();
    for i in 0..teeth {
        for (offset, radius) in [(0.0, depth), (0.28, depth), (0.4, 0.98), (0.88, 0.98)] {
            let (c, s) = cos_sin((i as f32 + offset) / teeth as f32);
            points.push(at(radius * c, radius * s));
        }
    }
    let hole = Shape::Disc(at(0.0, 0.0), draw.between(0.24, 0.34));
    vec![
        part(Ink::Main, Shape::Polygon(points).without(hole.clone())),
        part(Ink::Second, Shape::Disc(at(0.0, 0.0), draw.between(0.44, 0.52)).without(hole)),
    ]
}

fn heart(draw: &mut Draw) -> Vec<Part> {
    let width = draw.between(0.9, 1.02);
    let outline = curve(40, |t| {
        let ((c, s), (c2, _), (c3, _), (c4, _)) =
            (cos_sin(t), cos_sin(2.0 * t), cos_sin(3.0 * t), cos_sin(4.0 * t));
        at(width * 0.92 * s * s * s, -0.075 - (13.0 * c - 5.0 * c2 - 2.0 * c3 - c4) / 18.5)
    });
    vec![part(Ink::Main, outline)]
}

fn house(draw: &mut Draw) -> Vec<Part> {
    let mirror = if draw.chance(0.5) { -1.0 } else { 1.0 };
    let box_at = |x0: f32, y0: f32, x1: f32, y1: f32| rectangle(x0 * mirror, y0, x1 * mirror, y1);
    let eaves = draw.between(-0.18, -0.02);
    let mut parts = vec![
        part(Ink::Second, box_at(0.3, -0.78, 0.5, -0.2)),
        part(Ink::Main, box_at(-0.6, eaves, 0.6, 0.78)),
        part(Ink::Second, polygon(&[(-0.82, eaves), (0.0, -0.96), (0.82, eaves)])),
        part(Ink::Dark, box_at(-0.42, 0.28, -0.08, 0.78)),
    ];
    parts.push(part(Ink::Light, box_at(0.1, 0.16, 0.46, 0.5)));
    parts.push(part(Ink::Dark, box_at(0.255, 0.16, 0.305, 0.5)));
    parts.push(part(Ink::Dark, box_at(0.1, 0.31, 0.46, 0.35)));
    parts
}

fn leaf(draw: &mut Draw) -> Vec<Part> {
    let width = draw.between(0.4, 0.52);
    let half_width = |x: f32| {
        let (_, s) = cos_sin(0.25 + 0.25 * x);
        width * (s - 0.05 * x) * (1.0 - x * x).max(0.0).sqrt().min(1.0) * (1.0 - 0.32 * x)
    };
    let steps = 16;
    let side = |s: f32| {
        move |i: usize| {
            let x = -1.0 + 2.0 * i as f32 / steps as f32;
            (x, s)
        }
    };
    let place = |(x, s): (f32, f32)| at(0.12 + 0.85 * x, s * half_width(x));
    let mut points: Vec<Point> = (0..steps).map(side(1.0)).map(place).collect();
    points.extend((1..=steps).rev().map(side(-1.0)).map(place));
    let mut parts = vec![
        part(Ink::Dark, stroke(at(-0.98, 0.03), at(-0.66, 0.0), 0.1)),
        part(Ink::Main, Shape::Polygon(points)),
        part(Ink::Dark, stroke(at(-0.75, 0.0), at(0.82, 0.0), 0.055)),
    ];
    for x in [-0.5_f32, -0.15, 0.2] {
        parts.extend(both_sides(Ink::Dark, |s| {
            stroke(at(x, 0.0), at(x + 0.28, s * 0.8 * half_width((x + 0.16) / 0.85)), 0.04)
        }));
    }
    parts
}

fn moon(draw: &mut Draw) -> Vec<Part> {
    let (bite, shift) = (draw.between(0.72, 0.82), draw.between(0.38, 0.48));
    let mut parts =
        vec![part(Ink::Main, Shape::Disc(at(0.0, 0.0), 0.97).without(Shape::Disc(at(shift, 0.0), bite)))];
    let middle = -0.5 * (0.97 + bite - shift);
    for (turns, radius) in [(-0.09, 0.09), (0.005, 0.12), (0.1, 0.08)] {
        let centre = at(middle, 0.0).turned(cos_sin(turns + draw.between(-0.02, 0.02)));
        parts.push(part(Ink::Shade, Shape::Disc(centre, radius)));
    }
    parts
}

fn mushroom(draw: &mut Draw) -> Vec<Part> {
    let dome = draw.between(0.8, 0.98);
    let stem = draw.between(0.2, 0.3);
    let cap = curve(36, |t| {
        let (c, s) = cos_sin(t);
        at(0.93 * c, 0.06 + if s < 0.0 { dome * s } else { 0.2 * s })
    });
    let mut parts = vec![
        part(Ink::Light, polygon(&[(-stem, 0.1), (stem, 0.1), (stem + 0.1, 0.9), (-stem - 0.1, 0.9)])),
        part(Ink::Shade, polygon(&[(-stem, 0.1), (stem, 0.1), (stem + 0.03, 0.4), (-stem - 0.03, 0.4)])),
        part(Ink::Main, cap),
    ];
    for (x, y, r) in [(-0.52, -0.18, 0.14), (-0.12, -0.48, 0.15), (0.1, -0.08, 0.13), (0.52, -0.3, 0.14)] {
        let shift = draw.between(-0.05, 0.05);
        parts.push(part(Ink::Light, ellipse(at(x + shift, y * dome), r, r * 0.85)));
    }
    parts
}

fn star(draw: &mut Draw) -> Vec<Part> {
    let inner = draw.between(0.4, 0.5);
    let corner = |i: usize| {
        let (c, s) = cos_sin(i as f32 / 10.0);
        let r = if i.is_multiple_of(2) { 0.98 } else { inner };
        at(r * c, r * s)
    };
    let mut parts = vec![part(Ink::Main, Shape::Polygon((0..10).map(corner).collect()))];
    for i in (0..10).step_by(2) {
        parts.push(part(Ink::Shade, Shape::Polygon(vec![at(0.0, 0.0), corner(i), corner(i + 1)])));
    }
    parts
}

fn tree(draw: &mut Draw) -> Vec<Part> {
    let width = draw.between(0.9, 1.0);
    let tier =
        |half: f32, foot: f32, tip: f32| polygon(&[(-half * width, foot), (0.0, tip), (half * width, foot)]);
    let mut parts = vec![
        part(Ink::Second, rectangle(-0.13, 0.5, 0.13, 0.96)),
        part(Ink::Main, tier(0.72, 0.66, -0.15)),
        part(Ink::Main, tier(0.58, 0.22, -0.55)),
        part(Ink::Main, tier(0.42, -0.22, -0.98)),
    ];
    if draw.chance(0.5) {
        for (x, y) in [(-0.34, 0.48), (0.2, 0.42), (-0.1, 0.05), (0.12, -0.4)] {
            parts.push(part(Ink::Light, Shape::Disc(at(x, y), 0.08)));
        }
    }
    parts
}

/// A piece of clutter: a shape that belongs to no class.
pub(super) fn clutter(draw: &mut Draw) -> Vec<Part> {
    let ink = if draw.chance(0.7) { Ink::Main } else { Ink::Second };
    let shape = match draw.below(3) {
        0 => {
            // A stick.
            let width = draw.between(0.08, 0.5);
            stroke(at(-0.85, draw.between(-0.3, 0.3)), at(0.85, draw.between(-0.3, 0.3)), width)
        }
        1 => {
            // A shard: corners at random angles and distances.
            let count = 4 + draw.below(4);
            let corners = (0..count).map(|i| {
                let radius = draw.between(0.35, 1.0);
                let (c, s) = cos_sin((i as f32 + draw.between(-0.3, 0.3)) / count as f32);
                at(radius * c, radius * s)
            });
            Shape::Polygon(corners.collect())
        }
        _ => {
            // A pebble: a disc with a few slow bulges.
            let bulge: Vec<(f32, f32)> = (0..3).map(|_| (draw.between(0.05, 0.2), draw.unit())).collect();
            curve(28, |t| {
                let radius: f32 = bulge
                    .iter()
                    .enumerate()
                    .map(|(k, (height, phase))| height * cos_sin(t * (k + 2) as f32 + phase).0)
                    .sum();
                let (c, s) = cos_sin(t);
                at((0.62 + 0.65 * radius) * c, (0.62 + 0.65 * radius) * s)
            })
        }
    };
    vec![part(ink, shape)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_reaches_too_far() {
        let mut draw = Draw::new(11);
        for class in &TABLE {
            for _ in 0..50 {
                for part in (class.build)(&mut draw) {
                    let reach = part.shape.reach();
                    assert!(reach < REACH, "{} reaches {reach}: {part:?}", class.name);
                }
            }
        }
    }

    #[test]
    fn every_class_fills_a_fair_share_of_its_circle() {
        let mut draw = Draw::new(12);
        for class in &TABLE {
            let parts = (class.build)(&mut draw);
            let grid = |i: usize| (i as f32 - 49.5) / 50.0;
            let covered = (0..10_000)
                .filter(|i| parts.iter().any(|p| p.distance(at(grid(i % 100), grid(i / 100)), 0.0) < 0.0))
                .count();
            assert!((2_000..9_000).contains(&covered), "{} covers {covered} of 10000", class.name);
        }
    }
}
