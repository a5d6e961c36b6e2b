//! Errors name the node of the user's file, whatever rewrites have made of it.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::HashSet;
use std::path::PathBuf;

use candor_engine::{Engine, Folding, RTen};
use candor_graph::error::{GraphError, Result};
use candor_graph::feature::Feature;
use candor_graph::grad::gradients;
use candor_graph::graph::{Attr, Graph, Node as GraphNode};
use candor_graph::insert::{MaskShape, dominators, insert_masks};
use candor_graph::onnx;
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use support::wire::{Attribute, Model, Node, Weight};

/// The graph after all passes, with the gradient of its first output with respect to its first input.
fn differentiated(mut graph: Graph) -> Result<Graph> {
    rewrite::standard(&mut graph, &Folding(&RTen::new(1)))?;
    let (x, y) = (graph.inputs[0], graph.outputs[0]);
    let shape = graph.shape(y).unwrap();
    let seed = graph.add_input("seed", DataType::Float, &shape);
    Ok(gradients(graph, &[(y, seed)], &[x])?.0)
}

/// A model of those nodes, of which the last makes `y` of the image `x`.
fn model(nodes: Vec<Node>, weights: Vec<Weight>) -> Graph {
    let inputs = vec![("x".to_string(), vec![1, 2, 4, 4])];
    let model = Model { nodes, weights, inputs, outputs: vec!["y".into()] };
    onnx::load_bytes(&model.bytes()).unwrap().graph
}

fn error(nodes: Vec<Node>, weights: Vec<Weight>) -> GraphError {
    differentiated(model(nodes, weights)).unwrap_err()
}

/// A file of tests/data/onnx.
fn loaded(name: &str) -> Graph {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx").join(name);
    let mut graph = onnx::load(&path).unwrap().graph;
    rewrite::free_batch(&mut graph, &Folding(&RTen::new(1)));
    graph
}

#[test]
fn a_lowered_node_without_gradient_is_the_files() {
    // The image is also the scale: there is no rule for that.
    let norm = Node::new("SkipLayerNormalization", &["x", "x", "x"], "y", &[]).of_microsoft().named("norm7");
    let error = error(vec![norm], vec![]);
    let GraphError::NoGradient { at, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (at.node.as_str(), at.op.as_str(), at.operator()),
        ("norm7", "com.microsoft.SkipLayerNormalization", "LayerNormalization")
    );
    let start = "node 'norm7' (com.microsoft.SkipLayerNormalization), in the LayerNormalization made from it: no gradient rule for operator \
                 LayerNormalization: ";
    assert!(error.to_string().starts_with(start), "{error}");
}

#[test]
fn a_lowered_node_whose_shapes_do_not_fit_is_the_files() {
    let bias = Weight::new("bias", &[3]);
    let gelu = Node::new("BiasGelu", &["x", "bias"], "y", &[]).of_microsoft().named("act7");
    let error = error(vec![gelu], vec![bias]);
    assert!(matches!(&error, GraphError::ShapeMismatch { .. }), "{error:?}");
    let line = error.to_string();
    assert!(line.starts_with("node 'act7' (com.microsoft.BiasGelu), in the Add made from it: "), "{line}");
}

#[test]
fn a_node_without_name_is_known_by_what_it_makes() {
    let bias = Weight::new("bias", &[3]);
    let gelu = Node::new("BiasGelu", &["x", "bias"], "y", &[]).of_microsoft();
    let line = error(vec![Node::new("Relu", &["x"], "r", &[]), gelu], vec![bias]).to_string();
    assert!(line.starts_with("node 'y' (com.microsoft.BiasGelu), in the Add made from it: "), "{line}");
    let line = error(vec![Node::new("Atanh", &["x"], "y", &[])], vec![]).to_string();
    assert!(line.starts_with("node 'y' (Atanh): no gradient rule for operator Atanh: "), "{line}");
}

