//! Charts of a page: curves labelled at their ends, and values with their intervals.
//!
//! The template's macros draw curves and intervals as HTML around an SVG, so that text keeps its size on a narrow screen. Colours are the
//! page's eight categorical ones (`chart.css`), which differ in lightness, too; the ninth curve has the first colour again, dashed.

mod bars;
mod curves;
mod intervals;

use serde::Serialize;

pub use bars::{Order, bars};
pub use curves::{Curve, Curves};
pub use intervals::{Intervals, Mark, MarkRow};

/// Number of colours in the style sheet.
const COLOURS: usize = 8;
/// Steps between ticks are one of these times a power of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 2.5, 5.0];
/// Maximum number of ticks, not counting the first.
const TICKS: f64 = 5.0;

/// An axis that fits its values; it begins and ends at a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

/// A tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Tick {
    /// Position, in percent of the axis.
    at: String,
    label: String,
}

impl Axis {
    /// The axis for finite values; it includes 0 if the smallest value is close to it. 0 to 1 if there are no values.
    fn fit(values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        let (mut low, high) = match high - low {
            range if range > 0.0 => (low, high),
            _ if low.is_finite() => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
            _ => (0.0, 1.0),
        };
        if low > 0.0 && low < 0.4 * high {
            low = 0.0;
        }
        let step = step((high - low) / TICKS);
        // Values that are on a tick up to rounding get no further tick.
        let near = 1e-9;
        Axis { low: step * (low / step + near).floor(), high: step * (high / step - near).ceil(), step }
    }

    /// Position of a value, in percent.
    fn position(&self, value: f64) -> f64 {
        (100.0 * (value - self.low) / (self.high - self.low)).clamp(0.0, 100.0)
    }

    fn ticks(&self) -> Vec<Tick> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        let decimals = (0..6).find(|&d| is_whole(self.step * 10_f64.powi(d))).unwrap_or(6) as usize;
        let tick = |i: usize| {
            let value = self.low + i as f64 * self.step;
            // Avoids −0.0 for a value that differs from 0 by rounding.
            let value = if value.abs() < 1e-9 * self.step { 0.0 } else { value };
            Tick {
                at: percent(self.position(value)), label: format!("{value:.decimals$}").replace('-', "−")
            }
        };
        (0..=count).map(tick).collect()
    }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6 * value.abs().max(1.0)
}

/// The smallest round step that is at least `least`, which must be above 0.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let fits = |s: &&f64| **s * power >= least * (1.0 - 1e-9);
    STEPS.iter().find(fits).map_or(10.0 * power, |s| s * power)
}

fn percent(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        Axis::fit(values.iter().copied()).ticks().into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn an_axis_fits_its_values_and_its_ticks_are_round() {
        assert_eq!(labels(&[0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[0.02, 0.11]), ["0.000", "0.025", "0.050", "0.075", "0.100", "0.125"]);
        assert_eq!(labels(&[0.81, 0.96]), ["0.80", "0.85", "0.90", "0.95", "1.00"]);
        assert_eq!(labels(&[-1.0, 1.0]), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(&[200.0, 1000.0]), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(labels(&[]), labels(&[0.0, 1.0]));
        assert_eq!(labels(&[f64::NAN, 0.3, 0.3]).len(), 6, "one value is in the middle");
    }

    #[test]
    fn values_lie_on_the_axis() {
        let axis = Axis::fit([0.81, 0.96]);
        assert_eq!([0.8, 0.9, 1.0, 7.0].map(|v| axis.position(v).round()), [0.0, 50.0, 100.0, 100.0]);
    }
}
