//! TensorProto to tensor and back.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rten_onnx::onnx::{self, DataLocation, StringStringEntryProto, TensorProto};

use crate::error::{GraphError, Result};
use crate::file;
use crate::memory;
use crate::tensor::{DataType, Tensor, TensorData};

/// The graph's type for an ONNX type code. Floats of every width become 32-bit floats.
pub(crate) fn data_type(code: i32) -> Option<DataType> {
    match onnx::DataType(code) {
        onnx::DataType::FLOAT
        | onnx::DataType::DOUBLE
        | onnx::DataType::FLOAT16
        | onnx::DataType::BFLOAT16 => Some(DataType::Float),
        onnx::DataType::INT64 => Some(DataType::Int64),
        onnx::DataType::INT32 => Some(DataType::Int32),
        onnx::DataType::BOOL => Some(DataType::Bool),
        onnx::DataType::UINT8 => Some(DataType::Uint8),
        onnx::DataType::INT8 => Some(DataType::Int8),
        _ => None,
    }
}

/// The ONNX type code of a type.
pub(crate) fn type_code(dtype: DataType) -> onnx::DataType {
    match dtype {
        DataType::Float => onnx::DataType::FLOAT,
        DataType::Int64 => onnx::DataType::INT64,
        DataType::Int32 => onnx::DataType::INT32,
        DataType::Bool => onnx::DataType::BOOL,
        DataType::Uint8 => onnx::DataType::UINT8,
        DataType::Int8 => onnx::DataType::INT8,
    }
}

/// The folder in which external data files are looked up.
pub(super) struct ExternalData {
    /// Folder of the model file; `None` for a model in memory.
    folder: Option<PathBuf>,
}

impl ExternalData {
    pub(super) fn beside(model: Option<&Path>) -> Self {
        let folder = model.map(|p| p.parent().unwrap_or(Path::new("")).to_path_buf());
        ExternalData { folder }
    }

