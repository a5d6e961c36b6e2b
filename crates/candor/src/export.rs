//! A method as an ordinary ONNX model: image and class in, logits and map out. Any runtime can run it, without Candor.

use std::path::Path;

use candor_graph::graph::Graph;
use candor_graph::onnx::{self, Notes};

use crate::error::{Error, MethodError, Result};
use crate::file;
use crate::image::Preprocessing;
use crate::mask::stepwise::Stepwise;
use crate::methods::{Choices, Definition, all};
use crate::model::Model;
use crate::parameters::MethodInfo;
use crate::parameters::Parameters;

pub use crate::nodes::canvas::{CLASS, LOGITS, MAP};

/// Metadata key of an exported file with the SHA-256 of the model that it explains.
const MODEL_SHA256: &str = "candor.model.sha256";

/// A method as a graph.
pub struct Exported {
    /// Inputs: the image, N×C×H×W, and `class`, int64, N. Outputs: `logits`, N×K, and `map`, N×1×H×W, raw magnitudes.
    pub graph: Graph,
    /// The file's metadata: inputs, method with every parameter, preprocessing, hash of the model.
    pub notes: Notes,
    /// The method with every parameter.
    pub method: MethodInfo,
}

impl Exported {
    /// Writes the model atomically: a reader sees the whole file or none.
    ///
    /// # Errors
    /// [`Error::File`] naming the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        onnx::save_with(&self.graph, &self.notes, path)
            .map_err(|e| Error::graph(&path.display().to_string(), e))
    }
}

/// The methods that can be exported.
pub fn exportable() -> Vec<&'static str> {
    all().iter().filter(|m| m.exporter().is_some()).map(|m| m.description().name).collect()
}

/// Maximum size of a model file in bytes.
const MOST_BYTES: u64 = 1 << 31;

/// Whether a file was written by [`Exported::save`].
pub fn is_export(path: &Path) -> bool {
    // The producer is the file's second field and the notes are its last; the ONNX parser exposes neither.
    const PRODUCER: &[u8] = b"\x12\x06candor";
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
    let read = file::read(path, MOST_BYTES);
    read.is_ok_and(|bytes| {
        has(&bytes[..bytes.len().min(16)], PRODUCER) && has(&bytes, MODEL_SHA256.as_bytes())
    })
}

/// The error for a method without an exporter: [`Error::Method`] naming those that can be exported.
pub fn not_exportable(method: &dyn Definition) -> Error {
    Error::method(method.description().name, MethodError::NotExportable { known: exportable() })
}

/// Builds the graph of a method for a model, with the parameters of `set`.
///
/// # Errors
/// [`Error::Method`] for a method or a setting that cannot be exported, naming those that can; otherwise as
/// [`crate::methods::prepare`].
pub fn export(
    model: &Model,
    preprocessing: &Preprocessing,
    method: &dyn Definition,
    set: &[(String, String)],
    choices: &Choices,
) -> Result<Exported> {
    let description = method.description();
    let exporter = method.exporter().ok_or_else(|| not_exportable(method))?;
    let mut parameters = Parameters::new(description.name, description.parameters, set)?;
    let graph = exporter.export(model, &mut parameters, choices)?;
    let notes = notes(model, preprocessing, &parameters, &graph);
    Ok(Exported { graph, notes, method: parameters.info() })
}

/// A method as a search that its caller runs step by step, and the method with every parameter; `None` if the method is not a search.
///
/// # Errors
/// As [`export`].
pub fn stepwise(
    model: &Model,
    method: &dyn Definition,
    set: &[(String, String)],
    choices: &Choices,
) -> Result<Option<(Stepwise, MethodInfo)>> {
    let description = method.description();
    let exporter = method.exporter().ok_or_else(|| not_exportable(method))?;
    let mut parameters = Parameters::new(description.name, description.parameters, set)?;
    let made = exporter.stepwise(model, &mut parameters, choices)?;
    Ok(made.map(|search| (search, parameters.info())))
}

fn notes(model: &Model, preprocessing: &Preprocessing, parameters: &Parameters, graph: &Graph) -> Notes {
    let [c, h, w] = model.input_shape;
    let info = parameters.info();
    let text = |value: serde_json::Result<String>| value.unwrap_or_default();
    let doc = format!(
        "{method} of {path} by Candor. Inputs: '{image}', float N×{c}×{h}×{w}, preprocessed as the property \
         candor.preprocessing says; '{CLASS}', int64 N, the class to explain, 0 to {last}. Outputs: '{LOGITS}', N×{k}; \
         '{MAP}', N×1×{h}×{w}, raw magnitudes.",
        method = info.name,
        path = Path::new(&model.info.path).file_name().map_or("a model".into(), |n| n.to_string_lossy()),
        image = graph.name(model.input),
        last = model.classes.saturating_sub(1),
        k = model.classes,
    );
    let property = |key: &str, value: String| (format!("candor.{key}"), value);
    Notes {
        doc,
        properties: vec![
            property("method", text(serde_json::to_string(&info))),
            property("preprocessing", text(serde_json::to_string(preprocessing))),
            (MODEL_SHA256.to_string(), model.info.sha256.clone()),
        ],
    }
}
