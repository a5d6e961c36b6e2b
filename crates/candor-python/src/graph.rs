//! The gradient of any ONNX model as an ONNX model.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candor::engine::{Folding, RTen};
use candor::model::unknown_value;
use candor_graph::builder::Builder;
use candor_graph::error::{GraphError, Result, one_line};
use candor_graph::graph::{Graph, ValueId};
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::DataType;
use candor_graph::{grad, guard, onnx, rewrite};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::errors;

/// A model file.
#[derive(FromPyObject)]
pub enum Source {
    /// Its content.
    Bytes(PyBackedBytes),
    /// Its path.
    File(PathBuf),
}

/// What is differentiated, and how.
struct Asked {
    /// Name of the value to differentiate; the first output if `None`.
    of: Option<String>,
    /// Names of the values with respect to which it is differentiated; the float inputs if empty.
    wrt: Vec<String>,
    /// Name of the input that holds ∂L/∂of; ones if `None`.
    seed: Option<String>,
    /// Sizes of inputs that the file leaves free; −1 stays free.
    shapes: HashMap<String, Vec<i64>>,
}

/// Adds gradients to a model (bytes or a path): one output `grad_NAME` for each value of `wrt`. Returns the bytes of an ONNX file.
/// `of` is differentiated (None: the first output) with respect to `wrt` (empty: the float inputs); `seed` names a new input for ∂L/∂of
/// (None: ones); `shapes` fixes sizes of inputs, −1 for a free one.
#[pyfunction]
pub fn gradient<'py>(
    py: Python<'py>,
    model: Source,
    of: Option<String>,
    wrt: Vec<String>,
    seed: Option<String>,
    shapes: HashMap<String, Vec<i64>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let name = match &model {
        Source::Bytes(_) => "model in memory".to_string(),
        Source::File(path) => path.display().to_string(),
    };
    let asked = Asked { of, wrt, seed, shapes };
    let made = py.detach(|| guard::guarded(|| load(&model).and_then(|graph| differentiated(graph, &asked))));
    let bytes = match made {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let text = one_line(&error);
            let text = if text.contains(&name) { text } else { format!("{name}: {text}") };
            return Err(errors::graph(&error, &text));
        }
        Err(words) => {
            return Err(errors::exception("Error", &format!("{name}: an unexpected state ({words})")));
        }
    };
    Ok(PyBytes::new(py, &bytes))
}

fn load(model: &Source) -> Result<Graph> {
    let loaded = match model {
        Source::Bytes(bytes) => onnx::load_bytes(bytes),
        Source::File(path) => onnx::load(Path::new(path)),
    };
    Ok(loaded?.graph)
}

fn differentiated(mut graph: Graph, asked: &Asked) -> Result<Vec<u8>> {
    let engine = RTen::new(1);
    let folding = Folding(&engine);
    for (name, sizes) in &asked.shapes {
        let input = graph.find(name).filter(|id| graph.inputs.contains(id));
        let input = input.ok_or_else(|| unknown_value(&graph, name, "an input"))?;
        let dim = |(i, &n): (usize, &i64)| match usize::try_from(n) {
            Ok(n) => Dim::Fixed(n),
            Err(_) if i == 0 => Dim::Batch(1),
            Err(_) => Dim::Unknown,
        };
        graph.set_shape(input, &sizes.iter().enumerate().map(dim).collect::<Vec<_>>());
    }
    // The requested values are outputs while the graph is rewritten, so that no pass removes them.
    let outputs = graph.outputs.clone();
    let of = match &asked.of {
        Some(name) => value(&graph, name, "what to differentiate")?,
        None => {
            outputs.first().copied().ok_or_else(|| GraphError::Malformed("it has no output".to_string()))?
        }
    };
    let wrt = match &asked.wrt[..] {
        [] => graph
            .inputs
            .iter()
            .copied()
            .filter(|&id| graph.value(id).dtype == Some(DataType::Float))
            .collect(),
        names => names
            .iter()
            .map(|n| value(&graph, n, "that with respect to which"))
            .collect::<Result<Vec<_>>>()?,
    };
    graph.outputs.extend([of].iter().chain(&wrt));
    rewrite::free_batch(&mut graph, &folding);
    shape::infer(&mut graph)?;
    // Not every size has to be known. If a needed one is not, the error names the node that hides it, not the one that needs it.
    let known = shape::check_known(&graph);
    let made = rewritten(graph, (outputs.len(), asked.seed.as_deref()), &folding);
    made.map_err(|error| known.err().unwrap_or(error))
}

/// The file with the gradients; after the first `count` outputs come the value to differentiate and the values of `wrt`.
fn rewritten(
    mut graph: Graph,
    (count, seed): (usize, Option<&str>),
    folding: &Folding<'_>,
) -> Result<Vec<u8>> {
    rewrite::standard(&mut graph, folding)?;
    // A pass may have replaced an output by another value.
    let (of, wrt) = (graph.outputs[count], graph.outputs[count + 1..].to_vec());
    let names: Vec<String> = wrt.iter().map(|&id| format!("grad_{}", graph.name(id))).collect();
    graph.outputs.truncate(count);
    let builder = Builder::new(graph);
    let seed = match seed {
        Some(name) => builder.input(name, DataType::Float, &builder.value(of).shape()?).id(),
        None => (builder.value(of) * 0.0 + 1.0).id(),
    };
    let (graph, gradients) = grad::gradients(builder.finish()?, &[(of, seed)], &wrt)?;
    let builder = Builder::new(graph);
    let gradients: Vec<ValueId> =
        gradients.iter().map(|&id| builder.value(id).op("Identity", &[], &[]).id()).collect();
    let mut graph = builder.finish()?;
    for (id, name) in gradients.into_iter().zip(&names) {
        graph.rename(id, name);
        graph.outputs.push(id);
    }
    rewrite::fold_constants(&mut graph, folding)?;
    rewrite::remove_dead(&mut graph);
    onnx::to_bytes(&graph)
}

fn value(graph: &Graph, name: &str, what: &str) -> Result<ValueId> {
    graph.find(name).ok_or_else(|| unknown_value(graph, name, what))
}
