//! Graph to ONNX file.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, Dimension, GraphProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use rten_onnx::protobuf::{EncodeMessage, MessageWriter, ProtobufError, ValueWriter, WriteValue};

use super::attribute::attr_to_proto;
use super::tensor::{byte_len, to_proto, to_proto_outside, type_code, write_bytes};
use super::weights::Weights;
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::shape::Dim;
use crate::subgraph::Subgraph;
use crate::tensor::{DataType, Tensor};

/// Text that is stored in a file besides its graph, for people and programs.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Text on what the model does and what input it takes (ONNX's `doc_string`).
    pub doc: String,
    /// Keys and values (ONNX's `metadata_props`).
    pub properties: Vec<(String, String)>,
}

/// ModelProto as written. The parser's own types cannot hold a graph's name, which the ONNX checker demands.
struct Model<'a> {
    graph: &'a Graph,
    notes: &'a Notes,
    outside: &'a Outside,
}

/// Byte offsets of constants in the weights file; other constants are stored in the model.
type Outside = HashMap<ValueId, usize>;

impl EncodeMessage for Model<'_> {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const IR_VERSION: u64 = 1;
        const PRODUCER_NAME: u64 = 2;
        const PRODUCER_VERSION: u64 = 3;
        const DOC_STRING: u64 = 6;
        const GRAPH: u64 = 7;
        const OPSET_IMPORT: u64 = 8;
        const METADATA_PROPS: u64 = 14;
        let ir_version = match self.graph.opset {
            ..=18 => 8,
            19 | 20 => 9,
            _ => 10,
        };
        fields.write_int64(IR_VERSION, ir_version)?;
        fields.write_string(PRODUCER_NAME, "candor")?;
        fields.write_string(PRODUCER_VERSION, env!("CARGO_PKG_VERSION"))?;
        if !self.notes.doc.is_empty() {
            fields.write_string(DOC_STRING, &self.notes.doc)?;
        }
        let graph = EncodedGraph { graph: self.graph, scope: Scope::default(), outside: self.outside };
        fields.write_message(GRAPH, &graph)?;
        let default = [(String::new(), self.graph.opset)];
        let others = self.graph.domains.iter().map(|(d, v)| (d.clone(), *v));
        for (domain, version) in default.into_iter().chain(others) {
            let entry = OperatorSetIdProto { domain: Some(domain), version: Some(version) };
            fields.write_message(OPSET_IMPORT, &entry)?;
        }
        for (key, value) in &self.notes.properties {
            let entry = StringStringEntryProto { key: Some(key.clone()), value: Some(value.clone()) };
            fields.write_message(METADATA_PROPS, &entry)?;
        }
        Ok(())
    }
}

/// The names of a graph's values in the file: values of an inner graph are prefixed with their node's name, since names must be
/// unique among all graphs that see each other; captured values have their outer names.
#[derive(Clone, Debug, Default)]
struct Scope {
    prefix: String,
    captured: HashMap<ValueId, String>,
}

impl Scope {
    fn name(&self, graph: &Graph, id: ValueId) -> String {
        self.captured.get(&id).cloned().unwrap_or_else(|| format!("{}{}", self.prefix, graph.name(id)))
    }

    /// The scope of a graph inside `node`.
    fn inside(&self, graph: &Graph, node: &Node, key: &str, inner: &Subgraph) -> Scope {
        let outer = |place: usize| node.input(place).map_or_else(String::new, |id| self.name(graph, id));
        Scope {
            prefix: format!("{}{}/{key}/", self.prefix, node.name),
            captured: inner.captured.iter().map(|&(id, place)| (id, outer(place))).collect(),
        }
    }
}

/// GraphProto with a name, and nodes that may hold graphs.
struct EncodedGraph<'a> {
    graph: &'a Graph,
    scope: Scope,
    outside: &'a Outside,
}

