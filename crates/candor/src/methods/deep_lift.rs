//! DeepLIFT, rescale rule: Σ over channels of (x − x₀) · m with multipliers m = ΔS/Δx propagated back against a baseline x₀
//! (Shrikumar et al. 2017). It adds up to S_c(x) − S_c(x₀).

use candor_graph::grad::deep_lift::{rescale, twin};
use candor_graph::shape::Dim;
use candor_graph::tensor::DataType;

use super::attribution::Channels;
use super::backward::{Combine, OneSweep, Plan, Seed};
use super::baseline::{self, BASELINE};
use super::completeness;
use super::recipe::{OneRecipe, Reading, Recipe, read};
use super::{Choices, Compiled, Cost, Description};
use crate::error::Result;
use crate::model::Model;
use crate::parameters::{Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[BASELINE];

/// The method.
pub(super) struct DeepLift;

impl OneRecipe for DeepLift {
    fn description(&self) -> Description {
        Description {
            name: "deeplift",
            summary: "the difference to a baseline's logit propagated back by quotients of differences (rescale rule)",
            source: "Shrikumar et al. 2017",
            cost: Cost { forward: 2, backward: 1, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn explainer(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let Recipe { plan, reading } = self.recipe(model, p, choices)?;
        let word = p.word("baseline").to_string();
        Ok(Box::new(OneSweep::against(
            model,
            plan,
            Box::new(move |model, image| baseline::make(&word, model, image)),
            Box::new(move |v| {
                let mut e = read(reading, v);
                e.warnings = completeness::warning(&e.map, v.scores[v.class], v.values[0][v.class]);
                e
            }),
        )?))
    }

    fn recipe<'m>(&self, model: &'m Model, _: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        let mut graph = model.graph.clone();
        let [c, h, w] = model.input_shape.map(Dim::Fixed);
        let batch = model.fixed_batch.map_or(Dim::Batch(1), Dim::Fixed);
        let reference = graph.add_input("reference", DataType::Float, &[batch, c, h, w]);
        let twins = twin(&mut graph, model.input, reference);
        let combine: Combine = Box::new(|s| (s.image - s.reference) * s.found[0]);
        let plan = Plan {
            graph,
            reference: Some(reference),
            wrt: vec![model.input],
            values: vec![twins[&model.logits]],
            policy: rescale(twins),
            seed: Seed::One,
            combine: Some(combine),
        };
        Ok(Recipe { plan, reading: Reading::Attribution(Channels::Sum) })
    }
}
