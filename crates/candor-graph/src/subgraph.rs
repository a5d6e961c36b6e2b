//! Graphs inside nodes: the body of a Loop, and the values of the outer graph that it reads.

use std::sync::Arc;

use crate::builder::{Builder, Expr};
use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::tensor::{DataType, Tensor, TensorData};

/// A graph inside a node. The outer values that it reads (captured values) are its last inputs and are appended to the node's inputs,
/// so that every pass that follows values sees them. In a file there are no such inputs: the body uses the outer value's name.
#[derive(Clone, Debug)]
pub struct Subgraph {
    /// The inner graph: its inputs are the node's formal inputs, then the captured values.
    pub graph: Graph,
    /// For each captured value, the inner input and the index of the outer value among the node's inputs.
    pub captured: Vec<(ValueId, usize)>,
}

impl PartialEq for Subgraph {
    /// Subgraphs are equal only to themselves.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// Constants with fewer elements stay inside the body: axes, shapes and the like, which runtimes expect there.
const CAPTURED_FROM: usize = 64;

/// The body of a loop before it becomes a node.
pub struct LoopBody<'b> {
    /// The graph. Its inputs may be in any order; its outputs are the carried values after an iteration.
    pub graph: Graph,
    /// Iteration number, an int64 scalar input of the graph, if the body reads it.
    pub turn: Option<ValueId>,
    /// The carried values at the start of an iteration (inputs of the graph), with their values before the first.
    pub carried: Vec<(ValueId, Expr<'b>)>,
    /// Inputs of the graph that are values of the graph around it.
    pub captured: Vec<(ValueId, Expr<'b>)>,
}

impl Builder {
    /// Appends a Loop with a fixed number of iterations: [`Builder::repeat_counted`], but a caller can run it iteration by iteration
    /// ([`crate::stages`]).
    ///
    /// # Errors
    /// As [`Builder::repeat_counted`].
    pub fn repeat<'b>(&'b self, name: &str, turns: usize, body: LoopBody<'b>) -> Result<Vec<Expr<'b>>> {
        let count = Tensor::new(vec![], TensorData::Int64(vec![turns as i64]))?;
        self.repeat_counted(name, self.constant(count), body)
    }

    /// Appends a Loop of `turns` iterations, an int64 scalar. Returns the carried values after the last iteration, each with the shape it
    /// started with. Large constants of the body become captured constants of this graph, so that two loops share them.
    ///
    /// # Errors
    /// [`GraphError`] if the body is malformed or its number of outputs differs from its number of carried values.
    pub fn repeat_counted<'b>(
        &'b self,
        name: &str,
        turns: Expr<'b>,
        body: LoopBody<'b>,
    ) -> Result<Vec<Expr<'b>>> {
        let LoopBody { mut graph, turn, carried, mut captured } = body;
        if graph.outputs.len() != carried.len() {
            return Err(GraphError::Malformed(format!(
                "the body of loop '{name}' hands on {} values, not {}",
                graph.outputs.len(),
                carried.len()
            )));
        }
        let turn = turn.unwrap_or_else(|| graph.add_input("turn", DataType::Int64, &[]));
        let going = goes_on(&mut graph);
        self.capture_large(&mut graph, &mut captured);
        let formal = [turn, going].into_iter().chain(carried.iter().map(|c| c.0));
        graph.inputs = formal.chain(captured.iter().map(|c| c.0)).collect();
        graph.check()?;

        let always = Tensor::new(vec![], TensorData::Bool(vec![true]))?;
        let own = [turns, self.constant(always)].into_iter().chain(carried.iter().map(|c| c.1));
        let own: Vec<ValueId> = own.map(Expr::id).collect();
        let places = captured.iter().enumerate().map(|(i, (id, _))| (*id, own.len() + i)).collect();
        let inputs = own.iter().copied().chain(captured.iter().map(|c| c.1.id())).collect();
        let outputs = self.push_loop(name, inputs, &own[2..], Subgraph { graph, captured: places });
        Ok(outputs.into_iter().map(|id| self.value(id)).collect())
    }

