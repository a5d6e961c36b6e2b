//! Lets only one process at a time write to a folder. The operating system's lock on a file shows whether one does, and ends with the
//! process; a second file says which process.

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
    /// Process ID.
    pub pid: u32,
    /// Name of the machine.
    pub host: String,
    /// Its command, such as `candor explain`.
    pub command: String,
    /// Start time, in seconds since 1970.
    pub since: u64,
}

impl Holder {
    /// This process, starting now.
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
        // The file may contain arbitrary text.
        let (host, command) = (printable(&self.host), printable(&self.command));
        let pid = self.pid;
        write!(f, "`{command}` (process {pid} on {host}, begun {began} ago)")
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A lock that is released when it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// The last holder, if it did not release the lock: a process that was killed.
    pub left: Option<Holder>,
}

/// Whether the lock was available.
pub(super) enum Taken {
    Mine(Lock),
    /// Another process holds it; which one, if it has recorded that already.
    Busy(Option<Holder>),
}

/// Takes the lock in the folder `state`, which is created if it is missing. On a file system without locks it always succeeds.
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

/// The locked file, `Err` if another process holds the lock; `None` if that process removed the file between opening and locking.
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

/// Releases the lock: removes the holder's file and, if nothing else is in `state`, the folder.
pub(super) fn give_back(state: &Path) {
    // These fail if the folder is gone or read-only; then there is nothing to remove.
    let _ = std::fs::remove_file(state.join(HOLDER));
    let others =
        std::fs::read_dir(state).is_ok_and(|mut d| d.any(|e| e.is_ok_and(|e| e.file_name() != LOCK)));
    if !others {
        let _ = std::fs::remove_file(state.join(LOCK));
        let _ = std::fs::remove_dir(state);
    }
}
