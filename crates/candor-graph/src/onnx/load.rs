//! ONNX file to graph: initializers and Constant nodes become constants, old operator sets are lifted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto,
};
use rten_onnx::protobuf::{DecodeMessage, ValueReader};

use super::functions::FunctionNames;
use super::tensor::{ExternalData, data_type, from_proto};
use super::upgrade::{NEWEST, OLDEST, upgrade};
use super::wire;
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::shape::Dim;
use crate::subgraph::Subgraph;
use crate::tensor::{DataType, Tensor};

/// A model as loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The graph, lifted to operator set 18 or higher. Shapes are not inferred yet.
    pub graph: Graph,
    /// Operator set of the file.
    pub opset: i64,
    /// Producer name and version; may be empty.
    pub producer: String,
}

/// Loads an ONNX file, with external data from beside it.
///
/// # Errors
/// [`GraphError`]: unreadable, not ONNX, unsupported operator set, functions, missing external data, or a
/// malformed graph.
pub fn load(path: &Path) -> Result<Loaded> {
    let shown = path.display().to_string();
    if path.is_dir() {
        let reason = "is a directory, not a file".to_string();
        return Err(GraphError::Unreadable { path: shown, reason });
    }
    let bytes = std::fs::read(path)
        .map_err(|e| GraphError::Unreadable { path: shown.clone(), reason: e.to_string() })?;
    load_beside(&bytes, path)
}

/// Loads an ONNX model from the bytes of the file at `path`; external data is looked for beside it.
///
/// # Errors
/// As [`load`].
pub fn load_beside(bytes: &[u8], path: &Path) -> Result<Loaded> {
    parse(bytes, &path.display().to_string(), ExternalData::beside(Some(path)))
}

/// Loads an ONNX model from memory. External data is an error.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<Loaded> {
    parse(bytes, "model in memory", ExternalData::beside(None))
}

fn parse(bytes: &[u8], what: &str, external: ExternalData) -> Result<Loaded> {
    let not_onnx = |reason: String| GraphError::NotOnnx { what: what.to_string(), reason };
    if bytes.is_empty() {
        return Err(not_onnx("the file is empty".to_string()));
    }
    wire::check(bytes).map_err(|e| not_onnx(format!("{e}; damaged or truncated?")))?;
    let model = ModelProto::parse_buf(bytes).map_err(|e| not_onnx(format!("{e}; damaged or truncated?")))?;
    let functions =
        FunctionNames::decode(ValueReader::from_buf(bytes)).map_err(|e| not_onnx(e.to_string()))?;
    if !functions.0.is_empty() {
        return Err(GraphError::Functions { names: functions.0.join(", ") });
    }
    let mut graph = Graph::default();
    for entry in &model.opset_import {
        let version = entry.version.unwrap_or(0);
        match entry.domain.as_deref().unwrap_or("") {
            "" | "ai.onnx" => graph.opset = version,
            domain => {
                graph.domains.insert(domain.to_string(), version);
            }
        }
    }
    let Some(proto) = model.graph else {
        return Err(not_onnx("it holds no graph".to_string()));
    };
    if proto.node.is_empty() {
        return Err(not_onnx("its graph holds no nodes".to_string()));
    }
    let opset = graph.opset;
    if !(OLDEST..=NEWEST).contains(&opset) {
        return Err(GraphError::Opset { domain: String::new(), version: opset });
    }

    let mut frames = vec![Frame { graph, captured: vec![] }];
    add_graph(&mut frames, &proto, &external)?;
    let mut graph = std::mem::take(&mut frames[0].graph);
    graph.check()?;
    upgrade(&mut graph)?;
    graph.check()?;
    let name = model.producer_name.unwrap_or_default();
    let version = model.producer_version.unwrap_or_default();
    Ok(Loaded { graph, opset, producer: format!("{name} {version}").trim().to_string() })
}

/// A graph being read. Those that it stands in are below it on a stack.
struct Frame {
    graph: Graph,
    /// Values of the graph around it that it reads: here, and there.
    captured: Vec<(ValueId, ValueId)>,
}

/// Deepest nesting of graphs that is read.
const DEEPEST: usize = 16;

