//! Tables: described once as plain data, then rendered for a terminal, as Markdown, as CSV or as an HTML fragment.
//!
//! ```
//! use candor_report::table::{Better, Cell, Column, Number, Table};
//!
//! let columns = vec![Column::text("method", ""), Column::number("pointing", "hits", Better::Higher)];
//! let mut table = Table::new("All photos", "Every photo.", columns);
//! table.row(vec![Cell::text("lrp"), Number::new(0.574).between([0.5, 0.6]).best(true).into()]);
//! assert!(table.markdown().contains("| lrp | **0.574** (0.500 to 0.600) |"));
//! ```

mod csv;
mod html;
mod markdown;
mod terminal;

use serde::{Deserialize, Serialize};

pub use csv::csv;
pub use html::View;

/// Shown for a missing value.
const MISSING: &str = "–";

/// Which direction of a column is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Higher is better.
    Higher,
    /// Lower is better.
    Lower,
    /// Neither: the column is descriptive.
    Neither,
}

impl Better {
    /// Suffix of the column's name: ` ↑`, ` ↓` or nothing.
    fn arrow(self) -> &'static str {
        [" ↑", " ↓", ""][self as usize]
    }
}

/// Alignment of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name, as in the files.
    pub name: String,
    /// What it contains, in one line; may be empty.
    pub help: String,
    /// Alignment of its cells.
    pub align: Align,
    /// Which direction is better.
    pub better: Better,
}

impl Column {
    /// A column of text.
    pub fn text(name: impl Into<String>, help: impl Into<String>) -> Self {
        Column { name: name.into(), help: help.into(), align: Align::Left, better: Better::Neither }
    }

    /// A column of numbers.
    pub fn number(name: impl Into<String>, help: impl Into<String>, better: Better) -> Self {
        Column { name: name.into(), help: help.into(), align: Align::Right, better }
    }
}

/// Format of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Three decimals.
    #[default]
    Plain,
    /// With this number of decimals.
    Decimals(usize),
    /// A fraction of 0..=1 as a percentage with this number of decimals.
    Percent(usize),
}

impl Unit {
    /// The number in this format, the same in every rendering for people.
    pub(crate) fn text(self, value: f64) -> String {
        if !value.is_finite() {
            return match value {
                v if v.is_nan() => MISSING.to_string(),
                v => format!("{}∞", if v < 0.0 { "−" } else { "" }),
            };
        }
        match self {
            Unit::Plain => format!("{value:.3}"),
            Unit::Decimals(n) => format!("{value:.n$}"),
            Unit::Percent(n) => format!("{:.n$} %", 100.0 * value),
        }
    }
}

/// How a number is highlighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Not at all.
    #[default]
    Plain,
    /// It is the best of its column, or not significantly different from the best.
    Best,
    /// It summarises the others of its row.
    Summary,
    /// It is of too few items for a comparison.
    Few,
}

impl Mark {
    /// Sign after such a number in a terminal and in Markdown.
    fn sign(self) -> &'static str {
        match self {
            Mark::Few => " ?",
            _ => "",
        }
    }
}

/// A number with its statistics and format.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Its format.
    pub unit: Unit,
    /// Ends of its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// The 95th percentile, for a median.
    pub p95: Option<f64>,
    /// How it is highlighted.
    pub mark: Mark,
    /// A tooltip on a page; may be empty.
    pub remark: String,
}

impl Number {
    /// A plain number.
    pub fn new(value: f64) -> Self {
        Number { value, ..Number::default() }
    }

    /// Adds the ends of its 95 % interval.
    #[must_use]
    pub fn between(self, interval: [f64; 2]) -> Self {
        Number { interval: Some(interval), ..self }
    }

    /// Sets its format.
    #[must_use]
    pub fn unit(self, unit: Unit) -> Self {
        Number { unit, ..self }
    }

    /// Marks it as best, if it is.
    #[must_use]
    pub fn best(self, best: bool) -> Self {
        Number { mark: if best { Mark::Best } else { Mark::Plain }, ..self }
    }
}

/// The content of a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// There is no value.
    Missing,
    /// Text.
    Text(String),
    /// Code, to be typed as it is.
    Code(String),
    /// A number.
    Number(Number),
}

impl Cell {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    /// The name of the row that begins with this cell; empty if it is not text.
    pub fn name(&self) -> &str {
        match self {
            Cell::Text(name) | Cell::Code(name) => name,
            Cell::Missing | Cell::Number(_) => "",
        }
    }

    /// A number in a format, if there is one.
    pub fn number(value: Option<f64>, unit: Unit) -> Self {
        value.map(|v| Number::new(v).unit(unit)).into()
    }
}

impl From<Number> for Cell {
    fn from(number: Number) -> Self {
        Cell::Number(number)
    }
}

impl From<Option<Number>> for Cell {
    fn from(number: Option<Number>) -> Self {
        number.map_or(Cell::Missing, Cell::Number)
    }
}

/// A table. Renderers: [`Table::terminal`], [`Table::markdown`], [`csv`], [`Table::html`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Title; may be empty.
    pub title: String,
    /// What the reader must know, in one or two sentences; may be empty.
    pub note: String,
    /// Columns; the first contains the names of the rows.
    pub columns: Vec<Column>,
    /// Rows, with one cell per column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, note: impl Into<String>, columns: Vec<Column>) -> Self {
        Table { title: title.into(), note: note.into(), columns, rows: vec![] }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the number of cells is not the number of columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row of '{}' has a cell for each column", self.title);
        self.rows.push(cells);
    }

    /// The table without the column with this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Some(c) = self.columns.iter().position(|column| column.name == name) {
            self.columns.remove(c);
            self.rows.iter_mut().for_each(|row| drop(row.remove(c)));
        }
        self
    }

    /// Whether a number is marked as the best of its column.
    pub fn has_best(&self) -> bool {
        self.has(Mark::Best)
    }

    /// Whether a number has this mark.
    pub fn has(&self, mark: Mark) -> bool {
        let marked = |cell: &Cell| matches!(cell, Cell::Number(n) if n.mark == mark);
        self.rows.iter().flatten().any(marked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with each kind of cell.
    pub(super) fn example() -> Table {
        let columns = vec![
            Column::text("method", ""),
            Column::number("hits", "share of hits", Better::Higher),
            Column::number("ratio", "", Better::Lower),
            Column::text("setting", ""),
        ];
        let mut table = Table::new("All", "Every photo.", columns);
        let best = Number::new(0.5741).between([0.5, 0.6]).best(true);
        let ratio = Number { p95: Some(46.12), ..Number::new(0.0).between([0.0, 1.0]) };
        table.row(vec![Cell::text("lrp"), best.into(), ratio.into(), Cell::text("a, \"b\" | <c>")]);
        let share = Number { unit: Unit::Percent(1), mark: Mark::Summary, ..Number::new(0.125) };
        table.row(vec![Cell::text("κατά"), share.into(), Cell::Missing, Cell::Code("x=1".into())]);
        table
    }

    #[test]
    fn a_column_goes_with_its_cells() {
        let table = example().without("ratio");
        assert_eq!(table.columns.len(), 3);
        assert_eq!(table.rows[1][2], Cell::Code("x=1".into()));
        assert_eq!(table.without("ratio").columns.len(), 3);
    }

    #[test]
    #[should_panic(expected = "a cell for each column")]
    fn a_row_of_another_length_is_refused() {
        example().row(vec![Cell::Missing]);
    }
}
