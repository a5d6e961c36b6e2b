//! Maps operators and their attributes to the inference functions of the library.

use rten_shape_inference::ops::{self, Padding};
use rten_shape_inference::{
    BinaryOp, InferShapes, InferShapesContext, ReductionOp, SymTensor, SymbolGen, UnaryOp, VariadicOp,
};

use super::{bounds, display, sizes};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node};

/// What is known about a node's outputs. Empty if nothing is.
///
/// # Errors
/// [`GraphError::ShapeMismatch`] if its inputs do not fit its operator.
pub(super) fn infer_outputs(
    graph: &Graph,
    node: &Node,
    mut inputs: Vec<Option<SymTensor>>,
    symbols: &mut SymbolGen,
) -> Result<Vec<SymTensor>> {
    if !node.domain.is_empty() {
        return Ok(vec![]);
    }
    if let Some(known) = known(graph, node, &inputs) {
        return Ok(vec![known]);
    }
    let rank = inputs.first().and_then(|i| i.as_ref()).and_then(|t| t.ndim()).unwrap_or(0);
    let given = Given::of(graph, node, rank);
    if node.op == "Split" {
        match node.input(1) {
            None => {
                inputs.truncate(1);
                inputs.push(Some(sizes::equal_parts(graph, node, given.axis(0))));
            }
            Some(parts) if graph.known_ints(parts).is_none() => return Ok(vec![]),
            Some(_) => {}
        }
    }
    let families = [windows, elementwise, reductions, products, layouts, indices];
    match families.iter().find_map(|family| family(&given)) {
        Some(op) => run(op.as_ref(), graph, node, inputs, symbols),
        None => Ok(vec![]),
    }
}

/// An output that needs no inference of the library.
fn known(graph: &Graph, node: &Node, inputs: &[Option<SymTensor>]) -> Option<SymTensor> {
    match node.op.as_str() {
        "Mod" => sizes::remainders(graph, node),
        "Reshape" => sizes::one_element(inputs),
        "Resize" => sizes::scaled(graph, node).map(SymTensor::from_shape),
        _ => None,
    }
}

/// A node, and those of its attributes that the library takes as slices.
struct Given<'a> {
    node: &'a Node,
    /// Rank of its first input; 0 if that is not known.
    rank: usize,
    /// The axes that an attribute or a constant input lists, or that of ArgMax.
    axes: Option<Vec<i32>>,
    perm: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<usize>,
    output_padding: Vec<usize>,
}

impl<'a> Given<'a> {
    fn of(graph: &Graph, node: &'a Node, rank: usize) -> Self {
        let unsigned = |name: &str| -> Vec<usize> {
            node.ints(name).unwrap_or_default().iter().map(|&v| v.max(0) as usize).collect()
        };
        let spatial = rank.saturating_sub(2);
        let or_ones = |v: Vec<usize>| if v.is_empty() { vec![1; spatial] } else { v };
        let mut pads = unsigned("pads");
        pads.resize(spatial * 2, 0);
        let listed = node
            .input(1)
            .and_then(|id| graph.known_ints(id))
            .or_else(|| node.ints("axes").map(<[i64]>::to_vec))
            .map(|v| v.into_iter().map(|a| a as i32).collect());
        Given {
            node,
            rank,
            axes: if is_arg(node) { Some(vec![axis(node, rank, 0)]) } else { listed },
            perm: unsigned("perm"),
            kernel: unsigned("kernel_shape"),
            strides: or_ones(unsigned("strides")),
            dilations: or_ones(unsigned("dilations")),
            pads,
            output_padding: unsigned("output_padding"),
        }
    }

    fn op(&self) -> &'a str {
        self.node.op.as_str()
    }

    /// The attribute `axis`, counted from the front.
    fn axis(&self, default: i64) -> i32 {
        axis(self.node, self.rank, default)
    }

    fn flag(&self, name: &str, default: i64) -> bool {
        self.node.int(name, default) != 0
    }

    fn padding(&self) -> Padding<'_> {
        match self.node.text("auto_pad", "NOTSET") {
            "SAME_UPPER" | "SAME_LOWER" => Padding::Same,
            _ => Padding::Fixed(&self.pads),
        }
    }
}

fn axis(node: &Node, rank: usize, default: i64) -> i32 {
    let axis = node.int("axis", default);
    (if axis < 0 { axis + rank as i64 } else { axis }) as i32
}

fn is_arg(node: &Node) -> bool {
    matches!(node.op.as_str(), "ArgMax" | "ArgMin")
}

type Inference<'g> = Option<Box<dyn InferShapes + 'g>>;

/// Convolutions and pooling.
fn windows<'g>(g: &'g Given<'_>) -> Inference<'g> {
    Some(match g.op() {
        "Conv" => Box::new(ops::Conv { dilations: &g.dilations, padding: g.padding(), strides: &g.strides }),
        "ConvTranspose" => Box::new(ops::ConvTranspose {
            groups: g.node.int("group", 1).max(1) as usize,
            padding: g.padding(),
            strides: &g.strides,
            dilations: &g.dilations,
            output_padding: g.node.ints("output_padding").map(|_| g.output_padding.as_slice()),
        }),
        "MaxPool" | "AveragePool" | "LpPool" => Box::new(ops::Pool {
            dilations: &g.dilations,
            kernel_size: &g.kernel,
            padding: g.padding(),
            strides: &g.strides,
            ceil_mode: g.flag("ceil_mode", 0),
        }),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => Box::new(ops::GlobalPool),
        _ => return None,
    })
}

