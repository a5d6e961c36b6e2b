//! Shapes and types of values, in terms of the batch size.
//!
//! Shapes are inferred by `rten-shape-inference`, whose symbolic expressions also follow the integer arithmetic
//! (Shape, Gather, Concat, …) by which exporters compute the targets of Reshape.

mod attributes;
mod bounds;
mod sizes;

use rten_shape_inference::ops::{self, Padding};
use rten_shape_inference::{
    BinaryOp, InferShapes, InferShapesContext, ReductionOp, SymExpr, SymTensor, SymbolGen, UnaryOp,
    VariadicOp,
};

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::tensor::{DataType, Tensor, TensorData};

/// The symbol that stands for the batch size.
const BATCH: &str = "batch";

/// One dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// That many.
    Fixed(usize),
    /// That many times the batch size.
    Batch(usize),
    /// Not known.
    Unknown,
}

impl Dim {
    /// The size, if it does not depend on the batch.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            _ => None,
        }
    }

    /// The size at a batch size, if it is known.
    pub(crate) fn at(self, batch: usize) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            Dim::Batch(k) => Some(k * batch),
            Dim::Unknown => None,
        }
    }

    pub(crate) fn to_expr(self) -> SymExpr {
        match self {
            Dim::Fixed(n) => SymExpr::Value(n as i32),
            Dim::Batch(1) => SymExpr::pos_var(BATCH),
            Dim::Batch(k) => SymExpr::pos_var(BATCH) * SymExpr::Value(k as i32),
            Dim::Unknown => SymExpr::var("unknown"),
        }
    }
}

/// Reads an expression as a multiple of the batch size, by evaluating it at three sizes.
pub(crate) fn dim_of(expr: &SymExpr) -> Dim {
    if let SymExpr::Value(v) = expr {
        return usize::try_from(*v).map_or(Dim::Unknown, Dim::Fixed);
    }
    let at = |n: i64| value_at(expr, n).and_then(|v| usize::try_from(v).ok());
    match (at(2), at(4), at(6)) {
        (Some(a), Some(b), Some(c)) if a == b && b == c => Dim::Fixed(a),
        (Some(a), Some(b), Some(c)) if a % 2 == 0 && b == 2 * a && c == 3 * a => Dim::Batch(a / 2),
        _ => Dim::Unknown,
    }
}

/// The value of an expression at a batch size; `None` if it has another variable or overflows.
fn value_at(expr: &SymExpr, batch: i64) -> Option<i64> {
    let of = |a: &SymExpr, b: &SymExpr| Some((value_at(a, batch)?, value_at(b, batch)?));
    match expr {
        SymExpr::Value(v) => Some(i64::from(*v)),
        SymExpr::Var(symbol) => (symbol.name == BATCH).then_some(batch),
        SymExpr::Neg(a) => value_at(a, batch)?.checked_neg(),
        SymExpr::Add(a, b) => of(a, b).and_then(|(x, y)| x.checked_add(y)),
        SymExpr::Sub(a, b) => of(a, b).and_then(|(x, y)| x.checked_sub(y)),
        SymExpr::Mul(a, b) => of(a, b).and_then(|(x, y)| x.checked_mul(y)),
        SymExpr::Div(a, b) => of(a, b).and_then(|(x, y)| x.checked_div(y)),
        SymExpr::DivCeil(a, b) => of(a, b).and_then(|(x, y)| {
            let quotient = x.checked_div(y)?;
            let up = x % y != 0 && (x < 0) == (y < 0);
            quotient.checked_add(i64::from(up))
        }),
        SymExpr::Max(a, b) | SymExpr::Broadcast(a, b) => of(a, b).map(|(x, y)| x.max(y)),
        SymExpr::Min(a, b) => of(a, b).map(|(x, y)| x.min(y)),
    }
}

