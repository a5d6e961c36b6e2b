//! Output for people: progress on stderr, tables on stdout.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use candor::Progress;
use candor::printable::{acts, printable};
use candor_report::result::ExplainResult;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::{caller, interrupt};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// A progress bar of `length` steps on stderr, hidden if stderr is not a terminal.
pub fn progress(length: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() && !caller::is_there() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{msg:24!} {wide_bar} {percent:>3} % {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(length), target).with_style(style);
    bar.with_finish(ProgressFinish::AndClear)
}

/// A progress bar as the progress of work that Ctrl-C can cancel.
pub struct Watching<'b> {
    bar: &'b ProgressBar,
    _watched: interrupt::Watched,
}

impl<'b> Watching<'b> {
    /// To be called when work begins whose progress the bar shows.
    pub fn new(bar: &'b ProgressBar) -> Self {
        Watching { bar, _watched: interrupt::Watched::begin() }
    }
}

impl Progress for Watching<'_> {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self.bar.inc(steps);
        advanced(self.bar)
    }

    fn stage(&mut self, name: &str) {
        self.bar.set_message(name.to_string());
    }
}

/// Whether to continue work that has progressed as far as the bar shows: `Break` if Ctrl-C or another program cancelled it.
pub fn advanced(bar: &ProgressBar) -> ControlFlow<()> {
    if interrupt::asked() {
        return ControlFlow::Break(());
    }
    caller::advance(bar.position(), bar.length().unwrap_or(0), &bar.message())
}

/// An error with its causes in one line.
pub fn one_line(error: &anyhow::Error) -> String {
    candor::error::one_line(error.as_ref())
}

/// Prints a note for the user on stderr, unless it was printed before.
pub fn note(text: &str) {
    if caller::is_there() {
        return caller::note(text);
    }
    static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let new = MADE.lock().is_ok_and(|mut made| made.insert(text.to_string()));
    if new {
        tell(&format!("candor: {NOTE}note:{NOTE:#} {}", shown(text)));
    }
}

/// Prints progress on stderr, if no bar is visible.
pub fn progress_note(text: &str) {
    if !caller::is_there() {
        note(text);
    }
}

/// Prints an error on stderr.
pub fn error(text: &str) {
    tell(&format!("candor: {ERROR}error:{ERROR:#} {}", shown(text)));
}

/// Prints a line on stderr. Errors are ignored, since there is nowhere to report them.
pub fn tell(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// A number of things in words: "1 photo", "20 photos".
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number with two decimals; zero has no sign.
pub fn decimals(value: f64) -> String {
    format!("{value:.2}").replace("-0.00", "0.00")
}

/// A number with its sign and two decimals; zero has no sign.
pub fn signed(value: f64) -> String {
    format!("{value:+.2}").replace("-0.00", "0.00").replace("+0.00", "0.00")
}

/// Maximum number of letters of a word in an error: names in a model file may have millions.
const WORD: usize = 400;

/// A note as one line without characters that control a terminal, with long words shortened.
fn shown(text: &str) -> String {
    let word = |word: &str| match word.char_indices().nth(WORD) {
        Some(_) => {
            let letters: Vec<char> = word.chars().collect();
            let (begins, ends) = (&letters[..WORD / 2], &letters[letters.len() - WORD / 4..]);
            begins.iter().chain(&['…']).chain(ends).collect()
        }
        None => word.to_string(),
    };
    printable(text).split(' ').map(word).collect::<Vec<String>>().join(" ")
}

/// Prints a value as one JSON document, or passes it to the program that runs the command.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    if caller::is_there() {
        caller::give(serde_json::to_value(value)?);
        return Ok(());
    }
    let text = serde_json::to_string_pretty(value)?;
    written(&mut std::io::stdout(), &(text + "\n"))
}

/// Prints text, unless another program runs the command. Styles are left out if stdout is not a terminal or NO_COLOR is set; other
/// characters that control a terminal are always replaced.
pub fn print(text: &str) -> Result<()> {
    if caller::is_there() {
        return Ok(());
    }
    written(&mut anstream::stdout(), &harmless(text))
}

/// The text with control characters replaced by spaces, except for line ends and styles (`ESC [ numbers m`).
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| acts(c) && c != '\n') {
        out += &rest[..at];
        rest = &rest[at..];
        let style = style_length(rest);
        let (kept, length) = match style {
            Some(length) => (&rest[..length], length),
            None => (" ", rest.chars().next().map_or(1, char::len_utf8)),
        };
        out += kept;
        rest = &rest[length..];
    }
    out + rest
}

/// Length of the style sequence at the start of a text, if there is one.
fn style_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let ends = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers[ends..].starts_with('m').then_some("\x1b[".len() + ends + 1)
}

/// A reader that closed the pipe is not an error.
fn written(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("standard output cannot be written"),
    }
}

/// Columns of the terminal; unlimited if stdout is not a terminal.
pub fn width() -> usize {
    let columns = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    if std::io::stdout().is_terminal() { columns } else { usize::MAX }
}

/// 0, or 3 if some images failed and others did not, or 1 if all did.
pub fn exit_code(result: &ExplainResult) -> ExitCode {
    match (result.images.is_empty(), result.failed.is_empty()) {
        (_, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(3),
        (true, false) => ExitCode::from(1),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, decimals, harmless, shown, signed};

    #[test]
    fn a_terminal_gets_styles_and_lines_and_nothing_else_to_obey() {
        assert_eq!(harmless("\x1b[1;32mbest\x1b[0m\nnext"), "\x1b[1;32mbest\x1b[0m\nnext");
        assert_eq!(harmless("a\x1b[2Jb\x07c\u{202e}d\x1b"), "a [2Jb c d ");
        assert_eq!(shown("photo\n\x1b[31m.png: no picture"), "photo  [31m.png: no picture");
    }

    #[test]
    fn a_zero_has_no_sign_and_one_thing_no_plural() {
        assert_eq!([-0.004, 0.004, -1.234, 10.0].map(signed), ["0.00", "0.00", "-1.23", "+10.00"]);
        assert_eq!([-0.001, -10.0].map(decimals), ["0.00", "-10.00"]);
        assert_eq!([0, 1, 20].map(|n| counted(n, "photo")), ["0 photos", "1 photo", "20 photos"]);
    }

    #[test]
    fn names_of_millions_of_letters_are_shortened() {
        let told = shown(&format!("node '{}' is wrong", "κ".repeat(1_000_000)));
        assert!(told.chars().count() < 400 && told.contains('…'), "{told}");
        assert!(told.starts_with("node 'κ") && told.ends_with("κ' is wrong"), "{told}");
    }
}
