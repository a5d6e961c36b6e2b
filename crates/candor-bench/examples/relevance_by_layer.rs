//! How much of a class's score remains as relevance at each layer, with and without biases that absorb relevance: shows why a map of LRP
//! adds up to the score, or to a millionth of it.
//!
//! `cargo run --release -p candor-bench --example relevance_by_layer -- model.onnx photo.jpg --preset inception`
#![allow(missing_docs, reason = "an example")]

use std::path::PathBuf;

use candor::engine::Folding;
use candor::image::{Preset, decode};
use candor::model::Model;
use candor::scores::ranking;
use candor::{Classifier, OpenOptions};
use candor_bench::Outcome;
use candor_graph::builder::Builder;
use candor_graph::grad::lrp::{Composite, LayerRule, lrp};
use candor_graph::grad::propagate;
use candor_graph::graph::{Graph, ValueId};
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use clap::Parser;

#[derive(Parser)]
struct Arguments {
    model: PathBuf,
    photo: PathBuf,
    #[arg(long)]
    preset: Option<Preset>,
    /// z-plus, epsilon, alpha2-beta1 or gamma, for convolutions; dense layers have epsilon
    #[arg(long, default_value = "z-plus")]
    rule: String,
}

fn rule(name: &str) -> Outcome<LayerRule> {
    match name {
        "z-plus" => Ok(LayerRule::AlphaBeta(1.0, 0.0)),
        "epsilon" => Ok(LayerRule::Epsilon(1e-6)),
        "alpha2-beta1" => Ok(LayerRule::AlphaBeta(2.0, 1.0)),
        "gamma" => Ok(LayerRule::Gamma(0.25)),
        other => Err(format!("unknown rule {other:?}").into()),
    }
}

/// The outputs of layers with weights, from the last on, then the image; each with its name.
fn places(model: &Model) -> Vec<(String, ValueId)> {
    let layers = model.graph.nodes.iter().filter(|n| ["Conv", "Gemm", "MatMul"].contains(&n.op.as_str()));
    let named = |id: ValueId| (model.graph.name(id).to_string(), id);
    let mut all: Vec<_> = std::iter::once(model.input).chain(layers.map(|n| n.output())).map(named).collect();
    all.reverse();
    all
}

/// Σ R at each value, for the class of which `query` is the one-hot row times the score.
fn relevance(
    model: &Model,
    rule: LayerRule,
    biases: bool,
    image: &Tensor,
    query: &Tensor,
) -> Outcome<Vec<f32>> {
    let composite =
        Composite { first: None, conv: rule, dense: LayerRule::Epsilon(1e-6), last: None, biases };
    let policy = lrp(&model.graph, model.input, composite);
    let builder = Builder::new(model.graph.clone());
    let seed = builder.input("query", DataType::Float, &builder.value(model.logits).shape()?).id();
    let wrt: Vec<ValueId> = places(model).into_iter().map(|(_, id)| id).collect();
    let (graph, found) = propagate(builder.finish()?, &[(model.logits, seed)], &wrt, &policy)?;
    let builder = Builder::new(graph);
    let sums = found.iter().map(|&r| builder.value(r).reshape(&[1, -1]).sum(&[1], false).id()).collect();
    let mut graph: Graph = builder.finish()?;
    graph.outputs = sums;
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut graph);
    let sums = model.engine.compile(&graph)?.run(&[image, query])?;
    Ok(sums.iter().map(|t| t.as_floats().and_then(|v| v.first().copied()).unwrap_or(f32::NAN)).collect())
}

fn main() -> Outcome<()> {
    let a = Arguments::parse();
    let rule = rule(&a.rule)?;
    let classifier =
        Classifier::open_with(&a.model, OpenOptions { preset: a.preset, ..OpenOptions::default() })?;
    let model = classifier.model.as_ref();
    let values = classifier.preprocessing.apply(&decode(&a.photo)?);
    let scores = model.scores(model.forward()?.as_mut(), &values)?;
    let class = ranking(&scores)[0];
    let mut row = vec![0.0; scores.len()];
    row[class] = scores[class];
    let query = Tensor::floats(&[1, row.len()], row)?;
    let image = model.input_tensor(&values)?;
    println!("{}: score {:.3}, rule {}", classifier.labels.name(class), scores[class], a.rule);
    println!("{:>13} {:>13}  relevance ÷ score at the output of", "with biases", "without");
    let [with, without] = [true, false].map(|biases| relevance(model, rule, biases, &image, &query));
    for ((name, _), (with, without)) in places(model).iter().zip(with?.iter().zip(&without?)) {
        println!("{:>13.4e} {:>13.4e}  {name}", with / scores[class], without / scores[class]);
    }
    Ok(())
}
