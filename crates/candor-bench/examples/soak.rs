//! Many explanations in one process: memory use must not grow after the first.
//!
//! `cargo run --release -p candor-bench --example soak -- --count 5000`; add `--set iterations=6` for a tenth of the time, or
//! `--engine onnxruntime` to use ONNX Runtime.
#![allow(missing_docs, reason = "an example")]

use candor::image::decode_bytes;
use candor::progress::Unwatched;
use candor::sidecar::Sidecar;
use candor::{Class, Classifier, Method};
use std::time::Instant;

use candor::parameters::key_value;
use candor_eval::memory;
use candor_scenes::embedded;
use clap::Parser;

use candor_bench::{Outcome, engine};

#[derive(Parser)]
struct Arguments {
    /// rten or onnxruntime
    #[arg(long, default_value = "rten")]
    engine: String,
    /// Explanations, of two classes each
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Method
    #[arg(long, default_value = "reliable")]
    method: String,
    /// Settings of the method, as `candor explain --set` takes them
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Threads; 0 is one for each core
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let engine = engine(&arguments.engine, arguments.threads)?;
    let sidecar = Sidecar::parse(embedded::SIDECAR, "scenes.candor.toml".as_ref())?;
    let classifier =
        Classifier::from_bytes("scenes.onnx (embedded)", embedded::MODEL, sidecar, Some(engine))?;
    let pairs: Result<Vec<_>, String> = arguments.settings.iter().map(|s| key_value(s)).collect();
    let mut explain = classifier.explainer(&Method { set: pairs?, ..Method::named(arguments.method) })?;
    let photos: Result<Vec<_>, _> =
        embedded::DEMO_SCENES.iter().map(|s| decode_bytes(s.png, s.name.as_ref())).collect();
    let photos = photos?;
    let megabytes = |bytes: Option<u64>| bytes.map_or(f64::NAN, |b| b as f64 / f64::from(1 << 20));
    let start = Instant::now();
    println!("explanations  resident MB  peak MB  seconds");
    for i in 1..=arguments.count {
        let photo = &photos[i % photos.len()];
        explain.photo("photo", photo, &[Class::top(1), Class::Lowest], &mut Unwatched)?;
        if i == 1 || i % (arguments.count / 10).max(1) == 0 {
            println!(
                "{i:>12} {:>12.1} {:>8.1} {:>8.1}",
                megabytes(memory::resident()),
                megabytes(memory::peak()),
                start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}