/// What is known of a constant: its shape, and its elements if it is a small vector of integers.
pub(crate) fn sym_of_constant(tensor: &Tensor) -> SymTensor {
    const MAX_ELEMENTS: usize = 64;
    if tensor.shape().len() <= 1 && tensor.len() <= MAX_ELEMENTS {
        let ints = match tensor.data() {
            TensorData::Bool(v) => Some(v.iter().map(|&b| i64::from(b)).collect()),
            _ => tensor.to_ints(),
        };
        if let Some(ints) = ints {
            let mut values =
                ints.into_iter().map(|v| SymExpr::Value(v.clamp(i32::MIN.into(), i32::MAX.into()) as i32));
            return match (tensor.shape(), values.next()) {
                ([], Some(value)) => SymTensor::from_scalar(value),
                (_, first) => SymTensor::from_vec(first.into_iter().chain(values).collect()),
            };
        }
    }
    SymTensor::from_fixed_shape(tensor.shape())
}

/// Infers shapes and types of all values from those of the inputs and constants.
///
/// # Errors
/// [`GraphError::Node`] for the first node whose inputs do not fit its operator.
pub fn infer(graph: &mut Graph) -> Result<()> {
    let mut symbols = SymbolGen::new();
    for i in 0..graph.nodes.len() {
        infer_node(graph, i, &mut symbols)?;
    }
    Ok(())
}

/// Infers the outputs of one node.
pub(crate) fn infer_node(graph: &mut Graph, index: usize, symbols: &mut SymbolGen) -> Result<()> {
    let node = &graph.nodes[index];
    let inputs: Vec<Option<SymTensor>> =
        node.inputs.iter().map(|id| id.map(|id| graph.sym(id).clone())).collect();
    let known = node.inputs.iter().flatten().all(|&id| graph.sym(id).ndim().is_some());
    if known && node.domain.is_empty() {
        attributes::check(graph, node)?;
    }
    let syms = if known { infer_syms(graph, node, inputs, symbols)? } else { vec![] };
    let outputs = node.outputs.clone();
    let dtype = output_type(graph, node);
    for (i, id) in outputs.into_iter().enumerate() {
        let Some(id) = id else { continue };
        let dtype = if i == 0 { dtype } else { second_output_type(&graph.nodes[index].op, dtype) };
        if let Some(sym) = syms.get(i) {
            let sym = bounds::simple(sym, symbols);
            bounds::check_size(&graph.nodes[index], &sym)?;
            graph.set_sym(id, sym, dtype);
        } else {
            graph.set_sym(id, SymTensor::unknown("not inferred"), dtype);
        }
    }
    Ok(())
}

