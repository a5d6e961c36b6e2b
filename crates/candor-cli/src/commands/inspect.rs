//! `candor inspect`: what a model is and what Candor would do with it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use candor::mask::levels::{automatic_levels, feature_maps};
use candor::model::Head;
use candor_graph::grad::{Entry, entry};
use serde_json::{Value, json};

use crate::arguments::InspectArgs;
use crate::output;
use crate::setup;

pub fn run(args: &InspectArgs) -> Result<ExitCode> {
    let setup = setup::load(&args.model)?;
    let model = &setup.model;
    let mut operators: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for node in &model.graph.nodes {
        let rule = match entry(&node.domain, &node.op) {
            Some(Entry::Rule(_)) => "rule".to_string(),
            Some(Entry::Zero) => "zero".to_string(),
            Some(Entry::Unsupported(reason)) => format!("unsupported: {reason}"),
            None => "no rule".to_string(),
        };
        operators.entry(node.qualified_op()).or_insert((0, rule)).0 += 1;
    }
    let levels = automatic_levels(model).unwrap_or_default();
    let maps = feature_maps(model);
    let head = match model.head {
        Head::Logits => "logits",
        Head::Softmax => "softmax; its input is taken as logits",
        Head::MultiLabel => "sigmoid per class; its input is taken as logits",
        Head::LogProbability => "probabilities without logits; their logarithms are taken",
    };
    let batch = model.fixed_batch.map_or_else(|| "free".to_string(), |n| format!("fixed at {n}"));
    let [c, h, w] = model.input_shape;
    if args.json {
        let level = |l: &candor::mask::Level| json!({"value": l.name, "shape": l.shape});
        let operators: Vec<Value> = operators
            .iter()
            .map(|(op, (n, rule))| json!({"operator": op, "count": n, "gradient": rule}))
            .collect();
        output::json(&json!({
            "model": model.info, "input": {"name": model.graph.name(model.input), "shape": model.input_shape, "batch": batch},
            "preprocessing": setup.preprocessing, "classes": model.classes, "head": head,
            "parameters": model.graph.parameter_count(), "operators": operators,
            "levels": levels.iter().map(level).collect::<Vec<_>>(),
            "feature_maps": maps.iter().map(level).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{}\n  sha256      {}\n  file        opset {}, {}\n  input       {} {c}×{h}×{w}, batch {batch}\n  output      {} classes ({head})\n  weights     {:.2} M\n",
        model.info.path,
        model.info.sha256,
        model.info.opset,
        if model.info.producer.is_empty() { "producer not named" } else { &model.info.producer },
        model.graph.name(model.input),
        model.classes,
        model.graph.parameter_count() as f64 / 1e6,
    );
    text += "  operators   after folding, with their gradient:\n";
    for (op, (count, rule)) in &operators {
        text += &format!("    {count:>4} × {op:<22} {rule}\n");
    }
    text += "  levels      masked by default (the last feature map of each size that everything passes):\n";
    for l in &levels {
        text += &format!("    {:<32} {}×{}×{}\n", l.name, l.shape[0], l.shape[1], l.shape[2]);
    }
    text += "  others      that --levels can name:\n";
    for l in maps.iter().filter(|m| !levels.contains(m)) {
        text += &format!("    {:<32} {}×{}×{}\n", l.name, l.shape[0], l.shape[1], l.shape[2]);
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
