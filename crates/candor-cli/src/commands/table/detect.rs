//! Tables of a study of detectors (`candor detect eval`).

use candor_adversarial::study::tables::{few_note, is_few, short};
use candor_report::table::{Better, Cell, Column, Mark, Number, Table, Unit};
use serde::Deserialize;

use super::Sheet;
use crate::arguments::DetectorKind;

/// The fields of such a result that the tables need.
#[derive(Deserialize)]
pub struct Study {
    clean: [usize; 3],
    attacks: Vec<Attack>,
    detectors: Vec<Detector>,
    #[serde(default)]
    adaptive: Vec<Adaptive>,
}

#[derive(Deserialize)]
struct Attack {
    label: String,
    success: Option<f64>,
    test: usize,
    norms: Option<[f64; 2]>,
}

#[derive(Deserialize)]
struct Detector {
    name: String,
    kind: DetectorKind,
    seen: Vec<Option<Figure>>,
    unseen: Vec<Option<Figure>>,
    same: Vec<Option<Figure>>,
    weakest: Vec<(String, Option<Figure>)>,
    false_alarms: Vec<(String, Vec<Option<f64>>)>,
}

/// A detector's result for an attack.
#[derive(Deserialize)]
struct Figure {
    auroc: f64,
    interval: [f64; 2],
    /// Detection rates at the thresholds for false-alarm rates of 0.01 and 0.05.
    detected: [f64; 2],
}

/// The result of an adaptive (white-box) attacker. A fraction of zero images is `null`.
#[derive(Deserialize)]
struct Adaptive {
    eps: f64,
    steps: usize,
    images: usize,
    success: Option<f64>,
    detected: Vec<Option<f64>>,
    auroc: Option<f64>,
    evades: Option<f64>,
}

/// Tables for detectors of these kinds.
pub fn sheet(study: &Study, kinds: &[DetectorKind]) -> Sheet {
    let shown: Vec<&Detector> = study.detectors.iter().filter(|d| kinds.contains(&d.kind)).collect();
    let mut tables = vec![attacks(study)];
    tables.extend(FIGURES.iter().map(|f| f.table(study, &shown)));
    tables.extend(study.detectors.first().map(|ours| intervals(study, ours)));
    tables.extend([weakest(&shown), false_alarms(&shown)]);
    if !study.adaptive.is_empty() {
        tables.push(adaptive(study));
    }
    Sheet { tables, remark: None }
}

fn attacks(study: &Study) -> Table {
    let [train, calibration, test] = study.clean;
    let columns = vec![
        Column::text("attack", ""),
        Column::text("as asked for", ""),
        number("succeeds"),
        number("median L∞ (/255)"),
        number("median L2"),
        number("test images"),
    ];
    let note = format!("{train} clean images train, {calibration} calibrate, {test} test.");
    let mut table = Table::new("Attacks", note, columns);
    for a in &study.attacks {
        table.row(vec![
            Cell::text(short(&a.label)),
            Cell::Code(a.label.clone()),
            Cell::number(a.success, Unit::Percent(1)),
            Cell::number(a.norms.map(|n| 255.0 * n[0]), Unit::Decimals(1)),
            Cell::number(a.norms.map(|n| n[1]), Unit::Decimals(3)),
            count(a.test),
        ]);
    }
    table
}

impl Study {
    /// Whether the results for an attack are of too few images.
    fn is_few(&self, attack: usize) -> bool {
        self.attacks.get(attack).is_some_and(|a| is_few(a.test, self.clean[2]))
    }

    /// A value for an attack, marked if it is of too few images.
    fn figure(&self, attack: usize, value: Option<f64>) -> Cell {
        let mark = if self.is_few(attack) { Mark::Few } else { Mark::Plain };
        value.map(|value| Number { unit: Unit::Decimals(3), mark, ..Number::new(value) }).into()
    }
}

/// A table of detectors × attacks: the training attacks, and which value it shows.
struct Shown {
    title: &'static str,
    cells: fn(&Detector) -> &[Option<Figure>],
    value: fn(&Figure) -> f64,
    /// The same for the adaptive (white-box) attacks, which are made on the mask detector only.
    adaptive: Option<fn(&Adaptive) -> Option<f64>>,
}

const FIGURES: [Shown; 6] = [
    Shown {
        title: "AUROC, trained on all attacks",
        cells: |d| &d.seen,
        value: |f| f.auroc,
        adaptive: Some(|a| a.auroc),
    },
    Shown {
        title: "AUROC, trained on the attacks of other names",
        cells: |d| &d.unseen,
        value: |f| f.auroc,
        adaptive: None,
    },
    Shown {
        title: "AUROC, trained on this attack alone",
        cells: |d| &d.same,
        value: |f| f.auroc,
        adaptive: None,
    },
    Shown {
        title: "Detected at the threshold for 5 % false alarms, trained on all",
        cells: |d| &d.seen,
        value: |f| f.detected[1],
        adaptive: Some(|a| a.detected.get(1).copied().flatten()),
    },
    Shown {
        title: "Detected at the threshold for 1 % false alarms, trained on all",
        cells: |d| &d.seen,
        value: |f| f.detected[0],
        adaptive: Some(|a| a.detected.first().copied().flatten()),
    },
    Shown {
        title: "Detected at the threshold for 5 % false alarms, trained on the attacks of other names",
        cells: |d| &d.unseen,
        value: |f| f.detected[1],
        adaptive: None,
    },
];

