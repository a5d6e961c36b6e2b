//! Data for the template of `check.html`: a card for each method, and the tables below them.

use candor_report::figures::{figure, percent};
use candor_report::names;
use candor_report::picture::Picture;
use candor_report::recipe::{Document, Recipe};
use candor_report::result::FailedImage;
use candor_report::table::{Better, Cell, Column, Number, Table, Unit, View};
use serde::Serialize;

use super::further::{further, plain};
use super::report::{CheckResult, Gallery};
use super::table::{Checked, table};
use super::vanishing::LevelGradient;
use super::{Kind, LEAST_AUROC, MOST_MEDIAN, MOST_P95, MethodCheck, Skipped, caution, same_figure};
use crate::statistics::Summary;

/// Text and pictures, so that the template needs no logic.
#[derive(Serialize)]
pub(super) struct PageView<'r> {
    title: String,
    kind: &'static str,
    name: String,
    file: &'static str,
    images: usize,
    passed: usize,
    rule: String,
    /// Why the verdicts are uncertain, and a note on methods that have a null; may be empty.
    caution: String,
    same_figure: String,
    /// Title, style, and the methods, each with a question mark if its verdict is uncertain.
    verdicts: [(&'static str, &'static str, Vec<[&'r str; 2]>); 2],
    methods: Vec<MethodView<'r>>,
    skipped: &'r [Skipped],
    failed: &'r [FailedImage],
    tables: Vec<View>,
    recipe: Recipe,
}

/// A method's card.
#[derive(Serialize)]
struct MethodView<'r> {
    name: &'r str,
    passed: bool,
    /// Why the verdict is uncertain; empty if it is not.
    caution: &'r str,
    /// One sentence.
    reason: String,
    strips: Vec<Strip<'r>>,
    reasons: &'r [String],
    figures: View,
    facts: Vec<(&'static str, String)>,
}

/// A photo and its maps.
#[derive(Serialize)]
struct Strip<'r> {
    name: String,
    photo: &'r Picture,
    maps: Vec<StripMap<'r>>,
}

#[derive(Serialize)]
struct StripMap<'r> {
    kind: &'static str,
    class: &'r str,
    picture: &'r Picture,
    /// Relative to top-1's; empty for top-1 itself and if that is empty.
    mass: String,
}

impl<'r> PageView<'r> {
    pub(super) fn new(result: &'r CheckResult, galleries: &'r [Gallery], command: Option<&str>) -> Self {
        let name = names::file(&result.model.path);
        let chip = |m: &'r MethodCheck| [m.method.name.as_str(), if m.caution.is_some() { "?" } else { "" }];
        let of = |passed: bool| result.methods.iter().filter(|m| m.passed == passed).map(chip).collect();
        let (pass, fail): (Vec<_>, Vec<_>) = (of(true), of(false));
        PageView {
            title: format!("{name} checked"),
            kind: "Candor sanity check",
            name,
            file: "check.json",
            images: result.images,
            passed: pass.len(),
            rule: format!(
                "for each kind of absent class the median of mass ÷ top-1's mass is at most {MOST_MEDIAN} and the 95th \
                 percentile at most {MOST_P95}, and the AUROC of telling top-1 classes from absent ones by mass is at least \
                 {LEAST_AUROC}"
            ),
            caution: caution(result.images).unwrap_or_default(),
            same_figure: same_figure(&result.methods).unwrap_or_default(),
            verdicts: [("Passes", "yes", pass), ("Fails", "fail", fail)],
            methods: result.methods.iter().map(|m| MethodView::new(m, result.images, galleries)).collect(),
            skipped: &result.skipped,
            failed: &result.failed,
            tables: tables(result).iter().map(View::from).collect(),
            recipe: recipe(result, command),
        }
    }
}