fn infer_syms(
    graph: &Graph,
    node: &Node,
    inputs: Vec<Option<SymTensor>>,
    symbols: &mut SymbolGen,
) -> Result<Vec<SymTensor>> {
    if !node.domain.is_empty() {
        return Ok(vec![]);
    }
    let rank = inputs.first().and_then(|i| i.as_ref()).and_then(|t| t.ndim()).unwrap_or(0);
    let axis = |default: i64| {
        let axis = node.int("axis", default);
        (if axis < 0 { axis + rank as i64 } else { axis }) as i32
    };
    let unsigned = |name: &str| -> Vec<usize> {
        node.ints(name).unwrap_or_default().iter().map(|&v| v.max(0) as usize).collect()
    };
    let or_ones = |v: Vec<usize>, n: usize| if v.is_empty() { vec![1; n] } else { v };
    let spatial = rank.saturating_sub(2);
    let strides = or_ones(unsigned("strides"), spatial);
    let dilations = or_ones(unsigned("dilations"), spatial);
    let kernel = unsigned("kernel_shape");
    let mut pads = unsigned("pads");
    pads.resize(spatial * 2, 0);
    let padding = match node.text("auto_pad", "NOTSET") {
        "SAME_UPPER" | "SAME_LOWER" => Padding::Same,
        _ => Padding::Fixed(&pads),
    };
    let axes: Option<Vec<i32>> = node
        .input(1)
        .and_then(|id| graph.known_ints(id))
        .or_else(|| node.ints("axes").map(<[i64]>::to_vec))
        .map(|v| v.into_iter().map(|a| a as i32).collect());
    let perm: Vec<usize> = unsigned("perm");

    let infer: Box<dyn InferShapes> = match node.op.as_str() {
        "Conv" => Box::new(ops::Conv { dilations: &dilations, padding, strides: &strides }),
        "ConvTranspose" => {
            let output_padding = unsigned("output_padding");
            let op = ops::ConvTranspose {
                groups: node.int("group", 1).max(1) as usize,
                padding,
                strides: &strides,
                dilations: &dilations,
                output_padding: node.ints("output_padding").map(|_| output_padding.as_slice()),
            };
            return run(&op, graph, node, inputs, symbols);
        }
        "MaxPool" | "AveragePool" | "LpPool" => Box::new(ops::Pool {
            dilations: &dilations,
            kernel_size: &kernel,
            padding,
            strides: &strides,
            ceil_mode: node.int("ceil_mode", 0) != 0,
        }),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => Box::new(ops::GlobalPool),
        "Add" => Box::new(ops::Add),
        "Sub" => Box::new(ops::Sub),
        "Mul" => Box::new(ops::Mul),
        "Div" => Box::new(ops::Div),
        "Equal" => Box::new(ops::Equal),
        "Where" => Box::new(ops::Where),
        "Mod" => match sizes::remainders(graph, node) {
            Some(known) => return Ok(vec![known]),
            None => Box::new(BinaryOp),
        },
        "Pow" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "PRelu" => {
            Box::new(BinaryOp)
        }
        "Sum" | "Max" | "Min" | "Mean" => Box::new(VariadicOp),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSumExp" | "ReduceSumSquare" | "ReduceLogSum" => {
            if axes.is_none() && node.int("noop_with_empty_axes", 0) != 0 {
                Box::new(UnaryOp)
            } else {
                let op = ReductionOp { axes: axes.as_deref(), keep_dims: node.int("keepdims", 1) != 0 };
                return run(&op, graph, node, inputs, symbols);
            }
        }
        "ArgMax" | "ArgMin" => {
            let axes = [axis(0)];
            let op = ReductionOp { axes: Some(&axes), keep_dims: node.int("keepdims", 1) != 0 };
            return run(&op, graph, node, inputs, symbols);
        }
        "Concat" => Box::new(ops::Concat { axis: axis(0) }),
        "Slice" => Box::new(ops::Slice),
        "Pad" => Box::new(ops::Pad),
        "Flatten" => Box::new(ops::Flatten { axis: axis(1) }),
        "Reshape" => match sizes::one_element(&inputs) {
            Some(known) => return Ok(vec![known]),
            None => Box::new(ops::Reshape { allow_zero: node.int("allowzero", 0) != 0 }),
        },
        "Squeeze" => Box::new(ops::Squeeze),
        "Unsqueeze" => Box::new(ops::Unsqueeze),
        "Transpose" => {
            let op = ops::Transpose { perm: node.ints("perm").map(|_| perm.as_slice()) };
            return run(&op, graph, node, inputs, symbols);
        }
        "Gemm" => Box::new(ops::Gemm {
            transpose_a: node.int("transA", 0) != 0,
            transpose_b: node.int("transB", 0) != 0,
        }),
        "MatMul" => Box::new(ops::MatMul),
        "Identity" | "Dropout" => Box::new(ops::Identity),
        "Cast" if is_integer_cast(node) => Box::new(ops::Identity),
        "Neg" => Box::new(ops::Neg),
        "Shape" => Box::new(ops::Shape {
            start: node.attrs.get("start").map(|_| node.int("start", 0) as i32),
            end: node.attrs.get("end").map(|_| node.int("end", 0) as i32),
        }),
        "Size" => Box::new(ops::Size),
        "Gather" => Box::new(ops::Gather { axis: axis(0) }),
        "GatherElements" => Box::new(ops::GatherElements),
        "GatherND" => Box::new(ops::GatherND { batch_dims: node.int("batch_dims", 0).max(0) as usize }),
        "Expand" => Box::new(ops::Expand),
        "Tile" => Box::new(ops::Tile),
        "Split" => {
            let mut inputs = inputs;
            if node.input(1).is_none() {
                inputs.truncate(1);
                inputs.push(Some(sizes::equal_parts(graph, node, axis(0))));
            } else if graph.known_ints(node.inputs[1].unwrap_or(node.output())).is_none() {
                return Ok(vec![]);
            }
            return run(&ops::Split { axis: axis(0), num_outputs: None }, graph, node, inputs, symbols);
        }
        "ConstantOfShape" => Box::new(ops::ConstantOfShape {
            value: match node.attrs.get("value") {
                Some(Attr::Tensor(t)) => t.to_ints().and_then(|v| v.first().map(|&x| x as i32)),
                _ => None,
            },
        }),
        "Range" => Box::new(ops::Range),
        "OneHot" => Box::new(ops::OneHot { axis: node.int("axis", -1) as i32 }),
        "TopK" => Box::new(ops::TopK { axis: Some(axis(-1)) }),
        "DepthToSpace" => Box::new(ops::DepthToSpace { block_size: node.int("blocksize", 1).max(1) as u32 }),
        "Resize" => {
            if let Some(shape) = sizes::scaled(graph, node) {
                return Ok(vec![SymTensor::from_shape(shape)]);
            }
            Box::new(ops::Resize)
        }
        "Upsample" => Box::new(ops::Upsample),
        "Einsum" => {
            let op = ops::Einsum { equation: node.text("equation", "") };
            return run(&op, graph, node, inputs, symbols);
        }
        op if KEEPS_SHAPE.contains(&op) => Box::new(UnaryOp),
        _ => return Ok(vec![]),
    };
    run(infer.as_ref(), graph, node, inputs, symbols)
}

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
        GraphError::node(node, format!("{e}; inputs: {}", shapes.join(", ")))
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

