//! Attention of vision transformers as an explanation: rollout (Abnar and Zuidema 2020), and attention weighted by its
//! gradient (Chefer, Gur, Wolf 2021, "Generic attention-model explainability").
//!
//! Both propagate a row of weights from the tokens that the head reads back through the layers: it is multiplied by the attention A_l
//! (heads×T×T) of one layer after the other, from the last to the first. The map is the resulting weights of the patches.

use candor_graph::feature::Layout;
use candor_graph::graph::{Graph, Node, ValueId};
use candor_graph::shape::Dim;

use super::backward::{OneSweep, Plan, View};
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::{Error, MethodError, Result};
use crate::explanation::Explanation;
use crate::map::{Interpolation, Map};
use crate::mask::{Level, levels};
use crate::model::Model;
use crate::parameters::Parameters;

/// The matrix by which a layer multiplies the row of weights v.
type Layer = fn(&Attention<'_>, row: usize, column: usize) -> f32;

/// One of the two methods.
pub(super) struct AttentionMethod {
    name: &'static str,
    summary: &'static str,
    source: &'static str,
    class_sensitive: bool,
    /// How much of token `row` comes from token `column` through attention.
    layer: Layer,
    /// v ← keep · v + Σ_row v_row · layer(row, ·)
    keep: f32,
}

/// Both methods.
pub(super) const BOTH: [AttentionMethod; 2] = [
    AttentionMethod {
        name: "attention-rollout",
        summary: "attention of a transformer, multiplied through its layers, whatever the class",
        source: "Abnar, Zuidema 2020",
        class_sensitive: false,
        layer: half_mean_attention,
        keep: 0.5,
    },
    AttentionMethod {
        name: "gradient-weighted-attention",
        summary: "attention of a transformer where more of it raises the class's logit, added up through its layers",
        source: "Chefer, Gur, Wolf 2021",
        class_sensitive: true,
        layer: positive_gradient_attention,
        keep: 1.0,
    },
];

/// A layer's attention, heads×T×T, and its gradient.
struct Attention<'a> {
    values: &'a [f32],
    gradient: &'a [f32],
    tokens: usize,
}

impl Attention<'_> {
    /// Mean over the heads of f(A, ∂S_c/∂A) for one pair of tokens.
    fn mean(&self, row: usize, column: usize, f: impl Fn(f32, f32) -> f32) -> f32 {
        let area = self.tokens * self.tokens;
        let heads = self.values.len() / area;
        let at = |h: usize| h * area + row * self.tokens + column;
        (0..heads).map(|h| f(self.values[at(h)], self.gradient[at(h)])).sum::<f32>() / heads as f32
    }

    /// Rows that the logit depends on.
    fn rows_read(&self) -> Vec<usize> {
        let area = self.tokens * self.tokens;
        let read = |row: &usize| {
            let of_head = |h: &[f32]| h[row * self.tokens..(row + 1) * self.tokens].iter().any(|&g| g != 0.0);
            self.gradient.chunks(area).any(of_head)
        };
        (0..self.tokens).filter(read).collect()
    }
}

/// Rollout: ½ (mean over heads of A + 1); the half for the residual connection is `keep`
fn half_mean_attention(a: &Attention<'_>, row: usize, column: usize) -> f32 {
    0.5 * a.mean(row, column, |a, _| a)
}

/// Generic attention: mean over heads of (∂S_c/∂A ⊙ A)⁺ (Chefer et al. 2021, equation 5)
fn positive_gradient_attention(a: &Attention<'_>, row: usize, column: usize) -> f32 {
    a.mean(row, column, |a, g| (a * g).max(0.0))
}

impl Definition for AttentionMethod {
    fn description(&self) -> Description {
        Description {
            name: self.name,
            summary: self.summary,
            source: self.source,
            cost: Cost { forward: 1, backward: 1, note: "" },
            signed: false,
            class_sensitive: self.class_sensitive,
            parameters: &[],
        }
    }

    fn prepare(&self, model: &Model, _: &mut Parameters, _: &Choices) -> Result<Box<dyn Compiled>> {
        let refuse = |source| Error::method(self.name, source);
        let networks = "transformers whose tokens are patches of the photo";
        let tokens = tokens(model).ok_or_else(|| refuse(MethodError::NotForModel { networks }))?;
        let attention =
            attention(&model.graph, &tokens).map_err(|reason| refuse(MethodError::Attention { reason }))?;
        let (layer, keep) = (self.layer, self.keep);
        let plan = Plan { values: attention.clone(), ..Plan::gradient(model, &attention) };
        let read = move |v: &View<'_>| follow(v, &tokens, layer, keep);
        Ok(Box::new(OneSweep::new(model, plan, Box::new(read))?))
    }
}

