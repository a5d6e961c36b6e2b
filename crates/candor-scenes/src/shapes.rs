//! Plane shapes as signed distances, which makes a scene independent of resolution.

use super::random::cos_sin;

/// A point or vector; x to the right, y down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Shorthand for a point.
pub(super) const fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

impl Point {
    pub(super) fn minus(self, other: Point) -> Point {
        at(self.x - other.x, self.y - other.y)
    }

    pub(super) fn dot(self, other: Point) -> f32 {
        self.x * other.x + self.y * other.y
    }

    pub(super) fn norm(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// Rotated by the angle with the given cosine and sine (clockwise on the screen, as y points down).
    pub(super) fn turned(self, (cos, sin): (f32, f32)) -> Point {
        at(self.x * cos - self.y * sin, self.x * sin + self.y * cos)
    }
}

/// A shape in the coordinates of its object, inside the unit circle.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A disc.
    Disc(Point, f32),
    /// A simple polygon of either orientation; the last point is joined to the first.
    Polygon(Vec<Point>),
    /// The first shape without the second.
    Minus(Box<Shape>, Box<Shape>),
}

impl Shape {
    /// Signed distance to the outline, negative inside; for `Minus`, a lower bound away from the outline.
    pub(super) fn distance(&self, p: Point) -> f32 {
        match self {
            Shape::Disc(centre, radius) => p.minus(*centre).norm() - radius,
            Shape::Polygon(points) => polygon_distance(points, p),
            Shape::Minus(a, b) => a.distance(p).max(-b.distance(p)),
        }
    }

    /// The first shape without the second.
    pub(super) fn without(self, hole: Shape) -> Shape {
        Shape::Minus(Box::new(self), Box::new(hole))
    }

    /// Centre and radius of a circle around the shape.
    pub(super) fn circle(&self) -> (Point, f32) {
        match self {
            Shape::Disc(centre, radius) => (*centre, *radius),
            Shape::Polygon(points) => {
                let sum = points.iter().fold(at(0.0, 0.0), |s, p| at(s.x + p.x, s.y + p.y));
                let centre = at(sum.x / points.len() as f32, sum.y / points.len() as f32);
                (centre, points.iter().map(|p| p.minus(centre).norm()).fold(0.0, f32::max))
            }
            Shape::Minus(a, _) => a.circle(),
        }
    }

    /// Largest distance of the shape from the origin.
    #[cfg(test)]
    pub(super) fn reach(&self) -> f32 {
        match self {
            Shape::Disc(centre, radius) => centre.norm() + radius,
            Shape::Polygon(points) => points.iter().map(|p| p.norm()).fold(0.0, f32::max),
            Shape::Minus(a, _) => a.reach(),
        }
    }
}

/// Distance to the nearest edge, with the sign from the number of edges crossed by a ray.
fn polygon_distance(points: &[Point], p: Point) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    let mut from = points[points.len() - 1];
    for &to in points {
        let (edge, w) = (to.minus(from), p.minus(from));
        let along = (w.dot(edge) / edge.dot(edge)).clamp(0.0, 1.0);
        let off = at(w.x - edge.x * along, w.y - edge.y * along);
        nearest = nearest.min(off.dot(off));
        if (from.y > p.y) != (to.y > p.y) && p.x < from.x + edge.x * (p.y - from.y) / edge.y {
            inside = !inside;
        }
        from = to;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// An axis-parallel rectangle.
pub(super) fn rectangle(x0: f32, y0: f32, x1: f32, y1: f32) -> Shape {
    Shape::Polygon(vec![at(x0, y0), at(x1, y0), at(x1, y1), at(x0, y1)])
}

/// A straight stroke from `a` to `b`.
pub(super) fn stroke(a: Point, b: Point, width: f32) -> Shape {
    let d = b.minus(a);
    let k = 0.5 * width / d.norm();
    let n = at(-d.y * k, d.x * k);
    Shape::Polygon(vec![
        at(a.x + n.x, a.y + n.y),
        at(b.x + n.x, b.y + n.y),
        at(b.x - n.x, b.y - n.y),
        at(a.x - n.x, a.y - n.y),
    ])
}

/// A polygon of `count` points of a closed curve, whose parameter is in turns.
pub(super) fn curve(count: usize, point: impl Fn(f32) -> Point) -> Shape {
    Shape::Polygon((0..count).map(|i| point(i as f32 / count as f32)).collect())
}

/// An ellipse with its axes along x and y.
pub(super) fn ellipse(centre: Point, rx: f32, ry: f32) -> Shape {
    curve(28, |t| {
        let (c, s) = cos_sin(t);
        at(centre.x + rx * c, centre.y + ry * s)
    })
}

/// An ellipse whose centre is at `distance` from the origin in the direction `turns`, with one axis pointing outwards.
pub(super) fn petal(turns: f32, distance: f32, outwards: f32, across: f32) -> Shape {
    let direction = cos_sin(turns);
    curve(20, |t| {
        let (c, s) = cos_sin(t);
        at(distance + outwards * c, across * s).turned(direction)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_of_a_square() {
        let square = rectangle(-1.0, -1.0, 1.0, 1.0);
        for (p, want) in
            [(at(0.0, 0.0), -1.0), (at(0.75, 0.0), -0.25), (at(3.0, 0.0), 2.0), (at(4.0, 5.0), 5.0)]
        {
            assert!((square.distance(p) - want).abs() < 1e-6, "{p:?}");
        }
    }

    #[test]
    fn a_hole_is_outside() {
        let ring = Shape::Disc(at(0.0, 0.0), 1.0).without(Shape::Disc(at(0.0, 0.0), 0.5));
        assert!(ring.distance(at(0.0, 0.0)) > 0.0);
        assert!(ring.distance(at(0.75, 0.0)) < 0.0);
        assert!(ring.distance(at(1.5, 0.0)) > 0.0);
    }

    #[test]
    fn an_ellipse_has_its_axes() {
        let shape = ellipse(at(0.2, 0.0), 0.5, 0.25);
        assert!(shape.distance(at(0.7, 0.0)).abs() < 1e-2);
        assert!(shape.distance(at(0.2, 0.25)).abs() < 1e-2);
        assert!(shape.distance(at(0.2, 0.0)) < -0.2);
    }
}
