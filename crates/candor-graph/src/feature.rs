//! Feature maps: which axes of a value are spatial, and how a mask N×C×H×W is applied to them.

use crate::builder::Expr;
use crate::graph::{Graph, ValueId};
use crate::shape::Dim;

/// Order of a feature map's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// N×C×H×W, as for convolutions.
    ChannelsFirst,
    /// N×H×W×C, as for windowed transformers.
    ChannelsLast,
    /// N×(extra + H·W)×C: patch tokens after `extra` tokens without a position (the class token), which masks leave unchanged.
    Tokens {
        /// Tokens in front of the patches.
        extra: usize,
    },
}

/// A value that holds features at positions of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The value.
    pub value: ValueId,
    /// Order of its axes.
    pub layout: Layout,
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
}

/// Maximum number of tokens without a position before the patches: class, distillation and register tokens.
const MAX_EXTRA: usize = 8;

impl Feature {
    /// Reads a value as a feature map. For a value N×T×C, the patch grid is that of a Conv before it, with at most 8 tokens besides its
    /// positions; without such a Conv a square grid is assumed. `None` if the value is neither that nor of rank four with known sizes, or
    /// if it has more rows than there are images (windows, for example).
    pub fn of(graph: &Graph, value: ValueId) -> Option<Self> {
        let shape = graph.shape(value)?;
        let images = graph.inputs.first().and_then(|&id| graph.shape(id)).and_then(|s| s.first().copied());
        let known = |d: &&Dim| **d != Dim::Unknown;
        if let (Some(rows), Some(images)) = (shape.first().filter(known), images.as_ref().filter(known))
            && rows != images
        {
            return None;
        }
        match shape.as_slice() {
            [_, Dim::Fixed(a), Dim::Fixed(b), Dim::Fixed(c)] => {
                Some(if channels_last(graph, value, [*a, *b, *c]) {
                    Feature { value, layout: Layout::ChannelsLast, shape: [*c, *a, *b] }
                } else {
                    Feature { value, layout: Layout::ChannelsFirst, shape: [*a, *b, *c] }
                })
            }
            [_, Dim::Fixed(tokens), Dim::Fixed(channels)] => {
                // N×C×T, not transposed to tokens yet: its last axis is the grid.
                if !(*channels..=channels + MAX_EXTRA).contains(tokens) && exact_grid(graph, value, *channels)
                {
                    return None;
                }
                let [height, width] = grid(graph, value, *tokens)?;
                let layout = Layout::Tokens { extra: tokens - height * width };
                Some(Feature { value, layout, shape: [*channels, height, width] })
            }
            _ => None,
        }
    }

    /// Rearranges a mask N×(1 or C)×H×W to broadcast against the value.
    pub(crate) fn lay<'b>(&self, mask: Expr<'b>, mask_channels: usize) -> Expr<'b> {
        let [_, height, width] = self.shape;
        match self.layout {
            Layout::ChannelsFirst => mask,
            Layout::ChannelsLast => mask.transpose(&[0, 2, 3, 1]),
            Layout::Tokens { extra } => mask
                .reshape(&[-1, mask_channels as i64, (height * width) as i64])
                .transpose(&[0, 2, 1])
                .pad(&[0, extra as i64, 0, 0, 0, 0], 1.0),
        }
    }

    /// A value of this layout as N×C×H×W, without the tokens that have no position.
    pub fn as_channels_first<'b>(&self, value: Expr<'b>) -> Expr<'b> {
        let [channels, height, width] = self.shape.map(|n| n as i64);
        match self.layout {
            Layout::ChannelsFirst => value,
            Layout::ChannelsLast => value.transpose(&[0, 3, 1, 2]),
            Layout::Tokens { extra } => {
                let places = value.slice(&[1], &[extra as i64], &[i64::MAX], &[1]);
                places.transpose(&[0, 2, 1]).reshape(&[-1, channels, height, width])
            }
        }
    }

    /// The elements of one image's value as C×H×W, row-major, without the tokens that have no position.
    pub fn channels_first(&self, values: &[f32]) -> Vec<f32> {
        let [channels, height, width] = self.shape;
        let first = match self.layout {
            Layout::ChannelsFirst => return values.to_vec(),
            Layout::ChannelsLast => 0,
            Layout::Tokens { extra } => extra * channels,
        };
        let places = height * width;
        (0..channels * places).map(|i| values[first + (i % places) * channels + i / places]).collect()
    }
}

/// Whether a value N×a×b×c is N×H×W×C: decided by the nearest nodes after it that treat one axis as channels, otherwise by which two
/// sizes are equal, since images are mostly square.
fn channels_last(graph: &Graph, value: ValueId, [a, b, c]: [usize; 3]) -> bool {
    channels_told(graph, value).unwrap_or(a == b && b != c)
}

