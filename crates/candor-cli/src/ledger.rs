//! Results of `check` so far: a journal, so that an interrupted run can be resumed and several machines can share a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use candor::labels::Labels;
use candor::map::Map;
use candor_eval::check::report::{Gallery, GalleryRow};
use candor_eval::check::{Gradients, Input, Ledger, OfImage};
use candor_eval::error::Result as Checked;
use candor_eval::journal::{Entry, Journal, Outcome};
use candor_eval::shard::Shard;
use candor_report::folder::{Draft, Folder, sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::interrupt;
use crate::output;
use crate::resume;

/// The journal of an unfinished run, relative to its folder.
pub const JOURNAL: &str = ".candor/check/work/journal.jsonl";
/// Method name in entries about gradients; no method has this name.
const GRADIENTS: &str = "(gradients)";

/// An entry of the journal: the hash of the image's bytes, and the results.
#[derive(Serialize, Deserialize)]
struct Record {
    sha256: String,
    #[serde(flatten)]
    found: Found,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Found {
    /// Of a method, with the painted maps if the page shows them.
    Image(Box<OfImage>, Option<GalleryRow>),
    Gradients(Gradients),
    Failed(String),
}

/// The journal of a run.
pub struct Kept {
    out: PathBuf,
    journal: Journal,
    found: HashMap<(String, usize), Record>,
    /// Hash of each photo's bytes, by its index.
    hashes: HashMap<usize, String>,
    shard: Option<Shard>,
}

/// The draft of a run into `folder`, and the results that an interrupted run with the same `configuration` left; an interrupted run of
/// another kind is dropped only with `force`.
pub fn open(
    folder: Folder,
    (configuration, force): (&Value, bool),
    inputs: &[Input],
    shard: Option<Shard>,
) -> Result<(Draft, Kept)> {
    let path = folder.path().join(JOURNAL);
    let resume::Begun { entries, anew } =
        resume::begun::<Record>(&path, folder.path(), configuration, force)?;
    let out = folder.path().to_path_buf();
    let mut draft = if anew { folder.draft("check")? } else { folder.resume("check")? };
    let journal = Journal::open(&draft.work().join("journal.jsonl"), configuration)?;
    if !entries.is_empty() || shard.is_some() {
        draft.keep();
    }
    let kept = Kept { out, journal, found: entries, hashes: hashes(inputs), shard };
    if !kept.found.is_empty() {
        kept.tell();
        output::note(&format!("{} maps of an interrupted run are kept; the others follow", kept.found.len()));
    }
    Ok((draft, kept))
}

/// Hash of each photo's bytes, by its index; the results of a photo that cannot be read again are not stored.
fn hashes(inputs: &[Input]) -> HashMap<usize, String> {
    inputs.iter().filter_map(|i| Some((i.number, sha256(Path::new(&i.path)).ok()?))).collect()
}

impl Kept {
    /// The results of one method; `galleries`: the photos that the page shows, by their indices.
    pub fn of<'k>(
        &'k mut self,
        method: &'k str,
        galleries: &'k mut [(usize, Gallery)],
        labels: &'k Labels,
        draft: &'k mut Draft,
    ) -> OfMethod<'k> {
        OfMethod { kept: self, method, galleries, labels, draft }
    }

    fn recall(&self, method: &str, image: usize) -> Option<&Found> {
        let record = self.found.get(&(method.to_string(), image))?;
        (self.hashes.get(&image) == Some(&record.sha256)).then_some(&record.found)
    }

    /// Results that JSON cannot represent (NaN) are not stored: they are measured again.
    fn add(&mut self, method: &str, item: usize, found: Found, draft: &mut Draft) -> Checked<()> {
        let Some(sha256) = self.hashes.get(&item).cloned() else { return Ok(()) };
        let record = Record { sha256, found };
        if !resume::keepable(&record) {
            return Ok(());
        }
        draft.keep();
        let entry = Entry { method: method.to_string(), item, outcome: Outcome::Measured(record) };
        self.journal.append(&entry)?;
        self.tell();
        Ok(())
    }

    /// Updates the message for Ctrl-C.
    fn tell(&self) {
        interrupt::at(format!(
            "what was measured is kept in {} ({} lines); the same command goes on there",
            self.out.display(),
            self.journal.len()
        ));
    }
}

/// The journal's entries of one method.
pub struct OfMethod<'k> {
    kept: &'k mut Kept,
    method: &'k str,
    galleries: &'k mut [(usize, Gallery)],
    labels: &'k Labels,
    draft: &'k mut Draft,
}

impl OfMethod<'_> {
    fn gallery(&mut self, image: usize) -> Option<&mut Gallery> {
        self.galleries.iter_mut().find(|(number, _)| *number == image).map(|(_, gallery)| gallery)
    }
}

impl Ledger for OfMethod<'_> {
    fn owns(&self, image: usize) -> bool {
        self.kept.shard.is_none_or(|shard| shard.owns(image))
    }

    fn recall(&mut self, image: usize) -> Option<Result<OfImage, String>> {
        match self.kept.recall(self.method, image)? {
            Found::Image(found, row) => {
                let (found, row) = (found.as_ref().clone(), row.clone());
                if let Some(gallery) = self.gallery(image) {
                    // Without a painted row the image is measured again.
                    gallery.add(row?);
                }
                Some(Ok(found))
            }
            Found::Failed(reason) => Some(Err(reason.clone())),
            Found::Gradients(_) => None,
        }
    }

    fn add(&mut self, image: usize, found: Result<(&OfImage, &[usize], &[Map]), String>) -> Checked<()> {
        let found = match found {
            Err(reason) => Found::Failed(reason),
            Ok((found, classes, maps)) => {
                let names = classes.iter().map(|&c| self.labels.name(c)).collect();
                let method = self.method;
                let row = match self.gallery(image) {
                    Some(gallery) => {
                        let row = gallery.painted(method, names, maps)?;
                        gallery.add(row.clone());
                        Some(row)
                    }
                    None => None,
                };
                Found::Image(Box::new(found.clone()), row)
            }
        };
        self.kept.add(self.method, image, found, self.draft)
    }

    fn recall_gradients(&mut self, image: usize) -> Option<Gradients> {
        match self.kept.recall(GRADIENTS, image)? {
            Found::Gradients(found) => Some(found.clone()),
            _ => None,
        }
    }

    fn add_gradients(&mut self, image: usize, found: &Gradients) -> Checked<()> {
        self.kept.add(GRADIENTS, image, Found::Gradients(found.clone()), self.draft)
    }
}
