//! The sentences of a report: which scale was used, what a picture shows.

use super::figures::{figure, percent};
use super::paint::{Scale, ScaleSource};
use super::result::QueryResult;
use candor::explanation::{Judged, Verdict};
use candor::false_alarms::WEAK;
use candor::map::Map;

/// Says which scale the maps of `queries`, all of one image and one method, are painted on, and why.
pub(crate) fn scale(queries: &[&QueryResult], scale: &Scale) -> String {
    let max = figure(f64::from(scale.max));
    let from = if scale.signed { format!("−{max}") } else { "0".to_owned() };
    let why = match scale.source {
        ScaleSource::TopClass => {
            let top = queries.iter().find(|query| query.rank == 1).map_or("", |query| &query.class_name);
            format!("the maximum for “{}”, the model’s answer", short(top))
        }
        ScaleSource::MaskRange => {
            "a mask’s full range, as the model’s answer was not asked for or has no evidence".to_owned()
        }
        ScaleSource::AllQueries => {
            "the maximum of these maps, as the model’s answer was not asked for or is empty".to_owned()
        }
    };
    let method = queries.first().and_then(|query| query.method.as_deref());
    let whose = method.map_or_else(String::new, |name| format!(" by {name}"));
    let mut text =
        format!("All maps of this image{whose} share one scale: {from} to {max} in raw units, {why}.");
    let most = queries.iter().map(|query| query.map.max.max(-query.map.min)).fold(0.0, f64::max);
    if most > f64::from(scale.max) * 1.0005 {
        text += &format!(" Values beyond it (up to {}) have the last colour.", figure(most));
    }
    text
}

/// Why these queries are not judged, one sentence per reason.
pub(crate) fn why_not_judged<'q>(queries: impl Iterator<Item = &'q QueryResult>) -> Vec<&'static str> {
    let (lost, without): (Vec<_>, Vec<_>) = queries.partition(|query| query.null_log_odds.is_some());
    let mut reasons = vec![];
    if !without.is_empty() {
        reasons.push(
            "The method has no null: what its map would be of a class that is not there is not known, so neither colour nor its \
             absence is evidence. The method evidence-scaled puts it on the mask’s null (--set method=NAME), and candor check measures \
             how silent the method is.",
        );
    }
    if !lost.is_empty() {
        reasons.push(
            "The mask lost the class: the masked network keeps none of the evidence that is in the photo, so the map does not \
             show where it is. The warning says what to try.",
        );
    }
    reasons
}

/// Says what shows a class, and what fraction of absent classes shows as much.
pub(crate) fn ground(judged: &Judged, verdict: Verdict) -> String {
    let source =
        if judged.calibrated { "on the calibration photos" } else { "by the built-in, cautious rule" };
    // The built-in rule states no rate above that.
    let known = judged.calibrated || judged.p_value <= WEAK;
    let share = if known { rate(judged.p_value) } else { "more than 5 %".to_owned() };
    let many = format!("{share} of absent classes show as much {source}");
    match verdict {
        Verdict::NoEvidence => many,
        _ => format!("shown by {}; {many}", judged.ground.words()),
    }
}

/// A rate as a percentage, rounded to its precision.
pub(crate) fn rate(p: f64) -> String {
    match 100.0 * p {
        p if p >= 50.0 => "more than 50 %".to_owned(),
        p if p >= 10.0 => format!("{p:.0} %"),
        p if p >= 1.0 => format!("{p:.1} %"),
        p if p >= 0.1 => format!("{p:.2} %"),
        _ => "less than 0.1 %".to_owned(),
    }
}

/// Alternative text of a query's overlay.
pub(crate) fn overlay(query: &QueryResult, map: &Map, scale: &Scale) -> String {
    let class = short(&query.class_name);
    let painted = map.data.iter().filter(|&&v| scale.index(v) != scale.index(0.0)).count();
    if painted == 0 && query.verdict == Verdict::Weak {
        return format!(
            "The photo in grey without any colour: the evidence for {class} is weak, and its map is not painted."
        );
    }
    if painted == 0 {
        return format!("The photo in grey without any colour: the map for {class} is empty.");
    }
    let strong = map.data.iter().filter(|&&v| scale.position(v).abs() >= 0.5).count();
    let (row, column) = map.argmax();
    let third = |at: usize, of: usize, names: [&'static str; 3]| names[(3 * at / of.max(1)).min(2)];
    let place = match (
        third(row, map.height, ["top", "middle", "bottom"]),
        third(column, map.width, ["left", "centre", "right"]),
    ) {
        ("middle", "centre") => "centre".to_owned(),
        ("middle", side) => side.to_owned(),
        (edge, "centre") => edge.to_owned(),
        (edge, side) => format!("{edge} {side}"),
    };
    let share = percent(strong as f64 / map.data.len() as f64);
    let verdict = query.verdict.words();
    format!(
        "Map for {class} over the grey photo, {verdict}: strongest at the {place}; {share} of it above half scale."
    )
}

/// A class's further synonyms: `Tinca tinca` of `tench, Tinca tinca`; empty if there are none.
pub(crate) fn synonyms(class: &str) -> &str {
    if short(class) == class { "" } else { class.split_once(',').map_or("", |(_, rest)| rest.trim()) }
}

/// The first of a class's synonyms: `tench` of `tench, Tinca tinca`.
pub(crate) fn short(class: &str) -> &str {
    let first = class.split(',').next().unwrap_or(class).trim();
    if first.is_empty() { class } else { first }
}
