//! Gradient: ∂S_c/∂x, max over channels of its magnitude (Simonyan, Vedaldi, Zisserman 2014, section 3).

use super::attribution::{Attribution, CHANNELS, channels};
use super::backward::{OneSweep, Plan};
use super::parameters::{Parameter, Parameters};
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::model::Model;

const PARAMETERS: &[Parameter] = &[CHANNELS];

/// The method.
pub(super) struct Gradient;

impl Method for Gradient {
    fn description(&self) -> Description {
        Description {
            name: "gradient",
            summary: "the gradient of the class's logit with respect to the pixels",
            source: "Simonyan, Vedaldi, Zisserman 2014",
            cost: "1 forward, 1 backward",
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Explainer>> {
        let channels = channels(p);
        let plan = Plan::gradient(model, &[model.input], false);
        Ok(Box::new(OneSweep::new(
            model,
            plan,
            Box::new(move |v| {
                let values = v.found[0].clone();
                Explanation::of_attribution(Attribution { values, shape: v.model.input_shape, channels })
            }),
        )?))
    }
}