impl EncodeMessage for EncodedGraph<'_> {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const NODE: u64 = 1;
        const NAME: u64 = 2;
        let (graph, scope) = (self.graph, &self.scope);
        let name = if scope.prefix.is_empty() { "candor" } else { scope.prefix.trim_end_matches('/') };
        fields.write_string(NAME, name)?;
        for node in &graph.nodes {
            fields.write_message(NODE, &EncodedNode { graph, scope, node })?;
        }
        let initializer = used_constants(graph)
            .map(|(id, tensor)| match self.outside.get(&id) {
                Some(&offset) => to_proto_outside(&scope.name(graph, id), tensor, WEIGHTS, offset),
                None => to_proto(&scope.name(graph, id), tensor),
            })
            .collect();
        let formal = graph.inputs.iter().filter(|id| !scope.captured.contains_key(id));
        let proto = GraphProto {
            node: vec![],
            initializer,
            input: formal.map(|&id| value_info(graph, scope, id)).collect(),
            output: graph.outputs.iter().map(|&id| value_info(graph, scope, id)).collect(),
            value_info: vec![],
        };
        proto.encode_fields(fields)
    }
}

/// The constants that a node reads or that are outputs of the graph.
fn used_constants(graph: &Graph) -> impl Iterator<Item = (ValueId, &Arc<Tensor>)> {
    let read = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied());
    let used: HashSet<ValueId> = read.chain(graph.outputs.iter().copied()).collect();
    graph.value_ids().filter(move |id| used.contains(id)).filter_map(|id| Some((id, graph.constant(id)?)))
}

struct EncodedNode<'a> {
    graph: &'a Graph,
    scope: &'a Scope,
    node: &'a Node,
}

impl EncodeMessage for EncodedNode<'_> {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const ATTRIBUTE: u64 = 5;
        let (graph, scope, node) = (self.graph, self.scope, self.node);
        node_to_proto(graph, scope, node).encode_fields(fields)?;
        for (key, inner) in subgraphs(node) {
            let scope = scope.inside(graph, node, key, inner);
            fields.write_message(
                ATTRIBUTE,
                &GraphAttribute {
                    key,
                    graph: EncodedGraph { graph: &inner.graph, scope, outside: &Outside::new() },
                },
            )?;
        }
        Ok(())
    }
}

struct GraphAttribute<'a> {
    key: &'a str,
    graph: EncodedGraph<'a>,
}

impl EncodeMessage for GraphAttribute<'_> {
    fn encode_fields<W: WriteValue>(&self, fields: &mut MessageWriter<W>) -> Result<(), ProtobufError> {
        const GRAPH: u64 = 6;
        let kind = AttributeProto {
            name: Some(self.key.to_string()),
            r#type: Some(AttributeType::GRAPH),
            ..AttributeProto::default()
        };
        kind.encode_fields(fields)?;
        fields.write_message(GRAPH, &self.graph)
    }
}

fn subgraphs(node: &Node) -> impl Iterator<Item = (&str, &Subgraph)> {
    node.attrs.iter().filter_map(|(key, attr)| match attr {
        Attr::Graph(inner) => Some((key.as_str(), inner.as_ref())),
        _ => None,
    })
}

/// The graph as the bytes of an ONNX file: standard operators, float32, weights inside.
///
/// # Errors
/// [`GraphError::Malformed`] if the graph breaks its invariants.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    to_bytes_with(graph, &Notes::default())
}

/// [`to_bytes`] with notes.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_bytes_with(graph: &Graph, notes: &Notes) -> Result<Vec<u8>> {
    encode(graph, notes, &Outside::new())
}

/// The name by which the model of [`to_parts`] refers to its weights.
pub const WEIGHTS: &str = "weights.data";
/// Constants smaller than this many bytes stay in the model.
const SMALL: usize = 1024;
/// Offsets of weights are multiples of this many bytes, so that an engine can use them in place.
pub(super) const ALIGNMENT: usize = 64;

/// The graph as a model without its large constants, and these in one buffer, to which the model refers as [`WEIGHTS`]: saves an
/// engine a copy of them.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_parts(graph: &Graph) -> Result<(Vec<u8>, Vec<u8>)> {
    let large: Vec<_> = used_constants(graph).filter(|(_, tensor)| byte_len(tensor) >= SMALL).collect();
    // Reserve at once: a growing buffer would be copied and need twice the memory for that time.
    let room = large.iter().map(|(_, tensor)| byte_len(tensor).next_multiple_of(ALIGNMENT)).sum();
    let (mut outside, mut weights) = (Outside::new(), Vec::with_capacity(room));
    for (id, tensor) in large {
        outside.insert(id, weights.len());
        write_bytes(tensor, &mut weights);
        weights.resize(weights.len().next_multiple_of(ALIGNMENT), 0);
    }
    Ok((encode(graph, &Notes::default(), &outside)?, weights))
}