fn recipe(result: &CheckResult, command: Option<&str>) -> Recipe {
    let documents = [
        Document::new("What the sanity check found", "book/src/results/sanity-check.md"),
        Document::new("Methods", "book/src/reference/methods.md"),
        Document::new("How the masks are learned", "book/src/explanation/evidence.md"),
    ];
    Recipe::new(&result.model, &result.engine, &result.preprocessing, result.seed)
        .command(command)
        .fact("Images", result.images.to_string())
        .methods(result.methods.iter().map(|m| &m.method))
        .documents(documents)
}

impl<'r> MethodView<'r> {
    fn new(m: &'r MethodCheck, images: usize, galleries: &'r [Gallery]) -> Self {
        MethodView {
            name: &m.method.name,
            passed: m.passed,
            caution: m.caution.as_deref().unwrap_or(""),
            reason: reason(m, images),
            strips: galleries.iter().filter_map(|g| Strip::new(m, g)).collect(),
            reasons: &m.reasons,
            figures: View::from(&figures(m)),
            facts: facts(m),
        }
    }
}

impl<'r> Strip<'r> {
    fn new(m: &MethodCheck, gallery: &'r Gallery) -> Option<Self> {
        let row = gallery.rows.iter().find(|row| row.method == m.method.name)?;
        let mass = |kind: Kind| {
            let found = m.rows.iter().find(|r| r.kind == kind && r.image == gallery.name);
            found.and_then(|r| r.ratio).filter(|_| kind != Kind::Top1).map_or_else(String::new, percent)
        };
        let maps = Kind::ALL.iter().zip(&gallery.classes).zip(&row.pictures);
        let map = |((kind, class), picture): ((&Kind, &'r String), &'r Picture)| StripMap {
            kind: kind.label(),
            class,
            picture,
            mass: mass(*kind),
        };
        Some(Strip { name: names::file(&gallery.name), photo: &gallery.photo, maps: maps.map(map).collect() })
    }
}

/// Why a method passes or fails, in one sentence.
fn reason(m: &MethodCheck, images: usize) -> String {
    let ratio = |kind: &Kind| m.queries.get(kind).and_then(|f| f.ratio).map(|r| (*kind, r));
    let absent: Vec<(Kind, Summary)> = Kind::ABSENT.iter().filter_map(ratio).collect();
    let over = |on: &str| format!("{on} over {images} image{}", if images == 1 { "" } else { "s" });
    let worst = absent.iter().max_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let Some((kind, worst)) = worst else {
        return "The map of the answer is empty on every image.".to_string();
    };
    if m.passed {
        let most = absent.iter().map(|(_, r)| r.p95).fold(0.0, f64::max);
        return format!(
            "Silent about classes that are not there: their maps have at most {} of the answer's mass ({}; {} at the 95th percentile).",
            percent(worst.median),
            over("median"),
            percent(most)
        );
    }
    if worst.median > MOST_MEDIAN {
        let alike = m.queries.get(kind).is_some_and(super::Figures::is_nearly_top1);
        let how = if alike { "nearly the same map" } else { "another, scattered pattern" };
        return format!(
            "Not silent: the map of {} has {} of the answer's mass ({}) and shows {how}.",
            words(*kind),
            percent(worst.median),
            over("median")
        );
    }
    let furthest = absent.iter().max_by(|a, b| a.1.p95.total_cmp(&b.1.p95)).filter(|(_, r)| r.p95 > MOST_P95);
    match (furthest, m.existence_auroc_mass) {
        (Some((kind, r)), _) => {
            let share = percent(r.p95);
            format!(
                "Not silent on every image: the map of {} has up to {share} of the answer's mass.",
                words(*kind)
            )
        }
        (None, auroc) => format!(
            "Masses do not tell classes that are there from those that are not: AUROC {}.",
            auroc.map_or_else(|| "unknown".to_string(), figure)
        ),
    }
}

/// A kind of class, as used in a sentence.
fn words(kind: Kind) -> &'static str {
    ["the answer", "the second answer", "the class of median rank", "a random class", "the lowest class"]
        [kind as usize]
}

