//! Resumes an interrupted run of `explain`: a journal contains the result of each photo as soon as its files are written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::Result;
use candor::error::one_line;
use candor::file;
use candor::image::{MAX_FILE_BYTES, frame_of};
use candor_eval::error::{Error, JournalError};
use candor_eval::journal::{Entry, Journal, Outcome};
use candor_report::ReportWriter;
use candor_report::folder::{Folder, sha256};
use candor_report::result::ImageResult;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commands::explain::{Photo, Source};
use crate::interrupt;
use crate::output;
use crate::setup::Usage;
use crate::shard::{Joined, changed_since};

/// The journal of an unfinished run, relative to its folder.
pub const JOURNAL: &str = ".candor/explain/work/journal.jsonl";
/// The folders of the files that it lists.
pub const FOLDERS: [&str; 2] = [".candor/explain/files", ".candor/explain/work/parts"];

/// Outcome of a photo.
#[derive(Clone, Serialize, Deserialize)]
pub enum Came {
    /// Its result.
    Explained(Box<ImageResult>),
    /// Why it could not be explained.
    Failed(String),
}

/// An entry of the journal: the hash of the photo's bytes, and the outcome.
#[derive(Serialize, Deserialize)]
struct Record {
    sha256: String,
    came: Came,
    /// SHA-256 of the files that were written, by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// The photos of a run, and their outcomes so far.
pub struct Resume {
    journal: Journal,
    /// Each photo's path, and how often it was named before: the key of its entries.
    keys: Vec<(String, usize)>,
    found: HashMap<(String, usize), Record>,
    out: PathBuf,
}

/// The writer of a run into `folder`, and the results that an interrupted run with the same `configuration` left. An interrupted run of
/// another kind is dropped only with `force`.
pub fn open(
    folder: Folder,
    configuration: &Value,
    photos: &[Photo],
    force: bool,
) -> Result<(ReportWriter, Resume)> {
    let (out, keys) = (folder.path().to_path_buf(), keys(photos));
    let path = out.join(JOURNAL);
    let Begun { mut entries, mut anew } = begun::<Record>(&path, &out, configuration, force)?;
    let asked: HashSet<_> = keys.iter().collect();
    if !entries.keys().all(|key| asked.contains(key)) {
        if !force {
            let why = Why { words: "of other photos".to_string(), damaged: false };
            return Err(Usage(refusal(&out, done(&path), &why)).into());
        }
        (entries, anew) = (HashMap::new(), true);
    }
    let mut writer = if anew { ReportWriter::begin_in(folder)? } else { ReportWriter::resume(folder)? };
    let journal = Journal::open(&writer.work().join("journal.jsonl"), configuration)?;
    if entries.values().any(|r| matches!(r.came, Came::Explained(_))) {
        writer.keep_if_interrupted();
        if entries.len() < photos.len() {
            output::note(&format!(
                "{} of {} photos are done; the others follow",
                entries.len(),
                photos.len()
            ));
        }
    }
    Ok((writer, Resume { journal, keys, found: entries, out }))
}

/// The state that an interrupted run left.
pub struct Begun<R> {
    /// Its entries, by method and item.
    pub entries: HashMap<(String, usize), R>,
    /// Whether the run starts from the beginning.
    pub anew: bool,
}

/// The entries of the journal at `path`, if there is one that this run can resume. A journal of another kind, in the folder `out`, is
/// dropped only with `force`, or if it is empty.
pub fn begun<R: DeserializeOwned>(
    path: &Path,
    out: &Path,
    configuration: &Value,
    force: bool,
) -> Result<Begun<R>> {
    if !path.exists() {
        return Ok(Begun { entries: HashMap::new(), anew: false });
    }
    match read(path, configuration) {
        Err(why) if Joined::is_on() => Err(changed_since(&why.words)),
        Ok(entries) => Ok(Begun { entries, anew: false }),
        Err(_) if force || done(path) == 0 => Ok(Begun { entries: HashMap::new(), anew: true }),
        Err(why) => Err(Usage(refusal(out, done(path), &why)).into()),
    }
}

/// Whether a journal can store a record: JSON has no NaN.
pub fn keepable<R: Serialize + DeserializeOwned>(record: &R) -> bool {
    serde_json::to_string(record).is_ok_and(|text| serde_json::from_str::<R>(&text).is_ok())
}

/// Why a run cannot resume an interrupted one.
struct Why {
    words: String,
    /// Whether the journal is damaged, so that no command can resume it.
    damaged: bool,
}

/// Entries of the journal of an interrupted run, or why this run cannot resume it.
fn read<R: DeserializeOwned>(path: &Path, configuration: &Value) -> Result<HashMap<(String, usize), R>, Why> {
    let why = |e: Error| match e {
        Error::Journal { source: JournalError::Other { which }, .. } => {
            Why { words: format!("with {which}"), damaged: false }
        }
        other => Why { words: format!("that cannot be read ({})", one_line(&other)), damaged: true },
    };
    let journal = Journal::open(path, configuration).map_err(why)?;
    let mut found = HashMap::new();
    for Entry { method, item, outcome } in journal.all::<R>().map_err(why)? {
        if let Outcome::Measured(record) = outcome {
            found.insert((method, item), record);
        }
    }
    Ok(found)
}

/// Number of entries of a journal: its lines without the first.
fn done(journal: &Path) -> usize {
    let lines = file::read(journal, u64::MAX).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count());
    lines.saturating_sub(1)
}

