//! `candor._candor`: the parts of the libraries that the Python package uses. It converts values, releases the GIL and maps errors; what
//! users see (names, defaults, docstrings) is in `python/candor`.

mod attribution;
mod commands;
mod errors;
mod explanation;
mod graph;
mod model;
mod opening;
mod photo;
mod pool;
mod progress;
mod scenes;
mod variants;

use pyo3::prelude::*;

/// The native part of Candor, not a public interface: use the package `candor`.
#[pymodule(gil_used = true)]
mod _candor {
    #[pymodule_export]
    use super::commands::{document, run};
    #[pymodule_export]
    use super::explanation::PhotoExplanation;
    #[pymodule_export]
    use super::graph::gradient;
    #[pymodule_export]
    use super::model::Model;
    #[pymodule_export]
    use super::photo::png;
    #[pymodule_export]
    use super::scenes::{demo_model, demo_photos, scene};

    /// The version that `candor --version` prints.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "its name in Python")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init() {
        super::quiet();
    }
}

/// Turns panics in the libraries into exceptions that print nothing unless `RUST_BACKTRACE` is set. The hook affects this module only.
fn quiet() {
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|v| v == "0") {
        std::panic::set_hook(Box::new(|_| {}));
    }
}
