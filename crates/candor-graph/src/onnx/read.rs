//! GraphProto to graph, including graphs inside nodes: initializers and Constant nodes become constants, old operator sets are
//! upgraded.

use std::collections::BTreeMap;
use std::sync::Arc;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, GraphProto, NodeProto, TensorShapeProto, ValueInfoProto,
};

use super::attribute::{attr_from_proto, constant_value};
use super::tensor::{ExternalData, data_type, from_proto};
use super::upgrade::upgrade;
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, Origin, ValueId};
use crate::shape::Dim;
use crate::subgraph::Subgraph;

/// A graph being read. The graphs that enclose it are below it on a stack.
struct Frame {
    graph: Graph,
    /// Captured values: (input of this graph, value of the enclosing graph).
    captured: Vec<(ValueId, ValueId)>,
}

impl Frame {
    /// Refuses a name that another value of the file already has.
    fn check_new(&self, output: &str) -> Result<()> {
        if !output.is_empty() && self.graph.find(output).is_some() {
            return Err(GraphError::Malformed(format!("'{output}' is produced twice")));
        }
        Ok(())
    }
}

/// Reads the top-level graph of a file. `graph` has its operator sets.
pub(super) fn read_graph(graph: Graph, proto: &GraphProto, external: &ExternalData) -> Result<Graph> {
    if count_nodes(proto) > MOST_NODES {
        return Err(GraphError::ManyNodes { most: MOST_NODES });
    }
    let mut frames = vec![Frame { graph, captured: vec![] }];
    add_graph(&mut frames, proto, external)?;
    let mut graph = std::mem::take(&mut frames[0].graph);
    graph.check()?;
    upgrade(&mut graph)?;
    graph.check()?;
    Ok(graph)
}

/// Maximum nesting depth of graphs.
const DEEPEST: usize = 16;
/// Maximum number of nodes, including those of inner graphs. The largest classifiers have a few thousand.
const MOST_NODES: usize = 1 << 16;

/// Number of nodes of a graph and of the graphs inside them; their nesting depth has been checked.
fn count_nodes(proto: &GraphProto) -> usize {
    let inner = proto.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref());
    proto.node.len() + inner.map(count_nodes).sum::<usize>()
}

/// Reads a graph into the topmost frame.
fn add_graph(frames: &mut Vec<Frame>, proto: &GraphProto, external: &ExternalData) -> Result<()> {
    let top = frames.len() - 1;
    for tensor in &proto.initializer {
        let name = tensor.name.clone().unwrap_or_default();
        check_name(&name)?;
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

/// The value of that name in a frame; a value of an enclosing graph becomes captured.
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

/// Reads a graph inside a node. Captured values are appended to the node's inputs, which are already read.
fn add_subgraph(
    frames: &mut Vec<Frame>,
    node: &mut Node,
    proto: &GraphProto,
    external: &ExternalData,
) -> Result<Subgraph> {
    if frames.len() > DEEPEST {
        return Err(GraphError::too_large(node, format!("graphs are nested more than {DEEPEST} deep")));
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

/// Refuses a name with control characters, which could move a terminal's cursor.
fn check_name(name: &str) -> Result<()> {
    if name.contains(char::is_control) {
        return Err(GraphError::Malformed(format!("the name {name:?} holds control characters")));
    }
    Ok(())
}

fn add_input(graph: &mut Graph, input: &ValueInfoProto) -> Result<()> {
    let name = input.name.as_deref().unwrap_or("");
    check_name(name)?;
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
    // −1 and 0 mean that a size is free.
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
    let names = [&proto.name, &proto.op_type, &proto.domain].into_iter().flatten();
    names.chain(&proto.output).try_for_each(|name| check_name(name))?;
    let mut node = bare_node(proto, index);
    for attribute in proto.attribute.iter().filter(|a| !is_graph(a)) {
        let key = attribute.name.clone().unwrap_or_default();
        let value = attr_from_proto(attribute, external)
            .map_err(|reason| GraphError::node(&node, format!("attribute '{key}': {reason}")))?;
        node.attrs.insert(key, value);
    }
    if node.op == "Constant" && node.domain.is_empty() {
        let tensor = constant_value(&node)?;
        let out = proto.output.first().map_or("", String::as_str);
        frames[top].check_new(out)?;
        frames[top].graph.add_constant(out, tensor);
        return Ok(());
    }
    for input in &proto.input {
        let id = resolve(frames, top, input);
        if id.is_none() && !input.is_empty() {
            let what = format!("{} reads '{input}', which nothing before it produces", node.shown());
            return Err(GraphError::Malformed(format!("{what} (dangling, a cycle, or out of order)")));
        }
        node.inputs.push(id.filter(|_| !input.is_empty()));
    }
    for attribute in proto.attribute.iter().filter(|a| is_graph(a)) {
        let key = attribute.name.clone().unwrap_or_default();
        let inner = attribute.g.as_ref();
        let inner =
            inner.ok_or_else(|| GraphError::node(&node, format!("attribute '{key}': has no graph")))?;
        let inner = add_subgraph(frames, &mut node, inner, external)?;
        node.attrs.insert(key, Attr::Graph(Arc::new(inner)));
    }
    let frame = &mut frames[top];
    for output in &proto.output {
        frame.check_new(output)?;
        node.outputs.push((!output.is_empty()).then(|| frame.graph.add_value(output, None)));
    }
    frame.graph.nodes.push(node);
    Ok(())
}

/// A node's names and operator, without its inputs and outputs.
fn bare_node(proto: &NodeProto, index: usize) -> Node {
    let op = proto.op_type.clone().unwrap_or_default();
    let named = proto.name.as_deref().filter(|name| !name.is_empty());
    let name = named.map_or_else(|| format!("{op}_{index}"), str::to_string);
    let mut node = Node::new(&name, &op, vec![], vec![], BTreeMap::new());
    match proto.domain.as_deref() {
        None | Some("ai.onnx") => {}
        Some(domain) => node.domain = domain.to_string(),
    }
    // Errors identify an unnamed node by its output, a name that is in the file; a running number is not.
    let output = proto.output.iter().map(String::as_str).find(|output| !output.is_empty());
    node.origin = Some(Origin::in_file(named.or(output).unwrap_or(&name), &node));
    node
}

fn is_graph(attribute: &AttributeProto) -> bool {
    attribute.r#type == Some(AttributeType::GRAPH)
}
