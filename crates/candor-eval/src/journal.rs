//! The journal of a benchmark: one line for each measured map, appended at once, so that a run that was killed can be resumed.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candor::file;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::error::{Error, JournalError, Result};

/// An entry: the result of one method on one item.
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
    /// One line that says why it could not be measured.
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

/// The start of every journal: the name of a [`Header`]'s field.
const BEGINS: &[u8] = b"{\"candor_benchmark\":";

impl Journal {
    /// Checks, before long work, that the file at `path` begins as a journal does, or does not exist.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn check(path: &Path) -> Result<()> {
        let fail = |e: io::Error| Error::journal(path, e);
        match file::is_regular(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(fail)?,
        }
        let mut begins = vec![];
        File::open(path).map_err(fail)?.take(BEGINS.len() as u64).read_to_end(&mut begins).map_err(fail)?;
        if BEGINS.starts_with(&begins) {
            return Ok(());
        }
        Err(broken(path, 1, serde_json::Error::custom("it begins in another way")))
    }

    /// Whether there is a journal at `path` whose first line is complete.
    pub fn is_begun(path: &Path) -> bool {
        let first = || {
            let mut line = vec![];
            BufReader::new(File::open(path).ok()?).take(MOST_BYTES).read_until(b'\n', &mut line).ok()?;
            Some(line)
        };
        Journal::check(path).is_ok() && first().is_some_and(|line| line.ends_with(b"\n"))
    }

    /// Opens a new or an existing journal. `configuration` contains everything that the results depend on; a journal with another one is
    /// refused, and so is a file that does not begin as a journal, which is left unchanged. An incomplete line is dropped, and its map
    /// measured again.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn open(path: &Path, configuration: &serde_json::Value) -> Result<Self> {
        let fail = |e: io::Error| Error::journal(path, e);
        Journal::check(path)?;
        let begun = path.exists();
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(fail)?;
        let mut done = HashSet::new();
        let mut whole = 0;
        if begun {
            let mut lines = Lines::of(path, &file);
            if let Some(first) = lines.next()? {
                check(path, first, configuration)?;
            }
            while let Some(entry) = lines.entry::<IgnoredAny>()? {
                done.insert((entry.method, entry.item));
            }
            whole = lines.bytes;
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

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.done.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn append<R: Serialize>(&mut self, entry: &Entry<R>) -> Result<()> {
        self.write(entry)?;
        self.done.insert((entry.method.clone(), entry.item));
        Ok(())
    }

    /// All entries, ordered by `methods` and by item, whatever order they were measured in.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn entries<R: DeserializeOwned>(&self, methods: &[&str]) -> Result<Vec<Entry<R>>> {
        let mut entries = vec![];
        for entry in self.all()? {
            let entry: Entry<R> = entry;
            if let Some(at) = methods.iter().position(|m| *m == entry.method) {
                entries.push((at, entry));
            }
        }
        entries.sort_by_key(|(at, e)| (*at, e.item));
        Ok(entries.into_iter().map(|(_, e)| e).collect())
    }

    /// All entries, in the order of the file.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file.
    pub fn all<R: DeserializeOwned>(&self) -> Result<Vec<Entry<R>>> {
        let file = file::open(&self.path, u64::MAX).map_err(|e| Error::journal(&self.path, e))?;
        let lines = BufReader::new(file).split(b'\n').enumerate().skip(1);
        lines
            .map(|(at, line)| {
                let line = line.map_err(|e| Error::journal(&self.path, e))?;
                serde_json::from_slice(&line).map_err(|e| broken(&self.path, at + 1, e))
            })
            .collect()
    }

    /// Writes the entries of `parts`, journals of parts of one run, to a new file at `path`, in the order in which one machine would have
    /// written them: by method and item, unchanged and without duplicates.
    ///
    /// # Errors
    /// [`Error::Journal`] naming the file: one that is missing, is not a journal, or has other settings than the first.
    pub fn join(path: &Path, parts: &[PathBuf]) -> Result<()> {
        let mut begins: Option<(serde_json::Value, Vec<u8>)> = None;
        let mut methods: Vec<String> = vec![];
        let mut lines: BTreeMap<(usize, usize), Vec<u8>> = BTreeMap::new();
        for part in parts {
            let Whole { header, first, entries } = Whole::read(part)?;
            let (of_first, _) = begins.get_or_insert_with(|| (header.clone(), first));
            if let Some(which) = difference(&header, of_first) {
                return Err(Error::journal(part, JournalError::Other { which }));
            }
            for (method, item, line) in entries {
                let at = methods.iter().position(|m| *m == method).unwrap_or_else(|| {
                    methods.push(method);
                    methods.len() - 1
                });
                lines.entry((at, item)).or_insert(line);
            }
        }
        let fail = |e: io::Error| Error::journal(path, e);
        let mut file = BufWriter::new(File::create_new(path).map_err(fail)?);
        for line in begins.map(|(_, first)| first).into_iter().chain(lines.into_values()) {
            file.write_all(&line).map_err(fail)?;
        }
        file.flush().map_err(fail)
    }

    /// Writes each line with one system call: what was written survives if the process dies.
    fn write(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line =
            serde_json::to_string(value).map_err(|e| Error::journal(&self.path, JournalError::Encode(e)))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|e| Error::journal(&self.path, e))
    }
}

