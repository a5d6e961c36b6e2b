//! `candor._candor`: what the Python package asks of the libraries. It converts, releases the GIL and maps errors; what users see (names,
//! defaults, docstrings) is in `python/candor`.

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

/// The native part of Candor. Use the package `candor`.
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

    /// The version, as `candor --version` prints it.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "its name in Python")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init() {
        super::quiet();
    }
}

/// A panic in the libraries becomes an exception, and prints nothing unless `RUST_BACKTRACE` asks for it. The hook is of this module alone.
fn quiet() {
    if std::env::var_os("RUST_BACKTRACE").is_none_or(|v| v == "0") {
        std::panic::set_hook(Box::new(|_| {}));
    }
}
