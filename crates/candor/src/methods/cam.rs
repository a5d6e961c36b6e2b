//! Class activation maps: feature maps A of one layer, combined with weights from the gradient G = ∂S_c/∂A.
//!
//! A and G are C×H×W; the layer is the last level unless `--levels` names another. Negative values of a map are set to zero, and it is
//! enlarged to the input's size; none is normalised.

use candor_graph::builder::Expr;

use super::backward::{Combine, Plan};
use super::recipe::{OneRecipe, Reading, Recipe};
use super::{Choices, Cost, Description};
use crate::error::Result;
use crate::mask::{Level, levels};
use crate::model::Model;
use crate::parameters::Parameters;

/// Combines A and G, N×C×H×W, into a map on the layer's grid, N×1×H×W.
type Formula = for<'b> fn(Expr<'b>, Expr<'b>) -> Expr<'b>;

/// A method of the family.
pub(super) struct Cam {
    name: &'static str,
    summary: &'static str,
    source: &'static str,
    combine: Formula,
}

/// The family.
pub(super) const FAMILY: [Cam; 5] = [
    Cam {
        name: "grad-cam",
        summary: "the last feature maps, weighted by the mean gradient of the class's logit",
        source: "Selvaraju et al. 2017",
        combine: grad_cam,
    },
    Cam {
        name: "grad-cam++",
        summary: "the last feature maps, weighted by positive gradients where they are strong",
        source: "Chattopadhyay et al. 2018",
        combine: grad_cam_plus_plus,
    },
    Cam {
        name: "xgrad-cam",
        summary: "the last feature maps, weighted by the gradient where the feature is",
        source: "Fu et al. 2020",
        combine: xgrad_cam,
    },
    Cam {
        name: "hires-cam",
        summary: "the last feature maps times their gradients, place by place",
        source: "Draelos, Carin 2020",
        combine: hires_cam,
    },
    Cam {
        name: "layer-cam",
        summary: "the last feature maps times their positive gradients, place by place",
        source: "Jiang et al. 2021",
        combine: layer_cam,
    },
];

impl OneRecipe for Cam {
    fn description(&self) -> Description {
        Description {
            name: self.name,
            summary: self.summary,
            source: self.source,
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: false,
            class_sensitive: true,
            parameters: &[],
        }
    }

    fn recipe<'m>(&self, model: &'m Model, p: &mut Parameters, choices: &Choices) -> Result<Recipe<'m>> {
        let level = layer(model, p, choices)?;
        let [_, height, width] = level.shape;
        let plan = plan(model, &level, self.combine);
        Ok(Recipe { plan, reading: Reading::Layer([height, width]) })
    }
}

/// The plan of a formula at a level.
pub(super) fn plan<'m>(model: &'m Model, level: &Level, formula: Formula) -> Plan<'m> {
    let feature = level.feature();
    let combine: Combine = Box::new(move |s| {
        formula(feature.as_channels_first(s.wrt[0]), feature.as_channels_first(s.found[0]))
    });
    Plan { combine: Some(combine), ..Plan::gradient(model, &[level.value]) }
}

/// The layer of a CAM method: the coarsest level. Its name is recorded in the parameters.
pub(super) fn layer(model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Level> {
    let mut levels = levels::choose(model, &choices.levels)?;
    let level = levels.swap_remove(levels.len() - 1);
    p.record("layer", level.name.clone());
    Ok(level)
}

/// Σ over positions, N×C×1×1
fn over_places(x: Expr<'_>) -> Expr<'_> {
    x.sum(&[2, 3], true)
}

/// Σ over channels, N×1×H×W
fn over_channels(x: Expr<'_>) -> Expr<'_> {
    x.sum(&[1], true)
}

fn positive(x: Expr<'_>) -> Expr<'_> {
    x.op("Relu", &[], &[])
}

/// Grad-CAM: Σ_k α_k A_k with α_k = mean G_k
pub(super) fn grad_cam<'b>(a: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    over_channels(g.mean(&[2, 3]) * a)
}

/// Grad-CAM++: w_k = Σ α G⁺ with α = G² / (2 G² + Σ A · G³), for the score exp(S_c); where G = 0 the term is 0
fn grad_cam_plus_plus<'b>(a: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    let square = g * g;
    let alpha = square / (square * 2.0 + over_places(a) * square * g + 1e-6);
    over_channels(over_places(alpha * positive(g)) * a)
}

/// XGrad-CAM: α_k = Σ A·G / Σ A
fn xgrad_cam<'b>(a: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    over_channels(over_places(a * g) / (over_places(a) + 1e-7) * a)
}

/// HiRes-CAM: Σ_k G·A
fn hires_cam<'b>(a: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    over_channels(a * g)
}

/// Layer-CAM: Σ_k G⁺·A
fn layer_cam<'b>(a: Expr<'b>, g: Expr<'b>) -> Expr<'b> {
    over_channels(positive(g) * a)
}

#[cfg(test)]
mod tests {
    use candor_graph::builder::Builder;
    use candor_graph::graph::Graph;
    use candor_graph::shape::Dim;
    use candor_graph::tensor::{DataType, Tensor};

    use super::*;
    use crate::engine::{Engine, RTen};

    /// The formula for two channels of two positions.
    fn map(formula: Formula) -> Vec<f32> {
        let b = Builder::new(Graph::new(18));
        let shape = [1, 2, 1, 2];
        let input = |name: &str| b.input(name, DataType::Float, &shape.map(Dim::Fixed));
        let out = formula(input("A"), input("G")).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![out];
        let [a, g] = [[1.0, 0.0, 0.0, 5.0], [1.0, 3.0, -1.0, -1.0]]
            .map(|v| Tensor::floats(&shape, v.to_vec()).unwrap());
        RTen::new(1).compile(&graph).unwrap().run(&[&a, &g]).unwrap().remove(0).into_floats().unwrap()
    }

    #[test]
    fn grad_cam_weighs_by_mean_gradients() {
        assert_eq!(map(grad_cam), [2.0, -5.0]);
    }

    #[test]
    fn the_others_weigh_place_by_place() {
        assert_eq!(map(hires_cam), [1.0, -5.0]);
        assert_eq!(map(layer_cam), [1.0, 0.0]);
        let xgrad = map(xgrad_cam);
        assert!((xgrad[0] - 1.0).abs() < 1e-6 && (xgrad[1] + 5.0).abs() < 1e-5);
        // Channel 1: G = 1, 3 and ΣA = 1 give w = 1/(2+1) + 9·3/(18+27).
        let plus = map(grad_cam_plus_plus);
        assert!((plus[0] - (1.0 / 3.0 + 0.6)).abs() < 1e-5 && plus[1] == 0.0, "{plus:?}");
    }
}
