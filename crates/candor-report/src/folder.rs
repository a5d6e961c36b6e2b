//! The folder of a run's output. One process at a time writes into it. A result is made in a [`Draft`] and put in place as a whole: until
//! then an earlier result stays as it was, afterwards its files are gone. What Candor did not write is neither replaced nor removed.
//!
//! ```text
//! out/.candor/lock, holder.json    who writes here
//! out/.candor/files.json           the files that Candor wrote, with their hashes
//! out/.candor/<result>/files/      a result in the making
//! out/.candor/<result>/work/       what its maker needs to go on after an interruption
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

/// Name of the folder, inside an output folder, in which Candor keeps what is no result.
pub const STATE: &str = ".candor";

/// On what terms a folder is written to.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The command, for whoever finds the folder in use.
    pub command: String,
    /// Files that stay whatever happens.
    pub inputs: Inputs,
    /// Whether files that Candor did not write are replaced.
    pub force: bool,
}

/// An output folder that this process alone writes to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    terms: Terms,
    manifest: Manifest,
    lock: Lock,
    /// Whether it was made for this run, and goes with it if nothing comes of it.
    made: bool,
}

impl Folder {
    /// Opens a folder, made where it is missing, and makes sure that it can be written to, so that a long run does not end in that error.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that was killed while it wrote here, if one was.
    pub fn taken_over(&self) -> Option<&Holder> {
        self.lock.left.as_ref()
    }

    /// Names further files that this run reads.
    pub fn reads<P: Into<PathBuf>>(&mut self, paths: impl IntoIterator<Item = P>) {
        self.terms.inputs = std::mem::take(&mut self.terms.inputs).and(paths);
    }

    /// That files of these names, relative to the folder and with `/` between parts, may be written: none is an input, and what is there
    /// already is as Candor wrote it, or is to be replaced by force.
    ///
    /// # Errors
    /// [`ReportError::IsInput`] or [`ReportError::Foreign`], naming the file.
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

    /// That files may be put into folders of these names, relative to this one: no file is in the way.
    ///
    /// # Errors
    /// [`ReportError::Foreign`] naming the file.
    pub fn check_folders<S: AsRef<str>>(&self, names: &[S]) -> Result<(), ReportError> {
        names.iter().try_for_each(|name| unblocked(&self.path.join(name.as_ref())))
    }

    /// That a file that is kept from run to run, as a journal, is no input.
    ///
    /// # Errors
    /// [`ReportError::IsInput`] naming it.
    pub fn check_journal(&self, name: &str) -> Result<(), ReportError> {
        self.terms.inputs.spare(&self.path.join(name))
    }

    /// That the folder `name`, which is kept from run to run, may be written to: a journal of Candor's knows what is in it, or it is empty.
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

    /// Begins a result. What an interrupted run left of one is dropped.
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

    /// Goes on with a result that an interrupted run left, or begins it.
    ///
    /// # Errors
    /// [`ReportError::Write`] naming the file.
    pub fn resume(self, name: &str) -> Result<Draft, ReportError> {
        let root = self.path.join(STATE).join(name);
        // What is below a link would be removed as if it were left here by a run.
        [root.clone(), root.join("files"), root.join("work")].iter().try_for_each(|path| unlinked(path))?;
        let draft = Draft { root, name: name.to_owned(), folder: self, kept: false };
        for path in [draft.files(), draft.work()] {
            fs::create_dir_all(&path).map_err(ReportError::write(&path))?;
        }
        Ok(draft)
    }
}

/// Gives a folder back for a process that ends at once, without dropping its [`Folder`]: who finds it sees no run that was killed.
pub fn abandon(path: &Path) {
    lock::give_back(&path.join(STATE));
}

impl Drop for Folder {
    fn drop(&mut self) {
        lock::give_back(&self.path.join(STATE));
        if self.made {
            // Only if it is empty: a folder without a result is of no use to anybody.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// A result in the making: files that are put in place together.
#[derive(Debug)]
pub struct Draft {
    root: PathBuf,
    name: String,
    folder: Folder,
    kept: bool,
}

impl Draft {
    /// Where its files are written, under the names that they will have in the folder.
    pub fn files(&self) -> PathBuf {
        self.root.join("files")
    }

    /// Where its maker keeps what it needs to go on.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The folder that it is for.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// From now on something is worth going on with: it stays if it is not published.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Puts the files in place. Files of the result whose place it takes go, unless somebody changed them or this run reads them; folders that become empty by that,
    /// too. JSON comes last: whoever finds it finds the others. `model`: SHA-256 of the model that the result is about.
    ///
    /// # Errors
    /// As [`Folder::check`], before anything is touched, or [`ReportError::Write`] naming the file.
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
        // If the process dies between here and the end, both the old files and the new ones are known as Candor's.
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
            // The next run drops what cannot be removed now.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// That neither a folder nor one that it is in is a file.
fn unblocked(folder: &Path) -> Result<(), ReportError> {
    match folder.ancestors().find(|p| p.exists() && !p.is_dir()) {
        Some(path) => Err(ReportError::Foreign { path: path.to_owned() }),
        None => Ok(()),
    }
}

/// That a folder of Candor's own is no link to somebody else's.
fn unlinked(folder: &Path) -> Result<(), ReportError> {
    if folder.is_symlink() {
        return Err(ReportError::Linked { path: folder.to_owned() });
    }
    Ok(())
}

/// Removes files that are as Candor wrote them, and the folders that become empty.
fn withdraw<'e>(out: &Path, old: impl Iterator<Item = &'e Entry>) {
    for Entry { path, sha256: wrote } in old {
        let file = out.join(path);
        if sha256(&file).is_ok_and(|now| now == *wrote) && fs::remove_file(&file).is_ok() {
            let parents = Path::new(path).ancestors().skip(1).filter(|p| !p.as_os_str().is_empty());
            // The first folder that is not empty ends it.
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
