//! Weakly supervised localisation (Choe et al. 2020): settings are chosen on the tuning split, frozen, and reported on the rest.

use super::Found;
use super::localize::{Localized, Smoothed};
use super::table::{Better, Cell, Column, Row, Table, rate};
use super::threshold::{Choice, Frozen, SIGMAS, Scale};
use crate::localization::boxes::{Rule, VALUES};
use crate::localization::pixels::Histogram;

/// Minimum IoU of a correct box.
pub const RIGHT: f32 = 0.5;
/// The values for MaxBoxAccV2.
const RIGHT_V2: [f32; 3] = [0.3, 0.5, 0.7];

/// The choice frozen on the tuning split for a method's boxes: the one with the most hits by [`Rule::Value`].
pub fn frozen(found: &Found<Localized>, method: &str, tuning: usize, scale: Scale) -> Frozen {
    let tune: Vec<_> = found.of(method).into_iter().filter(|(i, _)| *i < tuning).collect();
    Frozen { choice: best_choice(&tune, box_hit(Rule::Value), VALUES), scale }
}

/// The α and σ with the most hits.
pub fn best_choice(
    records: &[(usize, &Localized)],
    hit: impl Fn(&Smoothed, usize) -> bool,
    alphas: usize,
) -> Choice {
    let hits = |c: Choice| records.iter().filter(|(_, r)| hit(&r.smoothed[c.sigma], c.alpha)).count();
    choose(alphas, |c| hits(c) as f64)
}

/// The choice with the highest merit among `alphas` α and all σ; among equal ones the first: the least smoothing, the lowest threshold.
pub fn choose(alphas: usize, merit: impl Fn(Choice) -> f64) -> Choice {
    let all = (0..SIGMAS.len()).flat_map(|sigma| (0..alphas).map(move |alpha| Choice { sigma, alpha }));
    let first = (f64::NEG_INFINITY, Choice { sigma: 0, alpha: 0 });
    all.map(|c| (merit(c), c)).fold(first, |best, next| if next.0 > best.0 { next } else { best }).1
}

/// Whether a rule's box is correct.
pub fn box_hit(rule: Rule) -> impl Fn(&Smoothed, usize) -> bool {
    move |s, alpha| s.single[rule as usize][alpha] >= RIGHT
}

/// A subset of items: name, note, and whether an item belongs to it.
type Subset = (&'static str, &'static str, fn(&Localized) -> bool);

const SUBSETS: [Subset; 3] = [
    ("All photos", "Every photo of the reporting split.", |_| true),
    ("One object", "Photos with one box of the class, which covers 3 to 40 % of the input.", one_object),
    ("One object, answered right", "Those of them that the model answers right.", |r| {
        one_object(r) && r.top1 == r.class
    }),
];

fn one_object(r: &Localized) -> bool {
    r.boxes == 1 && (0.03..=0.4).contains(&r.area)
}

/// The tables. Items below `tuning` are used to choose settings; the others are reported.
pub fn tables(found: &Found<Localized>, tuning: usize, seed: u64) -> Vec<Table> {
    let first = found.methods.first().map_or("", |m| m.name.as_str());
    let masks = found.of(first).iter().any(|(_, r)| r.smoothed[0].pixels.is_some());
    SUBSETS
        .iter()
        .map(|(title, note, belongs)| {
            let rows = found.methods.iter().map(|m| {
                let all = found.of(&m.name);
                let (tune, report): (Vec<_>, Vec<_>) = all.into_iter().partition(|(i, _)| *i < tuning);
                let report = report.into_iter().filter(|(_, r)| belongs(r)).collect::<Vec<_>>();
                row(&m.name, &tune, &report, masks, seed)
            });
            Table::new(*title, *note, columns(masks), rows.collect(), seed)
        })
        .collect()
}

fn columns(masks: bool) -> Vec<Column> {
    let higher = |name: &str, help: &str| Column::new(name, Better::Higher, help);
    let mut columns = vec![
        higher("pointing", "the map's maximum lies in a box of the class"),
        higher("pointing-15", "… or within 15 pixels of one (of a 224×224 input)"),
        higher("inside", "share of the map's positive mass in the boxes, unsmoothed; an empty map counts 0"),
        higher("box-value", "MaxBoxAcc: the largest contour above α · maximum has an IoU of at least 0.5"),
        higher("box-mean", "the same with α · mean"),
        higher("box-energy", "the same with the brightest pixels that hold the share α of the mass"),
        higher("box-v2", "MaxBoxAccV2: any contour, mean over an IoU of 0.3, 0.5 and 0.7"),
    ];
    if masks {
        columns.push(higher("pxap", "average precision of pixels, all photos together"));
    }
    columns
}

type Records<'r> = [(usize, &'r Localized)];

fn row(method: &str, tune: &Records<'_>, report: &Records<'_>, masks: bool, seed: u64) -> Row {
    let figure = |of: &dyn Fn(&Localized) -> f64| Cell::of(report.iter().map(|(i, r)| (*i, of(r))), seed);
    let pointing = best_choice(tune, |s, _| s.hit, 1);
    let mut settings = vec![format!("pointing at σ {}", SIGMAS[pointing.sigma])];
    let mut cells = vec![
        figure(&|r| rate(r.smoothed[pointing.sigma].hit)),
        figure(&|r| rate(r.smoothed[pointing.sigma].near)),
        figure(&|r| r.inside.unwrap_or(0.0)),
    ];
    for rule in Rule::ALL {
        let choice = best_choice(tune, box_hit(rule), rule.alphas().len());
        settings.push(choice.words(rule));
        cells.push(figure(&|r| rate(box_hit(rule)(&r.smoothed[choice.sigma], choice.alpha))));
    }
    let v2 = RIGHT_V2.map(|right| {
        (right, best_choice(tune, |s, alpha| s.multi[alpha] >= right, Rule::Value.alphas().len()))
    });
    cells.push(figure(&|r| {
        let hit = |&(right, c): &(f32, Choice)| rate(r.smoothed[c.sigma].multi[c.alpha] >= right);
        v2.iter().map(hit).sum::<f64>() / v2.len() as f64
    }));
    if masks {
        let sigma = choose(1, |c| precision(tune, c.sigma).unwrap_or(0.0)).sigma;
        let precision = precision(report, sigma);
        settings.push(format!("pixels at σ {}", SIGMAS[sigma]));
        cells.push(precision.map(|p| Cell::overall(report.len(), p, None)));
    }
    Row { method: method.to_string(), setting: settings.join("; "), cells }
}

fn precision(records: &Records<'_>, sigma: usize) -> Option<f64> {
    let mut sum = Histogram::default();
    records.iter().filter_map(|(_, r)| r.smoothed[sigma].pixels.as_ref()).for_each(|h| sum.add(h));
    sum.average_precision()
}
