//! One optimiser step of a masked model as one graph: the network after the cut, its gradient, and Adam, so that the masks can stay in
//! the engine's memory between steps.

use std::borrow::Cow;

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::{GraphError, Result as GraphResult};
use candor_graph::footprint::batch_within;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert::MaskSite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

use super::adam::{adam_step, search_corrections};
use super::masked::{Masked, l1_weight};
use super::objective::Query;
use super::prepared::Prepared;
use super::settings::Settings;
use crate::engine::{LoopState, Session};
use crate::error::{Error, Result, floats};
use crate::model::Model;

/// The values that Adam's step adds to the suffix of a masked model: the masks, then the means and squares of their gradients.
pub(super) struct Carried {
    /// The inputs.
    pub inputs: Vec<ValueId>,
    /// Their values after the step.
    pub outputs: Vec<ValueId>,
}

/// Appends a step of Adam for all masks to the masked model's suffix. `pull`: the derivative of a site's L1 term.
pub(super) fn with_adam<'b>(
    b: &'b Builder,
    masked: &Masked,
    settings: &Settings,
    corrections: [Expr<'b>; 2],
    pull: &dyn Fn(&MaskSite) -> Expr<'b>,
) -> GraphResult<Carried> {
    let (mut moments, mut next) = ([vec![], vec![]], [vec![], vec![], vec![]]);
    for (site, &slope) in masked.sites.iter().zip(&masked.cut.suffix.outputs[1..]) {
        let mask = b.value(site.mask);
        let shape = mask.shape()?;
        let [mean, square] = ["mean", "square"].map(|name| b.input(name, DataType::Float, &shape));
        let moved = adam_step(mask, b.value(slope) + pull(site), [mean, square], corrections, settings, 0.0);
        moments.iter_mut().zip([mean, square]).for_each(|(all, e)| all.push(e.id()));
        next.iter_mut().zip(moved).for_each(|(all, e)| all.push(e.id()));
    }
    let masks = masked.sites.iter().map(|s| s.mask);
    Ok(Carried { inputs: masks.chain(moments.concat()).collect(), outputs: next.concat() })
}

/// Number of inputs of a step before the state.
pub(super) const KNOBS: usize = 3;

/// The graph of a step. Inputs: Adam's two corrections (scalars) and λ of each row (N×1×1×1), the state, the queries, the crossing
/// values. Outputs: the logits; for each row the size Σ_l w_l ‖m_l‖₁ of its masks before the step; the state.
pub(super) fn graph(masked: &Masked, settings: &Settings) -> GraphResult<Graph> {
    let suffix = &masked.cut.suffix;
    let b = Builder::new(suffix.clone());
    let scalar = |name: &str| b.input(name, DataType::Float, &[]);
    let first = masked.sites.first().ok_or_else(|| GraphError::Malformed("no level to mask".into()))?;
    let mut row = b.value(first.mask).shape()?;
    row[1..].fill(Dim::Fixed(1));
    let knobs: [Expr<'_>; KNOBS] =
        [scalar("correction_1"), scalar("correction_2"), b.input("lambda", DataType::Float, &row)];
    let [correct_1, correct_2, lambda] = knobs;
    let pull = |site: &MaskSite| lambda * l1_weight(site);
    let state = with_adam(&b, masked, settings, [correct_1, correct_2], &pull)?;
    let sizes = masked.sites.iter().map(|s| b.value(s.mask).sum(&[1, 2, 3], false) * l1_weight(s));
    let size = sizes.reduce(|a, b| a + b).ok_or_else(|| GraphError::Malformed("no level to mask".into()))?;
    let (knobs, size) = (knobs.map(Expr::id), size.id());
    let mut graph = b.finish()?;
    let rest = suffix.inputs.iter().filter(|id| !state.inputs.contains(id));
    graph.inputs = knobs.iter().chain(&state.inputs).chain(rest).copied().collect();
    graph.outputs = [&[suffix.outputs[0], size], state.outputs.as_slice()].concat();
    Ok(graph)
}

/// The compiled step.
pub(super) struct Step {
    session: Box<dyn Session>,
    sites: Vec<MaskSite>,
    fixed_batch: Option<usize>,
    max_batch: usize,
}

/// A class of an image, as one row of a batch.
#[derive(Clone, Copy)]
pub(super) struct Case<'c> {
    pub prepared: &'c Prepared,
    pub query: &'c Query,
}

/// A running search in one batch.
pub(super) struct Search<'b> {
    loop_state: LoopState<'b>,
    used: usize,
    size: usize,
    step: i32,
    /// The masks after the last step with `back` set: row by row, level by level.
    pub masks: Vec<Vec<Vec<f32>>>,
}

