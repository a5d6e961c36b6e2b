//! The command line of this run, for pages that say how to reproduce them.

use std::cell::RefCell;
use std::ffi::OsString;

thread_local! {
    /// The arguments of the command that runs on this thread.
    static ARGUMENTS: RefCell<Vec<OsString>> = const { RefCell::new(vec![]) };
}

/// Sets the arguments of this run; the first is the program's name.
pub fn set(arguments: Vec<OsString>) {
    ARGUMENTS.set(arguments);
}

/// The arguments of this run; the first is the program's name.
pub fn arguments() -> Vec<OsString> {
    ARGUMENTS.with_borrow(Clone::clone)
}

/// The command line of this run, quoted for a POSIX shell: `candor check 'my model.onnx' photo.jpg`.
pub fn command_line() -> String {
    ARGUMENTS.with_borrow(|arguments| written(arguments.iter().skip(1).cloned()))
}

fn written(arguments: impl IntoIterator<Item = OsString>) -> String {
    let words = arguments.into_iter().map(|a| quoted(&a.to_string_lossy()));
    std::iter::once("candor".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word, in quotes if it has special characters.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        let words = ["check", "my model.onnx", "--set", "reliable.exact=false", "it's", "", "*.jpg"];
        assert_eq!(
            written(words.map(OsString::from)),
            "candor check 'my model.onnx' --set reliable.exact=false 'it'\\''s' '' '*.jpg'"
        );
    }
}
