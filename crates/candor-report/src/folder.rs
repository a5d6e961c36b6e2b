//! The output folder of a run. Only one process at a time writes to it. A result is made in a [`Draft`] and put in place as a whole:
//! until then an earlier result is unchanged, afterwards its files are removed. Files that Candor did not write are neither replaced nor
//! removed.
//!
//! ```text
//! out/.candor/lock, holder.json    which process is writing
//! out/.candor/files.json           the files that Candor wrote, with their hashes
//! out/.candor/<result>/files/      a result in progress
//! out/.candor/<result>/work/       data for resuming it after an interruption
//! ```

mod inputs;
mod lock;
mod manifest;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use inputs::{Inputs, may_replace};
pub use lock::Holder;
pub use manifest::sha256;

use crate::error::ReportError;
use lock::{Lock, Taken};
use manifest::{Entry, Listed, Manifest};

/// Name of the folder, inside an output folder, for Candor's own files that are not results.
pub const STATE: &str = ".candor";

/// Conditions for writing to a folder.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The command, shown to anyone who finds the folder in use.
    pub command: String,
    /// Files that must never be replaced.
    pub inputs: Inputs,
    /// Whether files that Candor did not write are replaced.
    pub force: bool,
}

/// An output folder to which only this process writes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    terms: Terms,
    manifest: Manifest,
    lock: Lock,
    /// Whether it was created for this run, and is removed if the run produces nothing.
    made: bool,
}

