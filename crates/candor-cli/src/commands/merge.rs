//! `candor merge`: joins the shards of a run to the result that one machine would have written. Their measurements are combined to the
//! state of one interrupted run; the run's own command is then resumed and has only the result to write.
//!
//! Everything is combined in a separate folder and moved when it is complete, so that a merge that fails leaves nothing half copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use candor_eval::error::{Error, JournalError};
use candor_eval::journal::Journal;
use candor_report::folder::{Folder, Inputs, STATE, Terms};
use clap::Parser;

use crate::arguments::{Cli, MergeArgs};
use crate::command_line;
use crate::interrupt;
use crate::setup::Usage;
use crate::shard::{self, Part};
use crate::usage;

pub fn run(args: &MergeArgs) -> Result<ExitCode> {
    let parts = shard::all(&args.parts)?;
    let first = parts.first().context("no folder is named")?;
    for part in &args.parts {
        let out = args.out.display();
        if same_file(part, &args.out) {
            return Err(Usage(format!("--out {out} is one of the parts")).into());
        }
        if lies_in(&args.out, &part.join(STATE)) {
            return Err(Usage(format!("--out {out} lies inside {}", part.display())).into());
        }
    }
    let arguments = first.arguments(&args.out, (args.force.force, args.json));
    let cli = Cli::try_parse_from(&arguments).map_err(|e| Usage(usage::told(&e)))?;
    join(args, first)?;
    command_line::set(arguments);
    let _joined = shard::Joined::begin();
    crate::command(&cli).map_err(|error| match error.downcast_ref() {
        Some(Error::Journal { source: JournalError::Other { which }, .. }) => {
            shard::changed_since(&format!("with {which}"))
        }
        _ => error,
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Whether a path, which need not exist yet, is inside a folder.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = absolute.ancestors().find_map(|p| p.canonicalize().ok());
    matches!((there, folder.canonicalize()), (Some(path), Ok(folder)) if path.starts_with(&folder))
}

/// Moves the combined measurements of all parts into the folder of the result.
fn join(args: &MergeArgs, first: &Part) -> Result<()> {
    let (out, force) = (&args.out, args.force.force);
    let terms = Terms { command: "candor merge".to_owned(), inputs: Inputs::default(), force };
    let folder = Folder::open(out, terms)?;
    interrupt::holds(out);
    let (hidden, seen): (Vec<&String>, Vec<&String>) =
        first.journals.iter().partition(|j| Path::new(j).starts_with(STATE));
    for journal in &seen {
        Journal::check(&out.join(journal))?;
    }
    for name in first.folders.iter().filter(|name| !Path::new(name).starts_with(STATE)) {
        let known = seen.iter().any(|j| **j == format!("{name}.jsonl") && Journal::is_begun(&out.join(j)));
        folder.check_kept(name, known)?;
    }
    let aside = Aside::new(out)?;
    for journal in &first.journals {
        let parts = args.parts.iter().map(|part| part.join(journal));
        // Measurements of a run in the folder itself are used, too.
        let here = seen.contains(&journal).then(|| out.join(journal)).filter(|path| path.exists());
        Journal::join(&aside.file(journal)?, &parts.chain(here).collect::<Vec<_>>())?;
    }
    for name in &first.folders {
        let target = aside.file(name)?;
        args.parts.iter().try_for_each(|part| copy(&part.join(name), &target))?;
    }
    for journal in hidden {
        let root: PathBuf = Path::new(journal).components().take(2).collect();
        let (from, to) = (aside.path.join(&root), out.join(&root));
        let there = out.join(journal);
        if there.exists() && !force && !same_bytes(&there, &aside.path.join(journal))? {
            anyhow::bail!(
                "{} holds an unfinished run; finish it by its own command, name another --out, or drop it with --force",
                out.display()
            );
        }
        if to.exists() {
            fs::remove_dir_all(&to).with_context(|| to.display().to_string())?;
        }
        fs::rename(&from, &to).with_context(|| to.display().to_string())?;
    }
    // Journals before the files that they list: files that no journal lists would count as the user's.
    for journal in seen {
        let to = out.join(journal);
        fs::rename(aside.path.join(journal), &to).with_context(|| to.display().to_string())?;
    }
    for name in &first.folders {
        moved(&aside.path.join(name), &out.join(name))?;
    }
    Ok(())
}

/// A folder in which a merge is prepared; it is removed when this is dropped.
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn new(out: &Path) -> Result<Self> {
        let aside = Aside { path: out.join(STATE).join("merging") };
        // Left by a merge that was killed.
        if let Ok(left) = aside.path.symlink_metadata() {
            let removed =
                if left.is_dir() { fs::remove_dir_all(&aside.path) } else { fs::remove_file(&aside.path) };
            removed.with_context(|| aside.path.display().to_string())?;
        }
        fs::create_dir_all(&aside.path).with_context(|| aside.path.display().to_string())?;
        Ok(aside)
    }

    /// The path of a file in it; its folder is created.
    fn file(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        Ok(path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next merge.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    Ok(read(a)? == read(b)?)
}

/// Copies the files below a folder, if it exists, that do not exist at the destination. Links are left out, since Candor makes none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    each(from, to, &|from, to| fs::copy(from, to).map(drop))
}

/// As [`copy`], but moves the files.
fn moved(from: &Path, to: &Path) -> Result<()> {
    each(from, to, &|from, to| fs::rename(from, to))
}

fn each(from: &Path, to: &Path, take: &dyn Fn(&Path, &Path) -> std::io::Result<()>) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            each(&entry.path(), &target, take)?;
        } else if kind.is_file() && !target.exists() {
            take(&entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}
