//! The tables of a study: the page and the terminal render the same rows.

use candor::parameters::name_and_settings;
use candor_eval::statistics::FEWEST_FOR_P95;
use candor_report::table::{Better, Cell, Column, Mark, Number, Table, Unit};

use super::{AdaptiveRow, AttackRow, DetectorRow, Figure, Report};

/// All tables of a study, in the order in which they are shown.
pub fn tables(report: &Report) -> Vec<Table> {
    let area = |f: &Figure| Number::new(f.auroc).unit(Unit::Decimals(3)).between(f.interval);
    let share = |i: usize| move |f: &Figure| Number::new(f.detected[i]).unit(Unit::Percent(1));
    let detected = |at: usize| format!("Detected at {at} % false alarms, trained on all attacks");
    let mut tables = vec![
        attacks(report),
        by_attack(report, "AUROC, trained on all attacks", |d| &d.seen, &area),
        by_attack(report, "AUROC, trained on attacks of other names", |d| &d.unseen, &area),
        by_attack(report, "AUROC, trained on this attack alone", |d| &d.same, &area),
        by_attack(report, &detected(5), |d| &d.seen, &share(1)),
        by_attack(report, &detected(1), |d| &d.seen, &share(0)),
    ];
    tables.extend(weakest(&report.detectors));
    if !report.adaptive.is_empty() {
        tables.push(adaptive(&report.adaptive));
    }
    tables.push(false_alarms(report));
    tables.retain(|t| !t.rows.is_empty());
    tables
}

/// Short name of an attack: `pgd+eps=2/255+early-stop=false` → `pgd 2`; for Carlini and Wagner's with its margin κ.
pub fn short(label: &str) -> String {
    let Ok((name, settings)) = name_and_settings(label) else { return label.to_string() };
    let of = |key: &str| settings.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let eps = of("eps").or(of("method.eps")).unwrap_or("").trim_end_matches("/255");
    let margin = of("confidence").map_or(String::new(), |c| format!(" κ={c}"));
    format!("{name} {eps}").trim_end().to_string() + &margin
}

fn attacks(report: &Report) -> Table {
    let columns = vec![
        Column::text("attack", ""),
        Column::text("as asked for", ""),
        number(
            "succeeds on",
            "share of the attacked images that the model misclassifies then, quantised to 8 bits",
        ),
        number("median L∞ (/255)", "largest change of a value, of those that succeed, in levels of 255"),
        number("median L2", "Euclidean length of the change, values in 0..1"),
        number("test images", "successful ones of the test split, of which the figures are"),
    ];
    let mut table = Table::new("Attacks", "", columns);
    for a in &report.attacks {
        table.row(vec![
            Cell::text(short(&a.label)),
            Cell::Code(a.label.clone()),
            Cell::number(Some(a.success), Unit::Percent(1)),
            Cell::number(a.norms.map(|n| 255.0 * n[0]), Unit::Decimals(1)),
            Cell::number(a.norms.map(|n| n[1]), Unit::Decimals(3)),
            count(a.test),
        ]);
    }
    table
}

fn number(name: &str, help: &str) -> Column {
    Column::number(name, help, Better::Neither)
}

fn count(value: usize) -> Cell {
    Cell::number(Some(value as f64), Unit::Decimals(0))
}

type Figures = fn(&DetectorRow) -> &[Option<Figure>];

/// One row per detector that has results: the mean over the attacks, and the result for each attack.
fn by_attack(report: &Report, title: &str, figures: Figures, shown: &dyn Fn(&Figure) -> Number) -> Table {
    let of_attack = |a: &AttackRow| Column::number(short(&a.label), a.label.clone(), Better::Higher);
    let mut columns = vec![
        Column::text("detector", ""),
        Column::number("mean", "over the attacks that have a figure", Better::Higher),
    ];
    columns.extend(report.attacks.iter().map(of_attack));
    let few = |a: &AttackRow| is_few(a.test, report.clean[2]);
    let mut table = Table::new(title, few_note(report.attacks.iter().any(few)), columns);
    for d in &report.detectors {
        let number = |(i, f): (usize, &Option<Figure>)| {
            let (figure, attack) = (shown(f.as_ref()?), report.attacks.get(i)?);
            Some(if few(attack) { Number { mark: Mark::Few, ..figure } } else { figure })
        };
        let values: Vec<Option<Number>> = figures(d).iter().enumerate().map(number).collect();
        let known: Vec<&Number> = values.iter().flatten().collect();
        let Some(first) = known.first() else { continue };
        let mean = known.iter().map(|n| n.value).sum::<f64>() / known.len() as f64;
        let mean = Number { mark: Mark::Summary, ..Number::new(mean).unit(first.unit) };
        let cells = [Cell::text(&d.name), mean.into()].into_iter();
        table.row(cells.chain(values.into_iter().map(Cell::from)).collect());
    }
    table
}

/// Whether results are of fewer adversarial or clean test images than a rate of 0.05 needs.
pub fn is_few(changed: usize, clean: usize) -> bool {
    changed.min(clean) < FEWEST_FOR_P95
}

/// The note on results that are marked as of few images; empty if there are none.
pub fn few_note(any: bool) -> String {
    let note = format!("? of fewer than {FEWEST_FOR_P95} images on one side: too few to carry the figure.");
    if any { note } else { String::new() }
}

