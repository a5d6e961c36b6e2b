//! The tables of a study as data: the page and the terminal render the same rows.

use serde::Serialize;

use super::{AdaptiveRow, AttackRow, DetectorRow, Figure, Report};
use crate::detector::Threshold;
use candor::parameters::name_and_settings;
use candor_report::figures::{figure, percent};

/// A table of texts. The first column names the rows; the others are figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// Headings of the columns.
    pub head: Vec<String>,
    /// Cells, as many a row as there are headings.
    pub rows: Vec<Vec<String>>,
}

/// Stands for a figure that there is not.
const NONE: &str = "–";

impl Table {
    /// A table of rows.
    pub fn new(title: impl Into<String>, head: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        Table { title: title.into(), head, rows }
    }

    /// The table for a terminal: the title, then aligned columns, the first to the left, the others to the right.
    pub fn text(&self) -> String {
        let width = |c: usize| {
            let cells = self.rows.iter().chain([&self.head]).filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cell = |(c, (text, width)): (usize, (&String, &usize))| match c {
                0 => format!("{text:<width$}"),
                _ => format!("  {text:>width$}"),
            };
            row.iter().zip(&widths).enumerate().map(cell).collect::<String>().trim_end().to_string() + "\n"
        };
        format!("{}\n{}{}", self.title, line(&self.head), self.rows.iter().map(line).collect::<String>())
    }
}

/// All tables of a study, in the order in which they are shown.
pub fn tables(report: &Report) -> Vec<Table> {
    let by_attack = |title, figures, value, shown| by_attack(report, title, figures, value, shown);
    let area = |v: f64| format!("{v:.3}");
    let mut tables = vec![
        attacks(&report.attacks),
        by_attack("AUROC, trained on all attacks", |d| &d.seen, |f| f.auroc, area),
        by_attack("AUROC, trained on attacks of other names", |d| &d.unseen, |f| f.auroc, area),
        by_attack("AUROC, trained on this attack alone", |d| &d.same, |f| f.auroc, area),
        by_attack(
            &format!("Detected at 5 % false alarms, trained on all attacks{}", caveat(report)),
            |d| &d.seen,
            |f| f.detected[1],
            percent,
        ),
    ];
    if !report.adaptive.is_empty() {
        tables.push(adaptive(&report.adaptive));
    }
    tables.push(false_alarms(report));
    tables
}

fn texts<const N: usize>(all: [&str; N]) -> Vec<String> {
    all.map(String::from).to_vec()
}

fn attacks(attacks: &[AttackRow]) -> Table {
    let row = |(i, a): (usize, &AttackRow)| {
        let [linf, l2] = a.norms.map_or([NONE.into(), NONE.into()], |n| n.map(figure));
        vec![format!("{} {}", i + 1, a.label), percent(a.success), linf, l2, a.test.to_string()]
    };
    let head = texts(["Attack", "succeeds on", "median L∞", "median L2", "test images"]);
    Table::new("Attacks", head, attacks.iter().enumerate().map(row).collect())
}

type Figures = fn(&DetectorRow) -> &[Option<Figure>];

/// A row a detector: the mean of a figure over the attacks, and the figure of each attack.
fn by_attack(
    report: &Report,
    title: &str,
    figures: Figures,
    value: fn(&Figure) -> f64,
    shown: fn(f64) -> String,
) -> Table {
    // A label is long: columns have the attack's number and name.
    let numbered = |(i, a): (usize, &AttackRow)| {
        let name = name_and_settings(&a.label).map_or(a.label.as_str(), |(name, _)| name);
        format!("{} {name}", i + 1)
    };
    let head = texts(["Detector", "mean"]).into_iter();
    let head = head.chain(report.attacks.iter().enumerate().map(numbered)).collect();
    let row = |d: &DetectorRow| {
        let values = figures(d).iter().map(|f| f.as_ref().map(value));
        let cells = std::iter::once(Figure::mean(figures(d), value)).chain(values);
        let cells = cells.map(|v| v.map_or(NONE.into(), shown));
        std::iter::once(d.name.clone()).chain(cells).collect()
    };
    Table::new(title, head, report.detectors.iter().map(row).collect())
}