/// Cases as inputs of a step, without the masks.
pub(super) struct Batch<'c> {
    used: usize,
    size: usize,
    queries: Vec<Tensor>,
    crossing: Cow<'c, [Tensor]>,
}

impl Step {
    pub fn new(model: &Model, masked: &Masked, settings: &Settings) -> Result<Self> {
        let graph = graph(masked, settings).map_err(|e| Error::graph(&model.info.path, e))?;
        Ok(Step {
            session: model.engine.compile(&graph)?,
            sites: masked.sites.clone(),
            fixed_batch: model.fixed_batch,
            max_batch: if masked.cut.crosses_in_rows() {
                batch_within(&graph, STEP_BYTES, MOST_QUERIES)
            } else {
                1
            },
        })
    }

    /// Maximum number of images in one batch of the part before the masks.
    pub fn images(&self) -> usize {
        if self.fixed_batch.is_some() { 1 } else { self.max_batch }
    }

    /// Announces steps with this number of cases.
    pub fn expect(&mut self, cases: usize) {
        if self.fixed_batch.is_none() && cases > 0 {
            self.session.expect_batch(cases.min(self.max_batch));
        }
    }

    /// Constant masks.
    pub fn masks(&self, value: f32) -> Vec<Vec<f32>> {
        self.sites.iter().map(|s| vec![value; s.mask_shape.iter().product()]).collect()
    }

    /// Σ_l w_l ‖m_l‖₁ with w_l = t_l · |feature_l|/|m_l| and t_l = 1/√(H_l·W_l).
    pub fn size(&self, masks: &[Vec<f32>]) -> f64 {
        let sum = |mask: &Vec<f32>| mask.iter().map(|&v| f64::from(v)).sum::<f64>();
        self.sites.iter().zip(masks).map(|(site, mask)| f64::from(l1_weight(site)) * sum(mask)).sum()
    }

