//! Progress of work that Python waits for: its signals are looked at, and a callable is told.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candor::Progress;
use pyo3::prelude::*;

/// How long work goes on before Python is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Tells a callable `(done, total)`, and ends the work where it raises or where a signal such as Ctrl-C came.
pub struct Watcher {
    callback: Option<Py<PyAny>>,
    done: u64,
    total: u64,
    last: Instant,
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl Watcher {
    /// Of work of that many steps.
    pub fn new(callback: Option<Py<PyAny>>, total: u64) -> Self {
        Watcher { callback, done: 0, total, last: Instant::now(), raised: Arc::default() }
    }

    /// Where the exception is that ended the work.
    pub fn raised(&self) -> Raised {
        Raised(self.raised.clone())
    }

    /// So many steps are done of so many.
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

    /// All is done.
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

/// The exception that ended the work, if one did.
pub struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// That exception, or else the result.
    pub fn or<T>(&self, result: PyResult<T>) -> PyResult<T> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => result,
        }
    }
}
