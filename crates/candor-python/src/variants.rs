//! Variants of a model, with other weights or a shifted input, and its inner values; needed by metrics that change a model.

use std::collections::HashMap;
use std::sync::Arc;

use candor::model::unknown_value;
use candor::{Classifier, Error};
use candor_graph::graph::{Graph, ValueId};
use candor_graph::insert;
use candor_graph::tensor::Tensor;
use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray4, PyReadonlyArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::attribution::tensors;
use crate::errors::{self, Raised};

/// An array with its name.
pub type Named<'py> = (String, Bound<'py, PyArrayDyn<f32>>);

/// The weights of convolutions and matrix products, in the order of the layers.
pub fn weights<'py>(py: Python<'py>, graph: &Graph) -> PyResult<Vec<Named<'py>>> {
    let array = |id: ValueId| {
        let tensor = graph.constant(id)?;
        let values = PyArray1::from_slice(py, tensor.as_floats()?);
        Some(values.reshape(tensor.shape()).map(|array| (graph.name(id).to_string(), array)))
    };
    weighted(graph).into_iter().filter_map(array).collect()
}

fn weighted(graph: &Graph) -> Vec<ValueId> {
    let layers = graph.nodes.iter().filter(|n| matches!(n.op.as_str(), "Conv" | "Gemm" | "MatMul"));
    let mut found: Vec<ValueId> = vec![];
    for id in layers.flat_map(|n| n.inputs.iter().take(2).flatten().copied()) {
        if graph.constant(id).is_some_and(|t| t.as_floats().is_some()) && !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// The classifier with other values for some weights, given by name.
pub fn with_weights(
    classifier: &Classifier,
    weights: HashMap<String, PyReadonlyArrayDyn<'_, f32>>,
) -> PyResult<Classifier> {
    let mut graph = classifier.model.graph.clone();
    for (name, array) in weights {
        let wrong = |text: String| errors::exception("InputError", &text);
        let known = weighted(&graph).into_iter().find(|&id| graph.name(id) == name);
        let id = known.ok_or_else(|| wrong(format!("no weight is called '{name}'")))?;
        let shape = graph.constant(id).map_or_else(Vec::new, |tensor| tensor.shape().to_vec());
        if array.shape() != shape {
            return Err(wrong(format!("weight '{name}' has shape {shape:?}, not {:?}", array.shape())));
        }
        let values = array.as_slice().map_err(|_| wrong(format!("weight '{name}' must be in C order")))?;
        let tensor = Tensor::floats(&shape, values.to_vec());
        graph.set_constant(id, Arc::new(tensor.map_err(|e| errors::graph(&e, &e.to_string()))?));
    }
    Ok(with_graph(classifier, graph))
}

/// The classifier that first subtracts a constant from its input: for inputs with that constant added it gives the original's results.
pub fn shifted(classifier: &Classifier, constant: f32) -> candor::Result<Classifier> {
    let model = &classifier.model;
    let at = |e| Error::graph(&model.info.path, e);
    let front = |graph: Graph| insert::in_front(graph, model.input, |b| Ok(b.value(model.input) - constant));
    let (graph, _) = front(model.graph.clone()).map_err(at)?;
    graph.check().map_err(at)?;
    Ok(with_graph(classifier, graph))
}

fn with_graph(classifier: &Classifier, graph: Graph) -> Classifier {
    Classifier { model: Arc::new(classifier.model.with_graph(graph)), ..classifier.clone() }
}

/// Values inside the model for N×C×H×W preprocessed inputs, by name.
pub fn values<'py>(
    py: Python<'py>,
    classifier: &Classifier,
    inputs: &PyReadonlyArray4<'py, f32>,
    names: &[String],
) -> PyResult<Vec<Bound<'py, PyArrayDyn<f32>>>> {
    let model = &classifier.model;
    let images = tensors(inputs, model)?;
    let run = || {
        let at = |e| Error::graph(&model.info.path, e);
        let mut graph = model.graph.clone();
        let find = |name: &String| graph.find(name).ok_or_else(|| at(unknown_value(&graph, name, "a value")));
        graph.outputs = names.iter().map(find).collect::<candor::Result<_>>()?;
        let mut session = model.engine.compile(&graph)?;
        let batch = model.fixed_batch.map_or(images.len(), |n| n.max(images.len()));
        let mut all = images.concat();
        all.resize(batch * model.input_shape.iter().product::<usize>(), 0.0);
        let input = Tensor::floats(&model.batch_shape(batch), all).map_err(at)?;
        Ok(session.run(&[&input])?)
    };
    let found: Vec<Tensor> = Raised::<Vec<Tensor>>::raised(py.detach(run) as candor::Result<_>)?;
    let array = |tensor: Tensor| {
        let shape = tensor.shape().to_vec();
        let values = tensor.into_floats();
        let values = values.ok_or_else(|| errors::exception("ModelError", "a value holds no floats"))?;
        PyArray1::from_vec(py, values).reshape(shape)
    };
    found.into_iter().map(array).collect()
}
