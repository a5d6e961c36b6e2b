//! Moves masks on values that depend on no other mask behind the pointwise convolutions that read them: the convolution's input is then
//! unmasked, so that it runs once, before the optimisation steps.

use std::collections::HashMap;

use super::pointwise_strides::is_pointwise;
use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};
use crate::insert::MaskSite;

/// Rewrites conv(x · m) + b to conv(x) · m + b for each Conv with a 1×1 kernel, where m is one of the masks at `sites` with one
/// channel and x depends on no mask. That is exact: each output reads one position, and all its channels have the same factor. With
/// strides, the mask is read at every stride-th position. Other readers of x · m are unchanged.
///
/// # Errors
/// [`crate::error::GraphError`] if the graph is malformed.
pub fn masks_behind_pointwise(graph: &mut Graph, sites: &[MaskSite]) -> Result<()> {
    let products = first_products(graph, sites);
    let reads = |n: &Node| Some((n.input(1)?, *products.get(&n.input(0)?)?)).filter(|_| is_pointwise(n));
    if !graph.nodes.iter().any(|n| reads(n).is_some()) {
        return Ok(());
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    for node in nodes {
        match reads(&node) {
            Some((weight, (value, mask))) => {
                let inputs = [value, weight, mask].map(|id| builder.value(id));
                builder.made_from(&node, || fold(&node, inputs));
            }
            None => builder.push(node),
        }
    }
    *graph = builder.finish()?;
    Ok(())
}

/// For each product of a value and a mask whose value depends on no mask: the value and the mask.
fn first_products(graph: &Graph, sites: &[MaskSite]) -> HashMap<ValueId, (ValueId, ValueId)> {
    let masks: Vec<ValueId> = sites.iter().map(|s| s.mask).collect();
    let late = graph.descendants(&masks);
    let first =
        |s: &&MaskSite| s.mask_shape == [1, s.value_shape[1], s.value_shape[2]] && !late.contains(&s.value);
    let product = |s: &MaskSite| {
        let is = |n: &&Node| n.op == "Mul" && n.inputs == [Some(s.value), Some(s.mask)];
        graph.nodes.iter().find(is).map(|n| (n.output(), (s.value, s.mask)))
    };
    sites.iter().filter(first).filter_map(product).collect()
}

fn fold(node: &Node, [value, weight, mask]: [Expr<'_>; 3]) {
    let builder = value.builder();
    let attributes: Vec<_> = node.attrs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let seen = value.op("Conv", &[weight], &attributes);
    let strides = node.ints("strides").unwrap_or(&[1, 1]);
    let mask = if strides.iter().all(|&s| s == 1) {
        mask
    } else {
        mask.slice(&[2, 3], &[0, 0], &[i64::from(i32::MAX); 2], strides)
    };
    // The last node has the convolution's name and output.
    let last = |op: &str, a: Expr<'_>, b: Expr<'_>| {
        let inputs = vec![Some(a.id()), Some(b.id())];
        builder.push(Node { op: op.to_string(), inputs, attrs: Default::default(), ..node.clone() });
    };
    match node.input(2) {
        Some(bias) => last("Add", seen * mask, builder.value(bias).reshape(&[1, -1, 1, 1])),
        None => last("Mul", seen, mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::Feature;
    use crate::graph::Attr;
    use crate::insert::{MaskShape, insert_masks};
    use crate::shape::Dim;
    use crate::tensor::{DataType, Tensor};

    /// A convolution that reads x, three pointwise ones that read it, and one that reads those; two of the values are masked.
    fn masked(shape: MaskShape) -> (Graph, Vec<MaskSite>) {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &[Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(7), Dim::Fixed(5)]);
        let conv = |x: Expr<'_>, kernel: usize, stride: i64, bias: bool| {
            let mut inputs = vec![x.builder().constant(Tensor::full(&[2, 2, kernel, kernel], 0.5)).id()];
            inputs.extend(bias.then(|| x.builder().constant(Tensor::full(&[2], 1.0)).id()));
            let inputs: Vec<_> = inputs.into_iter().map(|id| b.value(id)).collect();
            let ints = |n: i64, count: usize| Attr::Ints(vec![n; count]);
            let pads = kernel as i64 / 2;
            let attributes = [
                ("kernel_shape", ints(kernel as i64, 2)),
                ("strides", ints(stride, 2)),
                ("pads", ints(pads, 4)),
            ];
            b.value(x.id()).op("Conv", &inputs, &attributes)
        };
        let first = conv(x, 3, 1, true);
        let second = conv(first, 1, 1, true) + conv(first, 1, 1, false);
        let last = conv(second, 1, 1, true).sum(&[2, 3], true) + conv(first, 1, 3, true).sum(&[2, 3], true);
        let ids = [first.id(), second.id(), last.id()];
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![ids[2]];
        let features: Vec<_> = ids[..2].iter().map(|&id| Feature::of(&graph, id).unwrap()).collect();
        insert_masks(graph, &features, shape).unwrap()
    }

    #[test]
    fn what_reads_the_first_level_runs_before_the_masks() {
        let (mut graph, sites) = masked(MaskShape::Spatial);
        let late = |graph: &Graph| {
            let late = graph.descendants(&sites.iter().map(|s| s.mask).collect::<Vec<_>>());
            graph.nodes.iter().filter(|n| n.op == "Conv" && late.contains(&n.output())).count()
        };
        assert_eq!(late(&graph), 4);
        let before = graph.shape(graph.outputs[0]);
        masks_behind_pointwise(&mut graph, &sites).unwrap();
        graph.check().unwrap();
        assert_eq!(late(&graph), 1, "the second level's mask comes after the first's");
        assert_eq!(graph.shape(graph.outputs[0]), before);
    }

    #[test]
    fn a_mask_with_channels_stays() {
        let (mut graph, sites) = masked(MaskShape::Full);
        let before = graph.nodes.len();
        masks_behind_pointwise(&mut graph, &sites).unwrap();
        assert_eq!(graph.nodes.len(), before);
    }
}
