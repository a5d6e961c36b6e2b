//! `candor merge`: the shards of a run as the result that one machine would have written. What they measured is put together as what one
//! interrupted run would have left; the run's own command then finds nothing to do but to write the result.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
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
        if same_file(part, &args.out) {
            return Err(Usage(format!("--out {} is one of the parts", args.out.display())).into());
        }
    }
    let arguments = first.arguments(&args.out, (args.force.force, args.json));
    let cli = Cli::try_parse_from(&arguments).map_err(|e| Usage(usage::told(&e)))?;
    let marker = args.out.join(STATE).join("merging");
    join(args, first, &marker)?;
    command_line::set(arguments);
    let code = crate::command(&cli)?;
    // What is left of it does no harm.
    let _ = fs::remove_file(marker);
    Ok(code)
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Puts into the folder of the result what all parts have. `marker`: a file that says that what is there comes from a merge.
fn join(args: &MergeArgs, first: &Part, marker: &Path) -> Result<()> {
    let out = &args.out;
    let terms =
        Terms { command: "candor merge".to_owned(), inputs: Inputs::default(), force: args.force.force };
    let folder = Folder::open(out, terms)?;
    interrupt::holds(out);
    for journal in &first.journals {
        let target = out.join(journal);
        let hidden = journal.starts_with(STATE);
        if hidden && target.exists() && !marker.exists() && !args.force.force {
            anyhow::bail!(
                "{} holds an unfinished run; finish it by its own command, name another --out, or drop it with --force",
                out.display()
            );
        }
        if hidden && target.exists() {
            first.folders.iter().try_for_each(|name| emptied(&out.join(name)))?;
            fs::remove_file(&target).with_context(|| target.display().to_string())?;
        }
        Journal::check(&target)?;
    }
    fs::write(marker, "").with_context(|| marker.display().to_string())?;
    for name in &first.folders {
        args.parts.iter().try_for_each(|part| copy(&part.join(name), &out.join(name)))?;
    }
    for journal in &first.journals {
        let target = out.join(journal);
        let of: Vec<_> = args.parts.iter().map(|part| part.join(journal)).collect();
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        Journal::join(&target, &of)?;
    }
    drop(folder);
    Ok(())
}

fn emptied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// Copies the files below a folder, where it exists, that are not there yet. Links are left out: Candor makes none.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() && !target.exists() {
            fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}
