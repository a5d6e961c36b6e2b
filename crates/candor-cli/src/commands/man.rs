//! `candor man`: man pages, one a command.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::arguments::{Cli, ManArgs};

pub fn run(args: &ManArgs) -> Result<ExitCode> {
    let at = || args.out.display().to_string();
    std::fs::create_dir_all(&args.out).with_context(at)?;
    clap_mangen::generate_to(Cli::command(), &args.out).with_context(at)?;
    Ok(ExitCode::SUCCESS)
}