/// Maximum bytes of a first line, which contains the names of all classes.
const MOST_BYTES: u64 = 1 << 28;

/// A journal without an incomplete last line.
struct Whole {
    /// The configuration with which it was created.
    header: serde_json::Value,
    /// Its first line.
    first: Vec<u8>,
    /// Method, item and text of each further line.
    entries: Vec<(String, usize, Vec<u8>)>,
}

impl Whole {
    fn read(path: &Path) -> Result<Self> {
        let file = file::open(path, u64::MAX).map_err(|e| Error::journal(path, e))?;
        let mut lines = Lines::of(path, file);
        let cut = || broken(path, 1, serde_json::Error::custom("it is cut off"));
        let first = lines.next()?.ok_or_else(cut)?.to_vec();
        let header: Header = serde_json::from_slice(&first).map_err(|e| broken(path, 1, e))?;
        let mut entries = vec![];
        while let Some(Entry { method, item, .. }) = lines.entry::<IgnoredAny>()? {
            entries.push((method, item, lines.line.clone()));
        }
        Ok(Whole { header: header.candor_benchmark, first, entries })
    }
}

/// The lines of a journal, without an incomplete last one. As bytes, so that a line that is not even text is reported by its number, too.
struct Lines<'p, R> {
    path: &'p Path,
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Number of the line read last, from 1.
    number: usize,
    /// Total bytes of the lines read.
    bytes: u64,
}

impl<'p, R: Read> Lines<'p, R> {
    fn of(path: &'p Path, file: R) -> Self {
        Lines { path, reader: BufReader::new(file), line: vec![], number: 0, bytes: 0 }
    }

    fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line).map_err(|e| Error::journal(self.path, e))?;
        if !self.line.ends_with(b"\n") {
            return Ok(None);
        }
        self.number += 1;
        self.bytes += self.line.len() as u64;
        Ok(Some(&self.line))
    }

    fn entry<E: DeserializeOwned>(&mut self) -> Result<Option<Entry<E>>> {
        let Some(line) = self.next()? else { return Ok(None) };
        let entry = serde_json::from_slice(line);
        entry.map(Some).map_err(|e| broken(self.path, self.number, e))
    }
}

/// Settings on which others depend, reported first: for another model, λ and levels may differ, too.
const FIRST: [&str; 5] = ["model", "version", "dataset", "engine", "preprocessing"];

fn check(path: &Path, line: &[u8], configuration: &serde_json::Value) -> Result<()> {
    let header: Header = serde_json::from_slice(line).map_err(|e| broken(path, 1, e))?;
    match difference(&header.candor_benchmark, configuration) {
        Some(which) => Err(Error::journal(path, JournalError::Other { which })),
        None => Ok(()),
    }
}