/// The last level, if it consists of tokens on a grid.
fn tokens(model: &Model) -> Option<Level> {
    let level = levels::automatic_levels(model).ok()?.pop()?;
    matches!(level.layout, Layout::Tokens { .. }).then_some(level)
}

/// Numbers of tokens of a level: those without a position, and those of the grid.
fn count(level: &Level) -> [usize; 2] {
    let extra = if let Layout::Tokens { extra } = level.layout { extra } else { 0 };
    [extra, level.shape[1] * level.shape[2]]
}

/// The attention probabilities of all layers, N×heads×T×T among all T tokens of the level, from first to last.
fn attention(graph: &Graph, level: &Level) -> Result<Vec<ValueId>, String> {
    let total: usize = count(level).iter().sum();
    let mut found = vec![];
    for node in graph.nodes.iter().filter(|n| weighs_tokens(graph, n)) {
        let shape = graph.shape(node.output()).unwrap_or_default();
        if !matches!(shape[..], [Dim::Batch(1), Dim::Fixed(_), Dim::Fixed(t), Dim::Fixed(s)] if [t, s] == [total; 2])
        {
            return Err(format!(
                "is defined for attention among all {total} tokens, and that at '{}' has shape {}; choose another method",
                graph.name(node.output()),
                candor_graph::shape::display(Some(&shape)),
            ));
        }
        found.push(node.output());
    }
    if found.is_empty() {
        return Err(
            "is defined for attention by a softmax, and this model has none; choose another method".into()
        );
    }
    Ok(found)
}

/// Whether a node is the softmax of an attention: a matrix product has it as its left factor.
fn weighs_tokens(graph: &Graph, node: &Node) -> bool {
    let multiplies = |n: &Node| n.op == "MatMul" && n.input(0) == Some(node.output());
    node.op == "Softmax"
        && graph.shape(node.output()).is_some_and(|s| s.len() >= 3)
        && graph.nodes.iter().any(multiplies)
}

/// The map on the model's input grid.
fn follow(view: &View<'_>, level: &Level, layer: Layer, keep: f32) -> Explanation {
    let [extra, places] = count(level);
    let tokens = extra + places;
    let layers = view.values.iter().zip(view.found).rev();
    let mut weights: Vec<f32> = vec![];
    for (values, gradient) in layers {
        let attention = Attention { values, gradient, tokens };
        if weights.is_empty() {
            weights = start(&attention);
        }
        let mut next: Vec<f32> = weights.iter().map(|w| keep * w).collect();
        for (row, &weight) in weights.iter().enumerate().filter(|(_, w)| **w != 0.0) {
            for (column, n) in next.iter_mut().enumerate() {
                *n += weight * layer(&attention, row, column);
            }
        }
        weights = next;
    }
    let grid = Map { height: level.shape[1], width: level.shape[2], data: weights.split_off(extra) };
    let [_, height, width] = view.model.input_shape;
    Explanation::of_map(grid.resize(height, width, Interpolation::Bilinear), Default::default())
}

/// Equal weights for the tokens that the logit depends on: the class token, or all patches if they are averaged. All tokens, if it
/// depends on none.
fn start(last: &Attention<'_>) -> Vec<f32> {
    let mut read = last.rows_read();
    if read.is_empty() {
        read = (0..last.tokens).collect();
    }
    let mut weights = vec![0.0; last.tokens];
    read.iter().for_each(|&row| weights[row] = 1.0 / read.len() as f32);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads, two tokens; only token 0 is read.
    const LAST: Attention<'_> = Attention {
        values: &[0.25, 0.75, 0.5, 0.5, 1.0, 0.0, 0.0, 1.0],
        gradient: &[-1.0, 2.0, 0.0, 0.0, 3.0, 1.0, 0.0, 0.0],
        tokens: 2,
    };

    #[test]
    fn the_row_starts_where_the_head_reads() {
        assert_eq!(start(&LAST), [1.0, 0.0]);
        assert_eq!(start(&Attention { gradient: &[0.0; 8], ..LAST }), [0.5, 0.5]);
    }

    #[test]
    fn heads_are_averaged() {
        assert_eq!(half_mean_attention(&LAST, 0, 0), 0.5 * (0.25 + 1.0) / 2.0);
        assert_eq!(positive_gradient_attention(&LAST, 0, 0), 3.0 / 2.0);
        assert_eq!(positive_gradient_attention(&LAST, 0, 1), 1.5 / 2.0);
    }
}
