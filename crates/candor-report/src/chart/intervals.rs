//! Values with their intervals, one line each, on one axis.

use serde::Serialize;

use super::{Axis, COLOURS, Tick, percent};

/// A value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// The value.
    pub value: f64,
    /// Ends of its interval, if it has one.
    pub interval: Option<[f64; 2]>,
}

/// The values of one row, one for each series that has one.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkRow {
    /// Name of the row.
    pub name: String,
    /// In the order of the series.
    pub marks: Vec<Option<Mark>>,
}

/// A chart of values for the macro `intervals` of `chart.html`.
#[derive(Clone, Debug, Serialize)]
pub struct Intervals {
    title: String,
    axis: String,
    ticks: Vec<Tick>,
    /// A reference value: its position in percent, and its name.
    reference: Option<(String, String)>,
    rows: Vec<RowView>,
}

#[derive(Clone, Debug, Serialize)]
struct RowView {
    name: String,
    marks: Vec<MarkView>,
}

#[derive(Clone, Debug, Serialize)]
struct MarkView {
    series: String,
    colour: usize,
    at: String,
    /// Left end and width of the interval, in percent.
    whisker: Option<[String; 2]>,
    text: String,
}

impl Intervals {
    /// A chart of rows of marks, one mark per series. `axis` is the title of the axis, `write` formats a value, `reference` is a value to
    /// compare with and its name.
    pub fn new(
        title: impl Into<String>,
        axis: impl Into<String>,
        (series, rows): (&[&str], &[MarkRow]),
        reference: Option<(f64, &str)>,
        write: fn(f64) -> String,
    ) -> Self {
        let marks = || rows.iter().flat_map(|r| r.marks.iter().flatten());
        let ends = marks().flat_map(|m| [m.value].into_iter().chain(m.interval.into_iter().flatten()));
        let fitted = Axis::fit(ends.chain(reference.map(|r| r.0)));
        let row = |row: &MarkRow| RowView {
            name: row.name.clone(),
            marks: series
                .iter()
                .enumerate()
                .filter_map(|(i, s)| Some(MarkView::new(s, i, row.marks.get(i).copied()??, fitted, write)))
                .collect(),
        };
        Intervals {
            title: title.into(),
            axis: axis.into(),
            ticks: fitted.ticks(),
            reference: reference.map(|(v, what)| (percent(fitted.position(v)), what.to_string())),
            rows: rows.iter().map(row).filter(|r| !r.marks.is_empty()).collect(),
        }
    }
}

impl MarkView {
    fn new(series: &str, number: usize, mark: Mark, axis: Axis, write: fn(f64) -> String) -> Self {
        let whisker = mark.interval.map(|ends| {
            let [low, high] = ends.map(|v| axis.position(v));
            [percent(low), percent(high - low)]
        });
        let between =
            mark.interval.map_or(String::new(), |[l, h]| format!(" ({} to {})", write(l), write(h)));
        MarkView {
            series: series.to_string(),
            colour: number % COLOURS,
            at: percent(axis.position(mark.value)),
            whisker,
            text: write(mark.value) + &between,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_their_intervals_lie_on_an_axis_that_has_the_reference() {
        let mark = |value, interval| Some(Mark { value, interval });
        let rows = [
            MarkRow { name: "pgd".into(), marks: vec![mark(0.75, Some([0.6, 0.9])), None] },
            MarkRow { name: "none".into(), marks: vec![None, None] },
        ];
        let chart =
            Intervals::new("t", "AUROC", (&["a", "b"], &rows), Some((0.5, "a coin")), |v| format!("{v:.2}"));
        assert_eq!(chart.rows.len(), 1, "a row without figures is left out");
        let drawn = &chart.rows[0].marks;
        assert_eq!(
            (drawn.len(), drawn[0].series.as_str(), drawn[0].text.as_str()),
            (1, "a", "0.75 (0.60 to 0.90)")
        );
        assert_eq!(chart.ticks.first().map(|t| t.label.as_str()), Some("0.5"));
        assert_eq!(chart.reference, Some(("0.00".into(), "a coin".into())));
        assert_eq!(
            (drawn[0].at.as_str(), drawn[0].whisker.clone()),
            ("62.50", Some(["25.00".into(), "75.00".into()]))
        );
    }
}
