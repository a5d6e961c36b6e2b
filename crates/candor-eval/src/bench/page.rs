//! Data for the template of a benchmark's page.

use candor_report::chart::{Curve, Curves};
use candor_report::names;
use candor_report::recipe::{Document, Recipe};
use candor_report::result::FailedImage;
use candor_report::table::{self as drawn, View};
use serde::Serialize;

use super::example::Example;
use super::report::BenchResult;
use super::table::{Plot, Table, too_few};
use crate::check::Skipped;

/// Text and pictures, so that the template needs no logic.
#[derive(Serialize)]
pub(super) struct PageView<'r> {
    title: String,
    kind: String,
    name: String,
    file: String,
    /// What the benchmark measures.
    question: &'static str,
    items: usize,
    tuning: usize,
    /// Number of methods of the first table.
    methods: usize,
    /// Why some figures are grey; empty if none is.
    few: String,
    tables: Vec<TableView<'r>>,
    plots: Vec<PlotView<'r>>,
    examples: Vec<MethodExamples<'r>>,
    /// Whether the examples have boxes.
    boxes: bool,
    failed: &'r [FailedImage],
    skipped: &'r [Skipped],
    recipe: Recipe,
}

#[derive(Serialize)]
struct TableView<'r> {
    /// Includes the number of items.
    title: String,
    note: &'r str,
    sheet: View,
    /// The choice of the tuning split for each method, if there is one.
    chosen: Vec<[&'r str; 2]>,
}

#[derive(Serialize)]
struct PlotView<'r> {
    title: &'r str,
    chart: Curves,
}

#[derive(Serialize)]
struct MethodExamples<'r> {
    method: &'r str,
    examples: Vec<&'r Example>,
}

impl<'r> PageView<'r> {
    pub(super) fn new(result: &'r BenchResult, examples: &'r [Example], command: Option<&str>) -> Self {
        let name = names::file(&result.model.path);
        let (question, documents) = about(&result.benchmark);
        let dataset = &result.dataset;
        let recipe = Recipe::new(&result.model, &result.engine, &result.preprocessing, result.seed)
            .command(command)
            .fact("Dataset", &dataset.path)
            .fact("Items", dataset.items.to_string())
            .fact("Items for tuning", dataset.tuning.to_string())
            .methods(&result.methods)
            .documents(documents);
        PageView {
            title: format!("{name}, {}", result.benchmark),
            kind: format!("Candor benchmark: {}", result.benchmark),
            name,
            file: format!("{}.json", result.benchmark),
            question,
            items: dataset.items,
            tuning: dataset.tuning,
            methods: result.tables.first().map_or(0, |t| t.rows.len()),
            few: if result.has_few() { too_few() } else { String::new() },
            tables: result.tables.iter().map(TableView::new).collect(),
            plots: result.plots.iter().filter_map(PlotView::new).collect(),
            boxes: examples.iter().any(|e| e.boxes),
            examples: grouped(examples),
            failed: &result.failed,
            skipped: &result.skipped,
            recipe,
        }
    }
}

/// What a benchmark measures, and documents about it.
fn about(benchmark: &str) -> (&'static str, Vec<Document>) {
    let (question, title, file) = match benchmark {
        "wsol" => (
            "Does the map of a class that is there lie on its object?",
            "What localisation found",
            "localisation",
        ),
        "dwsol" => (
            "Is a class that is not there found, too?",
            "What disturbed localisation found",
            "absent-classes",
        ),
        "adversarial" => (
            "The photos were changed so that the model answers a class that is not there. Is that class found?",
            "What disturbed localisation found under attack",
            "under-attack",
        ),
        "grid" => (
            "In pictures made of several, does each class's map stay in its own part?",
            "What grids found",
            "grids",
        ),
        _ => (
            "What does the model say when the parts go that a map points at?",
            "What faithfulness found",
            "faithfulness",
        ),
    };
    let documents = vec![
        Document::new("Benchmarks", "book/src/reference/benchmarks.md"),
        Document::new(title, &format!("book/src/results/{file}.md")),
        Document::new("Methods", "book/src/reference/methods.md"),
    ];
    (question, documents)
}

/// Groups the examples by method; those of one method follow each other.
fn grouped(examples: &[Example]) -> Vec<MethodExamples<'_>> {
    let of_method = examples.chunk_by(|a, b| a.method == b.method);
    of_method.map(|of| MethodExamples { method: &of[0].method, examples: of.iter().collect() }).collect()
}

impl<'r> TableView<'r> {
    fn new(table: &'r Table) -> Self {
        let chosen = table.rows.iter().filter(|r| !r.setting.is_empty());
        let title = table.title_with_count();
        TableView {
            sheet: View::from(&drawn::Table { title: title.clone(), ..table.shown(false) }),
            title,
            note: &table.note,
            chosen: chosen.map(|r| [r.method.as_str(), r.setting.as_str()]).collect(),
        }
    }
}

impl<'r> PlotView<'r> {
    /// `None` if there is nothing to draw.
    fn new(plot: &'r Plot) -> Option<Self> {
        let curve = |c: &super::table::Curve| Curve { name: c.method.clone(), points: c.points.clone() };
        let curves: Vec<Curve> = plot.curves.iter().map(curve).filter(|c| !c.points.is_empty()).collect();
        let chart = Curves::new(&plot.title, &plot.x, &plot.y, &curves);
        (!curves.is_empty()).then_some(PlotView { title: &plot.title, chart })
    }
}
