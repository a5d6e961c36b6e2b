//! Lowering: replaces operators by equivalent expressions of simpler ones, so that fewer gradient rules are needed and engines need
//! to support fewer operators. One file per family; the table is [`LOWERINGS`].

mod activations;
mod attention;
mod columns;
mod contrib;
mod dynamic;
mod norms;
mod pads;
mod pools;
mod quantized;
mod resize;

use crate::builder::{Builder, Expr};
use crate::error::Result;
use crate::graph::{Graph, Node, Origin, ValueId};

/// Builds a node's outputs from its inputs. `None`: not possible yet (a required value is not constant yet), or not for this case.
pub type Lowering = for<'b> fn(&'b Builder, &Node) -> Result<Option<Vec<Expr<'b>>>>;

/// (domain, operator, lowering). Each must have a row in tests/rules.rs.
pub const LOWERINGS: &[(&str, &str, Lowering)] = &[
    ("", "Attention", attention::attention),
    ("", "AveragePool", pools::average_pool),
    ("", "BatchNormalization", norms::batch_normalization),
    ("", "Celu", activations::celu),
    ("", "Col2Im", columns::col2im),
    ("", "ConvInteger", quantized::conv_integer),
    ("", "DynamicQuantizeLinear", dynamic::dynamic_quantize_linear),
    ("", "GlobalLpPool", pools::global_lp_pool),
    ("", "GroupNormalization", norms::group_normalization),
    ("", "LRN", norms::local_response),
    ("", "LpNormalization", norms::lp_normalization),
    ("", "LpPool", pools::lp_pool),
    ("", "MatMulInteger", quantized::mat_mul_integer),
    ("", "MeanVarianceNormalization", norms::mean_variance),
    ("", "Mish", activations::mish),
    ("", "Pad", pads::pad),
    ("", "QLinearConv", quantized::q_linear_conv),
    ("", "QLinearMatMul", quantized::q_linear_mat_mul),
    ("", "Resize", resize::resize),
    ("", "Selu", activations::selu),
    ("", "Shrink", activations::shrink),
    ("", "SpaceToDepth", pools::space_to_depth),
    ("", "ThresholdedRelu", activations::thresholded_relu),
    ("com.microsoft", "BiasGelu", contrib::bias_gelu),
    ("com.microsoft", "FastGelu", contrib::fast_gelu),
    ("com.microsoft", "FusedConv", contrib::fused_conv),
    ("com.microsoft", "FusedGemm", contrib::fused_gemm),
    ("com.microsoft", "FusedMatMul", contrib::fused_mat_mul),
    ("com.microsoft", "Gelu", contrib::gelu),
    ("com.microsoft", "MultiHeadAttention", attention::multi_head_attention),
    ("com.microsoft", "QuickGelu", contrib::quick_gelu),
    ("com.microsoft", "SkipLayerNormalization", contrib::skip_layer_normalization),
];

/// Infers shapes and lowers the operators of the table, node by node, so that the shapes of lowered nodes are known to the next ones.
///
/// # Errors
/// Those of a node whose inputs do not fit its operator, or whose case is not supported.
pub fn lower(graph: &mut Graph) -> Result<()> {
    let nodes = std::mem::take(&mut graph.nodes);
    let builder = Builder::new(std::mem::take(graph));
    for node in nodes {
        let entry = LOWERINGS.iter().find(|(domain, op, _)| *domain == node.domain && *op == node.op);
        let before = builder.with(|g| g.nodes.len());
        // Appended so that its shape is inferred, which a lowering may need.
        builder.push(node.clone());
        builder.check()?;
        let Some((_, _, lowering)) = entry.filter(|_| inputs_known(&builder, &node)) else { continue };
        builder.with_mut(|g| g.nodes.truncate(before));
        match builder.made_from(&node, || lowering(&builder, &node)).map_err(|e| e.at(&node))? {
            Some(outputs) => builder.with_mut(|g| hand_over(g, before, &node, &outputs)),
            None => {
                builder.with_mut(|g| g.nodes.truncate(before));
                builder.push(node);
            }
        }
    }
    *graph = builder.finish()?;
    Ok(())
}

fn inputs_known(builder: &Builder, node: &Node) -> bool {
    node.inputs.iter().flatten().all(|&id| builder.value(id).known_shape().is_some())
}

/// Makes the nodes from index `first` on produce the outputs of `node` instead of the expressions' own values.
fn hand_over(graph: &mut Graph, first: usize, node: &Node, outputs: &[Expr<'_>]) {
    for (wanted, expression) in node.outputs.iter().zip(outputs.iter().map(|e| e.id())) {
        let Some(wanted) = *wanted else { continue };
        let own = graph.nodes[first..].iter().any(|n| n.outputs.contains(&Some(expression)));
        let (sym, dtype) = (graph.sym(expression).clone(), graph.value(expression).dtype);
        graph.set_sym(wanted, sym, dtype);
        if own {
            rename(&mut graph.nodes[first..], expression, wanted);
        } else {
            let name = format!("{}_identity", node.name);
            let (from, to) = (vec![Some(expression)], vec![Some(wanted)]);
            let identity = Node::new(&name, "Identity", from, to, Default::default());
            graph.nodes.push(identity.with_origin(Some(Origin::made_from(node))));
        }
    }
}

fn rename(nodes: &mut [Node], from: ValueId, to: ValueId) {
    for node in nodes {
        for id in node.inputs.iter_mut().chain(&mut node.outputs).flatten() {
            if *id == from {
                *id = to;
            }
        }
    }
}

/// Input `i` of a node, if it is there.
fn input<'b>(b: &'b Builder, n: &Node, i: usize) -> Option<Expr<'b>> {
    n.input(i).map(|id| b.value(id))
}

/// Input `i` of a node.
fn required<'b>(b: &'b Builder, n: &Node, i: usize) -> Result<Expr<'b>> {
    input(b, n, i).ok_or_else(|| crate::error::GraphError::node(n, format!("input {i} is missing")))
}
