//! Excitation backprop: the probability that a unit is the winner, top down, P(x_i | z) = x_i w_i⁺ / Σ x w⁺ (Zhang et al.
//! 2018); contrastive: minus the same for the negated weights of the last layer. The map is Σ over channels at one layer.

use candor_graph::grad::lrp::{Composite, LayerRule, lrp};

use super::backward::{OneSweep, Plan};
use super::cam::{enlarged, layer};
use super::parameters::Parameters;
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::error::Result;
use crate::map::Map;
use crate::model::Model;

/// The method, plain or contrastive.
pub(super) struct Excitation {
    pub contrastive: bool,
}

impl Method for Excitation {
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
            cost: "1 forward and that behind the layer again, 1 backward",
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Explainer>> {
        let level = layer(model, p, choices)?;
        let rule = LayerRule::Excitation;
        let last = self.contrastive.then_some(LayerRule::ContrastiveExcitation);
        let policy = lrp(&model.graph, model.input, Composite { first: None, conv: rule, dense: rule, last });
        let plan = Plan { policy, ..Plan::gradient(model, &[level.value], false) };
        Ok(Box::new(OneSweep::new(
            model,
            plan,
            Box::new(move |v| {
                let [_, height, width] = level.shape;
                let mut map = Map::zeros(height, width);
                for channel in level.feature().channels_first(&v.found[0]).chunks(height * width) {
                    map.data.iter_mut().zip(channel).for_each(|(m, p)| *m += p);
                }
                Explanation::of_map(enlarged(map, v.model), Default::default())
            }),
        )?))
    }
}