impl Folder {
    /// Opens a folder, creating it if it is missing, and checks that it is writable, so that a long run does not fail at its end.
    ///
    /// # Errors
    /// [`ReportError::Directory`] with the reason; [`ReportError::Busy`] if another process writes there.
    pub fn open(path: &Path, terms: Terms) -> Result<Self, ReportError> {
        let fail = |reason| ReportError::Directory { path: path.to_owned(), reason };
        let made = !path.exists();
        fs::create_dir_all(path).map_err(fail)?;
        let state = path.join(STATE);
        unlinked(&state)?;
        if let Err(reason) = fs::create_dir_all(&state) {
            return Err(fail(reason));
        }
        let lock = match lock::take(&state, &Holder::this(&terms.command))? {
            Taken::Mine(lock) => lock,
            Taken::Busy(holder) => {
                let holder = holder.map_or_else(|| "another run".to_owned(), |h| h.to_string());
                return Err(ReportError::Busy { path: path.to_owned(), holder });
            }
        };
        let manifest = Manifest::load(&state).inspect_err(|_| lock::give_back(&state))?;
        Ok(Folder { path: path.to_owned(), terms, manifest, lock, made })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that was killed while it wrote here, if any.
    pub fn taken_over(&self) -> Option<&Holder> {
        self.lock.left.as_ref()
    }

    /// Adds files that this run reads.
    pub fn reads<P: Into<PathBuf>>(&mut self, paths: impl IntoIterator<Item = P>) {
        self.terms.inputs = std::mem::take(&mut self.terms.inputs).and(paths);
    }

    /// Checks that files with these names (relative to the folder, with `/` between parts) may be written: none is an input, and existing
    /// ones are as Candor wrote them, unless `force` is set.
    ///
    /// # Errors
    /// [`ReportError::IsInput`], [`ReportError::NoFile`] or [`ReportError::Foreign`], naming the file.
    pub fn check<S: AsRef<str>>(&self, files: &[S]) -> Result<(), ReportError> {
        let Terms { inputs, force, .. } = &self.terms;
        for file in files.iter().map(AsRef::as_ref) {
            let path = self.path.join(file);
            let own = |_: &Path| self.manifest.wrote(&self.path, file);
            may_replace(&path, inputs, *force, own)?;
            unblocked(path.parent().unwrap_or(&self.path))?;
        }
        Ok(())
    }

    /// Checks that files may be put into folders with these names, relative to this one: no file is in the way.
    ///
    /// # Errors
    /// [`ReportError::Foreign`] naming the file.
    pub fn check_folders<S: AsRef<str>>(&self, names: &[S]) -> Result<(), ReportError> {
        names.iter().try_for_each(|name| unblocked(&self.path.join(name.as_ref())))
    }

    /// Checks that a file that is kept between runs, such as a journal, is not an input.
    ///
    /// # Errors
    /// [`ReportError::IsInput`] naming it.
    pub fn check_journal(&self, name: &str) -> Result<(), ReportError> {
        self.terms.inputs.spare(&self.path.join(name))
    }

    /// Checks that the folder `name`, which is kept between runs, may be written to: it is empty, or a journal of Candor's lists its
    /// content (`known`).
    ///
    /// # Errors
    /// [`ReportError::Foreign`] naming it.
    pub fn check_kept(&self, name: &str, known: bool) -> Result<(), ReportError> {
        let path = self.path.join(name);
        let full = fs::read_dir(&path).is_ok_and(|mut d| d.next().is_some());
        if full && !self.terms.force && !known {
            return Err(ReportError::Foreign { path });
        }
        Ok(())
    }

    /// Begins a result. An interrupted run's result of the same name is discarded.
    ///
    /// # Errors
    /// [`ReportError::Write`] naming the file.
    pub fn draft(self, name: &str) -> Result<Draft, ReportError> {
        let left = self.path.join(STATE).join(name);
        unlinked(&left)?;
        if left.exists() {
            fs::remove_dir_all(&left).map_err(ReportError::write(&left))?;
        }
        self.resume(name)
    }

    /// Resumes a result that an interrupted run left, or begins it.
    ///
    /// # Errors
    /// [`ReportError::Write`] naming the file.
    pub fn resume(self, name: &str) -> Result<Draft, ReportError> {
        let root = self.path.join(STATE).join(name);
        // Files behind a link would be removed as if an earlier run had left them here.
        [root.clone(), root.join("files"), root.join("work")].iter().try_for_each(|path| unlinked(path))?;
        let draft = Draft { root, name: name.to_owned(), folder: self, kept: false };
        for path in [draft.files(), draft.work()] {
            fs::create_dir_all(&path).map_err(ReportError::write(&path))?;
        }
        Ok(draft)
    }
}

/// Releases a folder for a process that exits at once, without dropping its [`Folder`]: the next run does not report a killed process.
pub fn abandon(path: &Path) {
    lock::give_back(&path.join(STATE));
}

impl Drop for Folder {
    fn drop(&mut self) {
        lock::give_back(&self.path.join(STATE));
        if self.made {
            // Succeeds only if it is empty, that is, without a result.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// A result in progress: files that are put in place together.
#[derive(Debug)]
pub struct Draft {
    root: PathBuf,
    name: String,
    folder: Folder,
    kept: bool,
}

impl Draft {
    /// Folder for its files, under the names that they will have in the output folder.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Folder for data that is needed to resume.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The output folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Keeps the draft from now on if it is not published, so that it can be resumed.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Puts the files in place. The files of the result that it replaces are removed, unless they were changed or this run reads them,
    /// and so are folders that become empty. JSON files come last: if they are there, the others are, too. `model`: SHA-256 of the
    /// explained model.
    ///
    /// # Errors
    /// As [`Folder::check`], before any file is changed, or [`ReportError::Write`] naming the file.
    pub fn publish(mut self, model: &str) -> Result<(), ReportError> {
        let (files, out) = (self.files(), self.folder.path.clone());
        let state = out.join(STATE);
        let mut staged = list(&files).map_err(ReportError::write(&files))?;
        staged.sort_by_key(|name| (name.ends_with(".json"), name.clone()));
        self.folder.check(&staged)?;
        let entry = |path: &String| {
            let sha256 = sha256(&files.join(path)).map_err(ReportError::write(&files.join(path)))?;
            Ok(Entry { path: path.clone(), sha256 })
        };
        let entries = staged.iter().map(entry).collect::<Result<Vec<_>, ReportError>>()?;
        let new = Listed { name: self.name.clone(), model: model.to_owned(), files: entries };
        let old = self.folder.manifest.replaced(&new);
        // If the process dies between here and the end, both the previous files and the new ones are known as Candor's.
        self.folder.manifest.add(new.clone());
        self.folder.manifest.save(&state)?;
        let staying: BTreeSet<&String> = staged.iter().filter(|name| !name.ends_with(".json")).collect();
        let inputs = &self.folder.terms.inputs;
        let going = old.iter().filter(|e| !staying.contains(&e.path));
        withdraw(&out, going.filter(|e| inputs.spare(&out.join(&e.path)).is_ok()));
        for name in &staged {
            let target = out.join(name);
            let parent = target.parent().unwrap_or(&out);
            fs::create_dir_all(parent).map_err(ReportError::write(parent))?;
            fs::rename(files.join(name), &target).map_err(ReportError::write(&target))?;
        }
        self.folder.manifest.settle(new);
        self.folder.manifest.save(&state)?;
        self.kept = false;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed by the next run.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Checks that neither a folder nor one of its parents is a file.
fn unblocked(folder: &Path) -> Result<(), ReportError> {
    match folder.ancestors().find(|p| p.exists() && !p.is_dir()) {
        Some(path) => Err(ReportError::Foreign { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// Checks that one of Candor's own folders is not a link.
fn unlinked(folder: &Path) -> Result<(), ReportError> {
    if folder.is_symlink() {
        return Err(ReportError::Linked { path: folder.to_owned() });
    }
    Ok(())
}

/// Removes files that are as Candor wrote them, and folders that become empty.
fn withdraw<'e>(out: &Path, old: impl Iterator<Item = &'e Entry>) {
    for Entry { path, sha256: wrote } in old {
        let file = out.join(path);
        if sha256(&file).is_ok_and(|now| now == *wrote) && fs::remove_file(&file).is_ok() {
            let parents = Path::new(path).ancestors().skip(1).filter(|p| !p.as_os_str().is_empty());
            // Stops at the first folder that is not empty.
            parents.map(|p| fs::remove_dir(out.join(p))).find(Result::is_err);
        }
    }
}

/// All files below a folder, relative to it, with `/` between parts, sorted.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            found.extend(list(&entry.path())?.into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
