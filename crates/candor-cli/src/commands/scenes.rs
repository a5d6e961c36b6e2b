//! `candor scenes`: pictures with perfect ground truth, and a model that knows their classes.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use candor::sidecar::Sidecar;
use candor_report::atomic;
use candor_report::folder::{Inputs, may_replace};
use candor_scenes::{SceneOptions, dataset, embedded};

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
    let mut text = String::new();
    if let Some(model) = &args.model {
        let sidecar = Sidecar::path_for(model);
        let files: [(&Path, &[u8]); 2] = [(model, embedded::MODEL), (&sidecar, embedded::SIDECAR.as_bytes())];
        for (path, bytes) in files {
            may_replace(path, &none, args.force.force, |p| {
                std::fs::read(p).is_ok_and(|there| there == bytes)
            })?;
        }
        for (path, bytes) in files {
            atomic::write(path, bytes)?;
        }
        text += &format!("model {}, with {}\n", model.display(), sidecar.display());
    }
    dataset::write(&args.out, args.count, args.seed, &options)?;
    output::print(&format!("{text}{} scenes in {}\n", args.count, args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
