//! The program `candor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(candor_cli::run(std::env::args_os()))
}
