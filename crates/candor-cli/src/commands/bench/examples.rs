//! Examples of a benchmark's page.

use std::collections::BTreeMap;

use anyhow::Result;
use candor::Unwatched;
use candor_eval::bench::example::{Chosen, Example};
use candor_eval::bench::report::BenchResult;
use candor_eval::bench::threshold::Frozen;
use candor_eval::bench::{Contender, Measure};
use candor_eval::explaining::Explaining;

use crate::setup::Setup;

/// The choice frozen on the tuning split for a method's boxes, by the method's name.
type FrozenOf<'f> = &'f dyn Fn(&str) -> Option<Frozen>;

/// Number of best, and of worst, examples of each method.
const EXAMPLES: usize = 3;

/// The best and the worst items of each method by a column of the first table, explained again and drawn. `frozen`: how a
/// method's boxes are found.
pub fn examples<M: Measure>(
    result: &BenchResult,
    contenders: &[Contender<'_>],
    setup: &Setup,
    measure: &mut M,
    (headline, frozen): (&str, FrozenOf<'_>),
) -> Result<Vec<Example>> {
    let mut drawn = vec![];
    let Some(table) = result.tables.first() else { return Ok(drawn) };
    let Some(column) = table.columns.iter().position(|c| c.name == headline) else { return Ok(drawn) };
    for row in &table.rows {
        let found = contenders.iter().find(|c| c.name == row.method);
        let (Some(cell), Some(contender)) = (&row.cells[column], found) else { continue };
        let (mut explainer, _) = contender.subject.prepare(&setup.model)?;
        let frozen = frozen(&row.method);
        for (kind, item, value) in extremes(&cell.values) {
            let (model, progress) = (&setup.model, &mut Unwatched);
            let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
            let shown = measure.show(&mut method, item, frozen)?;
            let name = measure.name(item);
            let chosen = Chosen { method: &row.method, kind, item: &name, figure: headline, value };
            drawn.push(Example::draw(chosen, &shown)?);
        }
    }
    Ok(drawn)
}

/// The items with the highest and the lowest values, best first, then worst first: kind, item, value.
fn extremes(values: &BTreeMap<usize, f64>) -> Vec<(&'static str, usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = values.iter().map(|(&i, &v)| (i, v)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let count = EXAMPLES.min(ranked.len() / 2);
    let best = ranked.iter().take(count).map(|&(i, v)| ("best", i, v));
    best.chain(ranked.iter().rev().take(count).map(|&(i, v)| ("worst", i, v))).collect()
}
