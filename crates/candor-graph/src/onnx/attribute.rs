//! AttributeProto to attribute and back, and the tensor of a Constant node.

use std::sync::Arc;

use rten_onnx::onnx::{AttributeProto, AttributeType};

use super::tensor::{ExternalData, from_proto, to_proto};
use crate::error::{GraphError, Result, one_line};
use crate::graph::{Attr, Node};
use crate::tensor::{Tensor, TensorData};

/// Reads an attribute that is not a graph.
///
/// # Errors
/// A line that says what is wrong with it.
pub(super) fn attr_from_proto(proto: &AttributeProto, external: &ExternalData) -> Result<Attr, String> {
    let kind = proto.r#type.unwrap_or(AttributeType::UNDEFINED);
    Ok(match kind {
        AttributeType::FLOAT => Attr::Float(proto.f.unwrap_or(0.0)),
        AttributeType::INT => Attr::Int(proto.i.unwrap_or(0)),
        AttributeType::STRING => Attr::Text(proto.s.clone().unwrap_or_default()),
        AttributeType::FLOATS => Attr::Floats(proto.floats.clone()),
        AttributeType::INTS => Attr::Ints(proto.ints.clone()),
        AttributeType::STRINGS => Attr::Texts(proto.strings.clone()),
        AttributeType::TENSOR => {
            let tensor = proto.t.as_ref().ok_or("has no tensor")?;
            Attr::Tensor(Arc::new(from_proto(tensor, external).map_err(|e| one_line(&e))?))
        }
        other => return Err(format!("attribute type {} is not supported", other.0)),
    })
}

/// The tensor of a Constant node.
///
/// # Errors
/// [`GraphError::Node`] if it has none of a supported kind.
pub(super) fn constant_value(node: &Node) -> Result<Arc<Tensor>> {
    for (key, attr) in &node.attrs {
        let tensor = match (key.as_str(), attr) {
            ("value", Attr::Tensor(t)) => return Ok(t.clone()),
            ("value_float", Attr::Float(v)) => Tensor::scalar(*v),
            ("value_floats", Attr::Floats(v)) => Tensor::floats(&[v.len()], v.clone())?,
            ("value_int", Attr::Int(v)) => Tensor::new(vec![], TensorData::Int64(vec![*v]))?,
            ("value_ints", Attr::Ints(v)) => Tensor::ints(v),
            _ => continue,
        };
        return Ok(Arc::new(tensor));
    }
    Err(GraphError::node(node, "holds no value of a supported kind (tensor, float, int)"))
}

/// An attribute as written; `None` for a graph.
pub(super) fn attr_to_proto(name: &str, attr: &Attr) -> Option<AttributeProto> {
    let mut proto = AttributeProto { name: Some(name.to_string()), ..AttributeProto::default() };
    let kind = match attr {
        Attr::Int(v) => {
            proto.i = Some(*v);
            AttributeType::INT
        }
        Attr::Float(v) => {
            proto.f = Some(*v);
            AttributeType::FLOAT
        }
        Attr::Text(v) => {
            proto.s = Some(v.clone());
            AttributeType::STRING
        }
        Attr::Ints(v) => {
            proto.ints = v.clone();
            AttributeType::INTS
        }
        Attr::Floats(v) => {
            proto.floats = v.clone();
            AttributeType::FLOATS
        }
        Attr::Texts(v) => {
            proto.strings = v.clone();
            AttributeType::STRINGS
        }
        Attr::Tensor(t) => {
            proto.t = Some(to_proto(name, t));
            AttributeType::TENSOR
        }
        Attr::Graph(_) => return None,
    };
    proto.r#type = Some(kind);
    Some(proto)
}