/// The figures of each kind of class, compared with top-1's map.
fn figures(m: &MethodCheck) -> Table {
    let lower = |name: &str, help: &str| Column::number(name, help, Better::Lower);
    let neither = |name: &str, help: &str| Column::number(name, help, Better::Neither);
    let columns = vec![
        Column::text("class", ""),
        lower(
            "mass ÷ top-1's",
            "median over the images; below it the 95 % interval of the median, then the 95th percentile",
        ),
        lower("Spearman", "rank correlation with top-1's map, median"),
        lower("SSIM", "structural similarity to top-1's map, median"),
        neither("top 5 %", "overlap of the largest 5 % of pixels with top-1's, median"),
        neither("top 20 %", "overlap of the largest 20 %"),
        neither("parts", "connected parts above half of the maximum, median"),
        neither("entropy", "of maps that are not empty, median"),
        neither(
            "gain",
            "log-odds of the masked model beyond the original ones, largest; far above 0 is adversarial noise",
        ),
    ];
    let mut table = Table::new("Figures by kind of class", "", columns);
    for kind in Kind::ALL {
        let Some(f) = m.queries.get(&kind) else { continue };
        let middle = |s: Option<Summary>| plain(s.map(|s| s.median));
        let spread = |s: Summary| Number { p95: Some(s.p95), ..Number::new(s.median).between(s.interval) };
        table.row(vec![
            Cell::text(kind.label()),
            f.ratio.map(spread).into(),
            middle(f.spearman),
            middle(f.ssim),
            plain(f.iou_5),
            plain(f.iou_20),
            Cell::number(f.components, Unit::Decimals(1)),
            plain(f.entropy),
            plain(f.gain),
        ]);
    }
    table
}

fn facts(m: &MethodCheck) -> Vec<(&'static str, String)> {
    let optional = |v: Option<f64>| v.map_or_else(|| "–".to_string(), figure);
    let count = m.rows.len().max(1) as u64;
    vec![
        ("AUROC by mass", optional(m.existence_auroc_mass)),
        ("AUROC by maximum", optional(m.existence_auroc_max)),
        ("Same map twice", if m.repeatable { "yes" } else { "no" }.to_string()),
        (
            "Passes a map, silent classes included",
            format!("{} forward, {} backward", m.forward.div_ceil(count), m.backward.div_ceil(count)),
        ),
    ]
}

/// The tables below the cards.
fn tables(result: &CheckResult) -> Vec<Table> {
    let checked: Vec<Checked> = result.methods.iter().map(Checked::from).collect();
    let all = Table {
        title: "All methods in one table".to_string(),
        note: "Under a class: median over the images of the mass of its map ÷ that of top-1; below it the 95 % interval of the \
               median, then the 95th percentile. AUROC: how well mass tells top-1 classes from absent ones; 0.5 is a coin."
            .to_string(),
        ..table(&checked)
    };
    let mut tables = vec![all];
    if !result.gradients.is_empty() {
        tables.push(gradients(&result.gradients));
    }
    tables.extend(further(&result.input_shift, &result.randomization));
    tables
}

fn number(name: impl Into<String>) -> Column {
    Column::number(name, "", Better::Neither)
}

fn gradients(levels: &[LevelGradient]) -> Table {
    let mut columns = vec![Column::text("value", "")];
    for kind in &Kind::ALL[1..] {
        columns
            .extend([number(format!("{}: norm", kind.label())), number(format!("{}: cosine", kind.label()))]);
    }
    let note = "Gradients of a class's logit at the image and at each level, against those of top-1: ratio of the norms, and \
                magnitude of the cosine. Where cosines grow on the way down to the image, the signal of the class dies and the \
                image's own structure is left.";
    let mut table = Table::new("What the gradient knows of the class", note, columns);
    for level in levels {
        let mut row = vec![Cell::text(&level.value)];
        for kind in &Kind::ALL[1..] {
            let figures = level.queries.get(kind);
            row.extend([plain(figures.and_then(|f| f.ratio)), plain(figures.and_then(|f| f.cosine))]);
        }
        table.row(row);
    }
    table
}
