//! The journal of a benchmark: one line for each measured map, appended as it comes, so that a run that was killed goes on.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, JournalError, Result};

/// A line: what one method showed on one item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry<R> {
    /// Name of the method.
    pub method: String,
    /// Number of the item.
    pub item: usize,
    /// What was measured, or why it could not be.
    pub outcome: Outcome<R>,
}

/// What was measured, or why it could not be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome<R> {
    /// Figures.
    Measured(R),
    /// One line that says why not.
    Failed(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    candor_benchmark: serde_json::Value,
}

/// A journal open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    done: HashSet<(String, usize)>,
}

impl Journal {
    /// Opens a journal, new or begun. `configuration` is all on which figures depend; a journal of another one is refused. A
    /// line that was cut off is dropped, and what it measured is measured again.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn open(path: &Path, configuration: &serde_json::Value) -> Result<Self> {
        let fail = |e: io::Error| Error::journal(path, e);
        let begun = path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        let mut done = HashSet::new();
        let (mut whole, mut number) = (0, 0);
        if begun {
            let mut reader = BufReader::new(&file);
            let mut line = String::new();
            while reader.read_line(&mut line).map_err(fail)? > 0 && line.ends_with('\n') {
                number += 1;
                if whole == 0 {
                    check(path, &line, configuration)?;
                } else {
                    let entry: Entry<serde::de::IgnoredAny> =
                        serde_json::from_str(&line).map_err(|e| broken(path, number, e))?;
                    done.insert((entry.method, entry.item));
                }
                whole += line.len() as u64;
                line.clear();
            }
        }
        file.set_len(whole).map_err(fail)?;
        file.seek(SeekFrom::End(0)).map_err(fail)?;
        let mut journal = Journal { path: path.to_path_buf(), file, done };
        if whole == 0 {
            journal.write(&Header { candor_benchmark: configuration.clone() })?;
        }
        Ok(journal)
    }

    /// Whether a method was measured on an item.
    pub fn has(&self, method: &str, item: usize) -> bool {
        self.done.contains(&(method.to_string(), item))
    }

    /// Number of lines that are there.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn append<R: Serialize>(&mut self, entry: &Entry<R>) -> Result<()> {
        self.write(entry)?;
        self.done.insert((entry.method.clone(), entry.item));
        Ok(())
    }

    /// All lines, in the order of `methods` and of items whatever order they were measured in.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn entries<R: DeserializeOwned>(&self, methods: &[&str]) -> Result<Vec<Entry<R>>> {
        let file = File::open(&self.path).map_err(|e| Error::journal(&self.path, e))?;
        let mut entries = vec![];
        for (at, line) in BufReader::new(file).lines().enumerate().skip(1) {
            let line = line.map_err(|e| Error::journal(&self.path, e))?;
            let entry: Entry<R> = serde_json::from_str(&line).map_err(|e| broken(&self.path, at + 1, e))?;
            if let Some(at) = methods.iter().position(|m| *m == entry.method) {
                entries.push((at, entry));
            }
        }
        entries.sort_by_key(|(at, e)| (*at, e.item));
        Ok(entries.into_iter().map(|(_, e)| e).collect())
    }

    /// One call of the system for each line: what was written is there if the process dies.
    fn write(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line =
            serde_json::to_string(value).map_err(|e| Error::journal(&self.path, JournalError::Encode(e)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|e| Error::journal(&self.path, e))
    }
}

fn check(path: &Path, line: &str, configuration: &serde_json::Value) -> Result<()> {
    let header: Header = serde_json::from_str(line).map_err(|e| broken(path, 1, e))?;
    if header.candor_benchmark == *configuration {
        return Ok(());
    }
    let (there, asked) = (header.candor_benchmark, configuration);
    let differs = asked.as_object().into_iter().flatten().find(|(key, value)| there.get(key) != Some(value));
    let which = differs.map_or_else(|| "settings".to_string(), |(key, _)| key.clone());
    Err(Error::journal(path, JournalError::Other { which }))
}

fn broken(path: &Path, line: usize, source: serde_json::Error) -> Error {
    Error::journal(path, JournalError::Line { line, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::error::one_line;

    fn entry(item: usize) -> Entry<f64> {
        Entry { method: "gradient".into(), item, outcome: Outcome::Measured(0.1 + item as f64) }
    }

    #[test]
    fn a_line_cut_anywhere_is_measured_again_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let configuration = serde_json::json!({ "seed": 1 });
        let mut journal = Journal::open(&path, &configuration).unwrap();
        (0..3).for_each(|i| journal.append(&entry(i)).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&path, &configuration).unwrap();
            for i in (0..3).filter(|&i| !journal.has("gradient", i)).collect::<Vec<_>>() {
                journal.append(&entry(i)).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
            assert_eq!(journal.entries::<f64>(&["gradient"]).unwrap().len(), 3);
        }
    }

    #[test]
    fn a_journal_of_other_settings_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        Journal::open(&path, &serde_json::json!({ "seed": 1 })).unwrap();
        let other = Journal::open(&path, &serde_json::json!({ "seed": 2 })).unwrap_err();
        let other = one_line(&other);
        assert!(other.contains("begun with another seed"), "{other}");
        std::fs::write(&path, "hello\n").unwrap();
        let wrong = Journal::open(&path, &serde_json::json!({})).unwrap_err();
        let wrong = one_line(&wrong);
        assert!(wrong.contains("line 1 is not one of a benchmark's journal"), "{wrong}");
    }
}
