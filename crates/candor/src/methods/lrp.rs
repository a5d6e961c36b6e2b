//! LRP: propagates the class's logit back layer by layer, in proportion to contributions (Bach et al. 2015; composites:
//! Kohlbrenner et al. 2020). The map is Σ over channels of the pixels' relevance; it adds up to the logit minus what the
//! biases take, which in a deep network is nearly all: a warning says so.

use candor_graph::grad::lrp::{Composite, LayerRule, lrp};

use super::attribution::Channels;
use super::backward::{OneSweep, Plan, Seed, View};
use super::completeness;
use super::recipe::{OneRecipe, Reading, Recipe, read};
use super::{Choices, Compiled, Cost, Description};
use crate::error::Result;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};

/// A bias takes the relevance of its contribution, as in zennit.
const SHARE: &str = "share";

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "composite",
        default: "epsilon-plus",
        kind: Kind::Choice(&[
            "epsilon-plus",
            "epsilon-plus-flat",
            "epsilon-alpha2-beta1",
            "epsilon-alpha2-beta1-flat",
            "epsilon-gamma-box",
            "epsilon",
            "gamma",
            "alpha-beta",
            "w-square",
        ]),
        help: "rules by layer: ε for dense layers and the one named for convolutions; -flat, -box: a rule of its own for \
               the first layer; w-square: epsilon-plus with w² first; epsilon, gamma, alpha-beta: that rule everywhere",
    },
    Parameter {
        name: "epsilon",
        default: "1e-6",
        kind: Kind::Number(0.0, 1e3),
        help: "what the ε rule adds to denominators",
    },
    Parameter {
        name: "gamma",
        default: "0.25",
        kind: Kind::Number(0.0, 1e3),
        help: "how much more the γ rule counts positive weights",
    },
    Parameter {
        name: "alpha",
        default: "2",
        kind: Kind::Number(1.0, 1e3),
        help: "factor of positive contributions in alpha-beta; that of negative ones is alpha − 1",
    },
    Parameter {
        name: "bias",
        default: SHARE,
        kind: Kind::Choice(&[SHARE, "none"]),
        help: "share: a bias takes the relevance of its contribution, which reaches no pixel; none: the inputs share it",
    },
    Parameter {
        name: "low",
        default: "-3",
        kind: Kind::Number(-1e3, 1e3),
        help: "least value of the model's input, for the z-box rule",
    },
    Parameter {
        name: "high",
        default: "3",
        kind: Kind::Number(-1e3, 1e3),
        help: "greatest value of the model's input, for the z-box rule",
    },
];

/// The method.
pub(super) struct Lrp;

impl OneRecipe for Lrp {
    fn description(&self) -> Description {
        Description {
            name: "lrp",
            summary: "the class's logit propagated back layer by layer in proportion to contributions",
            source: "Bach et al. 2015; composites: Kohlbrenner et al. 2020",
            cost: Cost { forward: 2, backward: 1, note: "3 and 2 with rules for both signs" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn explainer(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        let Recipe { plan, reading } = self.recipe(model, p, choices)?;
        let biases = p.word("bias") == SHARE;
        let explain = move |v: &View<'_>| {
            let mut e = read(reading, v);
            e.warnings = completeness::relevance(&e.map, v.scores[v.class], biases);
            e
        };
        Ok(Box::new(OneSweep::new(model, plan, Box::new(explain))?))
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, _: &Choices) -> Result<Recipe<'m>> {
        let policy = lrp(&model.graph, model.input, composite(p));
        let plan = Plan { policy, seed: Seed::Score, ..Plan::gradient(model, &[model.input]) };
        Ok(Recipe { plan, reading: Reading::Attribution(Channels::Sum) })
    }
}

fn composite(p: &Parameters) -> Composite {
    let number = |name: &str| p.real(name) as f32;
    let epsilon = LayerRule::Epsilon(number("epsilon"));
    let gamma = LayerRule::Gamma(number("gamma"));
    let alpha = number("alpha");
    let plus = LayerRule::AlphaBeta(1.0, 0.0);
    let of = |first: Option<LayerRule>, conv: LayerRule, dense: LayerRule| Composite {
        first,
        conv,
        dense,
        last: None,
        biases: p.word("bias") == SHARE,
    };
    match p.word("composite") {
        "epsilon-plus-flat" => of(Some(LayerRule::Flat), plus, epsilon),
        "epsilon-alpha2-beta1" => of(None, LayerRule::AlphaBeta(2.0, 1.0), epsilon),
        "epsilon-alpha2-beta1-flat" => of(Some(LayerRule::Flat), LayerRule::AlphaBeta(2.0, 1.0), epsilon),
        "epsilon-gamma-box" => of(Some(LayerRule::ZBox(number("low"), number("high"))), gamma, epsilon),
        "epsilon" => of(None, epsilon, epsilon),
        "gamma" => of(None, gamma, gamma),
        "alpha-beta" => {
            let rule = LayerRule::AlphaBeta(alpha, alpha - 1.0);
            of(None, rule, rule)
        }
        "w-square" => of(Some(LayerRule::WSquare), plus, epsilon),
        _ => of(None, plus, epsilon),
    }
}