    fn read(&self, proto: &TensorProto, name: &str, expected: usize) -> Result<Vec<u8>> {
        let entries: HashMap<&str, &str> = proto
            .external_data
            .iter()
            .filter_map(|e| Some((e.key.as_deref()?, e.value.as_deref()?)))
            .collect();
        let location = entries.get("location").copied().unwrap_or("");
        let fail = |path: &Path, source: Error| GraphError::ExternalData {
            tensor: name.to_string(),
            path: path.display().to_string(),
            source,
        };
        let unfit = |kind: ErrorKind, what: &str| fail(Path::new(location), Error::new(kind, what));
        let Some(folder) = &self.folder else {
            return Err(unfit(ErrorKind::Unsupported, "a model in memory cannot have external data"));
        };
        let outside = Path::new(location)
            .components()
            .any(|c| !matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if location.is_empty() || outside {
            let what = "the location must be a path below the model's folder";
            return Err(unfit(ErrorKind::InvalidInput, what));
        }
        let path = folder.join(location);
        let span = span(&entries, expected).map_err(|e| fail(&path, e))?;
        read_span(&path, span).map_err(|e| fail(&path, e))
    }
}

/// Offset and length in bytes of a tensor of `expected` bytes.
fn span(entries: &HashMap<&str, &str>, expected: usize) -> std::io::Result<(u64, usize)> {
    let invalid = |what: String| Error::new(ErrorKind::InvalidData, what);
    let number = |key: &str| entries.get(key).map(|v| v.parse::<u64>()).transpose();
    let (Ok(offset), Ok(length)) = (number("offset"), number("length")) else {
        return Err(invalid("offset or length is not a number".to_string()));
    };
    match length {
        Some(length) if length != expected as u64 => {
            Err(invalid(format!("the tensor needs {expected} bytes, its entry has {length}")))
        }
        _ => Ok((offset.unwrap_or(0), expected)),
    }
}

/// `length` bytes of a file from `offset` on.
fn read_span(path: &Path, (offset, length): (u64, usize)) -> std::io::Result<Vec<u8>> {
    let mut file = file::open(path, u64::MAX)?;
    let size = file.metadata().map(|m| m.len()).unwrap_or(0);
    if offset.checked_add(length as u64).is_none_or(|end| end > size) {
        let what = format!("ends at byte {size}, before byte {offset} + {length}");
        return Err(Error::new(ErrorKind::UnexpectedEof, what));
    }
    // Two copies are in memory while the elements are read.
    if !memory::is_available(2 * length as u64) {
        let what = format!("the {length} bytes of the tensor do not fit into memory");
        return Err(Error::new(ErrorKind::OutOfMemory, what));
    }
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a TensorProto. Its raw data is moved out.
pub(super) fn from_proto(proto: &TensorProto, external: &ExternalData) -> Result<Tensor> {
    let name = proto.name.clone().unwrap_or_default();
    let fail = |reason: String| GraphError::Tensor { tensor: name.clone(), reason };
    let code = proto.data_type.ok_or_else(|| fail("has no element type".to_string()))?;
    let width = match code {
        onnx::DataType::DOUBLE | onnx::DataType::INT64 => 8,
        onnx::DataType::FLOAT | onnx::DataType::INT32 => 4,
        onnx::DataType::FLOAT16 | onnx::DataType::BFLOAT16 => 2,
        onnx::DataType::BOOL | onnx::DataType::UINT8 | onnx::DataType::INT8 => 1,
        other => return Err(fail(format!("element type {other} is not supported"))),
    };
    let shape: Vec<usize> = proto
        .dims
        .iter()
        .map(|&d| match usize::try_from(d) {
            Ok(n) if n <= i32::MAX as usize => Ok(n),
            _ => Err(fail(format!("has the dimension {d}"))),
        })
        .collect::<Result<_>>()?;
    let count = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .and_then(|n| n.checked_mul(width).map(|_| n))
        .ok_or_else(|| fail(format!("shape {shape:?} is too large")))?;

    let raw = if proto.data_location == Some(DataLocation::EXTERNAL) {
        Some(external.read(proto, &name, count * width)?)
    } else {
        proto.raw_data.as_ref().map(std::cell::RefCell::take)
    };
    let data = match raw {
        Some(bytes) => {
            if bytes.len() != count * width {
                let have = bytes.len();
                return Err(fail(format!("shape {shape:?} needs {} bytes, found {have}", count * width)));
            }
            from_raw(code, &bytes)
        }
        None => from_typed(code, proto),
    };
    Tensor::new(shape, data).map_err(|e| fail(e.to_string()))
}

fn from_raw(code: onnx::DataType, bytes: &[u8]) -> TensorData {
    fn items<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&c| f(c)).collect()
    }
    match code {
        onnx::DataType::DOUBLE => TensorData::Float(items(bytes, |b| f64::from_le_bytes(b) as f32)),
        onnx::DataType::FLOAT16 => TensorData::Float(items(bytes, |b| f16::from_le_bytes(b).to_f32())),
        onnx::DataType::BFLOAT16 => TensorData::Float(items(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        onnx::DataType::INT64 => TensorData::Int64(items(bytes, i64::from_le_bytes)),
        onnx::DataType::INT32 => TensorData::Int32(items(bytes, i32::from_le_bytes)),
        onnx::DataType::BOOL => TensorData::Bool(bytes.iter().map(|&b| b != 0).collect()),
        onnx::DataType::UINT8 => TensorData::Uint8(bytes.to_vec()),
        onnx::DataType::INT8 => TensorData::Int8(bytes.iter().map(|&b| b as i8).collect()),
        _ => TensorData::Float(items(bytes, f32::from_le_bytes)),
    }
}

fn from_typed(code: onnx::DataType, proto: &TensorProto) -> TensorData {
    let ints = &proto.int32_data;
    match code {
        onnx::DataType::DOUBLE => TensorData::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        onnx::DataType::FLOAT16 => {
            TensorData::Float(ints.iter().map(|&v| f16::from_bits(v as u16).to_f32()).collect())
        }
        onnx::DataType::BFLOAT16 => {
            TensorData::Float(ints.iter().map(|&v| bf16::from_bits(v as u16).to_f32()).collect())
        }
        onnx::DataType::INT64 => TensorData::Int64(proto.int64_data.clone()),
        onnx::DataType::INT32 => TensorData::Int32(ints.clone()),
        onnx::DataType::BOOL => TensorData::Bool(ints.iter().map(|&v| v != 0).collect()),
        onnx::DataType::UINT8 => TensorData::Uint8(ints.iter().map(|&v| v as u8).collect()),
        onnx::DataType::INT8 => TensorData::Int8(ints.iter().map(|&v| v as i8).collect()),
        _ => TensorData::Float(proto.float_data.clone()),
    }
}

/// Writes a TensorProto with raw data.
pub(super) fn to_proto(name: &str, tensor: &Tensor) -> TensorProto {
    let mut bytes = Vec::with_capacity(byte_len(tensor));
    write_bytes(tensor, &mut bytes);
    TensorProto { raw_data: Some(std::cell::RefCell::new(bytes)), ..header(name, tensor) }
}

/// Writes a TensorProto whose data is in another file.
pub(super) fn to_proto_outside(name: &str, tensor: &Tensor, file: &str, offset: usize) -> TensorProto {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.to_string()), value: Some(value) };
    TensorProto {
        external_data: vec![
            entry("location", file.to_string()),
            entry("offset", offset.to_string()),
            entry("length", byte_len(tensor).to_string()),
        ],
        data_location: Some(DataLocation::EXTERNAL),
        ..header(name, tensor)
    }
}

fn header(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        data_type: Some(type_code(tensor.dtype())),
        name: Some(name.to_string()),
        ..TensorProto::default()
    }
}

/// Bytes of a tensor's elements in a file.
pub(super) fn byte_len(tensor: &Tensor) -> usize {
    match tensor.data() {
        TensorData::Float(v) => 4 * v.len(),
        TensorData::Int64(v) => 8 * v.len(),
        TensorData::Int32(v) => 4 * v.len(),
        TensorData::Bool(v) => v.len(),
        TensorData::Uint8(v) => v.len(),
        TensorData::Int8(v) => v.len(),
    }
}

/// Appends a tensor's elements, little-endian.
pub(super) fn write_bytes(tensor: &Tensor, to: &mut Vec<u8>) {
    match tensor.data() {
        TensorData::Float(v) => v.iter().for_each(|x| to.extend_from_slice(&x.to_le_bytes())),
        TensorData::Int64(v) => v.iter().for_each(|x| to.extend_from_slice(&x.to_le_bytes())),
        TensorData::Int32(v) => v.iter().for_each(|x| to.extend_from_slice(&x.to_le_bytes())),
        TensorData::Bool(v) => to.extend(v.iter().map(|&x| u8::from(x))),
        TensorData::Uint8(v) => to.extend_from_slice(v),
        TensorData::Int8(v) => to.extend(v.iter().map(|&x| x as u8)),
    }
}
