//! Turns panics, of libraries and of Candor's own code on unforeseen files, into errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work` and returns its result, or the panic's message. Whatever `work` had half changed must not be used afterwards.
///
/// The process's panic hook still runs: a program that wants one line instead of the hook's several installs its own.
///
/// # Errors
/// The panic's message, in one line.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| words(panic.as_ref()))
}

/// A panic's message.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::guarded;

    #[test]
    fn a_panic_is_its_words() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| -> u8 { panic!("no\nroom for {}", 7) }), Err("no room for 7".to_string()));
        assert_eq!(guarded(|| -> u8 { panic!("fixed") }), Err("fixed".to_string()));
        assert_eq!(guarded(|| -> u8 { std::panic::panic_any(1) }), Err("a panic without words".to_string()));
    }
}
