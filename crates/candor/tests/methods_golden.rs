//! Maps of the methods against Captum, zennit and pytorch-grad-cam in float64: see tools/goldens/methods.py.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

use candor::engine::RTen;
use candor::map::Map;
use candor::methods::{self, Choices};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor_testing::{SCENES, model_file, noise, noise_image};
use serde_json::Value;

/// Allowed relative error of a map, in the L2 norm.
const TOLERANCE: f64 = 1e-3;

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The maps of the classes of some entries, all of one method and its settings.
fn maps(model: &Model, golden: &Value, entries: &[&Value]) -> Vec<Map> {
    let method = methods::find(entries[0]["method"].as_str().unwrap()).unwrap();
    let pair = |s: &Value| {
        let (key, value) = s.as_str().unwrap().split_once('=').unwrap();
        (key.to_string(), value.to_string())
    };
    let set: Vec<_> = entries[0]["set"].as_array().unwrap().iter().map(pair).collect();
    let (mut explainer, parameters) =
        methods::prepare(model, method.as_ref(), &set, &Choices::default()).unwrap();
    if let Some(layer) = parameters.values().get("layer") {
        assert_eq!(layer, &golden["layer"], "the automatic layer is the golden's");
    }
    let image = noise_image(model.input_shape.iter().product(), &golden["input"]);
    explainer.scores(model, &image).unwrap();
    let classes: Vec<usize> = entries.iter().map(|e| e["class"].as_u64().unwrap() as usize).collect();
    explainer.explain(model, &classes, &mut Unwatched).unwrap().into_iter().map(|e| e.map).collect()
}

/// The largest of the relative errors of samples, norm and projections.
fn error(golden: &Value, entry: &Value, map: &Map) -> f64 {
    let norm = entry["norm"].as_f64().unwrap();
    if norm == 0.0 {
        return map.data.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
    }
    let samples = floats(&entry["samples"]);
    let stride = entry["stride"].as_u64().unwrap() as usize;
    let (mut off, mut size) = (0.0, 0.0);
    for (got, want) in map.data.iter().step_by(stride).zip(&samples) {
        off += (f64::from(*got) - want).powi(2);
        size += want * want;
    }
    let dot =
        |d: &Value| map.data.iter().enumerate().map(|(i, v)| f64::from(*v) * noise(i as u64, d)).sum::<f64>();
    let directions = golden["directions"].as_array().unwrap().iter().map(dot);
    let projections = directions.zip(floats(&entry["projections"])).map(|(a, b)| (a - b).abs() / norm);
    let got = map.data.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    projections.fold((off / size.max(f64::MIN_POSITIVE)).sqrt().max((got - norm).abs() / norm), f64::max)
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/methods")
}

/// Whether the windows of an occlusion end exactly at the image's border. If not, Captum cuts the last ones off, so that pixels at the
/// border count less; Candor does not.
fn tiles(model: &Model, entry: &Value) -> bool {
    let number = |name: &str| {
        let settings = entry["set"].as_array()?;
        settings.iter().find_map(|s| s.as_str()?.strip_prefix(name)?.strip_prefix('=')?.parse::<usize>().ok())
    };
    let (Some(window), Some(stride)) = (number("window"), number("stride")) else { return true };
    model.input_shape[1..].iter().all(|side| (side - window).is_multiple_of(stride))
}

/// Prints the errors of all maps of a model, and returns those that are too large.
fn wrong(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(goldens().join(format!("{name}.json"))).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let model = Model::load(&model_file(name), &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    assert_eq!(model.info.sha256, golden["sha256"].as_str().unwrap(), "{name}: another file");
    let mut jobs: Vec<Vec<&Value>> = vec![];
    for entry in golden["maps"].as_array().unwrap().iter().filter(|e| tiles(&model, e)) {
        let same = |job: &&mut Vec<&Value>| ["method", "set"].iter().all(|k| job[0][k] == entry[k]);
        match jobs.iter_mut().find(same) {
            Some(job) => job.push(entry),
            None => jobs.push(vec![entry]),
        }
    }
    let mut wrong = vec![];
    for job in jobs {
        let start = std::time::Instant::now();
        for (entry, map) in job.iter().zip(maps(&model, &golden, &job)) {
            let error = error(&golden, entry, &map);
            let what = format!("{name}: {} {} class {}", entry["method"], entry["set"], entry["class"]);
            println!("{what}: {error:.1e} from {}", entry["reference"]);
            if error.is_nan() || error > TOLERANCE {
                wrong.push(format!("{what}: {error:.1e}"));
            }
        }
        println!("    {:.1} s", start.elapsed().as_secs_f64());
    }
    wrong
}

#[test]
fn maps_of_the_embedded_model_agree_with_the_reference_implementations() {
    let wrong = wrong(SCENES);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn maps_of_real_models_agree_with_the_reference_implementations() {
    let mut files: Vec<_> = std::fs::read_dir(goldens()).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 1);
    let names = files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap());
    let wrong: Vec<String> = names.filter(|&name| name != SCENES).flat_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
