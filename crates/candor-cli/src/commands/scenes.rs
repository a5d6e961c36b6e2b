//! `candor scenes`: pictures with perfect ground truth, and a model that knows their classes.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use candor::sidecar::Sidecar;
use candor_report::atomic;
use candor_scenes::{SceneOptions, dataset, embedded};

use crate::arguments::ScenesArgs;
use crate::output;
use crate::setup::Usage;

pub fn run(args: &ScenesArgs) -> Result<ExitCode> {
    let (fewest, most) = args.objects;
    let options = SceneOptions { size: args.size, objects: fewest..=most, ..SceneOptions::default() };
    options.check().map_err(|e| Usage(e.to_string()))?;
    let mut text = String::new();
    if let Some(model) = &args.model {
        let sidecar = Sidecar::path_for(model);
        write(&[(model, embedded::MODEL), (&sidecar, embedded::SIDECAR.as_bytes())])?;
        text += &format!("model {}, with {}\n", model.display(), sidecar.display());
    }
    dataset::write(&args.out, args.count, args.seed, &options)?;
    output::print(&format!("{text}{} scenes in {}\n", args.count, args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes files, but over none that says something else.
fn write(files: &[(&Path, &[u8])]) -> Result<()> {
    let other = |(path, bytes): &&(&Path, &[u8])| {
        path.exists() && std::fs::read(path).ok().as_deref() != Some(*bytes)
    };
    if let Some((path, _)) = files.iter().find(other) {
        bail!("{}: is there already and is another file; name another with --model", path.display());
    }
    for (path, bytes) in files {
        atomic::write(path, bytes)?;
    }
    Ok(())
}
