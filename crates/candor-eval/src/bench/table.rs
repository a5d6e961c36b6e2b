//! Tables of a benchmark: methods × figures, each a mean over items with its interval and a paired comparison.

use std::collections::BTreeMap;

use candor_report::figures::figure;
use candor_report::table::{self as drawn, Mark, Number};
use serde::{Deserialize, Deserializer, Serialize};

use crate::statistics::{FEWEST_PAIRS, Paired, mean, paired};

pub use candor_report::table::Better;

/// A column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Column {
    /// Name, as in the files.
    pub name: String,
    /// Which direction is better.
    pub better: Better,
    /// What it means, in one line.
    pub help: String,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, better: Better, help: impl Into<String>) -> Self {
        Column { name: name.into(), better, help: help.into() }
    }
}

/// A method's value in a column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// Number of items.
    pub count: usize,
    /// Mean over the items, or a value of all items together.
    #[serde(deserialize_with = "or_nan")]
    pub mean: f64,
    /// Ends of the 95 % bootstrap interval, if items were resampled.
    pub interval: Option<[f64; 2]>,
    /// Comparison with the first method, on the items that both have.
    pub against_first: Option<Paired>,
    /// Whether it is the best of the column, or not significantly different from the best (p ≥ 0.05 in a paired randomisation test).
    pub among_best: bool,
    /// Whether it is of fewer than [`FEWEST_PAIRS`] items, or shares fewer with the best: no test can find a significant difference, and
    /// it is not marked.
    #[serde(default)]
    pub too_few: bool,
    /// The value of each item.
    #[serde(skip)]
    pub values: BTreeMap<usize, f64>,
}

impl Cell {
    /// A value of all items together, without values of single items.
    pub fn overall(count: usize, figure: f64, interval: Option<[f64; 2]>) -> Self {
        Cell {
            count,
            mean: figure,
            interval,
            against_first: None,
            among_best: false,
            too_few: false,
            values: BTreeMap::new(),
        }
    }

    /// The mean of values by item; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = (usize, f64)>, seed: u64) -> Option<Self> {
        let values: BTreeMap<usize, f64> = values.into_iter().collect();
        let figures: Vec<f64> = values.values().copied().collect();
        let m = mean(&figures, seed)?;
        Some(Cell { values, ..Cell::overall(m.count, m.mean, Some(m.interval)) })
    }

    /// The number to show, with its comparison with the first method as a remark.
    fn shown(&self) -> Number {
        let against = |p: Paired| {
            let count = p.count;
            let [difference, low, high, p] = [p.difference, p.interval[0], p.interval[1], p.p].map(figure);
            format!("against the first, {count} pairs: {difference} ({low} to {high}), p {p}")
        };
        let shown = Number {
            interval: self.interval,
            remark: self.against_first.map_or_else(String::new, against),
            ..Number::new(self.mean).best(self.among_best)
        };
        if self.too_few { Number { mark: Mark::Few, ..shown } } else { shown }
    }

    /// Whether it shares too few items with another cell for a significance test.
    fn cannot_be_told_from(&self, other: &Cell) -> bool {
        let shared = if self.values.is_empty() {
            self.count.min(other.count)
        } else {
            self.values.keys().filter(|item| other.values.contains_key(item)).count()
        };
        shared < FEWEST_PAIRS
    }

    fn against(&self, other: &Cell, seed: u64) -> Option<Paired> {
        let difference = |(item, value): (&usize, &f64)| Some(value - other.values.get(item)?);
        paired(&self.values.iter().filter_map(difference).collect::<Vec<_>>(), seed)
    }
}

/// The explanation of the mark for too few items.
pub fn too_few() -> String {
    format!(
        "of fewer than {FEWEST_PAIRS} items, of which no paired test can find a difference significant (p < 0.05)."
    )
}

/// A number, which is `null` in JSON if it is not finite.
fn or_nan<'de, D: Deserializer<'de>>(value: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or(f64::NAN))
}

/// 1 for a hit, 0 for a miss: the mean is a rate.
pub fn rate(hit: bool) -> f64 {
    f64::from(u8::from(hit))
}

/// A method's row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Name of the method.
    pub method: String,
    /// The choice of the tuning split for it.
    pub setting: String,
    /// One value per column.
    pub cells: Vec<Option<Cell>>,
}

