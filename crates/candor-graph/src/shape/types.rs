//! Element types of node outputs.

use crate::graph::{Attr, Graph, Node};
use crate::tensor::DataType;

/// Type of a node's first output.
pub(super) fn output_type(graph: &Graph, node: &Node) -> Option<DataType> {
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

/// Type of the outputs after the first: indices, or the type of the first.
pub(super) fn second_output_type(op: &str, first: Option<DataType>) -> Option<DataType> {
    match op {
        "TopK" | "MaxPool" => Some(DataType::Int64),
        "Dropout" => Some(DataType::Bool),
        _ => first,
    }
}
