//! Cuts a graph at its loops, so that the caller runs them and can report progress, show intermediate values, and stop them.
//!
//! A runtime reports nothing while it runs a Loop. Here, what is computed before the loops, a single iteration of each, and what follows
//! from their results are separate graphs. They pass values on by name.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::{GraphError, Result};
use crate::graph::{Attr, Graph, Node, ValueId};
use crate::rewrite;
use crate::subgraph::Subgraph;
use crate::tensor::TensorData;

/// A part of a graph. The parts are run in order; each takes its inputs by name from the graph's inputs and from the outputs of
/// earlier parts.
#[derive(Debug)]
pub enum Stage {
    /// Run once. Its outputs are stored under their names.
    Once(Graph),
    /// Run iteration by iteration.
    Loop(Turns),
}

/// A loop with a known number of iterations.
#[derive(Debug)]
pub struct Turns {
    /// Name of the Loop node.
    pub name: String,
    /// One iteration. Its outputs are the carried values after the iteration.
    pub graph: Graph,
    /// How often it is run.
    pub count: usize,
    /// The input of the graph that holds the iteration number (int64 scalar, from 0), if the body reads it.
    pub turn: Option<String>,
    /// The values that are passed from iteration to iteration.
    pub carried: Vec<Carried>,
    /// Inputs of the graph that are the same in every iteration, each with the name of the outer value.
    pub captured: Vec<(String, String)>,
}

/// A value that a loop passes from iteration to iteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The input of the iteration's graph.
    pub input: String,
    /// The output of the iteration's graph that is the input of the next iteration.
    pub output: String,
    /// Name of the earlier stage's value that the first iteration starts with.
    pub first: String,
    /// Name under which the value after the last iteration is stored.
    pub last: String,
}

/// Cuts a graph at its loops with a fixed number of iterations. A graph without such loops is one stage.
///
/// # Errors
/// [`GraphError`] if the graph, and therefore a stage, is malformed.
pub fn stages(graph: &Graph) -> Result<Vec<Stage>> {
    let loops: Vec<Option<Counted<'_>>> = graph.nodes.iter().map(|n| Counted::of(graph, n)).collect();
    // The stage that computes a value: the largest number of loops on a path to it.
    let mut stage_of: HashMap<ValueId, usize> = graph.inputs.iter().map(|&id| (id, 0)).collect();
    let mut stage_of_node = vec![];
    for (node, counted) in graph.nodes.iter().zip(&loops) {
        let behind = node.inputs.iter().flatten().filter_map(|id| stage_of.get(id)).max();
        let stage = behind.copied().unwrap_or(0);
        stage_of_node.push(stage);
        let ready = stage + usize::from(counted.is_some());
        stage_of.extend(node.outputs.iter().flatten().map(|&id| (id, ready)));
    }
    let last = stage_of.values().max().copied().unwrap_or(0);
    let mut found = vec![];
    for stage in 0..=last {
        let own = |i: &usize| stage_of_node[*i] == stage;
        let plain: HashSet<usize> =
            (0..graph.nodes.len()).filter(own).filter(|i| loops[*i].is_none()).collect();
        if !plain.is_empty() {
            found.push(Stage::Once(part(graph, &plain)?));
        }
        for counted in (0..graph.nodes.len()).filter(own).filter_map(|i| loops[i].as_ref()) {
            found.push(Stage::Loop(counted.turns(graph)?));
        }
    }
    Ok(found)
}

/// The nodes with these indices as a graph: its inputs are the values it reads from other nodes, its outputs the values others read from
/// it.
fn part(graph: &Graph, nodes: &HashSet<usize>) -> Result<Graph> {
    let (mut read, mut made, mut read_elsewhere) = (BTreeSet::new(), HashSet::new(), HashSet::new());
    for (i, node) in graph.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().flatten().copied();
        if nodes.contains(&i) {
            read.extend(inputs);
            made.extend(node.outputs.iter().flatten().copied());
        } else {
            read_elsewhere.extend(inputs);
        }
    }
    let mut part = graph.clone();
    let mut index = 0..;
    part.nodes.retain(|_| index.next().is_some_and(|i| nodes.contains(&i)));
    let given = |id: &ValueId| !made.contains(id) && graph.constant(*id).is_none();
    // The graph's own inputs come first and in its order.
    let own = graph.inputs.iter().copied().filter(|id| read.contains(id));
    let others = read.iter().copied().filter(|id| given(id) && !graph.inputs.contains(id));
    part.inputs = own.chain(others).collect();
    let outputs: Vec<ValueId> = graph
        .value_ids()
        .filter(|id| made.contains(id) && (read_elsewhere.contains(id) || graph.outputs.contains(id)))
        .collect();
    part.outputs = outputs;
    part.check()?;
    Ok(part)
}

/// A Loop with a fixed number of iterations.
struct Counted<'g> {
    node: &'g Node,
    body: &'g Subgraph,
    count: usize,
}

impl<'g> Counted<'g> {
    fn of(graph: &Graph, node: &'g Node) -> Option<Self> {
        if node.op != "Loop" {
            return None;
        }
        let Some(Attr::Graph(body)) = node.attrs.get("body") else { return None };
        let [count] = *graph.known_ints(node.input(0)?)? else { return None };
        let count = usize::try_from(count).ok()?;
        let begins = match node.input(1) {
            None => true,
            Some(id) => matches!(graph.constant(id)?.data(), TensorData::Bool(v) if v == &[true]),
        };
        // The body returns the condition that it was given.
        let handed_on = *body.graph.outputs.first()?;
        let going = *body.graph.inputs.get(1)?;
        let passes = |n: &Node| n.op == "Identity" && n.output() == handed_on && n.input(0) == Some(going);
        (begins && body.graph.nodes.iter().any(passes)).then_some(Counted { node, body, count })
    }

