//! Another program that runs a command: what would go to the terminal goes to it.

use std::cell::RefCell;
use std::ops::ControlFlow;

use anyhow::Result;
use serde_json::Value;

/// Is told how many steps are done, of how many, and at what; may end the work.
pub type Watch = Box<dyn FnMut(u64, u64, &str) -> ControlFlow<()>>;

/// What a command answers.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// What `--json` prints; null if the command printed nothing.
    pub document: Value,
    /// Remarks for the user.
    pub notes: Vec<String>,
    /// The exit code: 0, or 3 where some images of a batch failed, or 4 for an alarm.
    pub code: u8,
}

struct Caller {
    watch: Watch,
    answer: Answer,
}

thread_local! {
    /// A command runs on the thread that called it.
    static CALLER: RefCell<Option<Caller>> = const { RefCell::new(None) };
}

/// What `work` answers its caller.
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

/// Hands over the document of the command.
pub fn give(document: Value) {
    with(|caller| caller.answer.document = document);
}

/// Hands over a remark, if it was not made before.
pub fn note(text: &str) {
    with(|Caller { answer, .. }| {
        if !answer.notes.iter().any(|note| note == text) {
            answer.notes.push(text.to_string());
        }
    });
}

/// Tells of the progress, where another program runs the command, and whether the work is to end.
pub fn advance(done: u64, total: u64, stage: &str) -> ControlFlow<()> {
    // Taken out while it is told: it may run a command of its own.
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
