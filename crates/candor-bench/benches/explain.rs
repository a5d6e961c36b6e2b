//! Load, gradient, one mask iteration and one explanation on the embedded model.
//!
//! `cargo bench -p candor-bench`. For another model: `CANDOR_BENCH_MODEL=model.onnx cargo bench -p candor-bench`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use candor::engine::RTen;
use candor::mask::learn::Learner;
use candor::mask::{Settings, automatic_levels};
use candor::methods::{Choices, find, prepare};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor_scenes::embedded;
use criterion::{Criterion, criterion_group, criterion_main};

fn load() -> Model {
    let engine = Box::new(RTen::new(0));
    match std::env::var("CANDOR_BENCH_MODEL") {
        Ok(path) => Model::load(path.as_ref(), &ModelOptions::default(), engine).unwrap(),
        Err(_) => Model::from_bytes("embedded", embedded::MODEL, &ModelOptions::default(), engine).unwrap(),
    }
}

fn benches(c: &mut Criterion) {
    c.bench_function("load", |b| b.iter(load));
    let model = load();
    let count: usize = model.input_shape.iter().product();
    let image: Vec<f32> = (0..count).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();

    let gradient = find("gradient").unwrap();
    let (mut gradient, _) = prepare(&model, gradient.as_ref(), &[], &Choices::default()).unwrap();
    gradient.scores(&model, &image).unwrap();
    c.bench_function("gradient", |b| b.iter(|| gradient.explain(&model, &[0], &mut Unwatched).unwrap()));

    for (name, iterations) in [("one mask iteration", 1), ("one explanation", 60)] {
        // Without `exact`, so that the amount of work does not depend on the class.
        let settings = Settings { iterations, exact: false, ..Settings::of_photo() };
        let mut learner = Learner::new(&model, automatic_levels(&model).unwrap(), settings).unwrap();
        let prepared = learner.prepare(&model, &image).unwrap();
        c.bench_function(name, |b| {
            b.iter(|| learner.learn(&model, &prepared, &[0], &mut Unwatched).unwrap());
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
