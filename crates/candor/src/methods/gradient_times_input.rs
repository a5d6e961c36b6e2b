//! Gradient × input: Σ over channels of x · ∂S_c/∂x (Shrikumar, Greenside, Shcherbina, Kundaje 2016).

use super::attribution::{Attribution, Channels};
use super::backward::{OneSweep, Plan};
use super::parameters::Parameters;
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::model::Model;

/// The method.
pub(super) struct GradientTimesInput;

impl Method for GradientTimesInput {
    fn description(&self) -> Description {
        Description {
            name: "gradient-times-input",
            summary: "the gradient of the class's logit times the pixels",
            source: "Shrikumar et al. 2016",
            cost: "1 forward, 1 backward",
            signed: true,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, _: &mut Parameters, _: &Choices) -> Result<Box<dyn Explainer>> {
        let plan = Plan::gradient(model, &[model.input], false);
        Ok(Box::new(OneSweep::new(
            model,
            plan,
            Box::new(|v| {
                let values = v.found[0].iter().zip(v.image).map(|(g, x)| g * x).collect();
                let (shape, channels) = (v.model.input_shape, Channels::Sum);
                Explanation::of_attribution(Attribution { values, shape, channels })
            }),
        )?))
    }
}