    /// Turns large constants that the body reads into captured constants of this graph, and drops captured values that it does not read.
    fn capture_large<'b>(&'b self, body: &mut Graph, captured: &mut Vec<(ValueId, Expr<'b>)>) {
        let mut read: Vec<ValueId> =
            body.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        read.sort_unstable();
        read.dedup();
        for &id in &read {
            let Some(tensor) = body.constant(id).filter(|t| t.len() >= CAPTURED_FROM).cloned() else {
                continue;
            };
            body.forget_constant(id);
            captured.push((id, self.shared_constant(&tensor)));
        }
        captured.retain(|(id, _)| read.binary_search(id).is_ok() || body.outputs.contains(id));
    }

    /// Appends the Loop node; its carried values have the types and shapes of `start`.
    fn push_loop(&self, name: &str, inputs: Vec<ValueId>, start: &[ValueId], body: Subgraph) -> Vec<ValueId> {
        self.with_mut(|g| {
            let outputs: Vec<ValueId> =
                start.iter().map(|_| g.add_value(&format!("{name}_last"), None)).collect();
            let attrs = [("body".to_string(), Attr::Graph(Arc::new(body)))].into();
            let inputs = inputs.into_iter().map(Some).collect();
            let last = outputs.iter().copied().map(Some).collect();
            g.nodes.push(Node::new(name, "Loop", inputs, last, attrs));
            for (&from, &to) in start.iter().zip(&outputs) {
                let (sym, dtype) = (g.sym(from).clone(), g.value(from).dtype);
                g.set_sym(to, sym, dtype);
            }
            outputs
        })
    }

    /// The value of this tensor (the same allocation) if the graph has one already, else a new constant.
    fn shared_constant(&self, tensor: &Arc<Tensor>) -> Expr<'_> {
        let known =
            self.with(|g| g.value_ids().find(|&id| g.constant(id).is_some_and(|t| Arc::ptr_eq(t, tensor))));
        let id = known.unwrap_or_else(|| self.with_mut(|g| g.add_constant("weight", tensor.clone())));
        self.value(id)
    }
}

/// Returns the loop condition from the body unchanged, so that the loop ends by its count. Returns the condition's input.
fn goes_on(body: &mut Graph) -> ValueId {
    let (going, on) = (body.add_input("going", DataType::Bool, &[]), body.add_value("on", None));
    body.nodes.push(Node::new("on", "Identity", vec![Some(going)], vec![Some(on)], Default::default()));
    body.set_type(on, DataType::Bool);
    body.outputs.insert(0, on);
    going
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Dim;

    /// x → x + c, five times, with c captured.
    fn looped() -> Result<Graph> {
        let inner = Builder::new(Graph::new(18));
        let shape = [Dim::Batch(1), Dim::Fixed(2)];
        let x = inner.input("x", DataType::Float, &shape);
        let c = inner.input("c", DataType::Float, &shape);
        let (x, c, next) = (x.id(), c.id(), (x + c).id());
        let mut body = inner.finish()?;
        body.outputs = vec![next];
        let outer = Builder::new(Graph::new(18));
        let start = outer.input("x", DataType::Float, &shape);
        let add = outer.input("add", DataType::Float, &shape) * 2.0;
        let body = LoopBody { graph: body, turn: None, carried: vec![(x, start)], captured: vec![(c, add)] };
        let last = outer.repeat("loop", 5, body)?[0].id();
        let mut graph = outer.finish()?;
        graph.outputs = vec![last];
        graph.check()?;
        Ok(graph)
    }

    #[test]
    fn a_loop_depends_on_what_its_body_captures() {
        let graph = looped().expect("builds");
        let up = graph.ancestors(&graph.outputs);
        assert!(graph.inputs.iter().all(|i| up.contains(i)));
        let bytes = crate::onnx::to_bytes(&graph).expect("is encoded");
        assert!(!bytes.is_empty());
    }

    #[test]
    fn a_body_must_hand_on_what_it_takes() {
        let outer = Builder::new(Graph::new(18));
        let x = outer.input("x", DataType::Float, &[Dim::Fixed(1)]);
        let body =
            LoopBody { graph: Graph::new(18), turn: None, carried: vec![(x.id(), x)], captured: vec![] };
        let error = outer.repeat("empty", 1, body).err().expect("refused").to_string();
        assert!(error.contains("loop 'empty' hands on 0 values, not 1"), "{error}");
    }
}
