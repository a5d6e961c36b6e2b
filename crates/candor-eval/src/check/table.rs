//! The table of a sanity check: one row per method, from a result in memory or from `check.json`.

use std::collections::BTreeMap;

use candor_report::table::{Better, Cell, Column, Number, Table, Unit};
use serde::Deserialize;

use super::{Kind, MethodCheck};
use crate::statistics::Summary;

/// Column that is shown in a terminal and left out of published tables.
pub const SPEARMAN: &str = "Spearman";

/// The data of a row.
#[derive(Clone, Debug, Deserialize)]
pub struct Checked {
    /// The method.
    pub method: Named,
    /// Whether it passed.
    pub passed: bool,
    /// Why the verdict is uncertain.
    #[serde(default)]
    pub caution: Option<String>,
    /// Figures by kind of class.
    pub queries: BTreeMap<Kind, Compared>,
    /// AUROC of separating top-1 classes from absent ones by mass.
    pub existence_auroc_mass: Option<f64>,
}

/// A method by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// Maps of a kind of class, compared with those of top-1.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Compared {
    /// Mass ÷ top-1's mass.
    pub ratio: Option<Summary>,
    /// Rank correlation.
    pub spearman: Option<Summary>,
    /// Structural similarity.
    pub ssim: Option<Summary>,
}

impl From<&MethodCheck> for Checked {
    fn from(m: &MethodCheck) -> Self {
        let compared = |(kind, f): (&Kind, &super::Figures)| {
            (*kind, Compared { ratio: f.ratio, spearman: f.spearman, ssim: f.ssim })
        };
        Checked {
            method: Named { name: m.method.name.clone() },
            passed: m.passed,
            caution: m.caution.clone(),
            queries: m.queries.iter().map(compared).collect(),
            existence_auroc_mass: m.existence_auroc_mass,
        }
    }
}

impl Checked {
    fn of(&self, kind: Kind, figure: fn(&Compared) -> Option<Summary>) -> Option<Summary> {
        self.queries.get(&kind).and_then(figure)
    }

    /// The median ratio of the random class, by which the published tables are sorted; methods without one come last.
    pub fn random(&self) -> f64 {
        self.of(Kind::Random, |f| f.ratio).map_or(f64::INFINITY, |s| s.median)
    }
}

/// A column, and how its cell is computed for a method.
type Figure = (Column, fn(&Checked) -> Cell);

/// The columns. Ratios: median (95 % interval) and 95th percentile; for top-2, which may well be present, without interval.
fn figures() -> [Figure; 9] {
    let lower = |name: &str, help: &str| Column::number(name, help, Better::Lower);
    let neither = |name: &str, help: &str| Column::number(name, help, Better::Neither);
    [
        (Column::text("method", ""), |m| Cell::text(&m.method.name)),
        (Column::text("verdict", "with a question mark where the images are too few for one"), |m| {
            let verdict = if m.passed { "passes" } else { "fails" };
            Cell::text(format!("{verdict}{}", if m.caution.is_some() { "?" } else { "" }))
        }),
        (neither("top-2", "mass of the second class's map ÷ mass of the answer's"), |m| {
            let shown = |s: Summary| Number { p95: Some(s.p95), ..Number::new(s.median) };
            m.of(Kind::Top2, |f| f.ratio).map(shown).into()
        }),
        (lower("median rank", "the same of the class of median rank"), |m| {
            spread(m.of(Kind::Median, |f| f.ratio))
        }),
        (lower("random", "the same of a class drawn at random"), |m| spread(m.of(Kind::Random, |f| f.ratio))),
        (lower("lowest", "the same of the class with the lowest score"), |m| {
            spread(m.of(Kind::Lowest, |f| f.ratio))
        }),
        (neither(SPEARMAN, "rank correlation of the random class's map with top-1's"), |m| {
            middle(m.of(Kind::Random, |f| f.spearman))
        }),
        (neither("SSIM, random", "structural similarity of the random class's map to top-1's"), |m| {
            middle(m.of(Kind::Random, |f| f.ssim))
        }),
        (Column::number("AUROC", "of telling top-1 classes from absent ones by mass", Better::Higher), |m| {
            Cell::number(m.existence_auroc_mass, Unit::Plain)
        }),
    ]
}

fn spread(s: Option<Summary>) -> Cell {
    s.map(|s| Number { p95: Some(s.p95), ..Number::new(s.median).between(s.interval) }).into()
}

fn middle(s: Option<Summary>) -> Cell {
    Cell::number(s.map(|s| s.median), Unit::Plain)
}

/// The table of methods, in order.
pub fn table<'m>(methods: impl IntoIterator<Item = &'m Checked>) -> Table {
    let (columns, read): (Vec<Column>, Vec<_>) = figures().into_iter().unzip();
    let mut table = Table::new("", "", columns);
    for m in methods {
        table.row(read.iter().map(|cell| cell(m)).collect());
    }
    table
}

/// The table for publication: sorted by the random class, for top-2 only the median, without [`SPEARMAN`].
pub fn published(title: String, note: String, methods: &[Checked]) -> Table {
    let mut sorted: Vec<&Checked> = methods.iter().collect();
    sorted.sort_by(|a, b| a.random().total_cmp(&b.random()));
    let mut table = Table { title, note, ..table(sorted).without(SPEARMAN) };
    let top2 = table.columns.iter().position(|c| c.name == "top-2");
    for row in &mut table.rows {
        if let Some(Cell::Number(n)) = top2.and_then(|c| row.get_mut(c)) {
            n.p95 = None;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, random: Option<f64>) -> Checked {
        let summary = |median| Summary { count: 3, median, interval: [0.0, median], p95: 2.0 * median };
        let of = |ratio: Option<f64>| Compared {
            ratio: ratio.map(summary),
            spearman: None,
            ssim: ratio.map(summary),
        };
        Checked {
            method: Named { name: name.into() },
            passed: false,
            caution: None,
            queries: [(Kind::Top2, of(Some(0.75))), (Kind::Random, of(random))].into(),
            existence_auroc_mass: Some(0.5),
        }
    }

    #[test]
    fn the_published_table_is_sorted_by_the_random_class() {
        let methods = [checked("a", None), checked("b", Some(0.5)), checked("c", Some(0.25))];
        let text = published("t".into(), String::new(), &methods).markdown();
        let rows: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            rows,
            [
                "| c | fails | 0.750 | – | 0.250 (0.000 to 0.250), 0.500 | – | 0.250 | 0.500 |",
                "| b | fails | 0.750 | – | 0.500 (0.000 to 0.500), 1.000 | – | 0.500 | 0.500 |",
                "| a | fails | 0.750 | – | – | – | – | 0.500 |",
            ]
        );
        let few = Checked { caution: super::super::caution(19), ..checked("d", Some(0.5)) };
        assert!(table([&few]).markdown().contains("| d | fails? |"));
        let all = table(&methods).terminal();
        assert!(all.contains("Spearman") && all.contains("0.750 (1.500)"), "{all}");
    }
}
