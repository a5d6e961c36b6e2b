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

/// The output of a convolution with its bias added, four axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Biased {
    /// The sum.
    pub value: ValueId,
    /// The axis of its channels: 1 for N×C×H×W, 3 for N×H×W×C.
    pub axis: usize,
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
    let there = |n: &Normalised| {
        producers.contains_key(&n.value) && channels(graph, n.value, 1) == Some(n.scale.len())
    };
    all.into_iter().filter(there).collect()
}

/// Every per-channel bias after a convolution: its own and what Add and Sub bring after it, also behind factors, casts and transpositions, as
/// in a BatchNormalization that was exported as single operators.
pub fn biased(graph: &Graph) -> Vec<Biased> {
    let consumers = graph.consumers();
    let of_conv = |conv: &Node| {
        let mut bias = match conv.input(2) {
            None => vec![0.0; channels(graph, conv.output(), 1)?],
            Some(id) => graph.constant(id)?.as_floats()?.to_vec(),
        };
        let mut found = conv.input(2).map(|_| Biased { value: conv.output(), axis: 1, bias: bias.clone() });
        let (mut value, mut axis) = (conv.output(), 1);
        loop {
            let readers = consumers.get(&value).into_iter().flatten().map(|&i| &graph.nodes[i]);
            let mut steps = readers.filter_map(|n| Some((n, step(graph, n, value, axis, &bias)?)));
            let Some((node, (next, sum))) = steps.next() else { break };
            (value, axis, bias) = (node.output(), next, sum);
            if matches!(node.op.as_str(), "Add" | "Sub") {
                found = Some(Biased { value, axis, bias: bias.clone() });
            }
        }
        found.filter(|b| channels(graph, b.value, b.axis) == Some(b.bias.len()))
    };
    graph.nodes.iter().filter(|n| n.op == "Conv").filter_map(of_conv).collect()
}

/// What a node that reads `value` makes of the axis of its channels and of the sum of biases; `None` if it is not linear in each channel
/// with constants.
fn step(graph: &Graph, node: &Node, value: ValueId, axis: usize, bias: &[f32]) -> Option<(usize, Vec<f32>)> {
    let per_channel = |i: usize| {
        let tensor = graph.constant(node.input(i)?)?;
        let from_end = 4 - axis;
        let fits = tensor.shape().len() >= from_end
            && tensor
                .shape()
                .iter()
                .rev()
                .enumerate()
                .all(|(k, &n)| n == if k + 1 == from_end { bias.len() } else { 1 });
        fits.then(|| tensor.as_floats().map(<[f32]>::to_vec)).flatten()
    };
    let with = |constant: Vec<f32>, f: fn(f32, f32) -> f32| {
        Some((axis, bias.iter().zip(constant).map(|(&b, c)| f(b, c)).collect()))
    };
    let first = node.input(0) == Some(value);
    match node.op.as_str() {
        "Cast" | "Identity" => Some((axis, bias.to_vec())),
        "Transpose" => {
            let to = node.ints("perm")?.iter().position(|&from| from == axis as i64)?;
            Some((to, bias.to_vec()))
        }
        "Add" => with(per_channel(usize::from(first))?, |b, c| b + c),
        "Mul" => with(per_channel(usize::from(first))?, |b, c| b * c),
        "Sub" if first => with(per_channel(1)?, |b, c| b - c),
        "Div" if first => with(per_channel(1)?, |b, c| b / c),
        _ => None,
    }
}

/// Number of channels of a value with four axes.
fn channels(graph: &Graph, value: ValueId, axis: usize) -> Option<usize> {
    match graph.shape(value)? {
        shape if shape.len() == 4 => match shape[axis] {
            Dim::Fixed(channels) => Some(channels),
            _ => None,
        },
        _ => None,
    }
}

/// The graph with two more outputs for each of `values` (four axes, with the axis of the channels): for each image, the mean of each channel
/// and the mean of its squares, both N×C×1×1 or in the value's own order.
///
/// # Errors
/// If a value does not have four axes.
pub fn with_means(graph: Graph, values: &[(ValueId, usize)]) -> Result<Graph> {
    let builder = Builder::new(graph);
    let mut outputs = vec![];
    for &(value, axis) in values {
        let x = builder.value(value);
        let positions: Vec<i64> = (1..4).filter(|&a| a != axis as i64).collect();
        outputs.extend([x.mean(&positions).id(), (x * x).mean(&positions).id()]);
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
        assert_eq!(with_means(graph, &ids.map(|id| (id, 1))).unwrap().outputs.len(), 7);
    }

    #[test]
    fn a_normalization_in_single_operators_is_a_bias_with_channels_last() {
        let builder = Builder::new(Graph::new(18));
        let side = Dim::Fixed(4);
        let x = builder.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(1), side, side]);
        let floats = |shape: &[usize], v: Vec<f32>| builder.constant(Tensor::floats(shape, v).unwrap());
        let conv = x.op("Conv", &[floats(&[2, 1, 1, 1], vec![1.0; 2])], &[]);
        let last = conv.transpose(&[0, 2, 3, 1]);
        let of = |v: [f32; 2]| floats(&[1, 1, 1, 2], v.to_vec());
        let normal = (last - of([1.0, 2.0])) * of([3.0, 4.0]) + of([5.0, 6.0]);
        // After ReLU a sum is no longer one with the convolution's result, and a constant along another axis is no bias.
        let out = normal.op("Relu", &[], &[]) + of([7.0, 8.0]) + floats(&[1, 4, 1, 1], vec![1.0; 4]);
        let (value, out) = (normal.id(), out.id());
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![out];
        assert_eq!(biased(&graph), [Biased { value, axis: 3, bias: vec![2.0, -2.0] }]);
        let graph = with_means(graph, &[(value, 3)]).unwrap();
        assert_eq!(
            graph.shape(graph.outputs[1]).unwrap()[1..],
            [Dim::Fixed(1), Dim::Fixed(1), Dim::Fixed(2)]
        );
    }
}
