//! BatchNormalization into the Conv before it: W' = W·g, b' = (b − mean)·g + bias with g = scale / √(var + ε).

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::{Graph, Node, ValueId};

/// Folds each BatchNormalization whose input is a Conv without other readers. The new weights are expressions of constants, placed
/// before the Conv; constant folding evaluates them.
pub(super) fn fold_batch_norm(graph: &mut Graph) -> Result<()> {
    let pairs = foldable(graph);
    if pairs.is_empty() {
        return Ok(());
    }
    let old = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    let mut replaced = vec![];
    for &(conv, norm) in &pairs {
        let (conv_node, norm_node) = (&old[conv], &old[norm]);
        let (weight, bias) =
            builder.made_from(norm_node, || folded_weights(&builder, conv_node, norm_node))?;
        replaced.push((conv, norm, weight, bias));
    }
    *graph = builder.finish()?;
    let mut skip = vec![false; old.len()];
    let mut old = old;
    for (conv, norm, weight, bias) in replaced {
        let output = old[norm].output();
        old[conv].outputs = vec![Some(output)];
        old[conv].inputs = vec![old[conv].input(0), Some(weight), Some(bias)];
        skip[norm] = true;
    }
    let mut skip = skip.into_iter();
    graph.nodes.extend(old.into_iter().filter(|_| !skip.next().unwrap_or(false)));
    Ok(())
}

/// Indices of each Conv and of the BatchNormalization to fold into it.
fn foldable(graph: &Graph) -> Vec<(usize, usize)> {
    let (consumers, producers) = (graph.consumers(), graph.producers());
    let mut pairs = vec![];
    for (i, norm) in graph.nodes.iter().enumerate() {
        let is_norm =
            norm.op == "BatchNormalization" && norm.domain.is_empty() && norm.int("training_mode", 0) == 0;
        let Some(input) = norm.input(0).filter(|_| is_norm) else { continue };
        let Some(&conv) = producers.get(&input) else { continue };
        let only_reader =
            consumers.get(&input).is_some_and(|c| c.len() == 1) && !graph.outputs.contains(&input);
        let constant = |n: &Node, i: usize| n.input(i).is_some_and(|id| graph.constant(id).is_some());
        let foldable = graph.nodes[conv].op == "Conv"
            && only_reader
            && constant(&graph.nodes[conv], 1)
            && (graph.nodes[conv].input(2).is_none() || constant(&graph.nodes[conv], 2))
            && (1..5).all(|k| constant(norm, k));
        if foldable {
            pairs.push((conv, i));
        }
    }
    pairs
}

fn folded_weights(b: &Builder, conv: &Node, norm: &Node) -> Result<(ValueId, ValueId)> {
    let get = |n: &Node, i: usize| b.value(n.input(i).expect("checked to be a constant"));
    let (weight, scale, shift, mean, variance) =
        (get(conv, 1), get(norm, 1), get(norm, 2), get(norm, 3), get(norm, 4));
    let gain = scale / (variance + norm.float("epsilon", 1e-5)).sqrt();
    let mut per_filter = vec![1; weight.shape()?.len()];
    per_filter[0] = -1;
    let bias = match conv.input(2) {
        Some(_) => (get(conv, 2) - mean) * gain + shift,
        None => shift - mean * gain,
    };
    Ok(((weight * gain.reshape(&per_filter)).id(), bias.id()))
}
