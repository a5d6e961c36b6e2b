//! Data for the templates of `detect.html` and `score.html`.

use candor_report::chart::{Intervals, Mark, MarkRow};
use candor_report::figures::{figure, percent, width};
use candor_report::names;
use candor_report::recipe::{Document, Recipe};
use candor_report::result::FailedImage;
use candor_report::table::View;
use serde::Serialize;

use super::report::{DetectResult, Hierarchy, Pair, ScoreResult, ScoredImage};
use super::tables::{short, tables};
use super::{DetectorRow, Figure, Report};
use crate::detector::Threshold;

/// Text and pictures, so that the template needs no logic.
#[derive(Serialize)]
pub(super) struct Page<'p> {
    title: String,
    kind: &'static str,
    name: String,
    file: &'static str,
    lead: String,
    /// A caveat for the reader; may be empty.
    caveat: String,
    /// The headline figures: title, value, and explanation.
    figures: Vec<[String; 3]>,
    /// Screened images.
    scored: Vec<Scored<'p>>,
    charts: Vec<Chart>,
    tables: Vec<TableView>,
    pairs: Vec<PairView<'p>>,
    failed: &'p [FailedImage],
    /// Whether the page is of a study, and explains AUROC and thresholds.
    study: bool,
    recipe: Recipe,
}

/// A screened image, with the data behind its score.
#[derive(Serialize)]
struct Scored<'p> {
    path: &'p str,
    alarm: bool,
    sentence: String,
    /// Positions of the score and the threshold on the axis from 0 to 1, in percent.
    score: String,
    threshold: String,
    masks: Option<&'p Hierarchy>,
}

#[derive(Serialize)]
struct Chart {
    title: &'static str,
    note: String,
    chart: Intervals,
}

#[derive(Serialize)]
struct TableView {
    title: String,
    note: String,
    sheet: View,
}

#[derive(Serialize)]
struct PairView<'p> {
    name: &'p str,
    rows: &'p [Hierarchy],
}

fn documents() -> [Document; 3] {
    [
        Document::new("Detection of adversarial inputs", "book/src/reference/detector.md"),
        Document::new("What detection found", "book/src/results/detection.md"),
        Document::new("Attacks", "book/src/reference/attacks.md"),
    ]
}

/// The page of screened images; `shown` contains the masks of each.
pub(super) fn score_page<'p>(
    result: &'p ScoreResult,
    shown: &'p [Hierarchy],
    command: Option<&str>,
) -> Page<'p> {
    let name = names::file(&result.model.path);
    let (alarms, images) = (result.images.iter().filter(|i| i.alarm).count(), result.images.len());
    let lead = format!(
        "{alarms} of {images} image{} raise{} an alarm: a score above {}, the threshold for {} false alarms.",
        if images == 1 { "" } else { "s" },
        if alarms == 1 { "s" } else { "" },
        figure(result.threshold.score),
        percent(result.threshold.false_alarms),
    );
    let card = &result.card;
    let settings = serde_json::to_value(&card.features).unwrap_or_default();
    let thresholds =
        card.thresholds.iter().map(|t| format!("{} at {}", figure(t.score), percent(t.false_alarms)));
    let recipe = Recipe::new(&result.model, &result.engine, &card.preprocessing, card.seed)
        .command(command)
        .fact("Detector trained by", format!("Candor {}", card.candor))
        .fact("Detector trained on", &card.data.path)
        .fact("Clean images for training", card.data.train.to_string())
        .fact("Clean images for thresholds", card.data.calibration.to_string())
        .fact("Thresholds for false alarms", thresholds.collect::<Vec<_>>().join(", "))
        .settings("features", &settings)
        .documents(documents());
    Page {
        title: format!("{name} screened"),
        kind: "Candor adversarial detection",
        name,
        file: "score.json",
        lead,
        caveat: caveat(card.data.calibration),
        figures: vec![],
        scored: result
            .images
            .iter()
            .enumerate()
            .map(|(i, s)| Scored::new(s, &result.threshold, shown.get(i)))
            .collect(),
        charts: vec![],
        tables: vec![],
        pairs: vec![],
        failed: &result.failed,
        study: false,
        recipe,
    }
}

fn caveat(calibration: usize) -> String {
    Threshold::caveat(calibration)
        .map_or_else(String::new, |c| format!("{c} of false alarms. --calibration takes more."))
}

impl<'p> Scored<'p> {
    fn new(image: &'p ScoredImage, threshold: &Threshold, masks: Option<&'p Hierarchy>) -> Self {
        let relation = if image.alarm { "above" } else { "not above" };
        Scored {
            path: &image.path,
            alarm: image.alarm,
            sentence: format!(
                "Score {}, {relation} the threshold of {}. The model answers {} with a probability of {}.",
                figure(image.score),
                figure(threshold.score),
                image.name,
                percent(image.probability)
            ),
            score: width(image.score, 1.0),
            threshold: width(threshold.score, 1.0),
            masks,
        }
    }
}