/// A table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Table {
    /// Title.
    pub title: String,
    /// What the reader must know, in one or two sentences.
    pub note: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// One row per method.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table of rows; marks the best of each column and compares all rows with the first.
    pub fn new(
        title: impl Into<String>,
        note: impl Into<String>,
        columns: Vec<Column>,
        rows: Vec<Row>,
        seed: u64,
    ) -> Self {
        let mut table = Table { title: title.into(), note: note.into(), columns, rows };
        for c in 0..table.columns.len() {
            table.compare(c, seed);
        }
        table
    }

    /// Smallest and largest number of items of its values; `None` without values.
    pub fn counts(&self) -> Option<[usize; 2]> {
        let counts = || self.rows.iter().flat_map(|r| &r.cells).flatten().map(|c| c.count);
        Some([counts().min()?, counts().max()?])
    }

    /// Its title with the number of items: `All photos (n = 24)`.
    pub fn title_with_count(&self) -> String {
        match self.counts() {
            None => format!("{} (n = 0)", self.title),
            Some([least, most]) if least == most => format!("{} (n = {most})", self.title),
            Some([least, most]) => format!("{} (n = {least} to {most})", self.title),
        }
    }

    /// The table for display, with the methods in the first column. `settings`: whether the last column has the choice of the tuning
    /// split.
    pub fn shown(&self, settings: bool) -> drawn::Table {
        let mut columns = vec![drawn::Column::text("method", "")];
        columns.extend(self.columns.iter().map(|c| drawn::Column::number(&c.name, &c.help, c.better)));
        if settings {
            columns.push(drawn::Column::text("chosen", "what the tuning split chose"));
        }
        let mut table = drawn::Table::new(&self.title, &self.note, columns);
        for row in &self.rows {
            let mut cells = vec![drawn::Cell::text(&row.method)];
            cells.extend(row.cells.iter().map(|cell| cell.as_ref().map(Cell::shown).into()));
            if settings {
                cells.push(drawn::Cell::text(&row.setting));
            }
            table.row(cells);
        }
        table
    }

    fn compare(&mut self, c: usize, seed: u64) {
        let better = self.columns[c].better;
        let cells: Vec<Option<Cell>> = self.rows.iter().map(|r| r.cells[c].clone()).collect();
        let merit = |cell: &Cell| if better == Better::Lower { -cell.mean } else { cell.mean };
        let enough = cells.iter().flatten().filter(|cell| cell.count >= FEWEST_PAIRS);
        let best = enough.clone().max_by(|a, b| merit(a).total_cmp(&merit(b)));
        // If all are equal, none is best.
        let alike =
            |best: &Cell| enough.clone().count() > 1 && enough.clone().all(|cell| merit(cell) == merit(best));
        let all_alike = best.is_some_and(alike);
        for (r, row) in self.rows.iter_mut().enumerate() {
            let Some(cell) = row.cells[c].as_mut() else { continue };
            if let Some(first) = cells[0].as_ref().filter(|_| r > 0) {
                cell.against_first = cell.against(first, seed);
            }
            cell.too_few = best.is_none_or(|best| cell.cannot_be_told_from(best));
            // For a value of all items together without an interval, significance cannot be determined.
            let tested = |best: &&Cell| !best.values.is_empty() || best.interval.is_some();
            let tells = better != Better::Neither && !cell.too_few && !all_alike;
            if let Some(best) = best.filter(tested).filter(|_| tells) {
                let told_apart = cell.against(best, seed).is_some_and(|p| p.p < 0.05);
                // Values without single items are compared by their intervals.
                let apart = cell.values.is_empty() && !overlap(cell, best);
                cell.among_best = merit(cell) >= merit(best) || !(told_apart || apart);
            }
        }
    }
}

fn overlap(a: &Cell, b: &Cell) -> bool {
    match (a.interval, b.interval) {
        (Some(a), Some(b)) => a[0] <= b[1] && b[0] <= a[1],
        _ => false,
    }
}

/// A curve of a method, for the page.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// Name of the method.
    pub method: String,
    /// Points, `[x, y]`.
    pub points: Vec<[f64; 2]>,
}