#[test]
fn a_node_of_a_loop_is_named_as_in_its_body() {
    // Its body averages over the batch.
    let error = differentiated(loaded("looped.onnx")).unwrap_err();
    let line = error.to_string();
    assert!(
        line.starts_with("node 'average' (ReduceMean): no gradient rule for operator ReduceMean: "),
        "{line}"
    );
}

#[test]
fn an_unknown_operator_and_a_size_beyond_the_limit_can_be_matched() {
    let foreign = Node::new("Anything", &["x"], "y", &[]).of_microsoft().named("thing");
    let mut graph = model(vec![foreign], vec![]);
    rewrite::settle_shapes(&mut graph, &Folding(&RTen::new(1))).unwrap();
    let error = candor_graph::shape::check_known(&graph).unwrap_err();
    assert!(matches!(&error, GraphError::UnknownOperator { at } if at.node == "thing"), "{error:?}");
    let error = differentiated(loaded("looped_long.onnx")).unwrap_err();
    assert!(matches!(&error, GraphError::TooLarge { at, .. } if at.node == "halve"), "{error:?}");
}

#[test]
fn an_engines_error_names_the_files_node() {
    // Dilated over three axes: the engine supports neither.
    let attributes = ["kernel_shape", "dilations"].map(|name| (name, Attribute::Ints(vec![2, 2, 2])));
    let nodes = vec![Node::new("LpPool", &["x"], "y", &attributes).named("pool3")];
    let inputs = vec![("x".to_string(), vec![1, 1, 4, 4, 4])];
    let model = Model { nodes, weights: vec![], inputs, outputs: vec!["y".into()] };
    let mut graph = onnx::load_bytes(&model.bytes()).unwrap().graph;
    let engine = RTen::new(1);
    rewrite::standard(&mut graph, &Folding(&engine)).unwrap();
    let image = Tensor::full(&[1, 1, 4, 4, 4], 1.0);
    let run = || engine.compile(&graph)?.run(&[&image]);
    let line = run().unwrap_err().to_string();
    assert!(line.contains("node 'pool3' (LpPool), in the AveragePool made from it"), "{line}");
}

/// Names by which errors may refer to the nodes of a loaded graph, including graphs inside nodes.
fn names(graph: &Graph) -> HashSet<String> {
    let inner = |n: &GraphNode| -> Vec<String> {
        let graphs =
            n.attrs.values().filter_map(|a| if let Attr::Graph(g) = a { Some(&g.graph) } else { None });
        graphs.flat_map(names).collect()
    };
    graph.nodes.iter().flat_map(|n| inner(n).into_iter().chain([n.shown().node])).collect()
}

#[test]
fn whatever_passes_and_rules_make_comes_from_a_node_of_the_file() {
    for name in ["old_7.onnx", "old_9.onnx", "old_10.onnx", "old_12.onnx", "conditional.onnx"] {
        let mut graph = loaded(name);
        let known = names(&graph);
        rewrite::standard(&mut graph, &Folding(&RTen::new(1))).unwrap();
        let values = dominators(&graph, graph.inputs[0], graph.outputs[0]);
        let features: Vec<Feature> = values.iter().filter_map(|&v| Feature::of(&graph, v)).collect();
        let (graph, sites) = insert_masks(graph, &features, MaskShape::Spatial).unwrap();
        let (mut graph, before) = (graph.clone(), graph.nodes.len());
        let y = graph.outputs[0];
        let shape = graph.shape(y).unwrap();
        let seed = graph.add_input("seed", DataType::Float, &shape);
        let masks: Vec<_> = sites.iter().map(|s| s.mask).collect();
        let (mut graph, slopes) = gradients(graph, &[(y, seed)], &masks).unwrap();
        graph.outputs.extend(slopes);
        rewrite::slice_before_pointwise(&mut graph).unwrap();
        rewrite::masks_behind_pointwise(&mut graph, &sites).unwrap();
        assert!(graph.nodes.len() > before, "{name}");
        for node in &graph.nodes {
            let shown = node.shown();
            assert!(
                known.contains(&shown.node),
                "{name}: {shown} is no node of the file (it is '{}')",
                node.name
            );
        }
    }
}