/// The page of a study.
pub(super) fn study_page<'p>(result: &'p DetectResult, pairs: &'p [Pair], command: Option<&str>) -> Page<'p> {
    let report = &result.report;
    let name = names::file(&result.model.path);
    let [train, calibration, test] = report.clean;
    let lead = format!(
        "How well are adversarial images detected? {train} clean images and their adversarial versions train, {calibration} clean \
         images set the thresholds, and every figure is of {test} others."
    );
    let settings = serde_json::to_value(&result.features).unwrap_or_default();
    let recipe = Recipe::new(&result.model, &result.engine, &result.preprocessing, result.seed)
        .command(command)
        .fact("Dataset", &result.dataset)
        .fact("SHA-256 of its list", &result.sha256)
        .fact("Epochs", result.epochs.to_string())
        .settings("features", &settings)
        .documents(documents());
    let view =
        |t: candor_report::table::Table| TableView { sheet: View::from(&t), title: t.title, note: t.note };
    Page {
        title: format!("{name}, detection"),
        kind: "Candor adversarial detection: study",
        name,
        file: "detect.json",
        lead,
        caveat: caveat(calibration),
        figures: report.detectors.first().map_or_else(Vec::new, |ours| headline(ours, report.clean)),
        scored: vec![],
        charts: charts(report),
        tables: tables(report).into_iter().map(view).collect(),
        pairs: pairs.iter().map(|p| PairView { name: &p.name, rows: &p.rows }).collect(),
        failed: &[],
        study: true,
        recipe,
    }
}

fn decimals(value: f64) -> String {
    format!("{value:.3}")
}

/// The headline figures of the mask detector.
fn headline(ours: &DetectorRow, [_, calibration, test]: [usize; 3]) -> Vec<[String; 3]> {
    let mean = |figures: &[Option<Figure>], value: fn(&Figure) -> f64| Figure::mean(figures, value);
    let over = |figures: &[Option<Figure>]| match figures.iter().flatten().count() {
        1 => "1 attack".to_string(),
        n => format!("mean of {n} attacks"),
    };
    let unchanged =
        ours.false_alarms.first().and_then(|(_, shares)| shares.get(1).copied()).filter(|s| !s.is_nan());
    let found = [
        (
            "AUROC, attacks that it was trained on",
            mean(&ours.seen, |f| f.auroc).map(decimals),
            over(&ours.seen),
        ),
        ("AUROC, attacks of other names", mean(&ours.unseen, |f| f.auroc).map(decimals), over(&ours.unseen)),
        (
            "Detected at the threshold for 5 %",
            mean(&ours.seen, |f| f.detected[1]).map(percent),
            format!("{}; {calibration} clean images set the threshold", over(&ours.seen)),
        ),
        (
            "Alarms on clean test images at that threshold",
            unchanged.map(percent),
            format!("of {test}; should be 5 %"),
        ),
    ];
    found.into_iter().filter_map(|(what, value, of)| Some([what.to_string(), value?, of])).collect()
}

fn charts(report: &Report) -> Vec<Chart> {
    let Some(ours) = report.detectors.first() else { return vec![] };
    let mut charts = vec![by_attack(report, ours)];
    charts.extend(compared(report));
    charts.push(false_alarms(ours));
    charts
}

/// AUROC of the first detector with intervals, by attack and by training attacks.
fn by_attack(report: &Report, ours: &DetectorRow) -> Chart {
    let mark = |f: &Option<Figure>| f.as_ref().map(|f| Mark { value: f.auroc, interval: Some(f.interval) });
    let row = |(i, attack): (usize, &super::AttackRow)| MarkRow {
        name: short(&attack.label),
        marks: [&ours.seen, &ours.unseen, &ours.same].map(|all| all.get(i).and_then(mark)).into(),
    };
    let rows: Vec<MarkRow> = report.attacks.iter().enumerate().map(row).collect();
    let series = ["trained on all attacks", "on those of other names", "on this attack alone"];
    let title = "How well the mask detector tells each attack from clean images";
    Chart {
        title,
        note: "With 95 % bootstrap intervals over the test images.".to_string(),
        chart: Intervals::new(title, "AUROC", (&series, &rows), Some((0.5, "a coin")), decimals),
    }
}

/// The mean AUROC of all detectors; `None` if there is only one.
fn compared(report: &Report) -> Option<Chart> {
    let mean = |figures: &[Option<Figure>]| {
        Figure::mean(figures, |f| f.auroc).map(|value| Mark { value, interval: None })
    };
    let row = |d: &DetectorRow| MarkRow { name: d.name.clone(), marks: vec![mean(&d.seen), mean(&d.unseen)] };
    let rows: Vec<MarkRow> = report.detectors.iter().map(row).collect();
    let series = ["trained on all attacks", "on those of other names"];
    let title = "All detectors";
    (rows.len() > 1).then(|| Chart {
        title,
        note: "Mean AUROC over the attacks.".to_string(),
        chart: Intervals::new(title, "mean AUROC", (&series, &rows), Some((0.5, "a coin")), decimals),
    })
}

/// False alarms of the first detector on clean images, unchanged and corrupted.
fn false_alarms(ours: &DetectorRow) -> Chart {
    let mark = |share: Option<&f64>| {
        share.filter(|s| !s.is_nan()).map(|&value| Mark { value: 100.0 * value, interval: None })
    };
    let row = |(name, shares): &(String, Vec<f64>)| MarkRow {
        name: name.clone(),
        marks: vec![mark(shares.first()), mark(shares.get(1))],
    };
    let rows: Vec<MarkRow> = ours.false_alarms.iter().map(row).collect();
    let series = ["at the threshold for 1 %", "at the threshold for 5 %"];
    let title = "False alarms of the mask detector";
    Chart {
        title,
        note: "Share of clean test images that raise an alarm, as they are and after common corruptions."
            .to_string(),
        chart: Intervals::new(title, "percent of clean images", (&series, &rows), Some((5.0, "5 %")), |v| {
            format!("{v:.1} %")
        }),
    }
}
