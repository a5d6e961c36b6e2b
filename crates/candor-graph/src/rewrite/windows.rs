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
        // AveragePool has the attribute from operator set 19 on only, and LpPool becomes one.
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
    let input = input.ok_or_else(|| fail("the shape of its input is not known"))?;
    let kernel = match (node.ints("kernel_shape"), node.input(1).and_then(|id| graph.shape(id))) {
        (Some(kernel), _) => kernel.to_vec(),
        (None, Some(weight)) if weight.len() > 2 => {
            let dims: Option<Vec<i64>> = weight[2..].iter().map(|d| d.fixed().map(|n| n as i64)).collect();
            dims.ok_or_else(|| fail("the shape of its weight is not known"))?
        }
        _ => return Err(fail("has no kernel_shape")),
    };
    let n = kernel.len();
    if input.len() != n + 2 {
        return Err(fail(&format!("its input has rank {}, its kernel {n} dimensions", input.len())));
    }
    let strides = node.ints("strides").map_or_else(|| vec![1; n], <[i64]>::to_vec);
    let dilations = node.ints("dilations").map_or_else(|| vec![1; n], <[i64]>::to_vec);
    if strides.len() != n || dilations.len() != n || strides.iter().chain(&dilations).any(|&v| v < 1) {
        return Err(fail("strides and dilations must be positive, one for each dimension of the kernel"));
    }
    let auto = node.text("auto_pad", "NOTSET");
    let mut pads = node.ints("pads").map_or_else(|| vec![0; 2 * n], <[i64]>::to_vec);
    match auto {
        "NOTSET" | "" => {}
        "VALID" => pads = vec![0; 2 * n],
        "SAME_UPPER" | "SAME_LOWER" if node.op != "ConvTranspose" => {
            for d in 0..n {
                let Dim::Fixed(size) = input[d + 2] else {
                    return Err(fail("auto_pad needs a fixed input size"));
                };
                let size = size as i64;
                let out = (size + strides[d] - 1) / strides[d];
                let total = ((out - 1) * strides[d] + (kernel[d] - 1) * dilations[d] + 1 - size).max(0);
                let small = total / 2;
                let (begin, end) =
                    if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
                (pads[d], pads[d + n]) = (begin, end);
            }
        }
        other => return Err(fail(&format!("auto_pad {other} is not supported"))),
    }
    if pads.len() != 2 * n {
        return Err(fail("pads must have two numbers for each dimension of the kernel"));
    }
    Ok(vec![("kernel_shape", kernel), ("strides", strides), ("dilations", dilations), ("pads", pads)])
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
