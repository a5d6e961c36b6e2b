//! A model's graph with masks and the gradient of an objective with respect to them, cut before the first mask.

use candor_graph::builder::Builder;
use candor_graph::error::Result;
use candor_graph::grad::gradients;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert::{self, Cut, MaskSite};
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::DataType;

use super::levels::{Level, default_lambda};
use super::objective::QueryInputs;
use super::places::losses_only;
use super::settings::Settings;
use crate::engine::Folding;
use crate::model::Model;

/// The two parts of the cut graph, and the masks.
pub struct Masked {
    /// The masks.
    pub sites: Vec<MaskSite>,
    /// The inputs of [`QueryInputs`], in its order.
    pub queries: Vec<ValueId>,
    /// The suffix's inputs are the masks, the queries and the crossing values; its outputs are the logits and the masks' gradients.
    pub cut: Cut,
    /// Weight λ of the L1 term: the settings', else the default for the sizes of the levels.
    pub lambda: f32,
}

/// Inserts masks and the objective into a model's graph and cuts it.
pub fn masked(model: &Model, levels: &[Level], settings: &Settings) -> Result<Masked> {
    let features: Vec<_> = levels.iter().map(Level::feature).collect();
    let (mut graph, sites) = insert::insert_masks(model.graph.clone(), &features, settings.shape)?;
    if !settings.keep_features {
        rewrite::masks_behind_pointwise(&mut graph, &sites)?;
    }
    let kind = (model.is_sigmoid(), losses_only(settings, model.classes));
    let (mut graph, queries) = with_objective(graph, &sites, settings, kind)?;
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut graph);
    let mut separating: Vec<_> = sites.iter().map(|s| s.mask).collect();
    separating.extend(&queries);
    let cut = insert::cut(&graph, &separating);
    let lambda = settings.lambda.unwrap_or_else(|| default_lambda(levels, model.classes) as f32);
    Ok(Masked { sites, queries, cut, lambda })
}

/// Derivative of the L1 term divided by λ: t_l · |feature|/|mask|, so that a broadcast mask weighs as much as the full mask that it
/// represents.
pub(super) fn l1_weight(site: &MaskSite) -> f32 {
    let size = |shape: [usize; 3]| shape.iter().product::<usize>() as f32;
    let [_, height, width] = site.value_shape;
    size(site.value_shape) / size(site.mask_shape) / ((height * width) as f32).sqrt()
}

/// Adds the objective's inputs and the gradients of the masks; the outputs are the logits, then the gradients.
fn with_objective(
    graph: Graph,
    sites: &[MaskSite],
    settings: &Settings,
    (multi_label, losses_only): (bool, bool),
) -> Result<(Graph, Vec<ValueId>)> {
    let logits = graph.outputs[0];
    let shape = graph.shape(logits).unwrap_or_default();
    let batch = shape.first().copied().unwrap_or(Dim::Batch(1));
    let forward = graph.nodes.len();
    let builder = Builder::new(graph);
    let row = |name: &str, shape: &[Dim]| builder.input(name, DataType::Float, shape);
    let inputs = QueryInputs {
        one_hot: row("query_one_hot", &shape),
        rivals: row("query_rivals", &shape),
        reference: row("query_reference", &shape),
        floor: row("query_floor", &[batch, Dim::Fixed(1)]),
        target: row("query_target", &[batch, Dim::Fixed(1)]),
        losses_only,
    };
    let ids = inputs.all().map(|e| e.id()).to_vec();
    let seed = settings.objective.seed(builder.value(logits), &inputs, multi_label).id();
    let mut graph = builder.finish()?;
    // The sweep differentiates the classifier, not the arithmetic of the seed.
    let seed_nodes = graph.nodes.split_off(forward);
    let masks: Vec<_> = sites.iter().map(|s| s.mask).collect();
    let classifier = graph.nodes.len();
    let (mut graph, slopes) = gradients(graph, &[(logits, seed)], &masks)?;
    let sweep = graph.nodes.split_off(classifier);
    graph.nodes.extend(seed_nodes);
    graph.nodes.extend(sweep);
    graph.outputs = std::iter::once(logits).chain(slopes).collect();
    graph.check()?;
    Ok((graph, ids))
}
