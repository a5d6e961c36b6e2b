//! Progress of long work, reported to a caller that may cancel it.

use std::ops::ControlFlow;

use thiserror::Error;

/// Receives each step of long work and may cancel it: a search, a benchmark, an attack, a training.
///
/// A closure `FnMut(u64) -> ControlFlow<()>` is one; [`Unwatched`] ignores all steps.
pub trait Progress {
    /// Reports `steps` more steps. [`ControlFlow::Break`] cancels the work: it returns [`Cancelled`] before its next step.
    fn advance(&mut self, steps: u64) -> ControlFlow<()>;

    /// Name of the next stage, for display: a method, a photo.
    fn stage(&mut self, _name: &str) {}

    /// Reports one step.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller cancels the work.
    fn step(&mut self) -> Result<(), Cancelled> {
        self.steps(1)
    }

    /// Reports no step, but lets the caller cancel the work.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller cancels the work.
    fn poll(&mut self) -> Result<(), Cancelled> {
        match self.advance(0) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }

    /// Reports `steps` steps; 0 is not reported.
    ///
    /// # Errors
    /// [`Cancelled`] if the caller cancels the work.
    fn steps(&mut self, steps: u64) -> Result<(), Cancelled> {
        if steps == 0 {
            return Ok(());
        }
        match self.advance(steps) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }
}

/// The caller cancelled the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Ignores all steps and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The progress of work inside one step of other work: reports no steps, but can cancel the work.
pub struct Within<'p>(pub &'p mut dyn Progress);

impl Progress for Within<'_> {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        self.0.advance(0)
    }
}

impl<F: FnMut(u64) -> ControlFlow<()>> Progress for F {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self(steps)
    }
}
