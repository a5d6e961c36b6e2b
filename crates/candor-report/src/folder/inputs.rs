//! The files that a run reads, which no output may replace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::error::ReportError;

/// The files that a run reads, indexed by their length, which is the same for paths to the same file.
#[derive(Clone, Debug, Default)]
pub struct Inputs(HashMap<u64, Vec<PathBuf>>);

impl Inputs {
    /// These files; files that do not exist are ignored.
    pub fn of<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Inputs::default().and(paths)
    }

    /// Adds these files.
    #[must_use]
    pub fn and<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths.into_iter().map(Into::into) {
            if let Ok(found) = path.metadata() {
                self.0.entry(found.len()).or_default().push(path);
            }
        }
        self
    }

    /// Checks that `path` is none of them, under any spelling, symbolic link or hard link.
    ///
    /// # Errors
    /// [`ReportError::IsInput`] naming both.
    pub fn spare(&self, path: &Path) -> Result<(), ReportError> {
        let Ok(found) = path.metadata() else { return Ok(()) };
        let same = |input: &&PathBuf| same_file::is_same_file(path, input).unwrap_or(false);
        match self.0.get(&found.len()).into_iter().flatten().find(same) {
            Some(input) => Err(ReportError::IsInput { path: path.to_owned(), input: input.clone() }),
            None => Ok(()),
        }
    }
}

/// Checks that a single file may be written: it is not an input, and it does not exist, or is a regular file that `own` says is Candor's,
/// or `force` is set.
///
/// # Errors
/// [`ReportError::IsInput`] or [`ReportError::NoFile`], whether or not `force` is set, or [`ReportError::Foreign`].
pub fn may_replace(
    path: &Path,
    inputs: &Inputs,
    force: bool,
    own: impl FnOnce(&Path) -> bool,
) -> Result<(), ReportError> {
    inputs.spare(path)?;
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(ReportError::NoFile { path: path.to_owned() });
    }
    // A dangling link counts as existing.
    let there = path.symlink_metadata().is_ok();
    if there && !force && !own(path) {
        return Err(ReportError::Foreign { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_input_is_known_by_any_of_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("below")).unwrap();
        fs::write(at("model.onnx"), "model").unwrap();
        fs::write(at("other.onnx"), "model").unwrap();
        fs::hard_link(at("model.onnx"), at("hard.onnx")).unwrap();
        let inputs = Inputs::of([at("missing"), at("model.onnx")]);
        let mut names = vec![at("model.onnx"), at("below/../model.onnx"), at("hard.onnx")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("model.onnx"), at("soft.onnx")).unwrap();
            names.push(at("soft.onnx"));
        }
        for name in names {
            let error = may_replace(&name, &inputs, true, |_| true).unwrap_err();
            assert!(
                matches!(&error, ReportError::IsInput { input, .. } if *input == at("model.onnx")),
                "{error}"
            );
        }
        assert!(inputs.spare(&at("other.onnx")).is_ok(), "equal bytes are another file");
        assert!(inputs.spare(&at("new.onnx")).is_ok());
    }

    #[test]
    fn what_is_there_is_replaced_if_it_is_own_or_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.onnx");
        let may = |force, own| may_replace(&path, &Inputs::default(), force, |_| own).is_ok();
        assert!(may(false, false), "nothing is there");
        fs::write(&path, "").unwrap();
        assert_eq!([may(false, false), may(false, true), may(true, false)], [false, true, true]);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!may(true, true), "a folder is no file");
        let device = may_replace(Path::new("/dev/null"), &Inputs::default(), true, |_| true);
        assert_eq!(device.is_err(), Path::new("/dev/null").exists(), "{device:?}");
    }
}