/// Operators whose inputs are broadcast against each other, or that keep the shape of one.
fn elementwise<'g>(g: &'g Given<'_>) -> Inference<'g> {
    Some(match g.op() {
        "Add" => Box::new(ops::Add),
        "Sub" => Box::new(ops::Sub),
        "Mul" => Box::new(ops::Mul),
        "Div" => Box::new(ops::Div),
        "Neg" => Box::new(ops::Neg),
        "Equal" => Box::new(ops::Equal),
        "Where" => Box::new(ops::Where),
        "Mod" | "Pow" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor"
        | "PRelu" => Box::new(BinaryOp),
        "Sum" | "Max" | "Min" | "Mean" => Box::new(VariadicOp),
        "Identity" | "Dropout" => Box::new(ops::Identity),
        "Cast" if is_integer_cast(g.node) => Box::new(ops::Identity),
        op if KEEPS_SHAPE.contains(&op) => Box::new(UnaryOp),
        _ => return None,
    })
}

/// Sums, means, extrema and positions of extrema over axes.
fn reductions<'g>(g: &'g Given<'_>) -> Inference<'g> {
    match g.op() {
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSumExp" | "ReduceSumSquare" | "ReduceLogSum" | "ArgMax" | "ArgMin" => {}
        _ => return None,
    }
    if g.axes.is_none() && g.flag("noop_with_empty_axes", 0) {
        return Some(Box::new(UnaryOp));
    }
    Some(Box::new(ReductionOp { axes: g.axes.as_deref(), keep_dims: g.flag("keepdims", 1) }))
}

/// Matrix products.
fn products<'g>(g: &'g Given<'_>) -> Inference<'g> {
    Some(match g.op() {
        "Gemm" => Box::new(ops::Gemm { transpose_a: g.flag("transA", 0), transpose_b: g.flag("transB", 0) }),
        "MatMul" => Box::new(ops::MatMul),
        "Einsum" => Box::new(ops::Einsum { equation: g.node.text("equation", "") }),
        _ => return None,
    })
}

/// Operators that move, repeat or cut out elements.
fn layouts<'g>(g: &'g Given<'_>) -> Inference<'g> {
    Some(match g.op() {
        "Concat" => Box::new(ops::Concat { axis: g.axis(0) }),
        "Slice" => Box::new(ops::Slice),
        "Split" => Box::new(ops::Split { axis: g.axis(0), num_outputs: None }),
        "Pad" => Box::new(ops::Pad),
        "Flatten" => Box::new(ops::Flatten { axis: g.axis(1) }),
        "Reshape" => Box::new(ops::Reshape { allow_zero: g.flag("allowzero", 0) }),
        "Squeeze" => Box::new(ops::Squeeze),
        "Unsqueeze" => Box::new(ops::Unsqueeze),
        "Transpose" => Box::new(ops::Transpose { perm: g.node.ints("perm").map(|_| g.perm.as_slice()) }),
        "Expand" => Box::new(ops::Expand),
        "Tile" => Box::new(ops::Tile),
        "DepthToSpace" => {
            Box::new(ops::DepthToSpace { block_size: g.node.int("blocksize", 1).max(1) as u32 })
        }
        "Resize" => Box::new(ops::Resize),
        "Upsample" => Box::new(ops::Upsample),
        _ => return None,
    })
}

/// Operators that read or make indices and sizes.
fn indices<'g>(g: &'g Given<'_>) -> Inference<'g> {
    let bound = |name: &str| g.node.attrs.get(name).map(|_| g.node.int(name, 0) as i32);
    Some(match g.op() {
        "Shape" => Box::new(ops::Shape { start: bound("start"), end: bound("end") }),
        "Size" => Box::new(ops::Size),
        "Gather" => Box::new(ops::Gather { axis: g.axis(0) }),
        "GatherElements" => Box::new(ops::GatherElements),
        "GatherND" => Box::new(ops::GatherND { batch_dims: g.node.int("batch_dims", 0).max(0) as usize }),
        "ConstantOfShape" => Box::new(ops::ConstantOfShape {
            value: match g.node.attrs.get("value") {
                Some(Attr::Tensor(t)) => t.to_ints().and_then(|v| v.first().map(|&x| x as i32)),
                _ => None,
            },
        }),
        "Range" => Box::new(ops::Range),
        "OneHot" => Box::new(ops::OneHot { axis: g.node.int("axis", -1) as i32 }),
        "TopK" => Box::new(ops::TopK { axis: Some(g.axis(-1)) }),
        _ => return None,
    })
}

/// Runs the inference of one operator on the inputs.
fn run(
    op: &dyn InferShapes,
    graph: &Graph,
    node: &Node,
    inputs: Vec<Option<SymTensor>>,
    symbols: &mut SymbolGen,
) -> Result<Vec<SymTensor>> {
    let infer = || op.infer_shapes(InferShapesContext::from(inputs), symbols).map_err(|e| e.to_string());
    bounds::guarded(infer).map_err(|e| {
        let shapes: Vec<String> = node
            .inputs
            .iter()
            .flatten()
            .map(|&id| format!("{} {}", graph.name(id), display(graph.shape(id).as_deref())))
            .collect();
        GraphError::shapes(node, format!("{e}; inputs: {}", shapes.join(", ")))
    })
}

fn is_integer_cast(node: &Node) -> bool {
    matches!(node.int("to", 1), 6 | 7)
}

/// Operators whose first output has the shape of their first input.
const KEEPS_SHAPE: &[&str] = &[
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "DequantizeLinear",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Not",
    "QuantizeLinear",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Trilu",
];
