//! `candor bench speed`: passes and explanations of one model.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candor_eval::speed::{SpeedResult, measure, steps};

use crate::arguments::SpeedArgs;
use crate::commands::check::chosen;
use crate::output;
use crate::setup;

pub fn run(args: &SpeedArgs) -> Result<ExitCode> {
    let methods = chosen(&args.methods)?;
    let start = Instant::now();
    // Noise is the image: preprocessing and its notes do not matter.
    let model = setup::load(&args.model)?.model;
    let load_seconds = start.elapsed().as_secs_f64();
    let bar = output::progress(steps(&methods));
    let repeats = args.repeats as usize;
    let result = measure(&model, &methods, repeats, load_seconds, &mut output::Watching(&bar))?;
    bar.finish_and_clear();
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&table(&result))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(r: &SpeedResult) -> String {
    let mut text = format!(
        "{}\n{} {}, threads: {}, batch {}; best of the engine {:.1} GFLOP/s; loaded in {}\n\n",
        r.model.path,
        r.engine.name,
        r.engine.version,
        r.engine.threads,
        r.batch,
        r.peak_gflops,
        seconds(r.load_seconds),
    );
    text += &format!(
        "{:<24} {:>10} {:>10} {:>10} {:>5} {:>9} {:>9} {:>8}\n",
        "one pass", "median", "fastest", "slowest", "runs", "GFLOP", "GFLOP/s", "of best"
    );
    for p in &r.parts {
        let s = &p.seconds;
        text += &format!(
            "{:<24} {:>10} {:>10} {:>10} {:>5} {:>9.3} {:>9.1} {:>6.0} %\n",
            p.name,
            seconds(s.median),
            seconds(s.min),
            seconds(s.max),
            s.runs,
            p.gflop,
            p.gflops,
            100.0 * p.share_of_peak,
        );
    }
    text += &format!(
        "\n{:<24} {:>10} {:>10} {:>10} {:>5} {:>9} {:>9} {:>8}\n",
        "one explanation", "median", "fastest", "slowest", "runs", "forward", "backward", "prepare"
    );
    for m in &r.methods {
        let s = &m.seconds;
        text += &format!(
            "{:<24} {:>10} {:>10} {:>10} {:>5} {:>9} {:>9} {:>8}\n",
            m.method.name,
            seconds(s.median),
            seconds(s.min),
            seconds(s.max),
            s.runs,
            m.forward,
            m.backward,
            seconds(m.prepare_seconds),
        );
    }
    for s in &r.skipped {
        text += &format!("{}: not measured: {}\n", s.method, s.reason);
    }
    if let Some(bytes) = r.peak_memory_bytes {
        text += &format!("\npeak memory of the process: {:.0} MB\n", bytes as f64 / f64::from(1 << 20));
    }
    text
}

/// Seconds in the unit that gives three digits before or around the point.
fn seconds(s: f64) -> String {
    match s {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.1} ms", 1e3 * s),
        s => format!("{:.2} ms", 1e3 * s),
    }
}
