//! `candor calibrate`: a model's λ, written to its sidecar.

use std::process::ExitCode;

use anyhow::{Context, Result};
use candor::calibrate::{TRIALS, calibrate};
use candor::image::decode;
use candor::sidecar::Sidecar;
use candor_report::atomic;

use crate::arguments::CalibrateArgs;
use crate::output;
use crate::setup;

pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let setup = setup::load(&args.model)?;
    let levels = setup::choices(&setup, &args.levels, 0)?.levels;
    let photos = args.images.iter().map(|p| decode(p)).collect::<Result<Vec<_>, _>>()?;
    let bar = output::progress((photos.len() * TRIALS) as u64);
    let found = calibrate(
        &setup.model,
        &setup.preprocessing,
        &photos,
        &levels,
        args.tolerance,
        &mut output::Watching(&bar),
    )?;
    bar.finish_and_clear();
    let path = setup.sidecar_path.display().to_string();
    let text = Sidecar::with_lambda(&setup.sidecar_path, found.lambda)?;
    atomic::write(&setup.sidecar_path, text.as_bytes()).with_context(|| {
        format!("λ is {}, but the sidecar could not be written; pass --sidecar FILE", found.lambda)
    })?;
    if args.json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{:>10}  {:>16}  {:>10}\n", "lambda", "evidence changed", "mask");
    for t in &found.trials {
        let mark = if t.lambda == found.lambda { "  <- chosen" } else { "" };
        text += &format!(
            "{:>10}  {:>14.1} %  {:>8.1} %{mark}\n",
            t.lambda,
            100.0 * t.median_change,
            100.0 * t.median_mask
        );
    }
    text += &format!("Written to {path}\n");
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
