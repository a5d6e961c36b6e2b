//! `candor man`: man pages, one per command.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candor::file;
use candor_report::atomic;
use candor_report::folder::{Inputs, may_replace};
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::arguments::{Cli, ManArgs};

pub fn run(args: &ManArgs) -> Result<ExitCode> {
    let at = || args.out.display().to_string();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = vec![];
    render(&command, &mut pages).with_context(at)?;
    for (name, page) in &pages {
        let own = |p: &Path| file::read(p, page.len() as u64).is_ok_and(|there| there == *page);
        may_replace(&args.out.join(name), &Inputs::default(), args.force.force, own)?;
    }
    std::fs::create_dir_all(&args.out).with_context(at)?;
    pages.iter().try_for_each(|(name, page)| atomic::write(&args.out.join(name), page))?;
    Ok(ExitCode::SUCCESS)
}

/// Renders the pages of a command and of its subcommands, with their names.
fn render(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        render(below, pages)?;
    }
    let man = Man::new(command.clone());
    let mut page = vec![];
    man.render(&mut page)?;
    pages.push((man.get_filename(), page));
    Ok(())
}