/// Type of a node's first output.
fn output_type(graph: &Graph, node: &Node) -> Option<DataType> {
    let input = |i: usize| node.input(i).and_then(|id| graph.value(id).dtype);
    match node.op.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(DataType::Int64),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not"
        | "IsNaN" | "IsInf" => Some(DataType::Bool),
        "Cast" => crate::onnx::tensor::data_type(node.int("to", 1) as i32),
        "Where" => input(1),
        "ConstantOfShape" => match node.attrs.get("value") {
            Some(Attr::Tensor(t)) => Some(t.dtype()),
            _ => Some(DataType::Float),
        },
        "QuantizeLinear" => input(2).or(Some(DataType::Uint8)),
        "DequantizeLinear" => input(1),
        _ => input(0),
    }
}

/// Type of the outputs behind the first: indices, or the type of the first.
fn second_output_type(op: &str, first: Option<DataType>) -> Option<DataType> {
    match op {
        "TopK" | "MaxPool" => Some(DataType::Int64),
        "Dropout" => Some(DataType::Bool),
        _ => first,
    }
}

/// A shape for people: `N×3×224×224`.
pub fn display(shape: Option<&[Dim]>) -> String {
    let Some(shape) = shape else { return "?".to_string() };
    if shape.is_empty() {
        return "scalar".to_string();
    }
    let dims: Vec<String> = shape
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Batch(1) => "N".to_string(),
            Dim::Batch(k) => format!("{k}N"),
            Dim::Unknown => "?".to_string(),
        })
        .collect();
    dims.join("×")
}

/// Makes sure that the shapes of the graph's outputs are known.
///
/// # Errors
/// [`GraphError::Node`] for the first node on the way to an output whose inputs have known shapes and whose output has not:
/// its operator is not known, or the sizes depend on what is computed.
pub fn check_known(graph: &Graph) -> Result<()> {
    let unknown = |id: &ValueId| graph.shape(*id).is_none_or(|s| s.contains(&Dim::Unknown));
    if !graph.outputs.iter().any(unknown) {
        return Ok(());
    }
    let up = graph.ancestors(&graph.outputs);
    let culprit = graph.nodes.iter().find(|n| {
        n.outputs.iter().flatten().any(|o| unknown(o) && up.contains(o))
            && !n.inputs.iter().flatten().any(unknown)
    });
    let Some(node) = culprit else { return Ok(()) };
    if let Some(reason) = crate::rewrite::control_flow_reason(node) {
        return Err(GraphError::node(node, reason));
    }
    let has_rank = graph.shape(node.output()).is_some();
    Err(GraphError::node(
        node,
        if has_rank {
            format!(
                "the shape of its output is {}: a size depends on what is computed; export with a fixed input size",
                display(graph.shape(node.output()).as_deref())
            )
        } else {
            format!(
                "operator {} is not known to Candor; export with standard ONNX operators",
                node.qualified_op()
            )
        },
    ))
}
