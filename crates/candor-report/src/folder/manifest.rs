//! Lists the files of a folder that Candor wrote, each with its hash, so that a changed file is recognised as the user's.

use std::io::{self, BufRead, BufReader};
use std::path::{Component, Path};

use candor::file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::ReportError;

const FILE: &str = "files.json";
/// Maximum bytes of the list.
const MOST_BYTES: u64 = 1 << 28;

/// The results in a folder, with their files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Manifest {
    results: Vec<Listed>,
}

/// One result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    /// The command that made it: `explain`, `bench-wsol`.
    pub name: String,
    /// SHA-256 of the explained model.
    pub model: String,
    pub files: Vec<Entry>,
}

/// A file as Candor wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Path relative to the folder, with `/` between parts.
    pub path: String,
    pub sha256: String,
}

impl Listed {
    /// Whether `new` replaces this result: it is of the same command, or of a related command and another model.
    fn gives_way_to(&self, new: &Listed) -> bool {
        let family = |name: &str| name.split('-').next().map(str::to_owned);
        self.name == new.name || (family(&self.name) == family(&new.name) && self.model != new.model)
    }
}

impl Manifest {
    /// The list in `state`; empty if there is none. A list that names files outside of the folder is rejected as not Candor's.
    pub fn load(state: &Path) -> Result<Self, ReportError> {
        let path = state.join(FILE);
        let fail = |e: io::Error| ReportError::Read { path: path.clone(), reason: e.to_string() };
        let manifest: Manifest = match file::read(&path, MOST_BYTES) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Manifest::default()),
            Err(e) => return Err(fail(e)),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.into()))?,
        };
        match manifest.results.iter().flat_map(|r| &r.files).find(|e| !is_below(&e.path)) {
            Some(entry) => {
                let reason = format!("it names {}, which is not below this folder", entry.path);
                Err(ReportError::Read { path, reason })
            }
            None => Ok(manifest),
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

    /// Adds a result. The results that it replaces stay listed until [`Manifest::settle`].
    pub fn add(&mut self, new: Listed) {
        self.results.push(new);
    }

    /// The files of the results that `new` replaces.
    pub fn replaced(&self, new: &Listed) -> Vec<Entry> {
        self.results.iter().filter(|r| r.gives_way_to(new)).flat_map(|r| r.files.clone()).collect()
    }

    /// Replaces the results that give way to `new` by `new`.
    pub fn settle(&mut self, new: Listed) {
        self.results.retain(|r| !r.gives_way_to(&new));
        self.results.push(new);
    }
}

/// Whether a relative path stays inside its folder, whatever exists there.
fn is_below(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// SHA-256 of a regular file, in hexadecimal digits.
///
/// # Errors
/// The system's, if it cannot be read; or that it is not a regular file.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 16, file::open(path, u64::MAX)?);
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
