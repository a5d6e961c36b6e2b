//! NPZ: the raw magnitudes, for NumPy and other programs that read it.
//!
//! Arrays, all 32-bit float: `map` (H×W), and for each level, finest first, `level_0_mask` (C×H×W), `level_1_mask`, …
//! If the path of λ was requested, `path_0_map` (H×W) and so on, smallest λ first.
//! For a class with weak evidence, `map` is empty and `weak_map` (H×W) is its map, unless weak maps were requested.
//! The levels' names are in `explain.json`.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::error::ReportError;
use super::result::ExplainedQuery;

/// The bytes of one query's NPZ file; equal arrays give equal bytes.
///
/// # Errors
/// [`ReportError::Encode`], for an array whose length is not the product of its shape.
pub fn bytes(query: &ExplainedQuery) -> Result<Vec<u8>, ReportError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let map = &query.map;
    add(&mut zip, "map", &[map.height as u64, map.width as u64], &map.data)?;
    if let Some(map) = &query.weak_map {
        add(&mut zip, "weak_map", &[map.height as u64, map.width as u64], &map.data)?;
    }
    for (i, level) in query.levels.iter().enumerate() {
        add(&mut zip, &format!("level_{i}_mask"), &level.shape.map(|n| n as u64), &level.data)?;
    }
    for (i, map) in query.path.iter().enumerate() {
        add(&mut zip, &format!("path_{i}_map"), &[map.height as u64, map.width as u64], &map.data)?;
    }
    Ok(zip.finish().map_err(ReportError::encode("an NPZ archive"))?.into_inner())
}

/// The bytes of an NPZ file of named float arrays: name, shape and values of each.
///
/// # Errors
/// As [`bytes`].
pub fn arrays(arrays: &[(&str, &[usize], &[f32])]) -> Result<Vec<u8>, ReportError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, data) in arrays {
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        add(&mut zip, name, &shape, data)?;
    }
    Ok(zip.finish().map_err(ReportError::encode("an NPZ archive"))?.into_inner())
}

fn add(
    zip: &mut ZipWriter<Cursor<Vec<u8>>>,
    name: &str,
    shape: &[u64],
    data: &[f32],
) -> Result<(), ReportError> {
    let what = || format!("the array {name} of shape {shape:?}");
    if shape.iter().product::<u64>() != data.len() as u64 {
        return Err(ReportError::encode(what())(format!("it has {} values", data.len())));
    }
    // The bytes must not depend on the clock: every entry is dated 1980-01-01, the format's first day.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o644);
    zip.start_file(format!("{name}.npy"), options).map_err(ReportError::encode(what()))?;
    let mut array = header(shape);
    array.extend(data.iter().flat_map(|v| v.to_le_bytes()));
    zip.write_all(&array).map_err(ReportError::encode(what()))
}

/// The NPY header of a C-ordered array of little-endian 32-bit floats, version 1.0 of NumPy's format: magic, version, the
/// length of a Python dictionary, and the dictionary, padded so that the data begins at a multiple of 64.
fn header(shape: &[u64]) -> Vec<u8> {
    const PREFIX: usize = 10;
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let shape = shape.trim_end_matches(' ');
    let mut dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let unpadded = PREFIX + dictionary.len() + 1;
    dictionary.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    dictionary.push('\n');
    let length = u16::try_from(dictionary.len()).expect("a few axes take less than 64 KiB");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(dictionary.into_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::explanation::LevelMask;
    use candor::map::Map;
    use std::io::Read;

    fn query() -> ExplainedQuery {
        let mean = Map { height: 2, width: 2, data: vec![0.5, 0.0, 0.25, 1.0] };
        let data = vec![1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 1.0];
        let level = LevelMask { value: "relu_4".into(), shape: [2, 2, 2], data, mean };
        ExplainedQuery {
            map: Map { height: 2, width: 3, data: vec![0.0, 0.1, 1e-9, 3.5, -2.0, 0.3] },
            weak_map: Some(Map { height: 1, width: 1, data: vec![0.75] }),
            levels: vec![level],
            path: vec![Map { height: 1, width: 2, data: vec![0.5, 0.25] }],
        }
    }

    /// Name, header and values of every array, in the order of the archive.
    fn read(bytes: Vec<u8>) -> Vec<(String, String, Vec<f32>)> {
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        (0..zip.len())
            .map(|i| {
                let mut file = zip.by_index(i).unwrap();
                let name = file.name().unwrap().into_owned();
                let mut npy = Vec::new();
                file.read_to_end(&mut npy).unwrap();
                let length = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
                assert_eq!(&npy[..8], b"\x93NUMPY\x01\x00");
                assert_eq!((10 + length) % 64, 0, "the data begin at a multiple of 64");
                let header = std::str::from_utf8(&npy[10..10 + length]).unwrap().trim_end();
                let values = npy[10 + length..].chunks_exact(4);
                let values = values.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
                (name, header.to_string(), values)
            })
            .collect()
    }

    #[test]
    fn arrays_come_back_exactly() {
        let query = query();
        let arrays = read(bytes(&query).unwrap());
        let header =
            |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape},), }}");
        assert_eq!(arrays[0], ("map.npy".into(), header("2, 3"), query.map.data));
        assert_eq!(arrays[1], ("weak_map.npy".into(), header("1, 1"), vec![0.75]));
        assert_eq!(arrays[2], ("level_0_mask.npy".into(), header("2, 2, 2"), query.levels[0].data.clone()));
        assert_eq!(arrays[3], ("path_0_map.npy".into(), header("1, 2"), vec![0.5, 0.25]));
        assert_eq!(arrays.len(), 4);
    }

    #[test]
    fn the_clock_does_not_show_in_the_bytes() {
        let bytes = bytes(&query()).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for i in 0..zip.len() {
            assert_eq!(zip.by_index(i).unwrap().last_modified(), Some(DateTime::DEFAULT));
        }
    }

    #[test]
    fn a_wrong_length_is_an_error_that_names_the_array() {
        let mut query = query();
        query.levels[0].data.pop();
        let error = bytes(&query).unwrap_err().to_string();
        assert_eq!(error, "cannot encode the array level_0_mask of shape [2, 2, 2]: it has 7 values");
    }
}
