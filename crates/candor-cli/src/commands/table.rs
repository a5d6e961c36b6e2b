//! `candor table`: tables of results from JSON files, or from its own CSV files, and bar charts of their columns.

mod bench;
mod check;
mod detect;
mod rows;
pub mod speed;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use candor::file;
use candor::suggest::among;
use candor_eval::check::Skipped;
use candor_report::chart::{Order, bars};
use candor_report::table::{Align, Cell, Table, csv};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::arguments::{TableArgs, TableFormat};
use crate::output;
use crate::usage::Usage;

/// The content of a file: its tables, and a note about all of them.
struct Sheet {
    tables: Vec<Table>,
    remark: Option<String>,
}

pub fn run(args: &TableArgs) -> Result<ExitCode> {
    let mut sheets = args.files.iter().map(|f| read(f, args)).collect::<Result<Vec<_>>>()?;
    let all = titles(&sheets);
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    let is_there = |title: &String| sheets.iter().flat_map(|s| &s.tables).any(|t| is_titled(t, title));
    if let Some(title) = args.title.iter().find(|title| !is_there(title)) {
        return Err(Usage(format!("there is no table '{title}'{}", among(title, &known))).into());
    }
    if !args.title.is_empty() {
        let is_chosen = |t: &Table| args.title.iter().any(|title| is_titled(t, title));
        sheets.iter_mut().for_each(|s| s.tables.retain(is_chosen));
    }
    known_rows(&sheets, args)?;
    if !args.row.is_empty() {
        sheets.iter_mut().for_each(|s| only(&mut s.tables, &args.row));
    }
    if !args.figure.is_empty() {
        output::print(&figure(&sheets, args)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&match args.format {
        TableFormat::Md => markdown(&sheets),
        TableFormat::Csv => csv(&sheets.into_iter().flat_map(|s| s.tables).collect::<Vec<_>>()),
        TableFormat::Html => html(&sheets)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The titles of all tables, without the models' names.
fn titles(sheets: &[Sheet]) -> BTreeSet<String> {
    let tables = sheets.iter().flat_map(|s| &s.tables);
    tables
        .map(|t| t.title.split_once(": ").map_or(t.title.clone(), |(_, behind)| behind.to_string()))
        .collect()
}

/// Whether a table has this title, possibly after the name of a model.
fn is_titled(table: &Table, title: &str) -> bool {
    let behind = table.title.split_once(": ").is_some_and(|(_, behind)| behind == title);
    table.title == title || behind
}

/// An error that lists the rows' names if the arguments name another; the accent of none is the empty name.
fn known_rows(sheets: &[Sheet], args: &TableArgs) -> Result<()> {
    let mut known: Vec<&str> = vec![];
    for row in sheets.iter().flat_map(|s| &s.tables).flat_map(|t| &t.rows) {
        if !name(row).is_empty() && !known.contains(&name(row)) {
            known.push(name(row));
        }
    }
    let mut given = args.row.iter().chain(args.accent.iter().filter(|name| !name.is_empty()));
    match given.find(|n| !known.contains(&n.as_str())) {
        Some(unknown) => Err(Usage(format!("there is no row '{unknown}'{}", among(unknown, &known))).into()),
        None => Ok(()),
    }
}

/// Keeps the rows of these names, in this order, and the tables that have one.
fn only(tables: &mut Vec<Table>, names: &[String]) {
    for table in tables.iter_mut() {
        let named = |n: &String| table.rows.iter().filter(|row| name(row) == n).cloned().collect::<Vec<_>>();
        table.rows = names.iter().flat_map(named).collect();
    }
    tables.retain(|t| !t.rows.is_empty());
}

/// The name of a row.
fn name(row: &[Cell]) -> &str {
    row.first().map_or("", Cell::name)
}

/// The columns of all tables as bars, in the order of the rows that are named, if any are. A column that no table has, or that has no
/// number, is an error that names it.
fn figure(sheets: &[Sheet], args: &TableArgs) -> Result<String> {
    let mut tables = joined(sheets.iter().flat_map(|s| &s.tables));
    let order = if args.row.is_empty() { Order::Descending } else { Order::Rows };
    if order == Order::Rows {
        only(&mut tables, &args.row);
    }
    let drawable: Vec<&str> = columns_of_numbers(&tables);
    let [columns, accents] =
        [&args.figure, &args.accent].map(|a| a.iter().map(String::as_str).collect::<Vec<_>>());
    let unknown = columns.iter().find(|c| !drawable.contains(c));
    match (unknown, bars(&tables, &columns, order, &accents)) {
        (None, Some(svg)) => Ok(svg),
        (unknown, _) => {
            let column = unknown.or(columns.first()).copied().unwrap_or_default();
            Err(Usage(format!("there is no column of numbers '{column}'{}", among(column, &drawable))).into())
        }
    }
}

/// Joins tables that have the same title; the columns are those of the first.
fn joined<'t>(tables: impl Iterator<Item = &'t Table>) -> Vec<Table> {
    let mut all: Vec<Table> = vec![];
    for table in tables {
        let Some(first) = all.iter_mut().find(|t| t.title == table.title && !t.title.is_empty()) else {
            all.push(table.clone());
            continue;
        };
        let places: Vec<Option<usize>> = first
            .columns
            .iter()
            .map(|c| table.columns.iter().position(|other| other.name == c.name))
            .collect();
        let cell = |row: &[Cell], place: Option<usize>| {
            place.and_then(|i| row.get(i)).cloned().unwrap_or(Cell::Missing)
        };
        first.rows.extend(table.rows.iter().map(|row| places.iter().map(|p| cell(row, *p)).collect()));
    }
    all
}

/// The names of columns of numbers, without duplicates.
fn columns_of_numbers(tables: &[Table]) -> Vec<&str> {
    let mut names: Vec<&str> = vec![];
    for column in tables.iter().flat_map(|t| &t.columns).filter(|c| c.align == Align::Right) {
        if !names.contains(&column.name.as_str()) {
            names.push(&column.name);
        }
    }
    names
}

/// A reader of one kind of result.
type Reader = fn(Value, &TableArgs) -> Result<Sheet>;

/// The kinds of results: fields that only such a result has, and its reader.
const KINDS: [(&[&str], Reader); 4] = [
    (&["benchmark", "tables"], |found, args| bench::sheet(parse(found)?, args.settings)),
    (&["methods", "images", "gradients"], |found, _| Ok(check::sheet(&parse(found)?))),
    (&["detectors", "attacks", "clean"], |found, args| Ok(detect::sheet(&parse(found)?, &args.kinds))),
    (&["parts", "peak_gflops"], |found, _| Ok(speed::sheet(&parse(found)?))),
];

/// Maximum bytes of a result.
const MOST_BYTES: u64 = 1 << 30;

fn read(path: &Path, args: &TableArgs) -> Result<Sheet> {
    let name = || path.display().to_string();
    let text = file::read_text(path, MOST_BYTES).with_context(name)?;
    if !text.trim_start().starts_with('{') {
        return rows::sheet(&text).with_context(name);
    }
    let found: Value = serde_json::from_str(&text).with_context(|| format!("{}: not JSON", name()))?;
    let has = |field: &str| found.get(field).is_some();
    let kind = KINDS.iter().find(|(fields, _)| fields.iter().all(|f| has(f)));
    let Some((_, reader)) = kind else {
        bail!("{}: not a result of `candor bench`, `candor check` or `candor detect eval`", name());
    };
    reader(found, args).with_context(name)
}

fn parse<T: DeserializeOwned>(found: Value) -> Result<T> {
    Ok(serde_json::from_value(found)?)
}

fn markdown(sheets: &[Sheet]) -> String {
    let mut parts = vec![];
    for sheet in sheets {
        parts.extend(sheet.tables.iter().map(Table::markdown));
        parts.extend(sheet.remark.iter().map(|remark| format!("{remark}\n")));
    }
    parts.join("\n")
}

fn html(sheets: &[Sheet]) -> Result<String> {
    let mut text = String::new();
    for table in sheets.iter().flat_map(|s| &s.tables) {
        text += &table.html()?;
    }
    Ok(text)
}

/// Methods without results, and why; the reason without the text before its first colon, which is the method or a file.
fn not_defined(skipped: &[Skipped]) -> Option<String> {
    let reason = |s: &Skipped| s.reason.split_once(": ").map_or(s.reason.clone(), |(_, r)| r.to_string());
    let named: Vec<String> = skipped.iter().map(|s| format!("{} ({})", s.method, reason(s))).collect();
    (!named.is_empty()).then(|| format!("Not defined: {}.", named.join("; ")))
}

/// The model's file without folders and extension.
fn stem(path: &str) -> String {
    Path::new(path).file_stem().map_or_else(String::new, |s| s.to_string_lossy().into())
}
