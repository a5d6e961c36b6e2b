//! Converts errors of the libraries to the exceptions of `candor.errors`, with the same one-line text as on the command line.

use std::io::ErrorKind;

use candor::error::{Error, MethodError, ModelError, one_line};
use candor::image::ImageError;
use candor::labels::LabelsError;
use candor::package::PackageError;
use candor_adversarial::error::Error as AdversarialError;
use candor_eval::error::Error as EvalError;
use candor_graph::error::GraphError;
use candor_graph::graph::NodeName;
use candor_report::ReportError;
use pyo3::prelude::*;

/// The exception with that name and text.
pub fn exception(class: &str, text: &str) -> PyErr {
    Python::attach(|py| {
        let made = py.import("candor.errors").and_then(|errors| errors.getattr(class)?.call1((text,)));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}

/// The exception for an unsupported operator at a node of the file.
fn unsupported(at: &NodeName, text: &str) -> PyErr {
    Python::attach(|py| {
        let errors = py.import("candor.errors");
        let class = errors.and_then(|errors| errors.getattr("UnsupportedOperator"));
        let made = class.and_then(|class| class.call1((text, &at.node, at.operator())));
        made.map_or_else(|failed| failed, PyErr::from_value)
    })
}

/// The exception for an error of the library.
pub fn of(error: &Error) -> PyErr {
    let text = one_line(error);
    match error {
        Error::Read { source, .. } if source.kind() == ErrorKind::NotFound => exception("MissingFile", &text),
        Error::File(source) => graph(source, &text),
        Error::Graph { source, .. } => graph(source, &text),
        Error::Model { source, .. } => match source.as_ref() {
            ModelError::Graph(source) => graph(source, &text),
            _ => exception("ModelError", &text),
        },
        Error::Read { .. } | Error::Directory { .. } | Error::Sidecar(_) => exception("ModelError", &text),
        Error::Labels(LabelsError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            exception("MissingFile", &text)
        }
        Error::Labels(_) => exception("ModelError", &text),
        Error::Engine(_) | Error::NoFloats { .. } => exception("EngineError", &text),
        Error::UnknownMethod { .. } => exception("MethodError", &text),
        Error::Method { source: MethodError::NotForModel { .. }, .. } => exception("ModelError", &text),
        Error::Method { .. } => exception("MethodError", &text),
        Error::Image(ImageError::NotFound { .. }) => exception("MissingFile", &text),
        Error::Image(_) => exception("ImageError", &text),
        Error::Class(_) => exception("LabelError", &text),
        Error::Package(PackageError::NotCached { .. }) => exception("MissingFile", &text),
        Error::Package(PackageError::HubName { .. }) => exception("UsageError", &text),
        Error::Package(_) => exception("ModelError", &text),
        Error::Cancelled(_) => exception("Cancelled", &text),
        _ => exception("Error", &text),
    }
}

/// The exception for an error of a graph, whose full text is `text`.
pub fn graph(error: &GraphError, text: &str) -> PyErr {
    match error {
        GraphError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
            exception("MissingFile", text)
        }
        GraphError::UnknownOperator { at }
        | GraphError::Unsupported { at, .. }
        | GraphError::NoGradient { at, .. } => unsupported(at, text),
        _ => exception("ModelError", text),
    }
}

/// The exception for an error that ended a command.
pub fn command(error: &anyhow::Error) -> PyErr {
    let text = one_line(error.as_ref());
    if candor_cli::is_stop(error) {
        return exception("Cancelled", &text);
    }
    if let Some(e) = error.chain().find_map(explained) {
        return of(e);
    }
    if error.chain().any(|cause| cause.is::<ReportError>()) {
        return exception("FileError", &text);
    }
    let is_usage = error.chain().any(|cause| {
        cause.is::<candor_cli::Usage>() || cause.downcast_ref().is_some_and(AdversarialError::is_usage)
    });
    exception(if is_usage { "UsageError" } else { "Error" }, &text)
}

/// The library's own error inside one of another crate.
fn explained<'e>(cause: &'e (dyn std::error::Error + 'static)) -> Option<&'e Error> {
    let of_eval = |e: &'e EvalError| match e {
        EvalError::Explain(e) => Some(e),
        _ => None,
    };
    let of_adversarial = |e: &'e AdversarialError| match e {
        AdversarialError::Explain(e) => Some(e),
        AdversarialError::Eval(e) => of_eval(e),
        _ => None,
    };
    let own = cause.downcast_ref::<Error>();
    let own = own.or_else(|| cause.downcast_ref::<EvalError>().and_then(of_eval));
    own.or_else(|| cause.downcast_ref::<AdversarialError>().and_then(of_adversarial))
}

/// Converts the error of a result to its exception.
pub trait Raised<T> {
    /// The value, or the exception.
    fn raised(self) -> PyResult<T>;
}

impl<T> Raised<T> for Result<T, Error> {
    fn raised(self) -> PyResult<T> {
        self.map_err(|e| of(&e))
    }
}

impl<T> Raised<T> for Result<T, ReportError> {
    fn raised(self) -> PyResult<T> {
        self.map_err(|e| exception("FileError", &one_line(&e)))
    }
}
