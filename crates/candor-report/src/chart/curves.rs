//! Curves of several methods on one pair of axes, each labelled at its right end.

use serde::Serialize;

use super::{Axis, COLOURS, Tick, percent};

/// Minimum distance between two labels, in pixels.
const LINE: f64 = 16.0;
/// Minimum height of the plot, in pixels.
const HEIGHT: f64 = 300.0;

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Name, shown at its right end.
    pub name: String,
    /// Points `[x, y]`.
    pub points: Vec<[f64; 2]>,
}

/// A chart of curves for the macro `curves` of `chart.html`.
#[derive(Clone, Debug, Serialize)]
pub struct Curves {
    title: String,
    x: String,
    y: String,
    /// In pixels.
    height: f64,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// Sorted by label, top to bottom.
    lines: Vec<Line>,
}

#[derive(Clone, Debug, Serialize)]
struct Line {
    name: String,
    colour: usize,
    dash: usize,
    /// Points of an SVG polyline in a square of 100 × 100, y downwards.
    points: String,
    /// Its right end in percent of the width, and in pixels from the top.
    end: [String; 2],
    /// Centre of its label in pixels from the top.
    label: String,
}

impl Curves {
    /// A chart; `x` and `y` are the titles of the axes. Points that are not finite are left out.
    pub fn new(
        title: impl Into<String>,
        x: impl Into<String>,
        y: impl Into<String>,
        curves: &[Curve],
    ) -> Self {
        let finite =
            |c: &Curve| c.points.iter().copied().filter(|p| p[0].is_finite() && p[1].is_finite()).collect();
        let points: Vec<Vec<[f64; 2]>> = curves.iter().map(finite).collect();
        let axes = Axes([0, 1].map(|i| Axis::fit(points.iter().flatten().map(|p| p[i]))));
        let height = HEIGHT.max(LINE * curves.len() as f64);
        let drawn = curves.iter().zip(&points).enumerate().filter(|(_, (_, points))| !points.is_empty());
        let mut lines: Vec<(f64, f64, Line)> = drawn
            .map(|(i, (curve, points))| {
                let [x, y] = axes.place(&right_end(points));
                let top = height * (1.0 - y / 100.0);
                let mean = points.iter().map(|p| p[1]).sum::<f64>() / points.len() as f64;
                (top, -mean, Line::new(&curve.name, i, points, [x, top], axes))
            })
            .collect();
        // Among equal ends, the curve that is higher elsewhere gets the higher label.
        lines.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let labels = spread(&lines.iter().map(|l| l.0).collect::<Vec<_>>(), LINE, height);
        let named = lines
            .into_iter()
            .zip(labels)
            .map(|((_, _, line), at)| Line { label: format!("{at:.1}"), ..line });
        Curves {
            title: title.into(),
            x: x.into(),
            y: y.into(),
            height,
            x_ticks: axes.0[0].ticks(),
            y_ticks: axes.0[1].ticks(),
            lines: named.collect(),
        }
    }
}

/// The horizontal and the vertical axis.
#[derive(Clone, Copy)]
struct Axes([Axis; 2]);

impl Axes {
    /// Position of a point in percent of both axes.
    fn place(self, point: &[f64; 2]) -> [f64; 2] {
        [self.0[0].position(point[0]), self.0[1].position(point[1])]
    }
}

impl Line {
    fn new(name: &str, number: usize, points: &[[f64; 2]], [x, top]: [f64; 2], axes: Axes) -> Self {
        let point = |p: &[f64; 2]| {
            let [x, y] = axes.place(p);
            format!("{x:.2},{:.2}", 100.0 - y)
        };
        Line {
            name: name.to_string(),
            colour: number % COLOURS,
            dash: (number / COLOURS).min(3),
            points: points.iter().map(point).collect::<Vec<_>>().join(" "),
            end: [percent(x), format!("{top:.1}")],
            label: String::new(),
        }
    }
}

/// The rightmost point; among several the highest.
fn right_end(points: &[[f64; 2]]) -> [f64; 2] {
    let further =
        |a: [f64; 2], b: &[f64; 2]| if b[0] > a[0] || (b[0] == a[0] && b[1] > a[1]) { *b } else { a };
    points.iter().fold([f64::NEG_INFINITY; 2], further)
}

/// Positions for sorted desired positions, at least `gap` apart and within 0 to `height`: labels that would overlap are spread around
/// their mean.
fn spread(wishes: &[f64], gap: f64, height: f64) -> Vec<f64> {
    // Desired positions minus the gaps above them must not decrease: replace decreasing runs by their means (isotonic regression).
    let mut blocks: Vec<(f64, usize)> = vec![];
    for (i, wish) in wishes.iter().enumerate() {
        blocks.push((wish - i as f64 * gap, 1));
        while let [.., (above, m), (below, n)] = blocks[..]
            && above > below
        {
            blocks.truncate(blocks.len() - 2);
            blocks.push(((above * m as f64 + below * n as f64) / (m + n) as f64, m + n));
        }
    }
    let room = (height - gap * wishes.len() as f64).max(0.0);
    let places = blocks.into_iter().flat_map(|(at, count)| std::iter::repeat_n(at - gap / 2.0, count));
    places.enumerate().map(|(i, at)| at.clamp(0.0, room) + (i as f64 + 0.5) * gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, points: &[[f64; 2]]) -> Curve {
        Curve { name: name.to_string(), points: points.to_vec() }
    }

    #[test]
    fn names_stand_at_the_ends_in_the_order_of_the_ends() {
        let curves = [
            curve("low", &[[0.0, 0.0], [1.0, 0.2]]),
            curve("high", &[[0.0, 0.0], [1.0, 0.9]]),
            // Its right end is its first point.
            curve("backwards", &[[0.5, 0.5], [0.0, 0.0]]),
            curve("nothing", &[[f64::NAN, 0.0]]),
        ];
        let chart = Curves::new("t", "x", "y", &curves);
        let names: Vec<&str> = chart.lines.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["high", "backwards", "low"]);
        assert_eq!(chart.lines[1].end, ["50.00", "150.0"], "{:?}", chart.lines[1]);
        assert_eq!(chart.lines[0].points, "0.00,100.00 100.00,10.00");
        assert_eq!(chart.lines.iter().map(|l| l.colour).collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn names_do_not_overlap_and_stay_in_the_plot() {
        let curves: Vec<Curve> = (0..25).map(|i| curve(&i.to_string(), &[[0.0, 1.0], [1.0, 0.0]])).collect();
        let chart = Curves::new("t", "x", "y", &curves);
        let labels: Vec<f64> = chart.lines.iter().map(|l| l.label.parse().unwrap()).collect();
        assert!(labels.windows(2).all(|w| w[1] - w[0] >= LINE - 0.11), "{labels:?}");
        assert!(labels[0] >= LINE / 2.0 && labels[24] <= chart.height - LINE / 2.0 + 0.1, "{labels:?}");
        let styles: std::collections::BTreeSet<_> = chart.lines.iter().map(|l| (l.colour, l.dash)).collect();
        assert_eq!(styles.len(), 25, "no two curves look alike");
    }

    #[test]
    fn what_overlaps_is_spread_about_its_middle() {
        assert_eq!(spread(&[50.0, 50.0, 90.0], 10.0, 100.0), [45.0, 55.0, 90.0]);
        assert_eq!(spread(&[0.0, 0.0, 99.0], 10.0, 100.0), [5.0, 15.0, 95.0]);
        assert!(spread(&[], 10.0, 100.0).is_empty());
    }
}
