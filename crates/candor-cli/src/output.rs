//! What people read: progress on stderr, tables on stdout.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Result;
use candor::Progress;
use candor_report::result::ExplainResult;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::interrupt;

/// A progress bar of `length` steps on stderr, hidden where stderr is no terminal.
pub fn progress(length: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
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
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stage(&mut self, name: &str) {
        self.bar.set_message(name.to_string());
    }
}

/// An error with its causes in one line.
pub fn one_line(error: &anyhow::Error) -> String {
    candor::error::one_line(error.as_ref())
}

/// A remark for the user, on stderr.
pub fn note(text: &str) {
    eprintln!("candor: note: {text}");
}

/// Prints a value as one JSON document.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    print(&(text + "\n"))
}

/// Prints text; a reader that went away is no error.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The result of `explain` as a table.
pub fn explained(result: &ExplainResult) -> Result<()> {
    let mut text = String::new();
    for image in &result.images {
        text += &format!("{}\n", image.path);
        for q in &image.queries {
            let verdict = q.verdict.words();
            let odds = match q.null_log_odds {
                Some(null) => format!("log-odds {:+.2} (null {null:+.2})", q.log_odds),
                None => format!("log-odds {:+.2}", q.log_odds),
            };
            let name: String = q.class_name.chars().take(28).collect();
            text += &format!(
                "  {name:<28} rank {:>4}  p {:.3}  {odds}  mass {:.4}  {verdict}\n",
                q.rank, q.probability, q.map.mass
            );
            for warning in &q.warnings {
                text += &format!("    ! {warning}\n");
            }
        }
    }
    for failed in &result.failed {
        text += &format!("{}\n  failed: {}\n", failed.path, failed.error);
    }
    print(&(text + &without_null(result)))
}

/// Why a method without a null judges nothing; empty for those that have one.
fn without_null(result: &ExplainResult) -> String {
    let mut queries = result.images.iter().flat_map(|image| &image.queries);
    if queries.all(|q| q.null_log_odds.is_some()) {
        return String::new();
    }
    format!(
        "not judged: {} has no null to judge against; --method evidence-scaled --set method={0} has, and `candor check` measures how \
         silent a method is\n",
        result.method.name
    )
}

/// 0, or 3 if some images failed and others did not, or 1 if all did.
pub fn exit_code(result: &ExplainResult) -> ExitCode {
    match (result.images.is_empty(), result.failed.is_empty()) {
        (_, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(3),
        (true, false) => ExitCode::from(1),
    }
}
