//! Gradient × input: Σ over channels of x · ∂S_c/∂x (Shrikumar, Greenside, Shcherbina, Kundaje 2016).

use super::attribution::Channels;
use super::backward::{Combine, Plan};
use super::recipe::{OneRecipe, Reading, Recipe};
use super::{Choices, Cost, Description};
use crate::error::Result;
use crate::model::Model;
use crate::parameters::Parameters;

/// The method.
pub(super) struct GradientTimesInput;

impl OneRecipe for GradientTimesInput {
    fn description(&self) -> Description {
        Description {
            name: "gradient-times-input",
            summary: "the gradient of the class's logit times the pixels",
            source: "Shrikumar et al. 2016",
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn recipe<'m>(&self, model: &'m Model, _: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        let combine: Combine = Box::new(|s| s.found[0] * s.image);
        let plan = Plan { combine: Some(combine), ..Plan::gradient(model, &[model.input]) };
        Ok(Recipe { plan, reading: Reading::Attribution(Channels::Sum) })
    }
}