/// Results for the weakest successful budget, for attacks with several budgets; `None` if there is none.
fn weakest(detectors: &[DetectorRow]) -> Option<Table> {
    let names = &detectors.first()?.weakest;
    let mut columns = vec![Column::text("detector", "")];
    for (name, _) in names {
        columns.push(Column::number(format!("{name}: AUROC"), "", Better::Higher));
        columns.push(Column::number(
            format!("{name}: at 5 %"),
            "detected at 5 % false alarms",
            Better::Higher,
        ));
    }
    let note = "Of the budgets of an attack the weakest that succeeds on an image: the hardest to detect.";
    let mut table = Table::new("The weakest budget that succeeds, trained on all attacks", note, columns);
    for d in detectors {
        let figures = d.weakest.iter().flat_map(|(_, f)| {
            let area = |f: &Figure| Number::new(f.auroc).unit(Unit::Decimals(3)).between(f.interval);
            let share = |f: &Figure| Number::new(f.detected[1]).unit(Unit::Percent(1));
            [f.as_ref().map(area), f.as_ref().map(share)].map(Cell::from)
        });
        table.row(std::iter::once(Cell::text(&d.name)).chain(figures).collect());
    }
    (!names.is_empty()).then_some(table)
}

fn adaptive(rows: &[AdaptiveRow]) -> Table {
    let columns = vec![
        Column::text("L∞ budget", ""),
        number("images", ""),
        number("succeeds on", "share that the model misclassifies then"),
        Column::number("detected at 1 %", "of the successful ones, at 1 % false alarms", Better::Higher),
        Column::number("detected at 5 %", "the same at 5 %", Better::Higher),
        Column::number("AUROC", "of the successful ones against clean test images", Better::Higher),
        Column::number(
            "undetected of all",
            "misclassified without an alarm at 5 %, of all attacked",
            Better::Lower,
        ),
    ];
    let mut table = Table::new("Adaptive (white-box) attack on the mask detector", "", columns);
    // A fraction of zero images is NaN.
    let percent = |share: f64| Cell::number(Some(share).filter(|s| !s.is_nan()), Unit::Percent(1));
    for a in rows {
        table.row(vec![
            Cell::text(format!("{:.0}/255, {} steps", 255.0 * a.eps, a.steps)),
            count(a.images),
            percent(a.success),
            percent(a.detected[0]),
            percent(a.detected[1]),
            Cell::number(a.auroc, Unit::Decimals(3)),
            percent(a.evades),
        ]);
    }
    table
}

fn false_alarms(report: &Report) -> Table {
    let corruptions = report.detectors.first().map_or(&[][..], |d| &d.false_alarms);
    let mut columns = vec![Column::text("detector", "")];
    for (name, _) in corruptions {
        let of = |at: &str| Column::number(format!("{name}, {at}"), "", Better::Lower);
        columns.extend([of("at 1 %"), of("at 5 %")]);
    }
    let title = format!("Alarms on {} clean test images, at the thresholds for 1 % and 5 %", report.clean[2]);
    let mut table = Table::new(title, "", columns);
    for d in &report.detectors {
        let shares = d.false_alarms.iter().flat_map(|(_, shares)| shares);
        let cells = shares.map(|&s| Cell::number(Some(s).filter(|s| !s.is_nan()), Unit::Percent(1)));
        table.row(std::iter::once(Cell::text(&d.name)).chain(cells).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure_of(auroc: f64) -> Option<Figure> {
        Some(Figure { auroc, interval: [0.0, 1.0], detected: vec![0.25, 0.5], count: 40 })
    }

    fn report() -> Report {
        let attack = |label: &str| AttackRow { label: label.into(), success: 0.5, test: 40, norms: None };
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
    fn means_are_over_the_attacks_with_figures_and_figures_have_their_intervals() {
        let tables = tables(&report());
        let titles: Vec<&str> = tables.iter().map(|t| t.title.as_str()).collect();
        assert_eq!(tables.len(), 6, "no table without a row: {titles:?}");
        let markdown = tables[1].markdown();
        assert!(markdown.contains("| detector | mean | fgsm 4 | pgd |"), "{markdown}");
        let row = "| masks | *0.800* | 0.900 (0.000 to 1.000) | 0.700 (0.000 to 1.000) |";
        assert!(
            markdown.contains("0.900 (0.000 to 1.000) | 0.700 (0.000 to 1.000) |"),
            "{row} is not in {markdown}"
        );
        assert!(tables[2].markdown().contains("0.600 (0.000 to 1.000) | – |"), "{}", tables[2].markdown());
        assert!(!markdown.contains('?'), "{markdown}");
    }

    #[test]
    fn figures_of_few_images_are_marked() {
        let mut few = report();
        few.attacks[1].test = 19;
        let markdown = tables(&few)[1].markdown();
        assert!(markdown.contains("0.900 (0.000 to 1.000) | 0.700 (0.000 to 1.000) ? |"), "{markdown}");
        assert!(markdown.contains("? of fewer than 20 images"), "{markdown}");
        few.clean[2] = 6;
        assert!(tables(&few)[1].markdown().contains("0.900 (0.000 to 1.000) ? |"));
    }

    #[test]
    fn shares_of_no_images_are_missing() {
        let mut report = report();
        report.detectors[0].false_alarms[0].1 = vec![f64::NAN, 0.05];
        let text = tables(&report).last().unwrap().terminal();
        assert!(text.contains("–") && text.contains("5.0 %") && !text.contains("NaN"), "{text}");
    }

    #[test]
    fn a_label_is_its_name_and_what_tells_it_from_others() {
        for (label, name) in [
            ("pgd+eps=2/255+early-stop=false", "pgd 2"),
            ("pgd-l2+eps=0.5", "pgd-l2 0.5"),
            ("deepfool", "deepfool"),
            ("cw+steps=50+confidence=5", "cw κ=5"),
            ("transfer+attack=pgd+method.eps=8/255", "transfer 8"),
        ] {
            assert_eq!(short(label), name);
        }
    }
}
