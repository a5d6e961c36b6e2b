//! DeepLIFT, rescale rule: Σ over channels of (x − x₀) · m with multipliers m = ΔS/Δx handed back against a baseline x₀
//! (Shrikumar et al. 2017). It adds up to S_c(x) − S_c(x₀).

use candor_graph::grad::deep_lift::{rescale, twin};
use candor_graph::shape::Dim;
use candor_graph::tensor::DataType;

use super::attribution::{Attribution, Channels};
use super::backward::{OneSweep, Plan, Seed};
use super::baseline::{self, BASELINE};
use super::completeness;
use super::parameters::{Parameter, Parameters};
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::model::Model;

const PARAMETERS: &[Parameter] = &[BASELINE];

/// The method.
pub(super) struct DeepLift;

impl Method for DeepLift {
    fn description(&self) -> Description {
        Description {
            name: "deeplift",
            summary: "the difference to a baseline's logit handed back by quotients of differences (rescale rule)",
            source: "Shrikumar et al. 2017",
            cost: "2 forward, 1 backward",
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Explainer>> {
        let mut graph = model.graph.clone();
        let [c, h, w] = model.input_shape.map(Dim::Fixed);
        let batch = model.fixed_batch.map_or(Dim::Batch(1), Dim::Fixed);
        let reference = graph.add_input("reference", DataType::Float, &[batch, c, h, w]);
        let twins = twin(&mut graph, model.input, reference);
        let plan = Plan {
            graph,
            reference: Some(reference),
            wrt: vec![model.input],
            values: vec![twins[&model.logits]],
            policy: rescale(&twins),
            seed: Seed::One,
        };
        let word = p.word("baseline").to_string();
        Ok(Box::new(OneSweep::against(
            model,
            plan,
            Box::new(move |model, image| baseline::make(&word, model, image)),
            Box::new(|v| {
                let difference = v.image.iter().zip(v.reference).map(|(x, r)| x - r);
                let values = difference.zip(&v.found[0]).map(|(d, m)| d * m).collect();
                let (shape, channels) = (v.model.input_shape, Channels::Sum);
                let mut e = Explanation::of_attribution(Attribution { values, shape, channels });
                e.warnings = completeness::warning(&e.map, v.scores[v.class], v.values[0][v.class]);
                e
            }),
        )?))
    }
}
