//! What people read: progress on stderr, tables on stdout.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Mutex;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use candor::Progress;
use candor_report::result::ExplainResult;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::{caller, interrupt};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// A progress bar of `length` steps on stderr, hidden where stderr is no terminal.
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

/// A bar as the progress of work that Ctrl-C ends.
pub struct Watching<'b> {
    bar: &'b ProgressBar,
    _watched: interrupt::Watched,
}

impl<'b> Watching<'b> {
    /// Work begins whose progress the bar shows.
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

/// Whether work goes on that has come as far as the bar says: neither Ctrl-C nor another program has ended it.
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

/// A remark for the user, on stderr; one that was made already is not made again.
pub fn note(text: &str) {
    if caller::is_there() {
        return caller::note(text);
    }
    static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let new = MADE.lock().is_ok_and(|mut made| made.insert(text.to_string()));
    if new {
        anstream::eprintln!("candor: {NOTE}note:{NOTE:#} {text}");
    }
}

/// How far work is, on stderr, where nobody sees a bar.
pub fn progress_note(text: &str) {
    if !caller::is_there() {
        note(text);
    }
}

/// What went wrong, on stderr.
pub fn error(text: &str) {
    anstream::eprintln!("candor: {ERROR}error:{ERROR:#} {text}");
}

/// Prints a value as one JSON document, or hands it to the program that runs the command.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    if caller::is_there() {
        caller::give(serde_json::to_value(value)?);
        return Ok(());
    }
    let text = serde_json::to_string_pretty(value)?;
    written(&mut std::io::stdout(), &(text + "\n"))
}

/// Prints text, unless another program runs the command. Its styles are left out where stdout is no terminal, or where NO_COLOR is set.
pub fn print(text: &str) -> Result<()> {
    if caller::is_there() {
        return Ok(());
    }
    written(&mut anstream::stdout(), text)
}

/// A reader that went away is no error.
fn written(out: &mut impl Write, text: &str) -> Result<()> {
    match out.write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Columns of the terminal; where stdout is none, a line is as long as it is.
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
