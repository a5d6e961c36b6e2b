//! Checks a folder of exported classifiers against PyTorch: logits, input gradient, and that the reliable mask runs.
//!
//!     python tools/parity/export_models.py --out ZOO
//!     cargo run --release -p candor-bench --example check_models -- ZOO [NAME...]
//!
//! The folder contains NAME.json (PyTorch's results in float64, see tools/parity/export_models.py) and NAME.EXPORTER.onnx. Prints a
//! Markdown table; the exit code is 1 if a model fails. NAMEs restrict it to models whose file names start with one of them.

use candor::progress::Unwatched;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candor::engine::{Folding, RTen};
use candor::mask::Settings;
use candor::mask::learn::Learner;
use candor::mask::levels::automatic_levels;
use candor::model::{Model, ModelOptions};
use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::rewrite;
use candor_graph::tensor::{DataType, Tensor};
use serde_json::Value;

use candor_testing::{noise, noise_image};

/// Largest relative error of logits and gradients, in float32.
const TOLERANCE: f64 = 1e-4;
/// Iterations of the mask: enough to see that it works.
const ITERATIONS: usize = 3;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("give the folder of models")?);
    let wanted: Vec<String> = arguments.collect();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|f| Some(f.ok()?.path()))
        .filter(|p| is_model(p, &wanted))
        .collect();
    files.sort();
    println!(
        "| model | exporter | nodes | batch | logits | gradient | PyTorch f32 | forward ms | gradient ms | levels | mask |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut failures = vec![];
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut parts = name.trim_end_matches(".onnx").trim_end_matches(".failed").rsplitn(2, '.');
        let (exporter, model) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let row = if name.ends_with(".failed") {
            Err(format!("not exported: {}", std::fs::read_to_string(file)?.trim()).into())
        } else {
            check(file, &folder.join(format!("{model}.json")))
        };
        match row {
            Ok(row) => {
                println!("| {model} | {exporter} | {} |", row.cells.join(" | "));
                failures.extend(row.failure.map(|f| format!("{model} ({exporter}): {f}")));
            }
            Err(e) => {
                println!("| {model} | {exporter} | fails |  |  |  |  |  |  |  |  |");
                failures.push(format!("{model} ({exporter}): {e}"));
            }
        }
    }
    println!("\n{} of {} pass.\n", files.len() - failures.len(), files.len());
    failures.iter().for_each(|f| println!("- {f}"));
    std::process::exit(i32::from(!failures.is_empty()))
}

fn is_model(path: &Path, wanted: &[String]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (name.ends_with(".onnx") || name.ends_with(".failed"))
        && (wanted.is_empty() || wanted.iter().any(|w| name.starts_with(w.as_str())))
}

struct Row {
    cells: Vec<String>,
    failure: Option<String>,
}

fn check(file: &Path, reference: &Path) -> Result<Row> {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(reference)?)?;
    let model = Model::load(file, &ModelOptions::default(), Box::new(RTen::new(0)))?;
    let image = image(&golden["input"], &model)?;
    let mut forward = model.forward()?;
    let forward_ms = median_ms(|| Ok(forward.run(&[&image])?))?;
    drop(forward);

    let class = golden["class"].as_u64().ok_or("no class")? as usize;
    let (logits, gradient, gradient_ms) = logits_and_gradient(&model, &image, class)?;
    let logit_error = relative(&logits, &floats(&golden["logits"]));
    let norm = golden["norm"].as_f64().ok_or("no norm")?;
    let stride = golden["stride"].as_u64().ok_or("no stride")? as usize;
    let samples: Vec<f64> = gradient.iter().copied().step_by(stride).collect();
    let off = directions(&golden, &gradient, norm);
    let error = relative(&samples, &floats(&golden["samples"])).max(off);
    let torch = golden["torch_float32_relative_error"]["gradient"].as_f64().unwrap_or(0.0);

    let (levels, mask) = mask(&model, &image, class);
    // If PyTorch's own float32 result is further off than the tolerance, there is a kink within rounding error.
    let allowed = TOLERANCE.max(3.0 * torch);
    let failure = if logit_error > TOLERANCE {
        Some(format!("logits differ by {logit_error:.1e}"))
    } else if error > allowed || error.is_nan() {
        Some(format!("gradients differ by {error:.1e}; PyTorch's own float32 by {torch:.1e}"))
    } else {
        mask.as_ref().err().map(|e| format!("mask: {e}"))
    };
    let cells = vec![
        model.graph.nodes.len().to_string(),
        model.fixed_batch.map_or("free".into(), |n| n.to_string()),
        format!("{logit_error:.0e}"),
        format!("{error:.0e}"),
        format!("{torch:.0e}"),
        format!("{forward_ms:.0}"),
        format!("{gradient_ms:.0}"),
        levels,
        mask.map_or("fails".into(), |seconds| format!("{seconds:.1} s")),
    ];
    Ok(Row { cells, failure })
}

