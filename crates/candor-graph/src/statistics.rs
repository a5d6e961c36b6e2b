//! Training statistics in a network's weights, and outputs that measure the same statistics on new images.
//!
//! A BatchNormalization stores the mean μ and the variance σ² of its input in training: its output (x − μ)/σ·γ + β had the mean β and
//! the standard deviation |γ|. Folded into a convolution, it leaves a bias β − μγ/σ, which cancels the mean of the convolution's result.

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::shape::Dim;

/// The output of a BatchNormalization, N×C×H×W.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalised {
    /// The output.
    pub value: ValueId,
    /// γ: the standard deviation of each channel in training, up to its sign.
    pub scale: Vec<f32>,
    /// β: the mean of each channel in training.
    pub shift: Vec<f32>,
}

/// The output of a convolution with its bias added, N×C×H×W.
#[derive(Clone, Debug, PartialEq)]
pub struct Biased {
    /// The sum.
    pub value: ValueId,
    /// The bias of each channel.
    pub bias: Vec<f32>,
}

/// Every BatchNormalization with constant training statistics.
pub fn normalised(graph: &Graph) -> Vec<Normalised> {
    let is_one =
        |n: &&Node| n.op == "BatchNormalization" && n.domain.is_empty() && n.int("training_mode", 0) == 0;
    let floats = |n: &Node, i: usize| Some(graph.constant(n.input(i)?)?.as_floats()?.to_vec());
    let found = graph.nodes.iter().filter(is_one).filter_map(|n| {
        // Computed statistics are those of the batch, not of training.
        floats(n, 3).and(floats(n, 4))?;
        Some(Normalised { value: n.output(), scale: floats(n, 1)?, shift: floats(n, 2)? })
    });
    found.collect()
}

/// Those of `all` that still exist in the graph with the same channels.
pub fn still_there(graph: &Graph, all: Vec<Normalised>) -> Vec<Normalised> {
    let producers = graph.producers();
    let there =
        |n: &Normalised| producers.contains_key(&n.value) && channels(graph, n.value) == Some(n.scale.len());
    all.into_iter().filter(there).collect()
}

/// Every per-channel bias after a convolution: its own, or that of an Add after it, with or without a Mul by a constant in between.
pub fn biased(graph: &Graph) -> Vec<Biased> {
    let (producers, consumers) = (graph.producers(), graph.consumers());
    let made_by = |id: Option<ValueId>| id.and_then(|id| producers.get(&id)).map(|&i| &graph.nodes[i]);
    let own = |conv: &Node, channels: usize| match conv.input(2) {
        None => Some(vec![0.0; channels]),
        Some(id) => Some(graph.constant(id)?.as_floats()?.to_vec()),
    };
    // For an operator with two operands: the constant, one number per channel, and the node that made the other operand.
    let by_constant = |node: &Node, channels: usize| {
        let per_channel = |id: ValueId| {
            let tensor = graph.constant(id)?;
            let shape: Vec<usize> = tensor.shape().iter().copied().skip_while(|&n| n == 1).collect();
            (shape == [channels, 1, 1]).then(|| tensor.as_floats().map(<[f32]>::to_vec)).flatten()
        };
        (0..2).find_map(|i| Some((per_channel(node.input(i)?)?, made_by(node.input(1 - i))?)))
    };
    let goes_on = |id: ValueId, channels: usize| {
        let readers = consumers.get(&id).into_iter().flatten().map(|&i| &graph.nodes[i]);
        readers.filter(|n| n.op == "Mul" || n.op == "Add").any(|n| by_constant(n, channels).is_some())
    };
    let found = graph.nodes.iter().filter_map(|node| {
        let channels = channels(graph, node.outputs.first().copied().flatten()?)?;
        let bias = match node.op.as_str() {
            "Conv" if node.input(2).is_some() && !goes_on(node.output(), channels) => own(node, channels)?,
            "Add" => {
                let (added, before) = by_constant(node, channels)?;
                let inner = match before.op.as_str() {
                    "Conv" => own(before, channels)?,
                    "Mul" => {
                        let (factor, conv) = by_constant(before, channels)?;
                        let inner = (conv.op == "Conv").then(|| own(conv, channels)).flatten()?;
                        inner.iter().zip(factor).map(|(b, f)| b * f).collect()
                    }
                    _ => return None,
                };
                inner.iter().zip(added).map(|(b, a)| b + a).collect()
            }
            _ => return None,
        };
        (bias.len() == channels).then(|| Biased { value: node.output(), bias })
    });
    found.collect()
}

/// Channels of a value that is N×C×H×W.
fn channels(graph: &Graph, value: ValueId) -> Option<usize> {
    match graph.shape(value)?[..] {
        [_, Dim::Fixed(channels), _, _] => Some(channels),
        _ => None,
    }
}

/// The graph with two more outputs for each of `values` (N×C×H×W): for each image, the mean of each channel and the mean of its
/// squares, both N×C×1×1.
///
/// # Errors
/// If a value is not N×C×H×W.
pub fn with_means(graph: Graph, values: &[ValueId]) -> Result<Graph> {
    let builder = Builder::new(graph);
    let mut outputs = vec![];
    for &value in values {
        let x = builder.value(value);
        outputs.extend([x.mean(&[2, 3]).id(), (x * x).mean(&[2, 3]).id()]);
    }
    let mut graph = builder.finish()?;
    graph.outputs.extend(outputs);
    graph.check()?;
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{DataType, Tensor};

    #[test]
    fn biases_are_found_behind_factors_and_without() {
        let builder = Builder::new(Graph::new(18));
        let x = builder.input(
            "x",
            DataType::Float,
            &[Dim::Batch(1), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(4)],
        );
        let floats = |shape: &[usize], v: Vec<f32>| builder.constant(Tensor::floats(shape, v).unwrap());
        let weight = |inputs| floats(&[2, inputs, 1, 1], vec![1.0; 2 * inputs]);
        let own = x.op("Conv", &[weight(1), floats(&[2], vec![1.0, 2.0])], &[]);
        let plain = own.op("Conv", &[weight(2)], &[]);
        let scaled = plain * floats(&[2, 1, 1], vec![3.0, 4.0]);
        let added = scaled + floats(&[1, 2, 1, 1], vec![5.0, 6.0]);
        let both = added.op("Conv", &[weight(2), floats(&[2], vec![1.0, 2.0])], &[])
            + floats(&[2, 1, 1], vec![10.0, 20.0]);
        // Neither a sum of two features nor a scalar is a bias.
        let out = both + added + 1.0;
        let ids = [own.id(), added.id(), both.id()];
        let out = out.id();
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![out];
        let found: Vec<_> = biased(&graph).into_iter().map(|b| (b.value, b.bias)).collect();
        let expected = vec![(ids[0], vec![1.0, 2.0]), (ids[1], vec![5.0, 6.0]), (ids[2], vec![11.0, 22.0])];
        assert_eq!(found, expected);
        assert_eq!(with_means(graph, &ids).unwrap().outputs.len(), 7);
    }
}
