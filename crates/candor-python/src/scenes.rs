//! The embedded scenes.

use candor_scenes::{Scene, SceneOptions, embedded};
use numpy::{PyArray1, PyArray3, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors;

/// Each demo photo as (name, bytes of a PNG file, indices of the classes in it).
#[pyfunction]
pub fn demo_photos(py: Python<'_>) -> Vec<(String, Bound<'_, PyBytes>, Vec<usize>)> {
    let all = embedded::demo_scenes().into_iter();
    all.map(|(name, png, classes)| (name.to_string(), PyBytes::new(py, png), classes)).collect()
}

/// The bytes of the ONNX file of the embedded model of scenes.
#[pyfunction]
pub fn demo_model(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, embedded::MODEL)
}

/// Class, box and mask (H·W, row-major) of an object.
type Object<'py> = (usize, [u32; 4], Bound<'py, PyArray1<bool>>);

/// The scene of a seed: its picture (size×size×3 uint8 RGB) and its objects, each as (class, box, mask): x0, y0, x1, y1 in
/// pixels, x1 and y1 excluded, and size·size booleans, row by row.
#[pyfunction]
pub fn scene(py: Python<'_>, seed: u64, size: u32) -> PyResult<(Bound<'_, PyArray3<u8>>, Vec<Object<'_>>)> {
    let options = SceneOptions { size, ..SceneOptions::default() };
    options.check().map_err(|e| errors::exception("UsageError", &e.to_string()))?;
    let scene = py.detach(|| Scene::generate(seed, &options));
    let shape = [size as usize, size as usize, 3];
    let picture = PyArray1::from_slice(py, scene.image.as_raw()).reshape(shape)?;
    let objects = scene.objects.iter().map(|o| (o.class, o.bbox, PyArray1::from_slice(py, &o.mask)));
    Ok((picture, objects.collect()))
}