fn image(spec: &Value, model: &Model) -> Result<Tensor> {
    Ok(model.input_tensor(&noise_image(model.input_shape.iter().product(), spec))?)
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// Relative L2 error.
fn relative(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let error: f64 = got.iter().zip(want).map(|(g, w)| (g - w).powi(2)).sum();
    let norm: f64 = want.iter().map(|w| w * w).sum();
    (error / norm.max(f64::MIN_POSITIVE)).sqrt()
}

/// Largest error of the norm and of the projections on the golden's directions, relative to the norm.
fn directions(golden: &Value, gradient: &[f64], norm: f64) -> f64 {
    let got = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let specs = golden["directions"].as_array().cloned().unwrap_or_default();
    let want = floats(&golden["projections"]);
    specs
        .iter()
        .zip(want)
        .map(|(spec, want)| {
            let got: f64 = gradient.iter().enumerate().map(|(i, g)| g * noise(i as u64, spec)).sum();
            (got - want).abs() / norm
        })
        .fold((got - norm).abs() / norm, f64::max)
}

fn logits_and_gradient(model: &Model, image: &Tensor, class: usize) -> Result<(Vec<f64>, Vec<f64>, f64)> {
    let builder = Builder::new(model.graph.clone());
    let seed = builder.input("seed", DataType::Float, &builder.value(model.logits).shape()?).id();
    let (mut graph, found) = gradients(builder.finish()?, &[(model.logits, seed)], &[model.input])?;
    graph.outputs = vec![model.logits, found[0]];
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref()))?;
    rewrite::remove_dead(&mut graph);
    let batch = model.fixed_batch.unwrap_or(1);
    let mut one_hot = vec![0.0; model.classes];
    one_hot[class] = 1.0;
    let seed = Tensor::floats(&[batch, model.classes], one_hot.repeat(batch))?;
    let mut session = model.engine.compile(&graph)?;
    let out = session.run(&[image, &seed])?;
    let ms = median_ms(|| Ok(session.run(&[image, &seed])?))?;
    let first = |t: &Tensor| -> Vec<f64> {
        let values = t.as_floats().unwrap_or_default();
        values[..values.len() / batch].iter().map(|&v| f64::from(v)).collect()
    };
    Ok((first(&out[0]), first(&out[1]), ms))
}

fn median_ms<T>(mut run: impl FnMut() -> Result<T>) -> Result<f64> {
    let mut times = vec![];
    for _ in 0..3 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[1])
}

/// The automatic levels, and the seconds that a short reliable mask took.
fn mask(model: &Model, image: &Tensor, class: usize) -> (String, Result<f64>) {
    let levels = match automatic_levels(model) {
        Ok(levels) => levels,
        Err(e) => return ("none".into(), Err(e.into())),
    };
    let shown: Vec<String> = levels.iter().map(|l| l.shape[1].to_string()).collect();
    let run = || -> Result<f64> {
        let start = Instant::now();
        let settings = Settings { iterations: ITERATIONS, exact: false, ..Settings::of_photo() };
        let mut learner = Learner::new(model, levels, settings)?;
        let one = image.as_floats().unwrap_or_default();
        let one = &one[..model.input_shape.iter().product()];
        let prepared = learner.prepare(model, one)?;
        let learned = learner.learn(model, &prepared, &[class], &mut Unwatched)?;
        let moved = learned[0].masks.iter().all(|m| m.iter().any(|&v| v < 1.0));
        if !moved {
            return Err("a level's mask did not move".into());
        }
        Ok(start.elapsed().as_secs_f64())
    };
    (shown.join(", "), run())
}
