//! Progress of work that Python waits for: checks Python's signals and calls a callable.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candor::Progress;
use pyo3::prelude::*;

/// Minimum time between two calls to Python.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls a callable with `(done, total)`, and cancels the work if it raises or a signal such as Ctrl-C arrived.
pub struct Watcher {
    callback: Option<Py<PyAny>>,
    done: u64,
    total: u64,
    last: Instant,
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Watcher {
    /// For work with `total` steps.
    pub fn new(callback: Option<Py<PyAny>>, total: u64) -> Self {
        Watcher { callback, done: 0, total, last: Instant::now(), raised: Arc::default() }
    }

    /// Holds the exception that cancelled the work, if any.
    pub fn raised(&self) -> Raised {
        Raised(self.raised.clone())
    }

    /// Reports that `done` of `total` steps are done.
    pub fn at(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        (self.done, self.total) = (done, total);
        if self.last.elapsed() < PAUSE { ControlFlow::Continue(()) } else { self.tell() }
    }

    fn tell(&mut self) -> ControlFlow<()> {
        let done = self.done.min(self.total);
        let told = Python::attach(|py| {
            py.check_signals()?;
            let told = self.callback.as_ref().map(|callback| callback.call1(py, (done, self.total)));
            told.transpose().map(drop)
        });
        self.last = Instant::now();
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Reports that all steps are done.
    pub fn finish(&mut self) -> PyResult<()> {
        self.done = self.total;
        match self.tell() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => self.raised().or(Ok(())),
        }
    }
}

impl Progress for Watcher {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self.at(self.done + steps, self.total)
    }
}

/// The exception that cancelled the work, if any.
pub struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// That exception, or otherwise the result.
    pub fn or<T>(&self, result: PyResult<T>) -> PyResult<T> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => result,
        }
    }
}
