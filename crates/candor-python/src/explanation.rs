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

/// The explanations of one photo: figures as JSON, maps as arrays, pictures.
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
    /// The figures of the photo, as `images` of explain.json has them, without files.
    fn figures(&self) -> PyResult<String> {
        json(&self.image.result)
    }

    /// Model, preprocessing, engine, method and seed, as explain.json has them.
    fn run(&self) -> PyResult<String> {
        json(&*self.header)
    }

    /// Seconds that the library took for the photo, from its pixels to maps and figures.
    fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Evidence of each class in log-odds; None for methods without a null.
    fn evidence(&self) -> Vec<Option<f64>> {
        self.evidence.clone()
    }

    /// The map of a class, H×W.
    fn map<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Plane<'py>> {
        let map = &self.arrays(number)?.map;
        plane(py, [map.height, map.width], &map.data)
    }

    /// Name and mask, C×H×W, of each level of a class, finest first.
    fn levels<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Vec<(String, Volume<'py>)>> {
        let level = |l: &candor::explanation::LevelMask| {
            Ok((l.value.clone(), PyArray1::from_slice(py, &l.data).reshape(l.shape)?))
        };
        self.arrays(number)?.levels.iter().map(level).collect()
    }

    /// The maps of a class at other λ, from the smallest.
    fn path<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Vec<Plane<'py>>> {
        self.arrays(number)?.path.iter().map(|map| plane(py, [map.height, map.width], &map.data)).collect()
    }

    /// The colour scale of all maps: its largest value, whether it is signed, and its colours from the lowest value to the highest.
    fn scale(&self) -> (f32, bool, Vec<(u8, u8, u8)>) {
        let scale = &self.scales.map;
        (scale.max, scale.signed, scale.palette().into_iter().map(<(u8, u8, u8)>::from).collect())
    }

    /// The map of a class over the photo, as RGB, H×W×3.
    fn overlay<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyArray3<u8>>> {
        pixels(py, &self.painted(number)?)
    }

    /// The same as a PNG file.
    fn overlay_png<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyBytes>> {
        let painted = self.painted(number)?;
        Ok(PyBytes::new(py, &png::rgb(&painted, &self.image.result.path).raised()?))
    }

    /// The photo as the model sees it, in its own aspect, as RGB, H×W×3.
    fn photo<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        pixels(py, &self.image.photo)
    }

    /// Writes the files of the command line for photos of one run: explain.json, report.html and a folder a photo.
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
