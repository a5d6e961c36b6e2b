//! Panics as one line: those that the libraries catch print nothing here, and those that nobody caught end the program like any error.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

/// Location of the last panic.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// After this call a panic prints nothing, unless `RUST_BACKTRACE` is set.
pub fn install() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
        return;
    }
    drop(take_hook());
    set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
}

/// The error for a panic that nobody caught.
pub fn error(words: &str) -> anyhow::Error {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    anyhow::anyhow!("an unexpected state ({words}; {place}); please report it with the files that were given")
}
