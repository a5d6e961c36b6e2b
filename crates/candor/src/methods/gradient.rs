//! Gradient: ∂S_c/∂x, max over channels of its magnitude (Simonyan, Vedaldi, Zisserman 2014, section 3).

use super::attribution::{CHANNELS, channels};
use super::backward::Plan;
use super::recipe::{OneRecipe, Reading, Recipe};
use super::{Choices, Cost, Description};
use crate::error::Result;
use crate::model::Model;
use crate::parameters::{Parameter, Parameters};

const PARAMETERS: &[Parameter] = &[CHANNELS];

/// The method.
pub(super) struct Gradient;

impl OneRecipe for Gradient {
    fn description(&self) -> Description {
        Description {
            name: "gradient",
            summary: "the gradient of the class's logit with respect to the pixels",
            source: "Simonyan, Vedaldi, Zisserman 2014",
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        let plan = Plan::gradient(model, &[model.input]);
        Ok(Recipe { plan, reading: Reading::Attribution(channels(p)) })
    }
}