    fn turns(&self, graph: &Graph) -> Result<Turns> {
        let malformed = || GraphError::Malformed(format!("loop '{}' lacks a value", self.node.name));
        let outer = |place: usize| self.node.input(place).ok_or_else(malformed);
        let mut turn = self.body.graph.clone();
        turn.outputs.remove(0);
        let carried_count = turn.outputs.len();
        let formal = turn.inputs.clone();
        let carried_inputs = formal.get(2..2 + carried_count).ok_or_else(malformed)?;
        let mut captured = vec![];
        for &(inner, place) in &self.body.captured {
            let id = outer(place)?;
            match graph.constant(id) {
                Some(tensor) => turn.set_constant(inner, tensor.clone()),
                None => captured.push((inner, graph.name(id).to_string())),
            }
        }
        rewrite::remove_dead(&mut turn);
        let read: HashSet<ValueId> =
            turn.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
        captured.retain(|(inner, _)| read.contains(inner));
        let number = Some(formal[0]).filter(|id| read.contains(id));
        let captured_inputs = captured.iter().map(|c| c.0);
        turn.inputs =
            number.into_iter().chain(carried_inputs.iter().copied()).chain(captured_inputs).collect();
        turn.check()?;
        let mut carried = vec![];
        for (i, (&input, &output)) in carried_inputs.iter().zip(&turn.outputs).enumerate() {
            let last = self.node.outputs.get(i).copied().flatten();
            carried.push(Carried {
                input: turn.name(input).to_string(),
                output: turn.name(output).to_string(),
                first: graph.name(outer(2 + i)?).to_string(),
                last: last.map_or_else(String::new, |id| graph.name(id).to_string()),
            });
        }
        let captured = captured.into_iter().map(|(id, outer)| (turn.name(id).to_string(), outer)).collect();
        Ok(Turns {
            name: self.node.name.clone(),
            turn: number.map(|id| turn.name(id).to_string()),
            graph: turn,
            count: self.count,
            carried,
            captured,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::shape::Dim;
    use crate::subgraph::LoopBody;
    use crate::tensor::{DataType, Tensor};

    const SHAPE: [Dim; 2] = [Dim::Batch(1), Dim::Fixed(2)];

    /// y = 3 · (x · 2 + 5 · w + 0 + 1 + 2 + 3 + 4), w a captured constant too large to stay in the body.
    fn looped() -> Graph {
        let inner = Builder::new(Graph::new(18));
        let sum = inner.input("sum", DataType::Float, &SHAPE);
        let add = inner.input("add", DataType::Float, &SHAPE);
        let turn = inner.input("turn", DataType::Int64, &[]);
        let large = inner.constant(Tensor::full(&[100], 0.25));
        let axes = inner.ints(&[0]);
        let mean = large.op("ReduceMean", &[axes], &[]);
        let next = (sum + add + turn.to_float() + mean).id();
        let (sum, add, turn) = (sum.id(), add.id(), turn.id());
        let mut body = inner.finish().expect("builds");
        body.outputs = vec![next];

        let outer = Builder::new(Graph::new(18));
        let x = outer.input("x", DataType::Float, &SHAPE);
        let body = LoopBody {
            graph: body,
            turn: Some(turn),
            carried: vec![(sum, x * 2.0)],
            captured: vec![(add, x * 0.0 + 1.0)],
        };
        let last = (outer.repeat("steps", 5, body).expect("repeats")[0] * 3.0).id();
        let mut graph = outer.finish().expect("builds");
        graph.outputs = vec![last];
        graph
    }

    #[test]
    fn a_graph_is_cut_at_its_loop() {
        let graph = looped();
        let found = stages(&graph).expect("cuts");
        let [Stage::Once(before), Stage::Loop(turns), Stage::Once(after)] = &found[..] else {
            panic!("{found:?}");
        };
        let names = |graph: &Graph, ids: &[ValueId]| -> Vec<String> {
            ids.iter().map(|&id| graph.name(id).to_string()).collect()
        };
        assert_eq!(names(before, &before.inputs), ["x"]);
        assert_eq!((turns.count, turns.turn.as_deref()), (5, Some("turn")));
        let [carried] = &turns.carried[..] else { panic!("{:?}", turns.carried) };
        let given = names(before, &before.outputs);
        assert!(given.contains(&carried.first) && given.contains(&turns.captured[0].1), "{given:?}");
        // The large constant is part of the iteration's graph again.
        assert_eq!(names(&turns.graph, &turns.graph.inputs), ["turn", "sum", "add"]);
        assert!(turns.graph.parameter_count() >= 100);
        assert_eq!(names(&turns.graph, &turns.graph.outputs), std::slice::from_ref(&carried.output));
        assert_eq!(names(after, &after.inputs), std::slice::from_ref(&carried.last));
        assert_eq!(names(after, &after.outputs), names(&graph, &graph.outputs));
    }

    #[test]
    fn a_graph_without_loops_is_one_stage() {
        let builder = Builder::new(Graph::new(18));
        let x = builder.input("x", DataType::Float, &SHAPE);
        let y = (x * 2.0 + 1.0).id();
        let mut graph = builder.finish().expect("builds");
        graph.outputs = vec![y];
        let found = stages(&graph).expect("cuts");
        assert!(matches!(&found[..], [Stage::Once(g)] if g.nodes.len() == graph.nodes.len()), "{found:?}");
    }
}
