//! The command line inside the package.

use std::ffi::OsString;

use pyo3::prelude::*;

use crate::errors;
use crate::progress::Watcher;

/// Runs the program `candor`; the first argument is the program's name. Returns the exit code.
#[pyfunction]
pub fn run(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| candor_cli::run(arguments))
}

/// Runs a command that has `--json`. Returns its JSON document, its warnings, and its exit code. `progress` is called with (done, total).
#[pyfunction]
pub fn document(
    py: Python<'_>,
    arguments: Vec<OsString>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, Vec<String>, u8)> {
    let mut watcher = Watcher::new(progress, 0);
    let raised = watcher.raised();
    let watch = Box::new(move |done, total, _: &str| watcher.at(done, total));
    let answer = py.detach(|| candor_cli::document(arguments, watch));
    let answer = raised.or(answer.map_err(|e| errors::command(&e)))?;
    Ok((answer.document.to_string(), answer.notes, answer.code))
}
