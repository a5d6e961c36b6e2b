//! The results for one photo.

use std::path::PathBuf;
use std::sync::Arc;

use candor_report::folder::{Folder, Inputs, Terms};
use candor_report::paint::{self, Scales};
use candor_report::result::{ExplainResult, ExplainedImage};
use candor_report::{ReportWriter, png};
use image::RgbImage;
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayMethods};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{self, Raised};

/// The explanations of one photo: numbers as JSON, maps as arrays, and pictures. `number` is the position of a class among those requested;
/// IndexError if there is none.
#[pyclass(frozen, module = "candor._candor")]
pub struct PhotoExplanation {
    image: ExplainedImage,
    scales: Scales,
    /// Evidence by class, as in the library; in the JSON it has other names.
    evidence: Vec<Option<f64>>,
    /// The run: what is needed to reproduce it.
    header: Arc<ExplainResult>,
    /// Seconds that the library took for it.
    seconds: f64,
}

impl PhotoExplanation {
    /// The results of a run for one photo.
    pub fn new(found: candor::PhotoExplanation, header: Arc<ExplainResult>, seconds: f64) -> Self {
        let evidence = found.classes.iter().map(|c| c.evidence).collect();
        let image = ExplainedImage::from(found);
        let scales = Scales::of(&image);
        PhotoExplanation { image, scales, evidence, header, seconds }
    }

    fn arrays(&self, number: usize) -> PyResult<&candor_report::result::ExplainedQuery> {
        self.image.queries.get(number).ok_or_else(|| PyIndexError::new_err("no such class"))
    }
}

type Plane<'py> = Bound<'py, PyArray2<f32>>;
type Volume<'py> = Bound<'py, PyArray3<f32>>;

#[pymethods]
impl PhotoExplanation {
    /// A JSON object with the photo's numbers: an entry of `images` in explain.json, without names of files.
    fn figures(&self) -> PyResult<String> {
        json(&self.image.result)
    }

    /// A JSON object with model, preprocessing, engine, method and seed, as in explain.json.
    fn run(&self) -> PyResult<String> {
        json(&*self.header)
    }

    /// Seconds from the decoded photo to its maps and numbers; photos explained in one batch share them equally.
    fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Evidence of each requested class, in log-odds; None for methods without a null.
    fn evidence(&self) -> Vec<Option<f64>> {
        self.evidence.clone()
    }

    /// The map of a class, H×W float32, on the grid of the model's input.
    fn map<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Plane<'py>> {
        let map = &self.arrays(number)?.map;
        plane(py, [map.height, map.width], &map.data)
    }

    /// Name and mask (C×H×W float32, 0 to 1) of each level for a class, finest level first; empty for methods without masks.
    fn levels<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Vec<(String, Volume<'py>)>> {
        let level = |l: &candor::explanation::LevelMask| {
            Ok((l.value.clone(), PyArray1::from_slice(py, &l.data).reshape(l.shape)?))
        };
        self.arrays(number)?.levels.iter().map(level).collect()
    }

    /// The maps of a class at increasing λ, each H×W float32; empty without `lambda-path`.
    fn path<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Vec<Plane<'py>>> {
        self.arrays(number)?.path.iter().map(|map| plane(py, [map.height, map.width], &map.data)).collect()
    }

    /// The colour scale of the photo's maps: its maximum, whether it is signed (from −maximum instead of 0), and its RGB colours
    /// from the lowest value to the highest.
    fn scale(&self) -> (f32, bool, Vec<(u8, u8, u8)>) {
        let scale = &self.scales.map;
        (scale.max, scale.signed, scale.palette().into_iter().map(<(u8, u8, u8)>::from).collect())
    }

    /// The map of a class painted over the photo, H×W×3 uint8 RGB.
    fn overlay<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        pixels(py, &self.painted(number)?)
    }

    /// The bytes of a PNG file of the map painted over the photo.
    fn overlay_png<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyBytes>> {
        let painted = self.painted(number)?;
        Ok(PyBytes::new(py, &png::rgb(&painted, &self.image.result.path).raised()?))
    }

    /// The part of the photo that the model sees, in the photo's own aspect ratio, H×W×3 uint8 RGB.
    fn photo<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        pixels(py, &self.image.photo)
    }

    /// Writes what `candor explain --out` writes for photos of one run: explain.json, report.html and one folder per photo. `force` also replaces
    /// files that Candor did not write, or that were changed since.
    #[staticmethod]
    fn save(py: Python<'_>, photos: Vec<Py<PhotoExplanation>>, folder: PathBuf, force: bool) -> PyResult<()> {
        py.detach(|| {
            let photos: Vec<&PhotoExplanation> = photos.iter().map(Py::get).collect();
            let Some(first) = photos.first() else {
                return Err(errors::exception("UsageError", "no explanation was given to save"));
            };
            let inputs =
                photos.iter().map(|p| p.image.result.path.as_str()).chain([first.header.model.path.as_str()]);
            let terms = Terms { command: "candor in Python".to_string(), inputs: Inputs::of(inputs), force };
            let folder = Folder::open(&folder, terms).raised()?;
            let mut writer = ReportWriter::begin_in(folder).raised()?;
            for photo in &photos {
                writer.add(photo.image.clone()).raised()?;
            }
            writer.finish(ExplainResult::clone(&first.header)).raised().map(drop)
        })
    }
}

impl PhotoExplanation {
    fn painted(&self, number: usize) -> PyResult<RgbImage> {
        Ok(paint::overlay(&self.image.photo, &self.arrays(number)?.map, &self.scales.map))
    }
}

fn plane<'py>(py: Python<'py>, shape: [usize; 2], values: &[f32]) -> PyResult<Plane<'py>> {
    PyArray1::from_slice(py, values).reshape(shape)
}

fn pixels<'py>(py: Python<'py>, picture: &RgbImage) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let shape = [picture.height() as usize, picture.width() as usize, 3];
    PyArray1::from_slice(py, picture.as_raw()).reshape(shape)
}

/// A value as JSON.
pub fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|e| errors::exception("Error", &e.to_string()))
}
