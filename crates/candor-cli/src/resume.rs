//! A run of `explain` that was stopped goes on where it was: a journal has the result of each photo as soon as its files are written.

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

/// The journal of a run that is not finished, relative to its folder.
pub const JOURNAL: &str = ".candor/explain/work/journal.jsonl";
/// The files that it is about.
pub const FOLDERS: [&str; 2] = [".candor/explain/files", ".candor/explain/work/parts"];

/// What came of a photo.
#[derive(Clone, Serialize, Deserialize)]
pub enum Came {
    /// Its result.
    Explained(Box<ImageResult>),
    /// Why it could not be explained.
    Failed(String),
}

/// A line of the journal: of which bytes, and what came of them.
#[derive(Serialize, Deserialize)]
struct Record {
    sha256: String,
    came: Came,
    /// SHA-256 of the files that were written, by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// The photos of a run, and what has come of them so far.
pub struct Resume {
    journal: Journal,
    /// Each photo's path, and how often it was named before: the key of its lines.
    keys: Vec<(String, usize)>,
    found: HashMap<(String, usize), Record>,
    out: PathBuf,
}

/// The writer of a run into `folder` and what an interrupted run with the same `configuration` left of it. An interrupted run of
/// another kind is dropped only by `force`.
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

/// What an interrupted run left.
pub struct Begun<R> {
    /// Its lines, by method and item.
    pub entries: HashMap<(String, usize), R>,
    /// Whether it is to be dropped.
    pub anew: bool,
}

/// The lines of the journal at `path`, if there is one that this run can go on with. One of another kind, in the folder `out`, is dropped by
/// `force` alone, or if nothing is in it.
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

/// Whether a journal can hold a record: JSON has no NaN.
pub fn keepable<R: Serialize + DeserializeOwned>(record: &R) -> bool {
    serde_json::to_string(record).is_ok_and(|text| serde_json::from_str::<R>(&text).is_ok())
}

/// Why a run cannot go on with what an interrupted one left.
struct Why {
    words: String,
    /// Then no command can.
    damaged: bool,
}

/// Lines of the journal of an interrupted run, or why this run cannot go on with them.
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

/// What a journal has: its lines behind the first.
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
    /// What came of the photo of that number, if its bytes are still the same, and those of the files that were written.
    pub fn of(&self, number: usize, photo: &Photo, writer: &ReportWriter) -> Option<&Came> {
        let record = self.found.get(&self.keys[number])?;
        let same_photo = hash(photo).as_ref() == Some(&record.sha256);
        let same_files = match &record.came {
            Came::Explained(image) => writer.hashes(image).is_ok_and(|files| files == record.files),
            Came::Failed(_) => true,
        };
        (same_photo && same_files).then_some(&record.came)
    }

    /// Writes down what came of a photo. A result that JSON cannot hold (NaN) is not kept: that photo is explained again.
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

    /// Says how to go on if the run ended now, with so many of its photos done.
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
        // What is larger than any photo, or is no file, fails again at once.
        Source::File(path) => {
            let (path, _) = frame_of(path);
            file::open(&path, MAX_FILE_BYTES).ok().and_then(|_| sha256(&path).ok())
        }
        // Of the program itself, whose version is part of the configuration.
        Source::Bytes(_) => Some("embedded".to_string()),
    }
}
