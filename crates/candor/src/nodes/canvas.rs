//! The inputs and outputs of every exported model: image and class, logits and map.

use candor_graph::builder::{Builder, Expr};
use candor_graph::error::Result;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::rewrite;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor, TensorData};

use crate::engine::Folding;
use crate::model::Model;

/// Name of the input that selects the explained class.
pub const CLASS: &str = "class";
/// Name of the output with the model's logits.
pub const LOGITS: &str = "logits";
/// Name of the output with the map.
pub const MAP: &str = "map";

/// Adds the input `class` (int64, one per row) and returns 1 at that class and 0 at the others, with the shape N×K.
pub fn one_hot<'b>(builder: &'b Builder, shape: &[Dim]) -> Expr<'b> {
    let class = builder.input(CLASS, DataType::Int64, &shape[..1]);
    equals_class(class, shape)
}

/// 1 at each row's class and 0 elsewhere, N×K.
pub fn equals_class<'b>(class: Expr<'b>, shape: &[Dim]) -> Expr<'b> {
    let classes = shape.get(1).and_then(|d| d.fixed()).unwrap_or(1);
    let numbers = TensorData::Int64((0..classes as i64).collect());
    let numbers = Tensor::new(vec![1, classes], numbers).expect("as many numbers as classes");
    let equal = class.reshape(&[-1, 1]).op("Equal", &[class.builder().constant(numbers)], &[]);
    equal.to_float()
}

/// Finishes the graph: `map` (N×1×H×W) and the logits become its outputs, constants are folded, unused nodes removed.
pub fn finish(model: &Model, graph: Graph, map: ValueId) -> Result<Graph> {
    let builder = Builder::new(graph);
    // Separate values, so that renaming them renames no value that the model's file names.
    let own = [model.logits, map].map(|id| builder.value(id).op("Identity", &[], &[]).id());
    let mut graph = builder.finish()?;
    let class = graph.inputs.iter().copied().find(|i| *i != model.input);
    for (id, name) in own.into_iter().chain(class).zip([LOGITS, MAP, CLASS]) {
        graph.rename(id, name);
    }
    graph.outputs = own.to_vec();
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut graph);
    graph.check()?;
    Ok(graph)
}
