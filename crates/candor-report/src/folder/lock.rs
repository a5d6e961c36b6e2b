//! One process at a time writes into a folder. The operating system's lock on a file says whether one does, and ends with the process;
//! a second file says which.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use candor::file;
use candor::printable::printable;
use same_file::Handle;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::ReportError;

const LOCK: &str = "lock";
const HOLDER: &str = "holder.json";

/// The process that writes into a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The machine on which it runs.
    pub host: String,
    /// What it does, as `candor explain`.
    pub command: String,
    /// When it began, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// This process, from now on.
    pub(super) fn this(command: &str) -> Self {
        Holder {
            pid: std::process::id(),
            host: gethostname::gethostname().to_string_lossy().into(),
            command: command.to_owned(),
            since: now(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let began = match now().saturating_sub(self.since) {
            s @ 0..120 => format!("{s} s"),
            s @ 120..7200 => format!("{} min", s / 60),
            s => format!("{} h", s / 3600),
        };
        // What is read from a file may be anybody's words.
        let (host, command) = (printable(&self.host), printable(&self.command));
        let pid = self.pid;
        write!(f, "`{command}` (process {pid} on {host}, begun {began} ago)")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// Who held it before and did not give it back: a process that was killed.
    pub left: Option<Holder>,
}

/// Whether the lock could be had.
pub(super) enum Taken {
    Mine(Lock),
    /// Another process has it, and who that is, if it has said so already.
    Busy(Option<Holder>),
}

/// Takes the lock in the folder `state`, which is made where it is missing. On a file system without locks nobody is kept out.
pub(super) fn take(state: &Path, holder: &Holder) -> Result<Taken, ReportError> {
    let path = state.join(LOCK);
    let file = loop {
        match open(state, &path).map_err(ReportError::write(&path))? {
            Some(Ok(file)) => break file,
            Some(Err(())) => return Ok(Taken::Busy(read(state))),
            None => {}
        }
    };
    let left = read(state);
    let text = serde_json::to_vec(holder).map_err(ReportError::encode(HOLDER))?;
    atomic::write(&state.join(HOLDER), &text)?;
    Ok(Taken::Mine(Lock { _file: file, left }))
}

/// The locked file, `Err` if another has it; `None` if that other removed it between opening and locking.
fn open(state: &Path, path: &Path) -> io::Result<Option<Result<File, ()>>> {
    std::fs::create_dir_all(state)?;
    match file::is_regular(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = match OpenOptions::new().write(true).create(true).truncate(false).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        return Ok(Some(Err(())));
    }
    let mine = Handle::from_file(file.try_clone()?)?;
    let same = Handle::from_path(path).is_ok_and(|there| there == mine);
    Ok(same.then_some(Ok(file)))
}

fn read(state: &Path) -> Option<Holder> {
    serde_json::from_slice(&file::read(&state.join(HOLDER), 1 << 20).ok()?).ok()
}

/// Gives the lock back: nobody holds it, and if nothing else is in `state` it goes as well.
pub(super) fn give_back(state: &Path) {
    // Each of these may fail where the folder is gone or read-only; then there is nothing to tidy.
    let _ = std::fs::remove_file(state.join(HOLDER));
    let others =
        std::fs::read_dir(state).is_ok_and(|mut d| d.any(|e| e.is_ok_and(|e| e.file_name() != LOCK)));
    if !others {
        let _ = std::fs::remove_file(state.join(LOCK));
        let _ = std::fs::remove_dir(state);
    }
}
