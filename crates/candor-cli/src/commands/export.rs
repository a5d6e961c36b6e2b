//! `candor export`: a method as an ONNX model.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use candor::export::{self, CLASS, LOGITS, MAP};
use candor_report::atomic;
use candor_report::folder::{Inputs, may_replace};
use serde_json::json;

use crate::arguments::ExportArgs;
use crate::folder;
use crate::output;
use crate::setup;

pub fn run(args: &ExportArgs) -> Result<ExitCode> {
    let method = setup::method(&args.chosen.method, &args.chosen.set)?;
    if method.exporter().is_none() {
        return Err(export::not_exportable(method.as_ref()).into());
    }
    let inputs = folder::inputs::<&Path>(&args.model, []);
    let may = |inputs: &Inputs| may_replace(&args.out, inputs, args.force.force, export::is_export);
    may(&inputs)?;
    let output = atomic::behind(&args.out)?;
    atomic::writable(&output)?;
    let setup = setup::load(&args.model)?;
    may(&inputs.and(folder::of_model(&args.model.model, &setup)))?;
    let choices = setup::choices(&setup, &args.chosen.levels, 0)?;
    let exported =
        export::export(&setup.model, &setup.preprocessing, method.as_ref(), &args.chosen.set, &choices)?;
    exported.save(&output)?;
    let image = exported.graph.name(setup.model.input);
    let file = args.out.display();
    if args.json {
        let [c, h, w] = setup.model.input_shape;
        let batch = setup.model.fixed_batch.map_or(json!("N"), |n| json!(n));
        output::json(&json!({
            "file": file.to_string(), "model": setup.model.info, "method": exported.method,
            "preprocessing": setup.preprocessing, "opset": exported.graph.opset, "nodes": exported.graph.nodes.len(),
            "inputs": [{"name": image, "shape": [batch, c, h, w]}, {"name": CLASS, "shape": [batch]}],
            "outputs": [
                {"name": LOGITS, "shape": [batch, setup.model.classes]},
                {"name": MAP, "shape": [batch, 1, h, w]},
            ],
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&format!(
        "{file}: {} nodes, opset {}; inputs {image}, {CLASS}; outputs {LOGITS}, {MAP}\n",
        exported.graph.nodes.len(),
        exported.graph.opset
    ))?;
    Ok(ExitCode::SUCCESS)
}