/// `Some(true)` if the nodes after a value of rank four show that its channels are last, `Some(false)` if first.
fn channels_told(graph: &Graph, value: ValueId) -> Option<bool> {
    let mut same = std::collections::HashSet::from([value]);
    for node in &graph.nodes {
        let Some(position) = node.inputs.iter().position(|i| i.is_some_and(|id| same.contains(&id))) else {
            continue;
        };
        let rank = node.input(position).and_then(|id| graph.shape(id)).map_or(0, |s| s.len());
        let constant = |i: usize| node.input(i).is_some_and(|id| graph.constant(id).is_some());
        match node.op.as_str() {
            "Conv"
            | "BatchNormalization"
            | "MaxPool"
            | "AveragePool"
            | "GlobalAveragePool"
            | "InstanceNormalization" => {
                return Some(false);
            }
            "LayerNormalization" if matches!(node.int("axis", -1), -1 | 3) => return Some(true),
            "MatMul" if position == 0 && constant(1) => return Some(true),
            "Transpose" => match node.ints("perm") {
                Some([0, 2, 3, 1]) => return Some(false),
                Some([0, 3, 1, 2]) => return Some(true),
                _ => {}
            },
            "ReduceMean" => {
                let axes = node.input(1).and_then(|id| graph.known_ints(id)).unwrap_or_default();
                let axes: Vec<i64> = axes.iter().map(|a| a.rem_euclid(4)).collect();
                if rank == 4 && axes.contains(&1) && axes.contains(&2) {
                    return Some(true);
                }
                if rank == 4 && axes.contains(&2) && axes.contains(&3) {
                    return Some(false);
                }
            }
            "Add" | "Sub" | "Mul" | "Div" | "Pad" | "Slice" | "Concat" | "Relu" | "Sigmoid" | "Clip"
            | "Identity" => {
                let rank_of = |id: ValueId| graph.shape(id).map(|s| s.len());
                same.extend(node.outputs.iter().flatten().filter(|&&o| rank_of(o) == Some(4)));
            }
            _ => {}
        }
    }
    None
}

/// Whether the last Conv before a value has exactly `places` spatial positions.
fn exact_grid(graph: &Graph, value: ValueId, places: usize) -> bool {
    let up = graph.ancestors(&[value]);
    let conv = graph.nodes.iter().rev().find(|n| n.op == "Conv" && up.contains(&n.output()));
    let shape = conv.and_then(|n| graph.shape(n.output()));
    matches!(shape.as_deref(), Some([_, _, Dim::Fixed(h), Dim::Fixed(w)]) if *h > 1 && h * w == places)
}

/// Height and width of the patch grid of `tokens` tokens: those of the last Conv before the value whose grid fits.
fn grid(graph: &Graph, value: ValueId, tokens: usize) -> Option<[usize; 2]> {
    let up = graph.ancestors(&[value]);
    let fits = |places: usize| places > 1 && places <= tokens && tokens - places <= MAX_EXTRA;
    let of_conv =
        graph.nodes.iter().rev().filter(|n| n.op == "Conv" && up.contains(&n.output())).find_map(|n| {
            match graph.shape(n.output())?.as_slice() {
                [_, _, Dim::Fixed(h), Dim::Fixed(w)] if fits(h * w) => Some([*h, *w]),
                _ => None,
            }
        });
    of_conv.or_else(|| {
        let side = tokens.isqrt();
        fits(side * side).then_some([side, side])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::tensor::DataType;

    #[test]
    fn tokens_become_channels_first_without_the_class_token() {
        let mut graph = Graph::new(18);
        let value = graph.add_input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(5), Dim::Fixed(2)]);
        let feature = Feature::of(&graph, value).expect("a square of four and one");
        assert_eq!((feature.layout, feature.shape), (Layout::Tokens { extra: 1 }, [2, 2, 2]));
        let values: Vec<f32> = (0..10).map(|v| v as f32).collect();
        assert_eq!(feature.channels_first(&values), [2.0, 4.0, 6.0, 8.0, 3.0, 5.0, 7.0, 9.0]);
    }

    #[test]
    fn windows_are_no_places() {
        let builder = Builder::new(Graph::new(18));
        let dims = [Dim::Batch(1), Dim::Fixed(8), Dim::Fixed(14), Dim::Fixed(14)];
        let x = builder.input("x", DataType::Float, &dims);
        let windows = x.reshape(&[-1, 8, 2, 7, 2, 7]).transpose(&[0, 2, 4, 3, 5, 1]).reshape(&[-1, 7, 7, 8]);
        let (x, windows) = (x.id(), windows.id());
        let graph = builder.finish().expect("builds");
        assert_eq!(graph.shape(windows).expect("known")[0], Dim::Batch(4));
        assert!(Feature::of(&graph, x).is_some() && Feature::of(&graph, windows).is_none());
    }

    #[test]
    fn a_layer_norm_tells_channels_last() {
        let builder = Builder::new(Graph::new(18));
        let dims = [Dim::Batch(1), Dim::Fixed(7), Dim::Fixed(5), Dim::Fixed(3)];
        let x = builder.input("x", DataType::Float, &dims);
        let scale = builder.constant(crate::tensor::Tensor::full(&[3], 1.0));
        (x + 1.0).op("LayerNormalization", &[scale], &[]);
        let id = x.id();
        let graph = builder.finish().expect("builds");
        let feature = Feature::of(&graph, id).expect("rank four");
        assert_eq!((feature.layout, feature.shape), (Layout::ChannelsLast, [3, 7, 5]));
    }
}
