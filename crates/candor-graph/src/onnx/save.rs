//! Graph to ONNX file.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, Dimension, GraphProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, TypeProtoTensor, ValueInfoProto,
};
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

use super::tensor::{to_proto, type_code};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::shape::Dim;
use crate::tensor::DataType;

/// ModelProto as written. The parser's own type cannot hold a graph's name, which the ONNX checker demands.
struct Model<'a> {
    graph: &'a Graph,
    proto: NamedGraph,
}

struct NamedGraph(GraphProto);

impl EncodeMessage for NamedGraph {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const NAME: u64 = 2;
        fields.write_string(NAME, "candor")?;
        self.0.encode_fields(fields)
    }
}

impl EncodeMessage for Model<'_> {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const IR_VERSION: u64 = 1;
        const PRODUCER_NAME: u64 = 2;
        const PRODUCER_VERSION: u64 = 3;
        const GRAPH: u64 = 7;
        const OPSET_IMPORT: u64 = 8;
        let ir_version = match self.graph.opset {
            ..=18 => 8,
            19 | 20 => 9,
            _ => 10,
        };
        fields.write_int64(IR_VERSION, ir_version)?;
        fields.write_string(PRODUCER_NAME, "candor")?;
        fields.write_string(PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))?;
        fields.write_message(GRAPH, &self.proto)?;
        let default = [(String::new(), self.graph.opset)];
        let others = self.graph.domains.iter().map(|(d, v)| (d.clone(), *v));
        for (domain, version) in default.into_iter().chain(others) {
            let entry = OperatorSetIdProto { domain: Some(domain), version: Some(version) };
            fields.write_message(OPSET_IMPORT, &entry)?;
        }
        Ok(())
    }
}

/// The graph as the bytes of an ONNX file: standard operators, float32, weights inside.
///
/// # Errors
/// [`GraphError::Malformed`] if the graph breaks its invariants.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    graph.check()?;
    let used: HashSet<ValueId> = graph
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter().flatten().copied())
        .chain(graph.outputs.iter().copied())
        .collect();
    let initializer = graph
        .value_ids()
        .filter(|id| used.contains(id))
        .filter_map(|id| Some(to_proto(graph.name(id), graph.constant(id)?)))
        .collect();
    let proto = GraphProto {
        node: graph.nodes.iter().map(|n| node_to_proto(graph, n)).collect(),
        initializer,
        input: graph.inputs.iter().map(|&id| value_info(graph, id)).collect(),
        output: graph.outputs.iter().map(|&id| value_info(graph, id)).collect(),
        value_info: vec![],
    };
    let model = Model { graph, proto: NamedGraph(proto) };
    let malformed = |e: ProtobufError| GraphError::Malformed(format!("cannot be encoded: {e}"));
    let mut bytes = Vec::with_capacity(model.encoded_len().map_err(malformed)? as usize);
    model.encode(ValueWriter::new(&mut bytes)).map_err(malformed)?;
    Ok(bytes)
}

/// Writes the graph as an ONNX file: to a temporary file beside `path`, then renamed.
///
/// # Errors
/// [`GraphError::Unreadable`] with the path if it cannot be written.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    let bytes = to_bytes(graph)?;
    let fail = |e: std::io::Error| GraphError::Unwritable {
        path: path.display().to_string(),
        reason: e.to_string(),
    };
    let temporary = path.with_extension(format!("onnx.{}.tmp", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut f| f.write_all(&bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The write has failed already; a leftover that cannot be removed either adds nothing.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(fail)
}

fn node_to_proto(graph: &Graph, node: &Node) -> NodeProto {
    let names = |ids: &[Option<ValueId>]| -> Vec<String> {
        ids.iter().map(|id| id.map_or_else(String::new, |id| graph.name(id).to_string())).collect()
    };
    NodeProto {
        domain: Some(node.domain.clone()),
        name: Some(node.name.clone()),
        input: names(&node.inputs),
        output: names(&node.outputs),
        op_type: Some(node.op.clone()),
        attribute: node.attrs.iter().map(|(k, v)| attr_to_proto(k, v)).collect(),
    }
}

fn attr_to_proto(name: &str, attr: &Attr) -> AttributeProto {
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
    };
    proto.r#type = Some(kind);
    proto
}

fn value_info(graph: &Graph, id: ValueId) -> ValueInfoProto {
    let shape = graph.shape(id).map(|dims| TensorShapeProto {
        dim: dims
            .into_iter()
            .map(|d| match d {
                Dim::Fixed(n) => Dimension { dim_value: Some(n as i64), dim_param: None },
                Dim::Batch(1) => Dimension { dim_value: None, dim_param: Some("N".to_string()) },
                Dim::Batch(k) => Dimension { dim_value: None, dim_param: Some(format!("{k}N")) },
                Dim::Unknown => Dimension { dim_value: None, dim_param: None },
            })
            .collect(),
    });
    let dtype = graph.value(id).dtype.unwrap_or(DataType::Float);
    ValueInfoProto {
        name: Some(graph.name(id).to_string()),
        r#type: Some(TypeProto {
            tensor_type: Some(TypeProtoTensor { elem_type: Some(type_code(dtype)), shape }),
            sequence: None,
        }),
    }
}
