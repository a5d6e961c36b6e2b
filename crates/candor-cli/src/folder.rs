//! The output folder of a command, opened before the model, so that a folder that is not writable is reported at once.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candor::Classifier;
use candor::image::frame_of;
use candor::package::locate;
use candor::sidecar::{LabelSource, Sidecar};
use candor_graph::onnx::external_files;
use candor_report::folder::{Folder, Inputs, Terms};

use crate::arguments::{ForceArgs, ModelArgs};
use crate::interrupt::{self, Watched};
use crate::output;

/// The files of an open model, which an output must not replace even with `--force`.
pub fn of_model(model: &Path, classifier: &Classifier) -> Vec<PathBuf> {
    let model = locate(model).map_or_else(|_| model.to_owned(), |located| located.model);
    let sidecar = &classifier.sidecar_path;
    let mut files = vec![model.clone(), sidecar.clone()];
    if let Some(LabelSource::File(labels)) = &classifier.sidecar.labels {
        files.push(sidecar.with_file_name("").join(labels));
    }
    // The model was just read; if it is gone, its external files cannot be named.
    files.extend(external_files(&model).unwrap_or_default());
    files
}

/// The files that a command reads: those of its model, and others.
pub fn inputs<P: Into<PathBuf>>(model: &ModelArgs, others: impl IntoIterator<Item = P>) -> Inputs {
    // A model that is not found is reported when it is opened.
    let file = locate(&model.model).map_or_else(|_| model.model.clone(), |located| located.model);
    let sidecar = model.opened.sidecar.clone().unwrap_or_else(|| Sidecar::path_for(&file));
    // For a frame (`scan.dcm#3`), the file that contains it.
    let others = others.into_iter().map(|other| frame_of(&other.into()).0);
    Inputs::of([file, sidecar]).and(model.opened.labels.clone()).and(others)
}

/// Opens the folder for `command`, and checks that the `files` may be written there.
pub fn open(
    path: &Path,
    command: &str,
    inputs: Inputs,
    force: ForceArgs,
    files: &[String],
) -> Result<Folder> {
    let terms = Terms { command: format!("candor {command}"), inputs, force: force.force };
    let folder = Folder::open(path, terms)?;
    interrupt::holds(path);
    if let Some(left) = folder.taken_over() {
        output::note(&format!("{} was left by {left}, which was killed; it is taken over", path.display()));
    }
    folder.check(files)?;
    Ok(folder)
}

/// Publishes a result whose files `write` makes in a folder; Ctrl-C does not fall between them. `model`: its SHA-256.
pub fn publish<E: Into<anyhow::Error>>(
    folder: Folder,
    name: &str,
    model: &str,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<()> {
    let _watched = Watched::begin();
    let draft = folder.draft(name)?;
    write(&draft.files()).map_err(Into::into)?;
    Ok(draft.publish(model)?)
}
