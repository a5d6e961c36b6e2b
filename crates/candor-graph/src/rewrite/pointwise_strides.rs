//! Strided 1×1 convolutions as a Slice and a convolution without strides, for engines on which that is faster.

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::{Attr, Graph, Node};

/// Makes each Conv with a 1×1 kernel and strides read a slice of every stride-th element instead, which is equivalent.
///
/// # Errors
/// [`crate::error::GraphError`] if the graph is malformed.
pub fn slice_before_pointwise(graph: &mut Graph) -> Result<()> {
    if !graph.nodes.iter().any(is_strided_pointwise) {
        return Ok(());
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    for mut node in nodes {
        if let (true, Some(input)) = (is_strided_pointwise(&node), node.input(0)) {
            let steps = node.ints("strides").unwrap_or_default().to_vec();
            let (starts, ends) = (vec![0; steps.len()], vec![i64::from(i32::MAX); steps.len()]);
            let axes: Vec<i64> = (2..).take(steps.len()).collect();
            let taken =
                builder.made_from(&node, || builder.value(input).slice(&axes, &starts, &ends, &steps));
            node.inputs[0] = Some(taken.id());
            node.attrs.insert("strides".into(), Attr::Ints(vec![1; steps.len()]));
        }
        builder.push(node);
    }
    *graph = builder.finish()?;
    Ok(())
}

fn is_strided_pointwise(node: &Node) -> bool {
    is_pointwise(node) && node.ints("strides").is_some_and(|s| s.iter().any(|&n| n != 1))
}

/// Whether each output element of a node is a sum over the channels at one position.
pub(super) fn is_pointwise(node: &Node) -> bool {
    node.op == "Conv"
        && node.domain.is_empty()
        && node.ints("kernel_shape").is_some_and(|k| k.iter().all(|&n| n == 1))
        && node.ints("pads").is_none_or(|p| p.iter().all(|&n| n == 0))
        && node.text("auto_pad", "NOTSET") == "NOTSET"
}

#[cfg(test)]
mod tests {
    use super::slice_before_pointwise;
    use crate::builder::Builder;
    use crate::graph::{Attr, Graph};
    use crate::shape::Dim;
    use crate::tensor::{DataType, Tensor};

    fn convolution(kernel: usize, pads: i64) -> Graph {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(7), Dim::Fixed(5)]);
        let weight = b.constant(Tensor::full(&[3, 2, kernel, kernel], 0.5));
        let attributes = [
            ("kernel_shape", Attr::Ints(vec![kernel as i64; 2])),
            ("strides", Attr::Ints(vec![2, 3])),
            ("pads", Attr::Ints(vec![pads; 4])),
        ];
        let y = x.op("Conv", &[weight], &attributes).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        graph
    }

    #[test]
    fn a_strided_pointwise_convolution_keeps_its_shape() {
        let mut graph = convolution(1, 0);
        let before = graph.shape(graph.outputs[0]);
        slice_before_pointwise(&mut graph).unwrap();
        let ops: Vec<&str> = graph.nodes.iter().map(|n| n.op.as_str()).collect();
        assert_eq!(ops, ["Slice", "Conv"]);
        assert_eq!(graph.nodes[1].ints("strides"), Some(&[1, 1][..]));
        assert_eq!(graph.shape(graph.outputs[0]), before);
    }

    #[test]
    fn others_stay_as_they_are() {
        for mut graph in [convolution(3, 0), convolution(1, 1)] {
            slice_before_pointwise(&mut graph).unwrap();
            assert_eq!(graph.nodes.len(), 1);
        }
    }
}
