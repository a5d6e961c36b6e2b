//! `candor bench speed`: passes and explanations of one model.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use candor_eval::speed::{SpeedResult, measure, steps};
use candor_report::table::Table;

use crate::arguments::SpeedArgs;
use crate::chosen;
use crate::commands::table::speed::tables;
use crate::output;
use crate::setup;

pub fn run(args: &SpeedArgs) -> Result<ExitCode> {
    let chosen = chosen::methods(&chosen::or_all(&args.methods), &[])?;
    let methods: Vec<_> = chosen.into_iter().map(|c| c.method).collect();
    let start = Instant::now();
    // The image is noise, so preprocessing and its notes do not matter.
    let model = setup::load(&args.model)?.model;
    let load_seconds = start.elapsed().as_secs_f64();
    let bar = output::progress(steps(&methods));
    let repeats = args.repeats as usize;
    let result = measure(&model, &methods, repeats, load_seconds, &mut output::Watching::new(&bar))?;
    bar.finish_and_clear();
    if args.json {
        output::json(&result)?;
    } else {
        output::print(&text(&result)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(r: &SpeedResult) -> Result<String> {
    let mut text = format!(
        "{}\n{} {}, threads: {}, batch {}; best of the engine {:.1} GFLOP/s; loaded in {}; times in milliseconds\n",
        r.model.path,
        r.engine.name,
        r.engine.version,
        r.engine.threads,
        r.batch,
        r.peak_gflops,
        seconds(r.load_seconds),
    );
    for table in tables(&serde_json::from_value(serde_json::to_value(r)?)?) {
        text += &format!("\n{}", Table { title: String::new(), ..table }.screen(output::width()));
    }
    for s in &r.skipped {
        text += &format!("{}: not measured: {}\n", s.method, s.reason);
    }
    if let Some(bytes) = r.peak_memory_bytes {
        text += &format!("\npeak memory of the process: {:.0} MB\n", bytes as f64 / f64::from(1 << 20));
    }
    Ok(text)
}

/// A time in a unit that gives three significant digits.
fn seconds(s: f64) -> String {
    match s {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.1} ms", 1e3 * s),
        s => format!("{:.2} ms", 1e3 * s),
    }
}
