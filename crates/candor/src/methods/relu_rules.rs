//! Guided backprop (Springenberg et al. 2015) and deconvnet (Zeiler and Fergus 2014): the gradient with another rule for
//! ReLU. Guided: dx = dy⁺ where x > 0. Deconvnet: dx = dy⁺.

use candor_graph::grad::{Policy, policy};

use super::attribution::{CHANNELS, channels};
use super::backward::Plan;
use super::recipe::{OneRecipe, Reading, Recipe};
use super::{Choices, Cost, Description};
use crate::error::{Error, MethodError, Result};
use crate::model::Model;
use crate::parameters::{Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[CHANNELS];

/// Guided backprop.
pub(super) struct GuidedBackprop;

/// Deconvnet.
pub(super) struct Deconvnet;

impl OneRecipe for GuidedBackprop {
    fn description(&self) -> Description {
        Description {
            name: "guided-backprop",
            summary: "the gradient, let through each ReLU only where it and the activation are positive",
            source: "Springenberg et al. 2015",
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        recipe(model, p, policy::guided_backprop())
    }
}

impl OneRecipe for Deconvnet {
    fn description(&self) -> Description {
        Description {
            name: "deconvnet",
            summary: "the gradient, let through each ReLU where it is positive, whatever the activation",
            source: "Zeiler, Fergus 2014",
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        recipe(model, p, policy::deconvnet())
    }
}

fn recipe<'m>(model: &'m Model, p: &Parameters, policy: Policy<'m>) -> Result<Recipe<'m>> {
    require_relu(model, p.method())?;
    let plan = Plan { policy, ..Plan::gradient(model, &[model.input]) };
    Ok(Recipe { plan, reading: Reading::Attribution(channels(p)) })
}

/// Refuses a model without any ReLU, for which the rule would silently be the gradient.
pub(super) fn require_relu(model: &Model, method: &str) -> Result<()> {
    if model.graph.nodes.iter().any(|n| policy::is_relu(&model.graph, n)) {
        return Ok(());
    }
    Err(Error::method(method, MethodError::NotForModel { networks: "networks with ReLU" }))
}
