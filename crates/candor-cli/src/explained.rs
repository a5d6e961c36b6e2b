//! The output of `explain`: for each photo the model's answers, then one row per requested class.

use candor::explanation::TopClass;
use candor::image::Preprocessing;
use candor::printable::printable;
use candor_report::result::{ExplainResult, ImageResult, QueryResult};
use candor_report::table::{Better, Cell, Column, Number, Table, Unit};

use crate::output;

/// Maximum number of letters of a class's name.
const NAME: usize = 28;

/// Explanations of the columns; the second and the third are only for methods with a null.
const LEGEND: [&str; 4] = [
    "log-odds: how far the model prefers the class to all others together",
    "null log-odds: the same where the masks hide the photo, but at least chance",
    "evidence: what the log-odds, of the photo or of the class's best place, have above the null log-odds",
    "mean of map: of its positive values, over all pixels; `mass` in explain.json and in the tables of other commands",
];

/// The result for a screen of `width` columns.
pub fn text(result: &ExplainResult, preprocessing: &Preprocessing, width: usize) -> String {
    let mut queries = result.images.iter().flat_map(|image| &image.queries);
    let has_null = queries.any(|q| q.null_log_odds.is_some());
    let mut text = format!("preprocessing: {preprocessing} ({})\n", result.sources.preprocessing);
    if result.sources.labels != "none" {
        text += &format!("labels: {}\n", result.sources.labels);
    }
    if !result.model.other_outputs.is_empty() {
        text += &format!(
            "output: {}; not used: {}\n",
            result.model.output,
            result.model.other_outputs.join(", ")
        );
    }
    text += "\n";
    for image in &result.images {
        text += &format!("{}\n  top {}: {}\n", printable(&image.path), image.top.len(), answers(&image.top));
        let table = table(image, has_null).screen(width.saturating_sub(2));
        text +=
            &table.lines().map(|line| format!("  {line}").trim_end().to_string() + "\n").collect::<String>();
        text += &image.queries.iter().map(warnings).collect::<String>();
    }
    for failed in &result.failed {
        text += &format!("{}\n  failed: {}\n", printable(&failed.path), printable(&failed.error));
    }
    let shown = LEGEND.iter().enumerate().filter(|(i, _)| has_null || ![1, 2].contains(i));
    let legend: String = shown.map(|(_, line)| format!("{line}\n")).collect();
    if result.images.is_empty() { text } else { format!("{text}\n{legend}{}", without_null(result)) }
}

/// Why a method without a null gives no verdict; empty for methods with one.
fn without_null(result: &ExplainResult) -> String {
    let queries = result.images.iter().flat_map(|image| &image.queries);
    let mut names: Vec<&str> = vec![];
    for query in queries.filter(|q| q.null_log_odds.is_none()) {
        let name = query.method.as_deref().unwrap_or(&result.method.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let has = if names.len() == 1 { "has" } else { "have" };
    format!(
        "not judged: {} {has} no null to judge against; --method evidence-scaled --set method={} has, and `candor check` measures how \
         silent a method is\n",
        names.join(", "),
        names[0]
    )
}

/// `fish 0.982, star 0.011, …`
fn answers(top: &[TopClass]) -> String {
    let one = |class: &TopClass| format!("{} {:.3}", short(&class.name), class.probability);
    top.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn table(image: &ImageResult, has_null: bool) -> Table {
    let number = |name: &str| Column::number(name, "", Better::Neither);
    let several = image.queries.iter().any(|q| q.method.is_some());
    let mut columns = vec![Column::text("class", "")];
    if several {
        columns.push(Column::text("method", ""));
    }
    columns.extend([number("rank"), number("probability"), number("log-odds")]);
    if has_null {
        columns.extend([number("null log-odds"), number("evidence")]);
    }
    columns.extend([number("mean of map"), Column::text("verdict", "")]);
    let mut table = Table::new("", "", columns);
    for q in &image.queries {
        table.row(row(q, has_null));
    }
    table
}

fn row(q: &QueryResult, has_null: bool) -> Vec<Cell> {
    let decimals = |value: f64, count: usize| Number::new(value).unit(Unit::Decimals(count)).into();
    let odds = |value: Option<f64>| value.map_or(Cell::Missing, |v| Cell::text(output::signed(v)));
    let mut cells = vec![Cell::text(short(&q.class_name))];
    cells.extend(q.method.as_ref().map(Cell::text));
    cells.extend([decimals(q.rank as f64, 0), decimals(q.probability, 3), odds(Some(q.log_odds))]);
    if has_null {
        cells.extend([odds(q.null_log_odds), odds(q.evidence)]);
    }
    cells.extend([decimals(q.map.mass, 4), Cell::text(q.verdict.words())]);
    cells
}

fn warnings(q: &QueryResult) -> String {
    let method = q.method.as_ref().map_or_else(String::new, |name| format!(", {name}"));
    q.warnings.iter().map(|warning| format!("  ! {}{method}: {warning}\n", short(&q.class_name))).collect()
}

/// The first of a class's synonyms, cut to [`NAME`] letters.
fn short(name: &str) -> String {
    let first = name.split(',').next().unwrap_or(name).trim();
    match first.char_indices().nth(NAME) {
        Some(_) => first.chars().take(NAME - 1).chain(['…']).collect(),
        None => first.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn names_are_short() {
        assert_eq!(short("tench, Tinca tinca"), "tench");
        assert_eq!(short("a very long name of a class that goes on"), "a very long name of a class…");
        assert_eq!(short("exactly twenty-eight letters"), "exactly twenty-eight letters");
        assert_eq!(short(""), "");
    }
}