/// Curves in one chart.
#[derive(Clone, Debug, Serialize)]
pub struct Plot {
    /// Title.
    pub title: String,
    /// Meaning of x.
    pub x: String,
    /// Meaning of y.
    pub y: String,
    /// One curve per method.
    pub curves: Vec<Curve>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_and_those_not_told_apart_from_it_are_marked() {
        let row = |method: &str, value: &dyn Fn(usize) -> f64| Row {
            method: method.into(),
            setting: String::new(),
            cells: vec![Cell::of((0..50).map(|i| (i, value(i))), 0)],
        };
        let rows = vec![
            row("good", &|i| (i % 7) as f64 + 1.0),
            row("as good", &|i| (i % 7) as f64 + if i % 2 == 0 { 1.2 } else { 0.78 }),
            row("bad", &|i| (i % 7) as f64),
        ];
        let columns = vec![Column::new("a", Better::Higher, "")];
        let table = Table::new("t", "", columns.clone(), rows.clone(), 0);
        let marks = |t: &Table| -> Vec<bool> {
            t.rows.iter().map(|r| r.cells[0].as_ref().unwrap().among_best).collect()
        };
        assert_eq!(marks(&table), [true, true, false]);
        let lower = vec![Column { better: Better::Lower, ..columns[0].clone() }];
        assert_eq!(marks(&Table::new("t", "", lower, rows, 0)), [false, false, true]);
        assert_eq!(table.title_with_count(), "t (n = 50)");
        let third = table.rows[2].cells[0].as_ref().unwrap().against_first.unwrap();
        assert!((third.difference + 1.0).abs() < 1e-12 && third.p < 0.01);
    }

    #[test]
    fn a_figure_that_no_test_compares_has_no_mark() {
        let row = |method: &str, figure: f64, interval: Option<[f64; 2]>| Row {
            method: method.into(),
            setting: String::new(),
            cells: vec![Some(Cell::overall(50, figure, interval))],
        };
        let marks = |interval: fn(f64) -> Option<[f64; 2]>| -> Vec<bool> {
            let rows = vec![row("good", 0.9, interval(0.9)), row("bad", 0.1, interval(0.1))];
            let table = Table::new("t", "", vec![Column::new("pxap", Better::Higher, "")], rows, 0);
            table.rows.iter().map(|r| r.cells[0].as_ref().unwrap().among_best).collect()
        };
        assert_eq!(marks(|_| None), [false, false]);
        assert_eq!(marks(|v| Some([v - 0.1, v + 0.1])), [true, false]);
    }

    #[test]
    fn where_all_are_alike_none_is_the_best() {
        let row = |method: &str, value: f64| Row {
            method: method.into(),
            setting: String::new(),
            cells: vec![Cell::of((0..50).map(|i| (i, value)), 0)],
        };
        let marks = |values: [f64; 2]| -> Vec<bool> {
            let rows = vec![row("a", values[0]), row("b", values[1])];
            let table = Table::new("t", "", vec![Column::new("t-f", Better::Higher, "")], rows, 0);
            table.rows.iter().map(|r| r.cells[0].as_ref().unwrap().among_best).collect()
        };
        assert_eq!(marks([0.0, 0.0]), [false, false]);
        assert_eq!(marks([0.0, 1.0]), [false, true]);
    }

    #[test]
    fn few_items_mark_nothing() {
        let row = |method: &str, items: usize, value: f64| Row {
            method: method.into(),
            setting: String::new(),
            cells: vec![Cell::of((0..items).map(|i| (i, value)), 0)],
        };
        let columns = || vec![Column::new("a", Better::Higher, "")];
        let marks = |rows: Vec<Row>| -> Vec<(bool, bool)> {
            let table = Table::new("t", "", columns(), rows, 0);
            let cells = table.rows.iter().map(|r| r.cells[0].as_ref().unwrap());
            cells.map(|c| (c.among_best, c.too_few)).collect()
        };
        assert_eq!(marks(vec![row("good", 3, 1.0), row("bad", 3, 0.0)]), [(false, true); 2]);
        assert_eq!(marks(vec![row("good", 6, 1.0), row("bad", 6, 0.0)]), [(true, false), (false, false)]);
        // An expensive method with few items does not become the best with which others are compared.
        let fewer = marks(vec![row("costly", 3, 2.0), row("good", 20, 1.0), row("bad", 20, 0.0)]);
        assert_eq!(fewer, [(false, true), (true, false), (false, false)]);
        let table = Table::new("t", "", columns(), vec![row("good", 3, 1.0), row("bad", 2, 0.0)], 0);
        assert_eq!(table.title_with_count(), "t (n = 2 to 3)");
        assert!(
            table.shown(false).terminal().contains("good    1.000 ?"),
            "{}",
            table.shown(false).terminal()
        );
    }
}
