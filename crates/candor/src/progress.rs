//! Progress of long work: told to whoever waits, who may ask that it end.

use std::ops::ControlFlow;

use thiserror::Error;

/// Is told of each step of long work, and may end it: a search, a benchmark, an attack, a training.
///
/// A closure `FnMut(u64) -> ControlFlow<()>` is one; [`Unwatched`] neither looks nor ends anything.
pub trait Progress {
    /// `steps` more are done. [`ControlFlow::Break`] asks that the work end: it returns [`Cancelled`] before its next step.
    fn advance(&mut self, steps: u64) -> ControlFlow<()>;

    /// What is worked at from now on, in a word for people: a method, a photo.
    fn stage(&mut self, _name: &str) {}

    /// One step is done.
    ///
    /// # Errors
    /// [`Cancelled`] if the work is to end.
    fn step(&mut self) -> Result<(), Cancelled> {
        self.steps(1)
    }

    /// Nothing is done yet, but the work could end here.
    ///
    /// # Errors
    /// [`Cancelled`] if the work is to end.
    fn poll(&mut self) -> Result<(), Cancelled> {
        match self.advance(0) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Cancelled),
        }
    }

    /// `steps` are done; nothing is told of none.
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

/// The work was ended by whoever watched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("cancelled")]
pub struct Cancelled;

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// The progress of work inside one step of other work: it is told of no steps, but may end the work.
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
