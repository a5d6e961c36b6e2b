//! Methods that need one sweep: a plan, and how its result becomes a map. The same recipe is run and exported.

use candor_graph::builder::Builder;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert;

use super::attribution::{Attribution, Channels, enlarged};
use super::backward::{OneSweep, Plan, View};
use super::{Choices, Compiled, Definition, Description, Export, baseline};
use crate::error::{Error, Result};
use crate::explanation::Explanation;
use crate::map::{Interpolation, Map};
use crate::model::Model;
use crate::nodes::{canvas, maps};
use crate::parameters::Parameters;

/// How the result of a plan is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// One value for each input channel of each pixel.
    Attribution(Channels),
    /// A map on a layer's grid `[height, width]`, of which the positive part is shown.
    Layer([usize; 2]),
}

/// A plan whose one result, N×C×H×W, is read as a map.
pub(super) struct Recipe<'p> {
    pub plan: Plan<'p>,
    pub reading: Reading,
}

/// A method defined by a recipe.
pub(super) trait OneRecipe: Send + Sync {
    /// Name, source, cost and parameters.
    fn description(&self) -> Description;

    /// The recipe for a model.
    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, choices: &Choices) -> Result<Recipe<'m>>;

    /// Compiles the recipe.
    fn explainer(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        self.recipe(model, p, choices)?.explainer(model)
    }
}

impl<M: OneRecipe> Definition for M {
    fn description(&self) -> Description {
        OneRecipe::description(self)
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        self.explainer(model, p, choices)
    }

    fn exporter(&self) -> Option<&dyn Export> {
        Some(self)
    }
}

impl<M: OneRecipe> Export for M {
    fn export(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Graph> {
        let word = if p.has("baseline") { p.word("baseline").to_string() } else { String::new() };
        let recipe = self.recipe(model, p, choices)?;
        exported(model, recipe, &word).map_err(|e| Error::graph(&model.info.path, e))
    }
}

impl Recipe<'_> {
    /// Compiles the recipe.
    pub(super) fn explainer(self, model: &Model) -> Result<Box<dyn Compiled>> {
        let reading = self.reading;
        Ok(Box::new(OneSweep::new(model, self.plan, Box::new(move |v| read(reading, v)))?))
    }
}

/// Makes the explanation from the results of the sweep.
pub(super) fn read(reading: Reading, view: &View<'_>) -> Explanation {
    let values = view.found[0].clone();
    match reading {
        Reading::Attribution(channels) => {
            Explanation::of_attribution(Attribution { values, shape: view.model.input_shape, channels })
        }
        Reading::Layer([height, width]) => {
            let map = Map { height, width, data: values };
            Explanation::of_map(enlarged(map, view.model), Default::default())
        }
    }
}

fn exported(model: &Model, recipe: Recipe<'_>, baseline: &str) -> candor_graph::error::Result<Graph> {
    let Recipe { mut plan, reading } = recipe;
    if let Some(reference) = plan.reference.take() {
        let (graph, made) = with_baseline(model, std::mem::take(&mut plan.graph), reference, baseline)?;
        (plan.graph, plan.reference) = (graph, Some(made));
    }
    let (graph, _, found) = plan.append(model, canvas::one_hot)?;
    let builder = Builder::new(graph);
    let result = builder.value(found[0]);
    let map = match reading {
        Reading::Attribution(channels) => maps::over_channels(result, channels),
        Reading::Layer(_) => {
            let [_, height, width] = model.input_shape;
            let positive = result.op("Relu", &[], &[]);
            maps::resized(positive, [height, width], Interpolation::Bilinear)?
        }
    };
    let map = map.id();
    canvas::finish(model, builder.finish()?, map)
}

/// Replaces the reference, which is an input, by the baseline `word` computed from the image.
fn with_baseline(
    model: &Model,
    mut graph: Graph,
    reference: ValueId,
    word: &str,
) -> candor_graph::error::Result<(Graph, ValueId)> {
    graph.inputs.retain(|i| *i != reference);
    insert::in_front(graph, reference, |b| baseline::as_nodes(word, model, b.value(model.input)))
}