fn refusal(out: &Path, done: usize, Why { words, damaged }: &Why) -> String {
    let finish = if *damaged { "" } else { "finish it by its own command, " };
    format!(
        "{} holds an unfinished run {words}, {done} photos or maps done; {finish}name another --out, or drop it with --force",
        out.display(),
    )
}

fn keys(photos: &[Photo]) -> Vec<(String, usize)> {
    let mut named: HashMap<&str, usize> = HashMap::new();
    let key = |photo| {
        let Photo { name, .. }: &Photo = photo;
        let times = named.entry(name.as_str()).or_default();
        *times += 1;
        (name.clone(), *times - 1)
    };
    photos.iter().map(key).collect()
}

impl Resume {
    /// The stored outcome of a photo, if its bytes and the bytes of its files are unchanged.
    pub fn of(&self, number: usize, photo: &Photo, writer: &ReportWriter) -> Option<&Came> {
        let record = self.found.get(&self.keys[number])?;
        let same_photo = hash(photo).as_ref() == Some(&record.sha256);
        let same_files = match &record.came {
            Came::Explained(image) => writer.hashes(image).is_ok_and(|files| files == record.files),
            Came::Failed(_) => true,
        };
        (same_photo && same_files).then_some(&record.came)
    }

    /// Stores the outcome of a photo. A result that JSON cannot represent (NaN) is not stored: that photo is explained again.
    pub fn add(&mut self, number: usize, photo: &Photo, came: Came, writer: &mut ReportWriter) -> Result<()> {
        let Some(sha256) = hash(photo) else { return Ok(()) };
        let files = match &came {
            Came::Explained(image) => writer.hashes(image)?,
            Came::Failed(_) => BTreeMap::new(),
        };
        let record = Record { sha256, came, files };
        if !keepable(&record) {
            return Ok(());
        }
        let (method, item) = self.keys[number].clone();
        if matches!(record.came, Came::Explained(_)) {
            writer.keep_if_interrupted();
        }
        self.journal.append(&Entry { method, item, outcome: Outcome::Measured(record) })?;
        Ok(())
    }

    /// Sets the message on how to resume if the run ended now, with `done` of its photos done.
    pub fn tell(&self, done: usize, total: usize) {
        if done > 0 {
            let out = self.out.display();
            interrupt::at(format!(
                "{done} of {total} photos are done and kept in {out}; the same command goes on there"
            ));
        }
    }
}

fn hash(photo: &Photo) -> Option<String> {
    match &photo.source {
        // A file that is larger than any photo, or not a regular file, will fail again at once.
        Source::File(path) => {
            let (path, _) = frame_of(path);
            file::open(&path, MAX_FILE_BYTES).ok().and_then(|_| sha256(&path).ok())
        }
        // Embedded in the program, whose version is part of the configuration.
        Source::Bytes(_) => Some("embedded".to_string()),
    }
}
