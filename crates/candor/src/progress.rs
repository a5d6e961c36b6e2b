//! Progress of long work, reported to a caller that may end it.

use std::ops::ControlFlow;

use thiserror::Error;

/// Receives each step of long work and may end it: a search, a benchmark, an attack, a training.
///
/// A closure `FnMut(u64) -> ControlFlow<()>` is one; [`Unwatched`] ignores all steps.
pub trait Progress {
    /// `steps` more are done. [`ControlFlow::Break`] ends the work: it returns [`Cancelled`] before its next step.
    fn advance(&mut self, steps: u64) -> ControlFlow<()>;

    /// The name of what follows, for people: a method, a photo.
    fn stage(&mut self, _name: &str) {}

    /// One step is done.
    ///
    /// # Errors
    /// [`Cancelled`] if the work is to end.
    fn step(&mut self) -> Result<(), Cancelled> {
        self.steps(1)
    }

    /// No step is done, but the work can end here.
    ///
    /// # Errors
    /// [`Cancelled`] if the work is to end.
    fn poll(&mut self) -> Result<(), Cancelled> {
        match self.advance(0) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }

    /// `steps` are done; 0 is not reported.
    ///
    /// # Errors
    /// [`Cancelled`] if the work is to end.
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

/// The caller ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

/// No caller receives the steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The progress of work inside one step of other work: it receives no steps, but may end the work.
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
