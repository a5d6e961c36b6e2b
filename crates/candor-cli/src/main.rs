//! The command line of Candor: parse → run → report.

mod arguments;
mod chosen;
mod command_line;
mod commands;
mod explained;
mod folder;
mod interrupt;
mod output;
mod panics;
mod resume;
mod setup;
mod usage;

use std::process::ExitCode;

use anyhow::Result;
use arguments::{Cli, Command};
use candor_graph::guard;
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::refuse(&error),
    };
    interrupt::listen();
    panics::install();
    match guard::guarded(|| run(&cli)).unwrap_or_else(|words| Err(panics::error(&words))) {
        Ok(code) => code,
        Err(error) if interrupt::is_stop(&error) => {
            interrupt::tell();
            ExitCode::from(interrupt::EXIT)
        }
        Err(error) => {
            output::error(&output::one_line(&error));
            usage::exit_code(&error)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Inspect(a) => commands::inspect::run(a),
        Command::Explain(a) => commands::explain::run(a),
        Command::Calibrate(a) => commands::calibrate::run(a),
        Command::Check(a) => commands::check::run(a),
        Command::Bench(a) => commands::bench::run(a),
        Command::Table(a) => commands::table::run(a),
        Command::Attack(a) => commands::attack::run(a),
        Command::Detect(a) => commands::detect::run(a),
        Command::Export(a) => commands::export::run(a),
        Command::Page(a) => commands::page::run(a),
        Command::Methods(a) => commands::methods::run(a),
        Command::Demo(a) => commands::demo::run(a),
        Command::Scenes(a) => commands::scenes::run(a),
        Command::Completions(a) => commands::completions::run(a),
        Command::Man(a) => commands::man::run(a),
    }
}
