//! `candor scenes`: pictures with perfect ground truth.

use std::process::ExitCode;

use anyhow::Result;
use candor_scenes::{SceneOptions, dataset};

use crate::arguments::ScenesArgs;
use crate::output;
use crate::setup::Usage;

pub fn run(args: &ScenesArgs) -> Result<ExitCode> {
    let (fewest, most) = args.objects;
    let options = SceneOptions { size: args.size, objects: fewest..=most, ..SceneOptions::default() };
    options.check().map_err(|e| Usage(e.to_string()))?;
    dataset::write(&args.out, args.count, args.seed, &options)?;
    output::print(&format!("{} scenes in {}\n", args.count, args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