impl Shown {
    fn table(&self, study: &Study, detectors: &[&Detector]) -> Table {
        let against = if self.adaptive.is_some() { &study.adaptive[..] } else { &[] };
        let mut columns = vec![Column::text("detector", "")];
        columns.extend(study.attacks.iter().map(|a| higher(short(&a.label))));
        columns.push(higher("mean"));
        columns.extend(against.iter().map(|a| higher(format!("adaptive attacker, {:.0}", 255.0 * a.eps))));
        let few = (0..study.attacks.len()).any(|i| study.is_few(i));
        let mut table = Table::new(self.title, few_note(few), columns);
        for d in detectors {
            let values: Vec<Option<f64>> =
                (self.cells)(d).iter().map(|f| f.as_ref().map(self.value)).collect();
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            if known.is_empty() {
                continue;
            }
            let mean = Number {
                unit: Unit::Decimals(3),
                mark: Mark::Summary,
                ..Number::new(known.iter().sum::<f64>() / known.len() as f64)
            };
            let knows = self.adaptive.filter(|_| d.kind == DetectorKind::Ours);
            let mut row = vec![Cell::text(&d.name)];
            row.extend(values.into_iter().enumerate().map(|(i, value)| study.figure(i, value)));
            row.push(mean.into());
            row.extend(against.iter().map(|a| decimals(knows.and_then(|value| value(a)))));
            table.row(row);
        }
        table
    }
}

/// AUROC of the first detector, which is the mask detector, with intervals.
fn intervals(study: &Study, ours: &Detector) -> Table {
    let columns = ["trained on all", "on other names", "on this alone"].map(higher);
    let columns = std::iter::once(Column::text("attack", "")).chain(columns).collect();
    let mut table = Table::new("Ours with 95 % intervals: AUROC", "", columns);
    for (i, a) in study.attacks.iter().enumerate() {
        let figures = [&ours.seen, &ours.unseen, &ours.same].map(|all| all.get(i).and_then(Option::as_ref));
        let cell = |f: Option<&Figure>| {
            f.map(|f| Number::new(f.auroc).unit(Unit::Decimals(3)).between(f.interval)).into()
        };
        table.row(std::iter::once(Cell::text(short(&a.label))).chain(figures.map(cell)).collect());
    }
    table
}

fn weakest(detectors: &[&Detector]) -> Table {
    let families = detectors.first().map_or(&[][..], |d| &d.weakest);
    let columns = families.iter().map(|(name, _)| Column::text(name, "AUROC (detected at 5 %)"));
    let columns = std::iter::once(Column::text("detector", "")).chain(columns).collect();
    let title = "The weakest budget that succeeds on an image, trained on all: AUROC (detected at 5 %)";
    let mut table = Table::new(title, "", columns);
    for d in detectors {
        let shown = |f: &Figure| Cell::text(format!("{:.3} ({:.0} %)", f.auroc, 100.0 * f.detected[1]));
        let cells = d.weakest.iter().map(|(_, f)| f.as_ref().map_or(Cell::Missing, shown));
        table.row(std::iter::once(Cell::text(&d.name)).chain(cells).collect());
    }
    table
}

fn false_alarms(detectors: &[&Detector]) -> Table {
    let changes = detectors.first().map_or(&[][..], |d| &d.false_alarms);
    let columns = changes.iter().map(|(name, _)| Column::text(name, "at 1 %, at 5 %"));
    let columns = std::iter::once(Column::text("detector", "")).chain(columns).collect();
    let title = "Alarms on clean test images, at the thresholds for 1 % and 5 %";
    let mut table = Table::new(title, "", columns);
    for d in detectors {
        let percent = |s: &Option<f64>| s.map_or("–".to_string(), |s| format!("{:.1} %", 100.0 * s));
        let shown =
            |shares: &[Option<f64>]| Cell::text(shares.iter().map(percent).collect::<Vec<_>>().join(", "));
        let cells = d.false_alarms.iter().map(|(_, shares)| shown(shares));
        table.row(std::iter::once(Cell::text(&d.name)).chain(cells).collect());
    }
    table
}

fn adaptive(study: &Study) -> Table {
    let columns = vec![
        Column::text("budget", ""),
        number("images"),
        number("succeeds"),
        number("alarm at 1 %"),
        number("alarm at 5 %"),
        number("AUROC"),
        number("misleads the model without an alarm"),
    ];
    let mut table = Table::new("By an adaptive (white-box) attacker", "", columns);
    for a in &study.adaptive {
        let percent = |share: Option<f64>| Cell::number(share, Unit::Percent(0));
        let alarm = |i: usize| percent(a.detected.get(i).copied().flatten());
        table.row(vec![
            Cell::text(format!("L∞ {:.0}/255, {} steps", 255.0 * a.eps, a.steps)),
            count(a.images),
            percent(a.success),
            alarm(0),
            alarm(1),
            decimals(a.auroc),
            percent(a.evades),
        ]);
    }
    table
}

fn number(name: &str) -> Column {
    Column::number(name, "", Better::Neither)
}

fn higher(name: impl Into<String>) -> Column {
    Column::number(name, "", Better::Higher)
}

fn decimals(value: Option<f64>) -> Cell {
    Cell::number(value, Unit::Decimals(3))
}

fn count(value: usize) -> Cell {
    Cell::number(Some(value as f64), Unit::Decimals(0))
}
