//! `candor inspect`: what a model is and what Candor would do with it.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use candor::mask::levels::{Surveyed, survey};
use candor::package::locate;
use candor_graph::grad::{Entry, entry};
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::rewrite::LOWERINGS;
use serde_json::{Value, json};

use crate::arguments::InspectArgs;
use crate::output;
use crate::setup;

pub fn run(args: &InspectArgs) -> Result<ExitCode> {
    let setup = match setup::load(&args.model) {
        Ok(setup) => setup,
        Err(e) => {
            // For a model that cannot be used, only its operators and their gradients are listed.
            if let Ok(located) = locate(&args.model.model)
                && let Ok(loaded) = onnx::load(&located.model)
                && !args.json
            {
                output::print(&format!(
                    "{}\n{}",
                    located.model.display(),
                    listed("as in the file", &loaded.graph)
                ))?;
            }
            return Err(e);
        }
    };
    let model = &setup.model;
    let maps = survey(model);
    let (levels, others): (Vec<&Surveyed>, Vec<&Surveyed>) = maps.iter().partition(|s| s.chosen);
    let head = model.head.words();
    let batch = model.fixed_batch.map_or_else(|| "free".to_string(), |n| format!("fixed at {n}"));
    let [c, h, w] = model.input_shape;
    if args.json {
        let map = |s: &Surveyed| json!({"value": s.level.name, "shape": s.level.shape, "masked": s.chosen, "why": s.why});
        let operators: Vec<Value> = operators(&model.graph)
            .iter()
            .map(|(op, (n, rule))| json!({"operator": op, "count": n, "gradient": rule}))
            .collect();
        output::json(&json!({
            "model": model.info, "input": {"name": model.graph.name(model.input), "shape": model.input_shape, "batch": batch},
            "preprocessing": setup.preprocessing, "sources": setup.sources, "classes": model.classes, "head": head, "notes": model.notes,
            "parameters": model.graph.parameter_count(), "operators": operators,
            "levels": levels.into_iter().map(map).collect::<Vec<_>>(),
            "feature_maps": maps.iter().map(map).collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{}\n  sha256      {}\n  file        opset {}, {}\n  input       {} {c}×{h}×{w}, batch {batch}\n  output      {} {} classes ({head})\n{}  photos      {}\n  weights     {:.2} M\n",
        model.info.path,
        model.info.sha256,
        model.info.opset,
        if model.info.producer.is_empty() { "producer not named" } else { &model.info.producer },
        model.graph.name(model.input),
        model.info.output,
        model.classes,
        unused(&model.info.other_outputs),
        from_where(&setup),
        model.graph.parameter_count() as f64 / 1e6,
    );
    text += &listed("after folding", &model.graph);
    let line = |s: &&Surveyed| {
        let ([c, h, w], size) = (s.level.shape, s.level.name.chars().count());
        let name =
            if size > 40 { format!("{}\n{:44}", s.level.name, "") } else { format!("{:<40}", s.level.name) };
        format!("    {name} {:<14} {}\n", format!("{c}×{h}×{w}"), s.why)
    };
    text += "  levels      masked by default, from fine to coarse:\n";
    text += &levels.iter().map(line).collect::<String>();
    if levels.is_empty() {
        text += "    none: no feature map separates the image from the logits; name some with --levels\n";
    }
    text += "  others      that --levels can name, and why they are not masked by default:\n";
    text += &others.iter().map(line).collect::<String>();
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The outputs that are not explained.
fn unused(outputs: &[String]) -> String {
    match outputs {
        [] => String::new(),
        others => format!("  not used    {}; --output names another\n", others.join(", ")),
    }
}

/// The preprocessing, and which file states it.
fn from_where(setup: &setup::Setup) -> String {
    format!("{} ({})", setup.preprocessing, setup.sources.preprocessing)
}

/// Operators, with their number of occurrences and their gradient.
fn operators(graph: &Graph) -> BTreeMap<String, (usize, String)> {
    let mut operators: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for node in &graph.nodes {
        let lowered = || LOWERINGS.iter().any(|(domain, op, _)| *domain == node.domain && *op == node.op);
        let rule = match entry(&node.domain, &node.op) {
            Some(Entry::Rule(_)) => "rule".to_string(),
            Some(Entry::Zero) => "zero".to_string(),
            Some(Entry::Unsupported(reason)) => format!("unsupported: {reason}"),
            None if lowered() => "by that of the operators it is made of".to_string(),
            None => "no rule".to_string(),
        };
        operators.entry(node.qualified_op()).or_insert((0, rule)).0 += 1;
    }
    operators
}

fn listed(when: &str, graph: &Graph) -> String {
    let mut text = format!("  operators   {when}, with their gradient:\n");
    for (op, (count, rule)) in operators(graph) {
        text += &format!("    {count:>4} × {op:<22} {rule}\n");
    }
    text
}
