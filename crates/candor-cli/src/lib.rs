//! The command line of Candor: parse → run → report. [`run`] is the program; [`document`] runs a command for another program, which
//! receives what `--json` prints.
#![deny(missing_docs)]

mod arguments;
mod caller;
mod chosen;
mod command_line;
mod commands;
mod explained;
mod folder;
mod interrupt;
mod ledger;
mod output;
mod panics;
mod resume;
mod setup;
mod shard;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use arguments::{Cli, Command};
pub use caller::{Answer, Watch};
use candor_graph::guard;
use clap::Parser;
pub use usage::Usage;

/// Runs the program with these arguments, of which the first is its name: prints, and returns the exit code. Handles Ctrl-C from then on.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let code = match Cli::try_parse_from(&arguments) {
        Ok(cli) => main(&cli, arguments),
        Err(error) => usage::refuse(&error),
    };
    number(code)
}

fn main(cli: &Cli, arguments: Vec<OsString>) -> ExitCode {
    interrupt::listen();
    panics::install();
    command_line::set(arguments);
    match guard::guarded(|| command(cli)).unwrap_or_else(|words| Err(panics::error(&words))) {
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

/// Runs a command that has `--json`, which is added, and returns what it would print. Notes are returned, nothing is printed, and Ctrl-C
/// is not handled. `arguments` begin with the command's name; `watch` receives the progress and can cancel the work.
///
/// # Errors
/// Those of the command, each with its causes; [`Usage`] for arguments that cannot be parsed; [`candor::Cancelled`] or an error that
/// contains it if `watch` cancelled the work.
pub fn document(arguments: impl IntoIterator<Item = OsString>, watch: Watch) -> Result<Answer> {
    let mut all = vec![OsString::from("candor")];
    all.extend(arguments);
    all.push("--json".into());
    let cli = Cli::try_parse_from(&all).map_err(|error| Usage(usage::told(&error)))?;
    command_line::set(all);
    caller::answered(watch, || {
        let work = guard::guarded(|| command(&cli)).unwrap_or_else(|words| Err(panics::error(&words)));
        work.map(number)
    })
}

/// Whether an error of [`document`] means that `watch` cancelled the work.
pub fn is_stop(error: &anyhow::Error) -> bool {
    interrupt::is_stop(error)
}

/// The number of an exit code, which the standard library does not expose.
fn number(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|&n| ExitCode::from(n) == code).unwrap_or(1)
}

fn command(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Inspect(a) => commands::inspect::run(a),
        Command::Doctor(a) => commands::doctor::run(a),
        Command::Explain(a) => commands::explain::run(a),
        Command::Calibrate(a) => commands::calibrate::run(a),
        Command::Check(a) => commands::check::run(a),
        Command::Bench(a) => commands::bench::run(a),
        Command::Merge(a) => commands::merge::run(a),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn words<'w>(words: &'w [&str]) -> impl Iterator<Item = OsString> + 'w {
        words.iter().map(OsString::from)
    }

    #[test]
    fn an_exit_code_is_its_number() {
        assert_eq!([0, 1, 3, 130].map(|n| number(ExitCode::from(n))), [0, 1, 3, 130]);
    }

    #[test]
    fn a_command_answers_another_program_with_its_document() {
        let answer = document(words(&["methods"]), Box::new(|_, _, _| ControlFlow::Continue(()))).unwrap();
        assert_eq!(answer.document[0]["name"], "reliable");
        assert_eq!(answer.code, 0);
    }

    #[test]
    fn what_does_not_parse_is_an_error_of_usage() {
        let watch = || -> Watch { Box::new(|_, _, _| ControlFlow::Continue(())) };
        let error = document(words(&["methodz"]), watch()).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("methods"), "{error}");
        let error = document(words(&["inspect", "--help"]), watch()).unwrap_err();
        assert!(error.is::<Usage>(), "{error}");
    }
}
