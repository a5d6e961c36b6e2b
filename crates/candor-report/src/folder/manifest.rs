//! Which files of a folder Candor wrote: each with its hash, so that one that somebody changed or replaced is theirs.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::ReportError;

const FILE: &str = "files.json";

/// The results in a folder, with their files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    results: Vec<Listed>,
}

/// One result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// What made it: `explain`, `bench-wsol`.
    pub name: String,
    /// SHA-256 of the model it is about.
    pub model: String,
    pub files: Vec<Entry>,
}

/// A file as Candor left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Relative to the folder, `/` between parts.
    pub path: String,
    pub sha256: String,
}

impl Listed {
    /// Whether `new` takes this result's place: it is of the same command, or of a sister command and of another model.
    fn gives_way_to(&self, new: &Listed) -> bool {
        let family = |name: &str| name.split('-').next().map(str::to_owned);
        self.name == new.name || (family(&self.name) == family(&new.name) && self.model != new.model)
    }
}

impl Manifest {
    /// What is in `state`; nothing if there is none.
    pub fn load(state: &Path) -> Result<Self, ReportError> {
        let path = state.join(FILE);
        let fail = |e: io::Error| ReportError::Read { path: path.clone(), reason: e.to_string() };
        match std::fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(e) => Err(fail(e)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.into())),
        }
    }

    pub fn save(&self, state: &Path) -> Result<(), ReportError> {
        let text = serde_json::to_vec(self).map_err(ReportError::encode("the list of files"))?;
        atomic::write(&state.join(FILE), &text)
    }

    /// Whether the file at `path` in `folder` is as Candor wrote it.
    pub fn wrote(&self, folder: &Path, path: &str) -> bool {
        let entries = self.results.iter().flat_map(|r| &r.files);
        let mut listed = entries.filter(|e| e.path == path).peekable();
        listed.peek().is_some()
            && sha256(&folder.join(path)).is_ok_and(|now| listed.any(|entry| entry.sha256 == now))
    }

    /// Adds a result. Those whose place it takes stay listed until [`Manifest::settle`].
    pub fn add(&mut self, new: Listed) {
        self.results.push(new);
    }

    /// The files of the results whose place `new` takes.
    pub fn replaced(&self, new: &Listed) -> Vec<Entry> {
        self.results.iter().filter(|r| r.gives_way_to(new)).flat_map(|r| r.files.clone()).collect()
    }

    /// Puts `new` in the place of those that give way to it.
    pub fn settle(&mut self, new: Listed) {
        self.results.retain(|r| !r.gives_way_to(&new));
        self.results.push(new);
    }
}

/// SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// The system's, if it cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut hash = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        hash.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}
