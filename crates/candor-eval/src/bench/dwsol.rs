//! Disturbed localisation, D-WSOL: a box for an absent class is an error.
//!
//! One threshold is chosen on the tuning split for the class that is present (MaxBoxAcc by value) and frozen. It is relative to the
//! maximum of the map of the model's answer. T is the fraction of photos whose class is found, F the fraction of photos in which an
//! absent class is "found" on an object. An empty map has no box.

use super::Found;
use super::localize::Localized;
use super::table::{Better, Cell, Column, Curve, Plot, Row, Table, rate};
use super::threshold::Choice;
use super::wsol::{RIGHT, best_choice, box_hit};
use crate::localization::boxes::{Rule, VALUES};
use candor::quantile::percentile;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Number of bootstrap resamples for the interval of the area.
const RESAMPLES: usize = 200;

/// What makes a class absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// A different class is asked for.
    Label,
    /// The photo was changed so that the model answers a different class.
    Adversarial,
}

impl Disturbance {
    fn title(self) -> &'static str {
        match self {
            Disturbance::Label => "Label-disturbed localisation",
            Disturbance::Adversarial => "Adversarially disturbed localisation",
        }
    }

    /// The last column, about the masses of the maps.
    fn column(self) -> Column {
        match self {
            Disturbance::Label => Column::new(
                "absent-mass",
                Better::Lower,
                "mass of the absent class's map ÷ that of the answer's, at most 1",
            ),
            Disturbance::Adversarial => Column::new(
                "own-mass",
                Better::Higher,
                "share of the class that is there in the mass of its map and of the target's",
            ),
        }
    }

    fn mass(self, r: &Localized) -> Option<f64> {
        let [there, answer, absent] = r.mass;
        match self {
            Disturbance::Label => (answer > 0.0).then(|| (absent / answer).min(1.0)),
            Disturbance::Adversarial => (there + absent > 0.0).then(|| there / (there + absent)),
        }
    }
}

/// Whether the class is found, and whether the absent class is, at an α.
fn found_at(r: &Localized, c: Choice) -> [bool; 2] {
    let s = &r.smoothed[c.sigma];
    [s.there[c.alpha] >= RIGHT, s.absent[c.alpha] >= RIGHT]
}

/// The table and the curves of T against F. Items below `tuning` choose; the others are reported.
pub fn tables(found: &Found<Localized>, disturbance: Disturbance, tuning: usize, seed: u64) -> (Table, Plot) {
    let (mut rows, mut curves) = (vec![], vec![]);
    for m in &found.methods {
        let all = found.of(&m.name);
        let (tune, report): (Vec<_>, Vec<_>) = all.into_iter().partition(|(i, _)| *i < tuning);
        let choice = best_choice(&tune, box_hit(Rule::Value), VALUES);
        let figure = |of: &dyn Fn([bool; 2]) -> f64| {
            Cell::of(report.iter().map(|(i, r)| (*i, of(found_at(r, choice)))), seed)
        };
        let points = curve(&report, choice);
        rows.push(Row {
            method: m.name.clone(),
            setting: choice.words(Rule::Value),
            cells: vec![
                figure(&|[t, f]| rate(t) - rate(f)),
                figure(&|[t, _]| rate(t)),
                figure(&|[_, f]| rate(f)),
                Some(Cell::overall(report.len(), area(&points), area_interval(&report, choice, seed))),
                Cell::of(report.iter().filter_map(|(i, r)| Some((*i, disturbance.mass(r)?))), seed),
            ],
        });
        curves.push(Curve { method: m.name.clone(), points });
    }
    let columns = vec![
        Column::new("t-f", Better::Higher, "T − F, the headline"),
        Column::new(
            "t",
            Better::Higher,
            "the class that is there is found: IoU of at least 0.5 with a box of it",
        ),
        Column::new("f", Better::Lower, "a class that is not there is found on an object"),
        Column::new(
            "area",
            Better::Higher,
            "area under the best T at a false rate of at most F, over thresholds",
        ),
        disturbance.column(),
    ];
    let note = "One threshold for both questions, on the scale of the image. An empty map has no box.";
    let plot = Plot {
        title: "True against false localisation".into(),
        x: "F, share of photos in which an absent class is found".into(),
        y: "T, share of photos whose class is found".into(),
        curves,
    };
    (Table::new(disturbance.title(), note, columns, rows, seed), plot)
}

/// [F, T] at each α for the chosen σ.
fn curve(report: &[(usize, &Localized)], choice: Choice) -> Vec<[f64; 2]> {
    let count = report.len().max(1) as f64;
    (0..VALUES)
        .map(|alpha| {
            let hits = report.iter().map(|(_, r)| found_at(r, Choice { alpha, ..choice }));
            let [t, f] = hits.fold([0, 0], |[t, f], hit| [t + usize::from(hit[0]), f + usize::from(hit[1])]);
            [f as f64 / count, t as f64 / count]
        })
        .collect()
}

/// ∫₀¹ (best T among thresholds with a false rate of at most F) dF, 0..=1.
pub fn area(points: &[[f64; 2]]) -> f64 {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (mut area, mut best) = (0.0, 0.0_f64);
    for (i, [f, t]) in sorted.iter().enumerate() {
        best = best.max(*t);
        let next = sorted.get(i + 1).map_or(1.0, |p| p[0]);
        area += best * (next - f);
    }
    area
}

fn area_interval(report: &[(usize, &Localized)], choice: Choice, seed: u64) -> Option<[f64; 2]> {
    if report.is_empty() {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut areas: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let draw = |_| report[candor::noise::below(&mut random, report.len())];
            area(&curve(&(0..report.len()).map(draw).collect::<Vec<_>>(), choice))
        })
        .collect();
    areas.sort_by(f64::total_cmp);
    Some([percentile(&areas, 2.5), percentile(&areas, 97.5)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_that_under_the_best_rate() {
        assert_eq!(area(&[[0.0, 0.7], [0.0, 0.5]]), 0.7);
        assert!((area(&[[0.5, 0.8], [0.0, 0.4]]) - 0.6).abs() < 1e-12);
        assert_eq!(area(&[[1.0, 1.0]]), 0.0);
    }
}