/// Reads a graph into the topmost frame.
fn add_graph(frames: &mut Vec<Frame>, proto: &GraphProto, external: &ExternalData) -> Result<()> {
    let top = frames.len() - 1;
    for tensor in &proto.initializer {
        let name = tensor.name.clone().unwrap_or_default();
        if frames[top].graph.find(&name).is_some() {
            return Err(GraphError::Malformed(format!("initializer '{name}' appears twice")));
        }
        let tensor = from_proto(tensor, external)?;
        frames[top].graph.add_constant(&name, Arc::new(tensor));
    }
    for input in &proto.input {
        add_input(&mut frames[top].graph, input)?;
    }
    for (i, node) in proto.node.iter().enumerate() {
        add_node(frames, node, i, external)?;
    }
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or("");
        let id = resolve(frames, top, name);
        let id =
            id.ok_or_else(|| GraphError::Malformed(format!("output '{name}' is produced by nothing")))?;
        frames[top].graph.outputs.push(id);
    }
    Ok(())
}

/// The value of that name in a frame; one of a graph around it becomes captured.
fn resolve(frames: &mut [Frame], at: usize, name: &str) -> Option<ValueId> {
    if let Some(id) = frames[at].graph.find(name) {
        return Some(id);
    }
    let outer = resolve(frames, at.checked_sub(1)?, name)?;
    let dtype = frames[at - 1].graph.value(outer).dtype;
    let frame = &mut frames[at];
    let id = frame.graph.add_value(name, dtype);
    frame.captured.push((id, outer));
    Some(id)
}

/// Reads a graph inside a node. What it captures is appended to the node's inputs, which are read already.
fn add_subgraph(
    frames: &mut Vec<Frame>,
    node: &mut Node,
    proto: &GraphProto,
    external: &ExternalData,
) -> Result<Subgraph> {
    if frames.len() > DEEPEST {
        return Err(GraphError::node(node, format!("graphs are nested more than {DEEPEST} deep")));
    }
    let outer = &frames[frames.len() - 1].graph;
    let mut graph = Graph::new(outer.opset);
    graph.domains = outer.domains.clone();
    frames.push(Frame { graph, captured: vec![] });
    let read = add_graph(frames, proto, external);
    let Some(Frame { mut graph, captured }) = frames.pop() else {
        return Err(GraphError::node(node, "its graph is lost"));
    };
    read?;
    let mut places = vec![];
    for (inner, outer) in captured {
        graph.inputs.push(inner);
        places.push((inner, node.inputs.len()));
        node.inputs.push(Some(outer));
    }
    graph.check()?;
    upgrade(&mut graph)?;
    graph.check()?;
    Ok(Subgraph { graph, captured: places })
}

fn add_input(graph: &mut Graph, input: &ValueInfoProto) -> Result<()> {
    let name = input.name.as_deref().unwrap_or("");
    if let Some(id) = graph.find(name) {
        // Before IR version 4 every initializer was listed as an input too.
        if graph.constant(id).is_some() {
            return Ok(());
        }
        return Err(GraphError::Malformed(format!("input '{name}' appears twice")));
    }
    let fail = |reason: &str| GraphError::Tensor { tensor: name.to_string(), reason: reason.to_string() };
    let tensor = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let tensor = tensor.ok_or_else(|| fail("the input is not a tensor"))?;
    let dtype = tensor.elem_type.and_then(|t| data_type(t.0));
    let dtype = dtype.ok_or_else(|| fail("the input's element type is not supported"))?;
    // −1 and 0 are ways to say that a size is free.
    let dim = |value: Option<i64>| match value {
        None | Some(-1 | 0) => Ok(Dim::Unknown),
        Some(v) => match usize::try_from(v) {
            Ok(n) if n <= i32::MAX as usize => Ok(Dim::Fixed(n)),
            _ => Err(fail(&format!("the input has the dimension {v}"))),
        },
    };
    let dims = |s: &TensorShapeProto| s.dim.iter().map(|d| dim(d.dim_value)).collect::<Result<Vec<Dim>>>();
    match tensor.shape.as_ref().map(dims).transpose()? {
        Some(shape) => graph.add_input(name, dtype, &shape),
        None => {
            let id = graph.add_value(name, Some(dtype));
            graph.inputs.push(id);
            id
        }
    };
    Ok(())
}