    /// Ranges of cases for one batch each: a fixed batch holds one image.
    pub fn batches(&self, cases: &[Case<'_>]) -> Vec<std::ops::Range<usize>> {
        let mut all = vec![];
        let mut start = 0;
        while let Some(first) = cases.get(start) {
            let most = self.fixed_batch.unwrap_or(self.max_batch);
            let fits = |c: &&Case<'_>| self.fixed_batch.is_none() || std::ptr::eq(c.prepared, first.prepared);
            let end = start + cases[start..].iter().take(most).take_while(fits).count();
            all.push(start..end);
            start = end;
        }
        all
    }

    /// The inputs of a batch of cases.
    pub fn batch<'c>(&self, cases: &[Case<'c>]) -> Result<Batch<'c>> {
        let used = cases.len();
        // A fixed batch larger than the number of queries is filled up with the first.
        let size = self.fixed_batch.unwrap_or(used);
        let rows = |f: &dyn Fn(&Query) -> Vec<f32>| -> Result<Tensor> {
            let values: Vec<f32> = (0..size).flat_map(|i| f(cases[row_of(i, used)].query)).collect();
            tensor(&[size, values.len() / size.max(1)], values)
        };
        let one_hot = |q: &Query| (0..q.reference.len()).map(|k| f32::from(u8::from(k == q.class))).collect();
        let queries = vec![
            rows(&one_hot)?,
            rows(&Query::rivals)?,
            rows(&|q| q.reference.clone())?,
            rows(&|q| vec![q.floor as f32])?,
            rows(&|q| vec![q.target() as f32])?,
        ];
        let crossing = if self.fixed_batch.is_some() || size == 1 {
            Cow::Borrowed(cases[0].prepared.crossing.as_slice())
        } else {
            let stacked = |i: usize| Tensor::stacked(cases.iter().map(|c| &c.prepared.crossing[i]));
            let stacked = (0..cases[0].prepared.crossing.len()).map(stacked);
            Cow::Owned(stacked.collect::<std::result::Result<_, _>>().map_err(|e| Error::graph("mask", e))?)
        };
        Ok(Batch { used, size, queries, crossing })
    }

    /// Logits of the cases' images under masks, without learning.
    pub fn logits(&mut self, cases: &[Case<'_>], masks: &[&Vec<Vec<f32>>]) -> Result<Vec<Vec<f32>>> {
        let mut all = vec![];
        for part in self.batches(cases) {
            let batch = self.batch(&cases[part.clone()])?;
            let knobs = knobs([1.0; 2], &vec![0.0; batch.size])?;
            let state = self.state(&batch, &masks[part])?;
            let inputs = knobs.iter().chain(&state).chain(&batch.queries).chain(batch.crossing.iter());
            let out = self.session.run_first(&inputs.collect::<Vec<_>>(), 1)?.into_iter().next();
            all.extend(rows(out, batch.size, batch.used)?);
        }
        Ok(all)
    }

    /// Masks as inputs, and Adam's moments, which are zero.
    fn state(&self, batch: &Batch<'_>, masks: &[&Vec<Vec<f32>>]) -> Result<Vec<Tensor>> {
        let shape = |site: &MaskSite| [&[batch.size], &site.mask_shape[..]].concat();
        let mask = |(l, site): (usize, &MaskSite)| {
            let values = (0..batch.size).flat_map(|i| masks[row_of(i, batch.used)][l].iter().copied());
            tensor(&shape(site), values.collect())
        };
        let zeros = self.sites.iter().chain(&self.sites).map(|site| Ok(Tensor::full(&shape(site), 0.0)));
        self.sites.iter().enumerate().map(mask).chain(zeros).collect()
    }

    /// A query's initial masks: one everywhere or, if its class has a window, one inside and a tenth outside.
    pub fn start(&self, query: &Query) -> Vec<Vec<f32>> {
        let Some(place) = query.place else { return self.masks(1.0) };
        let mask = |s: &MaskSite| {
            let [channels, height, width] = s.mask_shape;
            let to = [height, width];
            // A mask entry for a whole channel has no position.
            let inside = if to == [1, 1] { vec![1.0] } else { place.window.mask(place.grid, to, START) };
            inside.repeat(channels)
        };
        self.sites.iter().map(mask).collect()
    }

    /// Begins a search with these masks, one set per case.
    pub fn begin<'b>(&mut self, batch: &'b Batch<'_>, masks: Vec<Vec<Vec<f32>>>) -> Result<Search<'b>> {
        let state = self.state(batch, &masks.iter().collect::<Vec<_>>())?;
        let constants = batch.queries.iter().chain(batch.crossing.iter()).collect();
        Ok(Search {
            loop_state: self.session.start_loop(state, constants)?,
            used: batch.used,
            size: batch.size,
            step: 0,
            masks,
        })
    }

    /// One step of Adam for all cases of a search. Returns for each its logits and the size of its masks, both before the step. With
    /// `back`, [`Search::masks`] is updated to the masks after it.
    pub fn step_loop(
        &mut self,
        search: &mut Search<'_>,
        (settings, lambdas): (&Settings, &[f32]),
        back: bool,
    ) -> Result<Vec<(Vec<f32>, f64)>> {
        search.step += 1;
        let [correct_1, correct_2] = search_corrections(settings, search.step);
        let lambdas: Vec<f32> = (0..search.size).map(|i| lambdas[row_of(i, search.used)]).collect();
        let knobs = knobs([correct_1, correct_2], &lambdas)?;
        let out = self.session.step_loop(&mut search.loop_state, &knobs.iter().collect::<Vec<_>>(), back)?;
        let mut out = out.into_iter();
        let mut next = || {
            let value = out.next();
            let size = value.as_ref().and_then(|t| t.shape().first().copied()).unwrap_or(0);
            rows(value, size, search.used)
        };
        let logits = next()?;
        let sizes = next()?;
        if back {
            let levels = self.sites.iter().map(|_| next()).collect::<Result<Vec<_>>>()?;
            for (q, masks) in search.masks.iter_mut().enumerate() {
                for (mask, level) in masks.iter_mut().zip(&levels) {
                    mask.clone_from(&level[q]);
                }
            }
        }
        Ok(logits.into_iter().zip(sizes.into_iter().flatten().map(f64::from)).collect())
    }
}

/// The first `used` of a tensor's `size` rows.
fn rows(tensor: Option<Tensor>, size: usize, used: usize) -> Result<Vec<Vec<f32>>> {
    let values = floats(tensor.as_ref(), "a step of the search")?;
    let row = (values.len() / size.max(1)).max(1);
    Ok(values.chunks(row).take(used).map(<[f32]>::to_vec).collect())
}

fn knobs(corrections: [f32; 2], lambdas: &[f32]) -> Result<Vec<Tensor>> {
    let scalars = corrections.into_iter().map(|v| tensor(&[], vec![v]));
    scalars.chain([tensor(&[lambdas.len(), 1, 1, 1], lambdas.to_vec())]).collect()
}

/// Index, among `used` cases, of the case in row `i` of a batch.
fn row_of(i: usize, used: usize) -> usize {
    if i < used { i } else { 0 }
}

/// Initial masks, inside and outside a class's window.
pub(super) const START: [f32; 2] = [1.0, 0.1];
/// Maximum bytes of all values of one step together.
const STEP_BYTES: u64 = 1 << 30;
/// Maximum number of queries in one batch, however small: larger batches of convolutions are not faster.
const MOST_QUERIES: u64 = 64;

fn tensor(shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
    Tensor::floats(shape, values).map_err(|e| Error::graph("mask", e))
}
