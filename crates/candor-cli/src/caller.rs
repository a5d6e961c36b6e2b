//! Running a command for another program: output that would go to the terminal goes to that program.

use std::cell::RefCell;
use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::Value;

/// Receives the number of steps done, the total, and the current stage; can cancel the work.
pub type Watch = Box<dyn FnMut(u64, u64, &str) -> ControlFlow<()>>;

/// The result of a command.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The document that `--json` prints; null if the command printed nothing.
    pub document: Value,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// The exit code: 0, 3 if some images of a batch failed, or 4 for an alarm.
    pub code: u8,
}

struct Caller {
    watch: Watch,
    answer: Answer,
}

thread_local! {
    /// The caller of the command that runs on this thread, if any.
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// Runs `work` and returns its result to the calling program.
pub fn answered(watch: Watch, work: impl FnOnce() -> Result<u8>) -> Result<Answer> {
    let before = CALLER.replace(Some(Caller { watch, answer: Answer::default() }));
    let code = work();
    let answer = CALLER.replace(before).map(|caller| caller.answer).unwrap_or_default();
    Ok(Answer { code: code?, ..answer })
}

/// Whether another program runs this command.
pub fn is_there() -> bool {
    CALLER.with_borrow(Option::is_some)
}

/// Passes the document of the command to the caller.
pub fn give(document: Value) {
    with(|caller| caller.answer.document = document);
}

/// Passes a note to the caller, unless it was made before.
pub fn note(text: &str) {
    with(|Caller { answer, .. }| {
        if !answer.notes.iter().any(|note| note == text) {
            answer.notes.push(text.to_string());
        }
    });
}

/// Reports progress if another program runs the command; returns whether the work is to be cancelled.
pub fn advance(done: u64, total: u64, stage: &str) -> ControlFlow<()> {
    // Taken out while it is called, since it may itself run a command.
    let Some(mut watch) = with(|caller| std::mem::replace(&mut caller.watch, unwatched())) else {
        return ControlFlow::Continue(());
    };
    let flow = watch(done, total, stage);
    with(|caller| caller.watch = watch);
    flow
}

fn unwatched() -> Watch {
    Box::new(|_, _, _| ControlFlow::Continue(()))
}

fn with<T>(f: impl FnOnce(&mut Caller) -> T) -> Option<T> {
    CALLER.with_borrow_mut(|caller| caller.as_mut().map(f))
}
