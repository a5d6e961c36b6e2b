//! Excitation backprop: the probability that a unit is the winner, top down, P(x_i | z) = x_i w_i⁺ / Σ x w⁺ (Zhang et al.
//! 2018); contrastive: minus the same for the negated weights of the last layer. The map is Σ over channels at one layer.

use candor_graph::grad::lrp::{Composite, LayerRule, lrp};

use super::backward::{Combine, Plan};
use super::cam::layer;
use super::recipe::{OneRecipe, Reading, Recipe};
use super::{Choices, Cost, Description};
use crate::error::Result;
use crate::model::Model;
use crate::parameters::Parameters;

/// The method, plain or contrastive.
pub(super) struct Excitation {
    pub contrastive: bool,
}

impl OneRecipe for Excitation {
    fn description(&self) -> Description {
        let (name, summary) = match self.contrastive {
            false => ("excitation-backprop", "the probability that a place excites the class, top down"),
            true => (
                "contrastive-excitation-backprop",
                "the probability that a place excites the class, less that it excites its contrary",
            ),
        };
        Description {
            name,
            summary,
            source: "Zhang et al. 2018",
            cost: Cost { forward: 2, backward: 1, note: "1 forward and that behind the layer again" },
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, choices: &Choices) -> Result<Recipe<'m>> {
        let level = layer(model, p, choices)?;
        let rule = LayerRule::Excitation;
        let last = self.contrastive.then_some(LayerRule::ContrastiveExcitation);
        let policy = lrp(
            &model.graph,
            model.input,
            Composite { first: None, conv: rule, dense: rule, last, biases: false },
        );
        let feature = level.feature();
        let combine: Combine = Box::new(move |s| feature.as_channels_first(s.found[0]).sum(&[1], true));
        let plan = Plan { policy, combine: Some(combine), ..Plan::gradient(model, &[level.value]) };
        let [_, height, width] = level.shape;
        Ok(Recipe { plan, reading: Reading::Layer([height, width]) })
    }
}
