//! Reads tables that `candor table --format csv` wrote.

use anyhow::{Context, Result, bail};
use candor_report::table::{Better, Cell, Column, Mark, Number, Table};

use super::Sheet;

/// The first column, which holds the table's title.
const TITLE: &str = "table";
/// Values of a number that follow it in their own columns.
const BESIDE: [&str; 5] = ["low", "high", "p95", "best", "too few"];

/// The tables of such a file; after an empty line, tables with other columns begin.
pub fn sheet(text: &str) -> Result<Sheet> {
    let mut tables = vec![];
    for part in text.split("\n\n").filter(|p| !p.trim().is_empty()) {
        tables.extend(part_of(part)?);
    }
    Ok(Sheet { tables, remark: None })
}

/// Tables with equal columns: rows with one title are one table.
fn part_of(text: &str) -> Result<Vec<Table>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers()?.clone();
    if head.get(0) != Some(TITLE) || head.len() < 2 {
        bail!("not a result as JSON, nor tables as `candor table --format csv` writes them");
    }
    let at = |name: &str| head.iter().position(|h| h == name);
    let is_beside = |name: &str| {
        BESIDE
            .iter()
            .any(|b| name.strip_suffix(b).and_then(|n| n.strip_suffix(' ')).is_some_and(|n| at(n).is_some()))
    };
    let columns: Vec<(usize, &str)> =
        head.iter().enumerate().skip(1).filter(|(_, h)| !is_beside(h)).collect();
    let mut tables: Vec<Table> = vec![];
    for row in reader.records() {
        let row = row.context("not a table as `candor table --format csv` writes it")?;
        let beside = |name: &str, what: &str| at(&format!("{name} {what}")).and_then(|c| row.get(c));
        let cells =
            columns.iter().map(|&(c, name)| cell(row.get(c).unwrap_or_default(), |what| beside(name, what)));
        let title = row.get(0).unwrap_or_default();
        if tables.last().is_none_or(|t| t.title != title) {
            let columns = columns.iter().map(|(_, name)| Column::text(*name, "")).collect();
            tables.push(Table::new(title, "", columns));
        }
        if let Some(table) = tables.last_mut() {
            table.row(cells.collect());
        }
    }
    tables.iter_mut().for_each(align);
    Ok(tables)
}

/// A cell, with the values in the columns that follow it.
fn cell<'r>(text: &str, beside: impl Fn(&str) -> Option<&'r str>) -> Cell {
    let number = |text: &str| text.parse::<f64>().ok();
    let Some(value) = number(text) else {
        return if text.is_empty() { Cell::Missing } else { Cell::text(text) };
    };
    let ends = [beside("low").and_then(number), beside("high").and_then(number)];
    let is = |what| beside(what) == Some("true");
    let mark = if is("best") {
        Mark::Best
    } else if is("too few") {
        Mark::Few
    } else {
        Mark::Plain
    };
    let interval = if let [Some(low), Some(high)] = ends { Some([low, high]) } else { None };
    Number { interval, p95: beside("p95").and_then(number), mark, ..Number::new(value) }.into()
}

/// Turns columns without text into columns of numbers.
fn align(table: &mut Table) {
    for (c, column) in table.columns.iter_mut().enumerate() {
        let words = table.rows.iter().any(|row| matches!(row[c], Cell::Text(_)));
        if !words && table.rows.iter().any(|row| matches!(row[c], Cell::Number(_))) {
            *column = Column::number(&column.name, "", Better::Neither);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;
    use candor_report::table::csv;

    #[test]
    fn what_was_written_is_read_again() {
        let columns = || {
            vec![
                Column::text("method", ""),
                Column::number("high", "", Better::Neither),
                Column::text("chosen", ""),
            ]
        };
        let mut first = Table::new("a: b", "", columns());
        first.row(vec![
            Cell::text("lrp"),
            Number::new(0.5).between([0.25, 1.0]).best(true).into(),
            Cell::Missing,
        ]);
        let number = Number { p95: Some(2.0), mark: Mark::Few, ..Number::new(-1e-9) };
        first.row(vec![Cell::text("x, \"y\""), number.into(), Cell::text("σ 8")]);
        let mut second = Table::new("second", "", columns());
        second.row(vec![Cell::text("lrp"), Number::new(0.5).into(), Cell::text("σ 8")]);
        let tables = [first, second];
        assert_eq!(sheet(&csv(&tables)).unwrap().tables, tables);
        assert!(sheet("model,method\nm,lrp\n").is_err());
        assert!(sheet("table,method\nm\n").is_err(), "a row too short");
    }
}
