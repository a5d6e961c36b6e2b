//! Writes out the defaults of Conv and pooling windows: kernel, strides, dilations, and auto_pad as pads.

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node};
use crate::shape::Dim;

/// Makes every window explicit.
pub(super) fn explicit_windows(graph: &mut Graph) -> Result<()> {
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        let windowed =
            matches!(node.op.as_str(), "Conv" | "MaxPool" | "AveragePool" | "LpPool" | "ConvTranspose");
        if !windowed || !node.domain.is_empty() {
            continue;
        }
        let attrs = explicit(graph, node)?;
        let node = &mut graph.nodes[i];
        node.attrs.remove("auto_pad");
        // AveragePool has this attribute only from operator set 19 on, and LpPool is lowered to AveragePool.
        let averages = matches!(node.op.as_str(), "AveragePool" | "LpPool");
        for (key, value) in attrs {
            if averages && key == "dilations" && value.iter().all(|&d| d == 1) {
                node.attrs.remove(key);
                continue;
            }
            node.attrs.insert(key.to_string(), Attr::Ints(value));
        }
    }
    Ok(())
}

fn explicit(graph: &Graph, node: &Node) -> Result<Vec<(&'static str, Vec<i64>)>> {
    let fail = |reason: &str| GraphError::node(node, reason);
    let input = node.input(0).and_then(|id| graph.shape(id));
    let input =
        input.ok_or_else(|| GraphError::unknown_shape(node, "the shape of its input is not known"))?;
    let kernel = kernel(graph, node)?;
    let n = kernel.len();
    if input.len() != n + 2 {
        let what = format!("its input has rank {}, its kernel {n} dimensions", input.len());
        return Err(GraphError::shapes(node, what));
    }
    let strides = node.ints("strides").map_or_else(|| vec![1; n], <[i64]>::to_vec);
    let dilations = node.ints("dilations").map_or_else(|| vec![1; n], <[i64]>::to_vec);
    if strides.len() != n || dilations.len() != n || strides.iter().chain(&dilations).any(|&v| v < 1) {
        return Err(fail("strides and dilations must be positive, one for each dimension of the kernel"));
    }
    let pads = match node.text("auto_pad", "NOTSET") {
        "NOTSET" | "" => node.ints("pads").map_or_else(|| vec![0; 2 * n], <[i64]>::to_vec),
        "VALID" => vec![0; 2 * n],
        same @ ("SAME_UPPER" | "SAME_LOWER") if node.op != "ConvTranspose" => {
            let pads = same_pads(&input[2..], &kernel, &strides, &dilations, same == "SAME_UPPER");
            pads.ok_or_else(|| GraphError::unknown_shape(node, "auto_pad needs a fixed input size"))?
        }
        other => {
            return Err(GraphError::unsupported(node, format!("auto_pad {other} is not supported")));
        }
    };
    if pads.len() != 2 * n {
        return Err(fail("pads must have two numbers for each dimension of the kernel"));
    }
    Ok(vec![("kernel_shape", kernel), ("strides", strides), ("dilations", dilations), ("pads", pads)])
}

/// The attribute, or the size of the weight if it is omitted.
fn kernel(graph: &Graph, node: &Node) -> Result<Vec<i64>> {
    match (node.ints("kernel_shape"), node.input(1).and_then(|id| graph.shape(id))) {
        (Some(kernel), _) => Ok(kernel.to_vec()),
        (None, Some(weight)) if weight.len() > 2 => {
            let dims: Option<Vec<i64>> = weight[2..].iter().map(|d| d.fixed().map(|n| n as i64)).collect();
            dims.ok_or_else(|| GraphError::unknown_shape(node, "the shape of its weight is not known"))
        }
        _ => Err(GraphError::node(node, "has no kernel_shape")),
    }
}

/// Pads with which there are ⌈size / stride⌉ windows along each axis. Of an odd total, the larger half is at the end if `upper`. `None`
/// if a size is not known.
fn same_pads(
    sizes: &[Dim],
    kernel: &[i64],
    strides: &[i64],
    dilations: &[i64],
    upper: bool,
) -> Option<Vec<i64>> {
    let n = kernel.len();
    let mut pads = vec![0; 2 * n];
    for d in 0..n {
        let size = sizes[d].fixed()? as i64;
        let out = (size + strides[d] - 1) / strides[d];
        let total = ((out - 1) * strides[d] + (kernel[d] - 1) * dilations[d] + 1 - size).max(0);
        let small = total / 2;
        (pads[d], pads[d + n]) = if upper { (small, total - small) } else { (total - small, small) };
    }
    Some(pads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::tensor::DataType;

    #[test]
    fn an_average_gets_no_attribute_that_its_operator_set_lacks() {
        let builder = Builder::new(Graph::new(18));
        let image = builder.input("image", DataType::Float, &[1, 2, 4, 4].map(Dim::Fixed));
        let kernel = ("kernel_shape", Attr::Ints(vec![2, 2]));
        image.op("AveragePool", &[], std::slice::from_ref(&kernel));
        image.op("MaxPool", &[], &[kernel]);
        let mut graph = builder.finish().expect("built");
        explicit_windows(&mut graph).expect("explicit");
        let written = |i: usize, name: &str| graph.nodes[i].attrs.contains_key(name);
        assert!(!written(0, "dilations") && written(0, "strides"));
        assert!(written(1, "dilations"));
    }
}
