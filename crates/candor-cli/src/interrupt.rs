//! Ctrl-C: the first one ends the work at its next step, so that finished work is kept; the second ends the program.
//!
//! Commands describe with [`at`] what is done, and how to resume if the work ended now.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use candor::Error;
use candor_adversarial::error::Error as AdversarialError;
use candor_eval::error::Error as EvalError;

use crate::output;

/// Exit code of an interrupted run: 128 + SIGINT, as for a program that the signal ends.
pub const EXIT: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);
static WATCHED: AtomicUsize = AtomicUsize::new(0);
static STATE: Mutex<String> = Mutex::new(String::new());
/// The folder that this process writes to.
static HELD: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Listens for Ctrl-C from this call on.
pub fn listen() {
    let heard = || {
        if WATCHED.load(Ordering::SeqCst) == 0 || ASKED.swap(true, Ordering::SeqCst) {
            tell();
            if let Some(path) = HELD.lock().unwrap_or_else(PoisonError::into_inner).take() {
                candor_report::folder::abandon(&path);
            }
            std::process::exit(EXIT.into());
        }
        output::tell("\ncandor: stopping after this step; Ctrl-C again stops at once");
    };
    if let Err(e) = ctrlc::set_handler(heard) {
        output::note(&format!("Ctrl-C will end the program immediately: {e}"));
    }
}

/// Whether the work is to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Sets the description of what is done, and how to resume if the work ended now.
pub fn at(state: impl Into<String>) {
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = state.into();
}

/// Records that this process writes to the folder, so that the folder is released if the process exits at once.
pub fn holds(path: &Path) {
    *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
}

/// Prints the description last set by [`at`].
pub fn tell() {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = if state.is_empty() { "nothing was written" } else { state.as_str() };
    output::tell(&format!("candor: stopped: {text}"));
}

/// Whether an error means that the work was cancelled.
pub fn is_stop(error: &anyhow::Error) -> bool {
    let explain = |e: &Error| matches!(e, Error::Cancelled(_));
    let eval = |e: &EvalError| matches!(e, EvalError::Explain(e) if explain(e));
    let adversarial = |e: &AdversarialError| match e {
        AdversarialError::Explain(e) => explain(e),
        AdversarialError::Eval(e) => eval(e),
        _ => false,
    };
    error.is::<candor::Cancelled>()
        || error.downcast_ref().is_some_and(explain)
        || error.downcast_ref().is_some_and(eval)
        || error.downcast_ref().is_some_and(adversarial)
}

/// While such a value exists, the running work checks often whether it is to end.
pub struct Watched(());

impl Watched {
    /// To be called when work begins that checks.
    pub fn begin() -> Self {
        WATCHED.fetch_add(1, Ordering::SeqCst);
        Watched(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WATCHED.fetch_sub(1, Ordering::SeqCst);
    }
}