/// The first setting in which two configurations differ, in words.
fn difference(there: &serde_json::Value, asked: &serde_json::Value) -> Option<String> {
    if there == asked {
        return None;
    }
    let keys = [there, asked].into_iter().filter_map(|v| v.as_object()).flat_map(|o| o.keys());
    let mut keys: Vec<&str> =
        keys.map(String::as_str).filter(|key| there.get(key) != asked.get(key)).collect();
    keys.sort_by_key(|key| (FIRST.iter().position(|f| f == key).unwrap_or(FIRST.len()), *key));
    Some(match keys.first() {
        Some(&"version") => "another version of Candor".to_string(),
        Some(&("levels" | "parameters" | "classes" | "labels" | "samples")) => format!("other {}", keys[0]),
        Some(key) => format!("another {key}"),
        None => "another configuration".to_string(),
    })
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
        assert!(other.contains("started with another seed"), "{other}");
        std::fs::write(&path, "hello\n").unwrap();
        let wrong = Journal::open(&path, &serde_json::json!({})).unwrap_err();
        let wrong = one_line(&wrong);
        assert!(wrong.contains("line 1 is not one of Candor's journal"), "{wrong}");
    }

    #[test]
    fn a_file_that_is_no_journal_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let configuration = serde_json::json!({ "seed": 1 });
        // Without an end of line it would look like an incomplete first line.
        for notes in ["notes", "{\"candor\": 1}", "[1, 2]", "{}\nmore", "\n"] {
            std::fs::write(&path, notes).unwrap();
            for _ in 0..2 {
                let error = one_line(&Journal::open(&path, &configuration).unwrap_err());
                assert!(error.contains("line 1 is not one of Candor's journal"), "{error}");
            }
            assert!(!Journal::is_begun(&path));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!Journal::is_begun(&path));
        #[cfg(unix)]
        {
            let notes = dir.path().join("notes.txt");
            std::fs::write(&notes, "notes").unwrap();
            std::os::unix::fs::symlink(&notes, &path).unwrap();
            Journal::open(&path, &configuration).unwrap_err();
            assert_eq!(std::fs::read_to_string(&notes).unwrap(), "notes");
            std::fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            let error = one_line(&Journal::open(&path, &configuration).unwrap_err());
            assert!(error.contains("no regular file"), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        Journal::open(&path, &configuration).unwrap();
        assert!(Journal::is_begun(&path));
    }

    #[test]
    fn parts_are_joined_in_the_order_of_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let configuration = serde_json::json!({ "seed": 1 });
        let line = |method: &str, item: usize| Entry { method: method.into(), ..entry(item) };
        let write = |name: &str, items: &[usize]| {
            let mut journal = Journal::open(&at(name), &configuration).unwrap();
            for method in ["lrp", "gradient"] {
                items.iter().for_each(|&i| journal.append(&line(method, i)).unwrap());
            }
        };
        // Keys keep their order, even if it is not alphabetical.
        assert!(serde_json::to_string(&entry(0)).unwrap().starts_with("{\"method\":\"gradient\",\"item\":0"));
        write("whole", &[0, 1, 2, 3, 4]);
        write("a", &[0, 2, 4]);
        write("b", &[1, 3]);
        Journal::join(&at("joined"), &[at("b"), at("a")]).unwrap();
        let read = |name: &str| std::fs::read(at(name)).unwrap();
        assert_eq!(read("joined"), read("whole"));
        // A duplicate line is taken once.
        Journal::join(&at("again"), &[at("a"), at("b"), at("joined")]).unwrap();
        assert_eq!(read("again"), read("whole"));
        assert!(Journal::join(&at("joined"), &[at("a")]).is_err(), "nothing is overwritten");
        assert_eq!(read("joined"), read("whole"));
        Journal::open(&at("c"), &serde_json::json!({ "seed": 2 })).unwrap();
        let error = one_line(&Journal::join(&at("other"), &[at("a"), at("c")]).unwrap_err());
        assert!(error.contains("c: was started with another seed"), "{error}");
        assert!(Journal::join(&at("none"), &[at("missing")]).is_err());
        assert!(!at("other").exists() && !at("none").exists());
    }

    #[test]
    fn another_model_is_called_so_whatever_else_differs_with_it() {
        let begun =
            serde_json::json!({ "lambda": 1.0, "levels": [], "model": "a", "seed": 1, "version": "1" });
        let asked = |changes: &[(&str, &str)]| {
            let mut asked = begun.clone();
            changes.iter().for_each(|(key, value)| asked[*key] = (*value).into());
            difference(&begun, &asked)
        };
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("lambda", "2"), ("levels", "b"), ("model", "b")]).unwrap(), "another model");
        assert_eq!(asked(&[("version", "2"), ("lambda", "2")]).unwrap(), "another version of Candor");
        assert_eq!(asked(&[("seed", "2"), ("lambda", "2")]).unwrap(), "another lambda");
        assert_eq!(asked(&[("levels", "b")]).unwrap(), "other levels");
        assert_eq!(
            difference(&begun, &serde_json::json!({ "model": "a", "version": "1" })).unwrap(),
            "another lambda"
        );
    }

    #[test]
    fn a_damaged_line_is_named_by_its_number_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let configuration = serde_json::json!({ "seed": 1 });
        let mut journal = Journal::open(&path, &configuration).unwrap();
        (0..3).for_each(|i| journal.append(&entry(i)).unwrap());
        let whole = std::fs::read(&path).unwrap();
        let third = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 1;
        for byte in [b'!', 0xFF] {
            let mut damaged = whole.clone();
            damaged[third] = byte;
            std::fs::write(&path, &damaged).unwrap();
            let error = one_line(&Journal::open(&path, &configuration).unwrap_err());
            assert!(error.contains("journal.jsonl: line 3 is not one"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "it stays as it is");
        }
        // A line that is an entry, but of another benchmark.
        let text = String::from_utf8(whole).unwrap().replacen("1.1", "\"one\"", 1);
        std::fs::write(&path, text).unwrap();
        let journal = Journal::open(&path, &configuration).unwrap();
        let error = one_line(&journal.entries::<f64>(&["gradient"]).unwrap_err());
        assert!(error.contains("line 3 is not one"), "{error}");
    }
}