/// The graph as a model whose large constants are put into `weights`, to which it refers as [`WEIGHTS`]: models of the same network
/// share their weights.
///
/// # Errors
/// As [`to_bytes`].
pub fn to_bytes_sharing(graph: &Graph, notes: &Notes, weights: &mut Weights) -> Result<Vec<u8>> {
    let large = used_constants(graph).filter(|(_, tensor)| byte_len(tensor) >= SMALL);
    let outside = large.map(|(id, tensor)| (id, weights.place(tensor))).collect();
    encode(graph, notes, &outside)
}

fn encode(graph: &Graph, notes: &Notes, outside: &Outside) -> Result<Vec<u8>> {
    graph.check()?;
    let model = Model { graph, notes, outside };
    let malformed = |e: ProtobufError| GraphError::Encode(Box::new(e));
    let mut bytes = Vec::with_capacity(model.encoded_len().map_err(malformed)? as usize);
    model.encode(ValueWriter::new(&mut bytes)).map_err(malformed)?;
    Ok(bytes)
}

/// Writes the graph as an ONNX file: to a temporary file beside `path`, then renamed.
///
/// # Errors
/// [`GraphError::Unwritable`] with the path if it cannot be written.
pub fn save(graph: &Graph, path: &Path) -> Result<()> {
    save_with(graph, &Notes::default(), path)
}

/// [`save`] with notes.
///
/// # Errors
/// As [`save`].
pub fn save_with(graph: &Graph, notes: &Notes, path: &Path) -> Result<()> {
    let bytes = to_bytes_with(graph, notes)?;
    let temporary = path.with_extension(format!("onnx.{}.tmp", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut f| f.write_all(&bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The write has failed already; a leftover that cannot be removed either adds nothing.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(|source| GraphError::Unwritable { path: path.display().to_string(), source })
}

/// Encodes a node without the graphs inside it and their captured values.
fn node_to_proto(graph: &Graph, scope: &Scope, node: &Node) -> NodeProto {
    let names = |ids: &[Option<ValueId>]| -> Vec<String> {
        ids.iter().map(|id| id.map_or_else(String::new, |id| scope.name(graph, id))).collect()
    };
    let captured = subgraphs(node).flat_map(|(_, inner)| inner.captured.iter().map(|c| c.1)).min();
    let own = captured.unwrap_or(node.inputs.len());
    NodeProto {
        domain: Some(node.domain.clone()),
        name: Some(format!("{}{}", scope.prefix, node.name)),
        input: names(&node.inputs[..own]),
        output: names(&node.outputs),
        op_type: Some(node.op.clone()),
        attribute: node.attrs.iter().filter_map(|(k, v)| attr_to_proto(k, v)).collect(),
    }
}

/// Name of a dimension of `k` times the batch size in a saved model: N, 2N, 3N …
pub fn batch_name(k: usize) -> String {
    if k == 1 { "N".to_string() } else { format!("{k}N") }
}

fn value_info(graph: &Graph, scope: &Scope, id: ValueId) -> ValueInfoProto {
    // The batch of an inner graph may be a multiple of the outer one: it gets no name there.
    let named = |text: String| scope.prefix.is_empty().then_some(text);
    let shape = graph.shape(id).map(|dims| TensorShapeProto {
        dim: dims
            .into_iter()
            .map(|d| match d {
                Dim::Fixed(n) => Dimension { dim_value: Some(n as i64), dim_param: None },
                Dim::Batch(k) => Dimension { dim_value: None, dim_param: named(batch_name(k)) },
                Dim::Unknown => Dimension { dim_value: None, dim_param: None },
            })
            .collect(),
    });
    let dtype = graph.value(id).dtype.unwrap_or(DataType::Float);
    ValueInfoProto {
        name: Some(scope.name(graph, id)),
        r#type: Some(TypeProto {
            tensor_type: Some(TypeProtoTensor { elem_type: Some(type_code(dtype)), shape }),
            sequence: None,
        }),
    }
}
