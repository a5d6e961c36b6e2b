//! `candor scenes`: pictures with perfect ground truth.

use std::process::ExitCode;

use anyhow::Result;
use candor_report::folder::{Inputs, may_replace};
use candor_scenes::{SceneOptions, dataset};

use crate::arguments::ScenesArgs;
use crate::interrupt;
use crate::output;
use crate::setup::Usage;

pub fn run(args: &ScenesArgs) -> Result<ExitCode> {
    let (fewest, most) = args.objects;
    let options = SceneOptions { size: args.size, objects: fewest..=most, ..SceneOptions::default() };
    options.check().map_err(|e| Usage(e.to_string()))?;
    let none = Inputs::default();
    dataset::files(args.count)
        .try_for_each(|f| may_replace(&args.out.join(f), &none, args.force.force, |_| false))?;
    interrupt::at(format!(
        "some scenes are in {}, without their table; the same command with --force makes them anew",
        args.out.display()
    ));
    dataset::write(&args.out, args.count, args.seed, &options)?;
    output::print(&format!("{} scenes in {}\n", args.count, args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
