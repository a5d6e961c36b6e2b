//! `candor scenes`: pictures with exact ground truth, and a model of their classes.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use candor::file;
use candor::sidecar::Sidecar;
use candor_report::folder::{Inputs, may_replace};
use candor_report::{ReportError, atomic};
use candor_scenes::{SceneOptions, dataset, embedded};

use crate::arguments::ScenesArgs;
use crate::folder;
use crate::output;
use crate::setup::Usage;

/// A file to write beside the scenes, and its bytes.
type Beside<'b> = (&'b Path, &'b [u8]);

pub fn run(args: &ScenesArgs) -> Result<ExitCode> {
    let (fewest, most) = args.objects;
    let options = SceneOptions { size: args.size, objects: fewest..=most, ..SceneOptions::default() };
    options.check().map_err(|e| Usage(e.to_string()))?;
    let files: Vec<String> = dataset::files(args.count).collect();
    let folder = folder::open(&args.out, "scenes", Inputs::default(), args.force, &files)?;
    let sidecar = args.model.as_deref().map(Sidecar::path_for);
    let beside: Vec<Beside<'_>> = match (&args.model, &sidecar) {
        (Some(model), Some(sidecar)) => {
            vec![(model.as_path(), embedded::MODEL), (sidecar.as_path(), embedded::SIDECAR.as_bytes())]
        }
        _ => vec![],
    };
    for (path, bytes) in &beside {
        check(path, bytes, (args.out.as_path(), files.as_slice()), args.force.force)?;
    }
    let draft = folder.draft("scenes")?;
    dataset::write(&draft.files(), args.count, args.seed, &options)?;
    for (path, bytes) in &beside {
        atomic::write(&atomic::behind(path)?, bytes)?;
    }
    draft.publish("")?;
    let mut text = String::new();
    if let [(model, _), (sidecar, _)] = beside[..] {
        text = format!("model {}, with {}\n", model.display(), sidecar.display());
    }
    output::print(&format!("{text}{} scenes in {}\n", args.count, args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Checks that a file may be written beside the `scenes` (their folder, which exists, and their names): it is none of them, and an
/// existing file has the same content, unless `force` is set. Its folder is created if it is missing.
fn check(path: &Path, bytes: &[u8], (out, scenes): (&Path, &[String]), force: bool) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(ReportError::write(parent))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if scenes.contains(&name) && one_folder(parent, out) {
        return Err(Usage(format!(
            "{} is one of the scenes' own files; name another --model",
            path.display()
        ))
        .into());
    }
    may_replace(path, &Inputs::default(), force, |p| {
        file::read(p, bytes.len() as u64).is_ok_and(|there| there == bytes)
    })?;
    atomic::writable(path)?;
    Ok(())
}

/// Whether two paths are the same folder.
fn one_folder(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}