fn add_node(frames: &mut Vec<Frame>, proto: &NodeProto, index: usize, external: &ExternalData) -> Result<()> {
    let top = frames.len() - 1;
    let op = proto.op_type.clone().unwrap_or_default();
    let name = match proto.name.as_deref() {
        Some(name) if !name.is_empty() => name.to_string(),
        _ => format!("{op}_{index}"),
    };
    let domain = match proto.domain.as_deref().unwrap_or("") {
        "ai.onnx" => "",
        other => other,
    };
    let mut node = Node {
        name,
        op,
        domain: domain.to_string(),
        inputs: vec![],
        outputs: vec![],
        attrs: BTreeMap::new(),
    };
    let is_graph = |a: &&AttributeProto| a.r#type == Some(AttributeType::GRAPH);
    for attribute in proto.attribute.iter().filter(|a| !is_graph(a)) {
        let key = attribute.name.clone().unwrap_or_default();
        let value = attr_from_proto(attribute, external)
            .map_err(|reason| GraphError::node(&node, format!("attribute '{key}': {reason}")))?;
        node.attrs.insert(key, value);
    }
    if node.op == "Constant" && node.domain.is_empty() {
        let tensor = constant_value(&node)?;
        let out = proto.output.first().map_or("", String::as_str);
        let graph = &mut frames[top].graph;
        if graph.find(out).is_some() {
            return Err(GraphError::Malformed(format!("'{out}' is produced twice")));
        }
        graph.add_constant(out, tensor);
        return Ok(());
    }
    for input in &proto.input {
        let id = match (input.as_str(), resolve(frames, top, input)) {
            ("", _) => None,
            (_, Some(id)) => Some(id),
            (name, None) => {
                let what = format!(
                    "node '{}' ({}) reads '{name}', which nothing before it produces",
                    node.name, node.op
                );
                return Err(GraphError::Malformed(format!("{what} (dangling, a cycle, or out of order)")));
            }
        };
        node.inputs.push(id);
    }
    for attribute in proto.attribute.iter().filter(is_graph) {
        let key = attribute.name.clone().unwrap_or_default();
        let inner = attribute.g.as_ref();
        let inner =
            inner.ok_or_else(|| GraphError::node(&node, format!("attribute '{key}': has no graph")))?;
        let inner = add_subgraph(frames, &mut node, inner, external)?;
        node.attrs.insert(key, Attr::Graph(Arc::new(inner)));
    }
    let graph = &mut frames[top].graph;
    for output in &proto.output {
        let id: Option<ValueId> = match (output.as_str(), graph.find(output)) {
            ("", _) => None,
            (_, Some(_)) => return Err(GraphError::Malformed(format!("'{output}' is produced twice"))),
            (name, None) => Some(graph.add_value(name, None)),
        };
        node.outputs.push(id);
    }
    graph.nodes.push(node);
    Ok(())
}

fn attr_from_proto(proto: &AttributeProto, external: &ExternalData) -> Result<Attr, String> {
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
            Attr::Tensor(Arc::new(from_proto(tensor, external).map_err(|e| e.to_string())?))
        }
        other => return Err(format!("attribute type {} is not supported", other.0)),
    })
}

fn constant_value(node: &Node) -> Result<Arc<Tensor>> {
    for (key, attr) in &node.attrs {
        let tensor = match (key.as_str(), attr) {
            ("value", Attr::Tensor(t)) => return Ok(t.clone()),
            ("value_float", Attr::Float(v)) => Tensor::scalar(*v),
            ("value_floats", Attr::Floats(v)) => Tensor::floats(&[v.len()], v.clone())?,
            ("value_int", Attr::Int(v)) => Tensor::new(vec![], crate::tensor::TensorData::Int64(vec![*v]))?,
            ("value_ints", Attr::Ints(v)) => Tensor::ints(v),
            _ => continue,
        };
        return Ok(Arc::new(tensor));
    }
    Err(GraphError::node(node, "holds no value of a supported kind (tensor, float, int)"))
}

/// What an image model's input must be: used by callers to say why a model is not one.
impl Loaded {
    /// The inputs with their types, for messages.
    pub fn describe_inputs(&self) -> String {
        let describe = |&id: &ValueId| {
            let dtype = self.graph.value(id).dtype.unwrap_or(DataType::Float);
            let shape = crate::shape::display(self.graph.shape(id).as_deref());
            format!("'{}' {dtype:?} {shape}", self.graph.name(id))
        };
        self.graph.inputs.iter().map(describe).collect::<Vec<_>>().join(", ")
    }
}
