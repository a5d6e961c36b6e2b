//! ONNX file to graph: checks the file and its operator set.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use rten_onnx::onnx::{ModelProto, OperatorSetIdProto, StringStringEntryProto};
use rten_onnx::protobuf::{DecodeMessage, ValueReader};

use super::functions::FunctionNames;
use super::read::read_graph;
use super::tensor::ExternalData;
use super::upgrade::{NEWEST, OLDEST};
use super::wire;
use crate::error::{GraphError, Result};
use crate::file;
use crate::graph::{Graph, ValueId};
use crate::tensor::DataType;

/// A model as loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The graph, lifted to operator set 18 or higher. Shapes are not inferred yet.
    pub graph: Graph,
    /// Operator set of the file.
    pub opset: i64,
    /// Producer name and version; may be empty.
    pub producer: String,
    /// Properties that the exporter wrote beside the graph (`metadata_props`), in the file's order.
    pub properties: Vec<(String, String)>,
}

/// Loads an ONNX file, with external data from beside it.
///
/// # Errors
/// [`GraphError`]: unreadable, not ONNX, unsupported operator set, functions, missing external data, or a
/// malformed graph.
pub fn load(path: &Path) -> Result<Loaded> {
    load_beside(&read_file(path)?, path)
}

/// Maximum size of a model file: the limit of protocol buffers. Larger models have external data.
const MOST_BYTES: u64 = 1 << 31;

/// The bytes of a model file.
///
/// # Errors
/// [`GraphError::Unreadable`], also for a file that is larger than a model file can be or not a regular file.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |source| GraphError::Unreadable { path: path.display().to_string(), source };
    file::read(path, MOST_BYTES).map_err(|e| match e.kind() {
        ErrorKind::FileTooLarge => unreadable(Error::new(e.kind(), "a model file has at most 2 GiB")),
        _ => unreadable(e),
    })
}

/// The files beside the model file at `path` that hold data of its tensors.
///
/// # Errors
/// As [`read_file`]; [`GraphError::NotOnnx`].
pub fn external_files(path: &Path) -> Result<Vec<PathBuf>> {
    let locations = wire::check(&read_file(path)?)
        .map_err(|reason| GraphError::NotOnnx { what: path.display().to_string(), reason })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(locations.into_iter().map(|location| folder.join(location)).collect())
}

/// Loads an ONNX model from the bytes of the file at `path`; external data is looked for beside it.
///
/// # Errors
/// As [`load`].
pub fn load_beside(bytes: &[u8], path: &Path) -> Result<Loaded> {
    parse(bytes, &path.display().to_string(), ExternalData::beside(Some(path)))
}

/// Loads an ONNX model from memory. External data is an error.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<Loaded> {
    load_named(bytes, "model in memory")
}

/// [`load_bytes`] of what is called `name` in errors.
///
/// # Errors
/// As [`load`].
pub fn load_named(bytes: &[u8], name: &str) -> Result<Loaded> {
    parse(bytes, name, ExternalData::beside(None))
}

fn parse(bytes: &[u8], what: &str, external: ExternalData) -> Result<Loaded> {
    let not_onnx = |reason: String| GraphError::NotOnnx { what: what.to_string(), reason };
    if bytes.is_empty() {
        return Err(not_onnx("the file is empty".to_string()));
    }
    if let Some((found, remedy)) = other_file(bytes) {
        return Err(GraphError::OtherFile { what: what.to_string(), found, remedy });
    }
    wire::check(bytes).map_err(|e| not_onnx(format!("{e}; damaged or truncated?")))?;
    let model = ModelProto::parse_buf(bytes).map_err(|e| not_onnx(format!("{e}; damaged or truncated?")))?;
    let functions =
        FunctionNames::decode(ValueReader::from_buf(bytes)).map_err(|e| not_onnx(e.to_string()))?;
    if !functions.0.is_empty() {
        return Err(GraphError::Functions { names: functions.0.join(", ") });
    }
    let graph = empty_graph(&model.opset_import);
    let Some(proto) = model.graph else {
        return Err(not_onnx("it holds no graph".to_string()));
    };
    if proto.node.is_empty() {
        return Err(not_onnx("its graph holds no nodes".to_string()));
    }
    let opset = graph.opset;
    if !(OLDEST..=NEWEST).contains(&opset) {
        return Err(GraphError::Opset { domain: String::new(), version: opset });
    }
    let graph = read_graph(graph, &proto, &external)?;
    let property = |p: StringStringEntryProto| Some((p.key?, p.value.unwrap_or_default()));
    let properties = model.metadata_props.into_iter().filter_map(property).collect();
    let name = model.producer_name.unwrap_or_default();
    let version = model.producer_version.unwrap_or_default();
    let producer = format!("{name} {version}").replace(char::is_control, " ").trim().to_string();
    Ok(Loaded { graph, opset, producer, properties })
}

/// Signatures of other files: offset, bytes, what the file is, how to get to the model. No ONNX file begins like this.
const OTHER_FILES: &[(usize, &[u8], &str, &str)] = &[
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself with `git lfs pull`"),
    (0, b"# xet version", "a Xet pointer", "download the file itself from the hub"),
    (0, b"<!DOCTYPE", "a web page", "download the file itself"),
    (0, b"<!doctype", "a web page", "download the file itself"),
    (0, b"<html", "a web page", "download the file itself"),
    (0, b"PK\x03\x04", "a zip archive, as PyTorch saves models", "unpack it, or export it with torch.onnx"),
    (0, b"\x80\x02", "a Python pickle, as PyTorch saves weights", "export the model with torch.onnx"),
    (
        0,
        b"\x89HDF",
        "an HDF5 file, as Keras saves models",
        "export it with tf2onnx, or `model.export(format=\"onnx\")`",
    ),
    (4, b"TFL3", "a TensorFlow Lite model", "convert it with tf2onnx --tflite"),
    (4, b"ORTM", "a model in ONNX Runtime's own format", "give the .onnx file that it was made from"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    (8, b"{\"", "a file of weights (safetensors)", "export the model itself to ONNX"),
    (0, b"{", "JSON", "give the .onnx file"),
];

/// If the bytes begin like another known kind of file: what it is, and what to do.
fn other_file(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let begins = |(at, start, _, _): &&(usize, &[u8], &str, &str)| {
        bytes.get(*at..).is_some_and(|b| b.starts_with(start))
    };
    OTHER_FILES.iter().find(begins).map(|(_, _, found, remedy)| (*found, *remedy))
}

/// An empty graph with the operator sets that a model imports.
fn empty_graph(imported: &[OperatorSetIdProto]) -> Graph {
    let mut graph = Graph::default();
    for entry in imported {
        let version = entry.version.unwrap_or(0);
        match entry.domain.as_deref().unwrap_or("") {
            "" | "ai.onnx" => graph.opset = version,
            domain => {
                graph.domains.insert(domain.to_string(), version);
            }
        }
    }
    graph
}

impl Loaded {
    /// The inputs with their types, for messages.
    pub fn describe_inputs(&self) -> String {
        let describe = |&id: &ValueId| {
            let dtype = self.graph.value(id).dtype.unwrap_or(DataType::Float);
            let shape = crate::shape::display(self.graph.shape(id).as_deref());
            format!("'{}' {dtype:?} {shape}", self.graph.name(id))
        };
        self.graph.inputs.iter().map(describe).collect::<Vec<_>>().join(", ")
    }
}