fn adaptive(rows: &[AdaptiveRow]) -> Table {
    let found = |share: f64| if share.is_nan() { NONE.to_string() } else { percent(share) };
    let row = |row: &AdaptiveRow| {
        vec![
            format!("{:.0}/255, {} steps", 255.0 * row.eps, row.steps),
            row.images.to_string(),
            percent(row.success),
            found(row.detected[0]),
            found(row.detected[1]),
            row.auroc.map_or(NONE.into(), |v| format!("{v:.3}")),
            percent(row.evades),
        ]
    };
    let head = texts([
        "L∞ budget",
        "images",
        "succeeds on",
        "of those detected at 1 %",
        "at 5 %",
        "AUROC",
        "undetected of all",
    ]);
    Table::new("Adaptive (white-box) attack on the mask detector", head, rows.iter().map(row).collect())
}

/// For which shares of false alarms the clean images that set the thresholds are too few, in brackets; empty for none.
fn caveat(report: &Report) -> String {
    Threshold::caveat(report.clean[1]).map_or_else(String::new, |c| format!(" ({c})"))
}

fn false_alarms(report: &Report) -> Table {
    let corruptions = report.detectors.first().map_or(&[][..], |d| &d.false_alarms);
    let head = std::iter::once("Detector".into()).chain(corruptions.iter().map(|(name, _)| name.clone()));
    let cell =
        |(_, shares): &(String, Vec<f64>)| shares.iter().map(|s| percent(*s)).collect::<Vec<_>>().join(", ");
    let row =
        |d: &DetectorRow| std::iter::once(d.name.clone()).chain(d.false_alarms.iter().map(cell)).collect();
    let (count, caveat) = (report.clean[2], caveat(report));
    let title = format!("Alarms on {count} clean test images, at the thresholds for 1 % and 5 %{caveat}");
    Table::new(title, head.collect(), report.detectors.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure_of(auroc: f64) -> Option<Figure> {
        Some(Figure { auroc, interval: [0.0, 1.0], detected: vec![0.25, 0.5], count: 4 })
    }

    fn report() -> Report {
        let attack = |label: &str| AttackRow { label: label.into(), success: 0.5, test: 4, norms: None };
        let detector = DetectorRow {
            name: "masks".into(),
            kind: "ours",
            seen: vec![figure_of(0.9), figure_of(0.7)],
            unseen: vec![figure_of(0.6), None],
            same: vec![None, None],
            weakest: vec![],
            false_alarms: vec![("unchanged".into(), vec![0.0, 0.05])],
        };
        Report {
            attacks: vec![attack("fgsm+eps=4/255"), attack("pgd")],
            clean: [50, 100, 30],
            detectors: vec![detector],
            adaptive: vec![],
        }
    }

    #[test]
    fn means_are_over_the_attacks_with_figures_and_every_row_fits_its_head() {
        let tables = tables(&report());
        assert_eq!(tables.len(), 6);
        assert!(tables.iter().all(|t| t.rows.iter().all(|r| r.len() == t.head.len())));
        assert_eq!(tables[1].head, ["Detector", "mean", "1 fgsm", "2 pgd"]);
        assert_eq!(tables[1].rows, [["masks", "0.800", "0.900", "0.700"]]);
        assert_eq!(tables[2].rows, [["masks", "0.600", "0.600", "–"]]);
        assert_eq!(tables[3].rows, [["masks", "–", "–", "–"]]);
    }

    #[test]
    fn a_terminal_gets_aligned_columns() {
        let text = tables(&report())[1].text();
        assert_eq!(
            text,
            "AUROC, trained on all attacks\n\
             Detector   mean  1 fgsm  2 pgd\n\
             masks     0.800   0.900  0.700\n"
        );
    }
}
