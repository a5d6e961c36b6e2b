//! Dilated pools for engines that do not support them: the elements at each offset of the window are sliced out and combined.

use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::grad::rules::place::Window;
use crate::grad::rules::pool::one_over_count;
use crate::graph::{Graph, Node};

/// Replaces each MaxPool and AveragePool with dilations by an equivalent maximum or sum of slices.
///
/// # Errors
/// [`crate::error::GraphError`] if the graph is malformed.
pub fn slice_dilated_pools(graph: &mut Graph) -> Result<()> {
    if !graph.nodes.iter().any(is_dilated) {
        return Ok(());
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    for node in nodes {
        match node.input(0) {
            Some(input) if is_dilated(&node) => {
                builder.made_from(&node, || joined(builder.value(input), &node))?;
            }
            _ => builder.push(node),
        }
    }
    *graph = builder.finish()?;
    Ok(())
}

/// Whether a pool over two axes has dilated windows. One that also returns the indices of its maxima is left as it is.
fn is_dilated(node: &Node) -> bool {
    matches!(node.op.as_str(), "MaxPool" | "AveragePool")
        && node.domain.is_empty()
        && node.outputs.len() == 1
        && node.ints("dilations").is_some_and(|d| d.len() == 2 && d.iter().any(|&n| n != 1))
}

fn joined<'b>(x: Expr<'b>, node: &Node) -> Result<()> {
    let b = x.builder();
    let shape = b.value(node.output()).shape()?;
    let w = Window::of(node, &x.shape()?, &shape)?;
    w.check_kernel(node)?;
    let maximum = node.op == "MaxPool";
    // Large enough for every window of ceil_mode, whose last window may extend beyond the padding.
    let mut pads = [0; 8];
    for axis in 0..2 {
        let reach = (w.output[axis] - 1) * w.strides[axis] + w.dilations[axis] * (w.kernel[axis] - 1) + 1;
        pads[2 + axis] = w.begin[axis];
        pads[6 + axis] = reach - w.input[axis] - w.begin[axis];
    }
    let padded = x.pad(&pads, if maximum { f32::MIN } else { 0.0 });
    let element = |place: i64| {
        let k = [place / w.kernel[1], place % w.kernel[1]];
        let start = [0, 1].map(|a| k[a] * w.dilations[a]);
        let end = [0, 1].map(|a| start[a] + (w.output[a] - 1) * w.strides[a] + 1);
        padded.slice(&[2, 3], &start, &end, &w.strides)
    };
    let elements = (0..w.kernel[0] * w.kernel[1]).map(element);
    let join = |a: Expr<'b>, e: Expr<'b>| if maximum { a.op("Max", &[e], &[]) } else { a + e };
    let Some(all) = elements.reduce(join) else { return Ok(()) };
    let share = match maximum {
        true => b.scalar(1.0),
        false => b.constant(one_over_count(&w, node.int("count_include_pad", 0) != 0)?),
    };
    // The last node has the pool's name and output.
    let inputs = vec![Some(all.id()), Some(share.id())];
    b.push(Node { op: "Mul".to_string(), inputs, attrs: Default::default(), ..node.clone() });
    Ok(())
}
