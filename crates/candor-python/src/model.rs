//! A model with everything that belongs to it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candor::methods::{self, Compiled};
use candor::package::locate;
use candor::parameters::{Pairs, Parameters};
use candor::sidecar::{LabelSource, Sidecar};
use candor::{Class, Classifier, Explainer, Method, OpenOptions, export};
use candor_graph::graph::ValueId;
use candor_graph::insert::is_feature;
use candor_graph::{guard, onnx};
use candor_report::result::ExplainResult;
use candor_scenes::embedded;
use numpy::{PyArray1, PyArray2, PyArray3, PyArrayDyn, PyArrayMethods, PyReadonlyArray4, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde_json::json;

use crate::attribution::{Attributions, attributions, tensors};
use crate::errors::{self, Raised};
use crate::explanation::{self, PhotoExplanation};
use crate::opening::{self, engine_of, with_keys};
use crate::photo::Photo;
use crate::pool::Pool;
use crate::progress::Watcher;
use crate::variants;

/// A classifier with its engine, preprocessing and labels, and the methods that were compiled for it.
#[pyclass(frozen, module = "candor._candor")]
pub struct Model {
    classifier: Classifier,
    explainers: Pool<Explainer>,
    methods: Pool<(Box<dyn Compiled>, Parameters)>,
}

/// Name, parameters, levels and seed of a method.
pub type Chosen = (String, Pairs, Vec<String>, u64);

fn method((name, set, levels, seed): Chosen) -> Method {
    Method { name, set, levels, seed }
}

#[pymethods]
impl Model {
    /// Opens an ONNX file, a folder that contains one, or `hf://OWNER/NAME` from the local cache. `sidecar` replaces the sidecar beside the
    /// model; `keys`, a JSON object, replaces single keys of it; `engine` is (name, device, path of ONNX Runtime's library, number of threads).
    #[staticmethod]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        sidecar: Option<PathBuf>,
        keys: &str,
        engine: opening::Chosen,
    ) -> PyResult<Self> {
        py.detach(|| {
            let path = locate(&path).map_err(candor::Error::from).raised()?.model;
            let found = match sidecar {
                Some(file) => {
                    Some((file.clone(), Sidecar::load(&file).map_err(candor::Error::from).raised()?))
                }
                None => Sidecar::find(&path).map_err(candor::Error::from).raised()?,
            };
            let (at, found) = found.unwrap_or_else(|| (Sidecar::path_for(&path), Sidecar::default()));
            let sidecar = with_keys(found, keys, &at)?;
            let options = OpenOptions { engine: Some(engine_of(engine)?), ..OpenOptions::default() };
            Ok(Model::of(Classifier::open_as(&path, (sidecar, at), options).raised()?))
        })
    }

    /// Opens the bytes of an ONNX file; results and errors use `name` as its path.
    #[staticmethod]
    fn from_bytes(
        py: Python<'_>,
        name: &str,
        bytes: PyBackedBytes,
        keys: &str,
        engine: opening::Chosen,
    ) -> PyResult<Self> {
        py.detach(|| {
            let sidecar = with_keys(Sidecar::default(), keys, Path::new(name))?;
            let engine = engine_of(engine)?;
            Ok(Model::of(Classifier::from_bytes(name, &bytes, sidecar, Some(engine)).raised()?))
        })
    }

    /// Opens the embedded model of scenes.
    #[staticmethod]
    fn embedded(py: Python<'_>, keys: &str, engine: opening::Chosen) -> PyResult<Self> {
        py.detach(|| {
            let at = Path::new("scenes.candor.toml");
            let own = Sidecar::parse(embedded::SIDECAR, at).map_err(candor::Error::from).raised()?;
            let sidecar = with_keys(own, keys, at)?;
            let engine = engine_of(engine)?;
            let name = "scenes.onnx (embedded)";
            Ok(Model::of(Classifier::from_bytes(name, embedded::MODEL, sidecar, Some(engine)).raised()?))
        })
    }

    /// A JSON object that describes the model: identity, number of classes, input shape (C, H, W), head, preprocessing and engine.
    fn info(&self) -> PyResult<String> {
        let Classifier { model, preprocessing, sidecar_path, preprocessing_stated, .. } = &self.classifier;
        explanation::json(&json!({
            "model": model.info,
            "classes": model.classes,
            "input_shape": model.input_shape,
            "fixed_batch": model.fixed_batch,
            "head": format!("{:?}", model.head),
            "preprocessing": preprocessing,
            "preprocessing_text": preprocessing.to_string(),
            "preprocessing_stated": preprocessing_stated,
            "sidecar_path": sidecar_path.display().to_string(),
            "engine": model.engine.info(),
        }))
    }

    /// The text of a sidecar with what the model file lacks. The class names are included, so that it works in any folder.
    fn sidecar(&self) -> PyResult<String> {
        let Classifier { sidecar, sidecar_path, .. } = &self.classifier;
        let labels = sidecar.labels.as_ref().map(|_| LabelSource::Names(self.labels()));
        Sidecar { labels, ..sidecar.clone() }.to_text(sidecar_path).map_err(candor::Error::from).raised()
    }

    /// Names of the classes, by class index.
    fn labels(&self) -> Vec<String> {
        (0..self.classifier.model.classes).map(|c| self.classifier.labels.name(c)).collect()
    }

    /// The index of the class with this name, or with this index given as text. LabelError if there is none.
    fn class_id(&self, query: &str) -> PyResult<usize> {
        self.classifier.labels.find_class(query).map_err(candor::Error::from).raised()
    }

    /// A (name, photo) pair as the model's preprocessed input, C×H×W float32. The photo is a path, the bytes of a
    /// file, or H×W×3 uint8 pixels; ImageError if it cannot be read.
    fn preprocess<'py>(
        &self,
        py: Python<'py>,
        photo: (String, Bound<'py, PyAny>),
    ) -> PyResult<Bound<'py, PyArray3<f32>>> {
        let photo = Photo::new(photo.0, &photo.1)?;
        let preprocessing = &self.classifier.preprocessing;
        let values =
            py.detach(|| photo.decoded(preprocessing).map(|d| preprocessing.apply(&d.photo))).raised()?;
        PyArray1::from_vec(py, values).reshape(self.classifier.model.input_shape)
    }

    /// Logits of a preprocessed N×C×H×W float32 batch, as N×K float32. InputError for a wrong shape, an order
    /// other than C, or values that are not finite.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        inputs: PyReadonlyArray4<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let model = &self.classifier.model;
        let images = tensors(&inputs, model)?;
        let count = images.len();
        let rows = py.detach(|| model.all_scores(model.forward()?.as_mut(), &images)).raised()?;
        PyArray1::from_vec(py, rows.concat()).reshape([count, model.classes])
    }

    /// Explains photos, given as (name, photo) pairs, for classes given by index, by name, or as `top1`, `lowest` and the like. `chosen` is a
    /// method's (name, parameters, levels, seed); `probe` also explains the class with the lowest score; `progress` is called with (done, total).
    #[pyo3(signature = (photos, classes, chosen, probe, progress))]
    fn explain(
        &self,
        py: Python<'_>,
        photos: Vec<(String, Bound<'_, PyAny>)>,
        classes: Vec<String>,
        chosen: Chosen,
        probe: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<PhotoExplanation>> {
        let parse = |c: &String| Class::parse(c, &self.classifier.labels).map_err(candor::Error::from);
        let classes = classes.iter().map(parse).collect::<candor::Result<Vec<_>>>().raised()?;
        let photos = photos.into_iter().map(|(name, given)| Photo::new(name, &given));
        let photos = photos.collect::<PyResult<Vec<_>>>()?;
        let method = method(chosen);
        py.detach(|| {
            let mut explainer =
                self.explainers.take(&method, || self.classifier.explainer(&method)).raised()?;
            explainer.probe = probe;
            let found = explain(&mut explainer, photos, &classes, method.seed, progress);
            self.explainers.give(&method, explainer);
            found
        })
    }

    /// Explains one class of each image of a preprocessed N×C×H×W float32 batch; a target of None is the class with the highest score. Returns
    /// maps (N×H×W), attributions per channel (N×C×H×W, None if the method has none) and logits (N×K).
    fn attribute<'py>(
        &self,
        py: Python<'py>,
        inputs: PyReadonlyArray4<'py, f32>,
        targets: Vec<Option<usize>>,
        chosen: Chosen,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Attributions<'py>> {
        let model = &self.classifier.model;
        let images = tensors(&inputs, model)?;
        let method = method(chosen);
        let found = py.detach(|| {
            let mut compiled = self.compiled(&method)?;
            let found = attributions(model, compiled.0.as_mut(), &images, &targets, progress);
            self.methods.give(&method, compiled);
            found
        })?;
        found.arrays(py, model.input_shape)
    }

    /// A JSON object with the method's name and every parameter it uses, defaults included. The method is compiled for it.
    fn method_info(&self, py: Python<'_>, chosen: Chosen) -> PyResult<String> {
        let method = method(chosen);
        py.detach(|| {
            let compiled = self.compiled(&method)?;
            let info = explanation::json(&compiled.1.info());
            self.methods.give(&method, compiled);
            info
        })
    }

    /// Names and float32 values of the weights of Conv, Gemm and MatMul, in the order of the layers.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Vec<variants::Named<'py>>> {
        variants::weights(py, &self.classifier.model.graph)
    }

    /// A copy of the model with other values for the named weights; InputError for an unknown name or another shape.
    fn with_weights(&self, weights: HashMap<String, PyReadonlyArrayDyn<'_, f32>>) -> PyResult<Self> {
        variants::with_weights(&self.classifier, weights).map(Model::of)
    }

    /// A copy of the model that subtracts a constant from its preprocessed input first.
    fn shifted(&self, constant: f32) -> PyResult<Self> {
        variants::shifted(&self.classifier, constant).raised().map(Model::of)
    }

    /// The named intermediate values for a preprocessed N×C×H×W float32 batch; each begins with the batch axis.
    fn values<'py>(
        &self,
        py: Python<'py>,
        inputs: PyReadonlyArray4<'py, f32>,
        names: Vec<String>,
    ) -> PyResult<Vec<Bound<'py, PyArrayDyn<f32>>>> {
        variants::values(py, &self.classifier, &inputs, &names)
    }

    /// Names of the intermediate float values, in the order of the nodes that compute them.
    fn value_names(&self) -> Vec<String> {
        let graph = &self.classifier.model.graph;
        let floats = |&id: &ValueId| is_feature(graph, id);
        let values = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied());
        values.filter(floats).map(|id| graph.name(id).to_string()).collect()
    }

    /// The bytes of an ONNX model that computes the method: image and class in, logits and map out.
    fn export<'py>(&self, py: Python<'py>, chosen: Chosen) -> PyResult<Bound<'py, PyBytes>> {
        let Method { name, set, levels, seed } = method(chosen);
        let bytes = py.detach(|| {
            let Classifier { model, preprocessing, .. } = &self.classifier;
            let definition = methods::find(&name).raised()?;
            let choices = self.classifier.choices(&levels, seed);
            let made = export::export(model, preprocessing, definition.as_ref(), &set, &choices).raised()?;
            onnx::to_bytes_with(&made.graph, &made.notes).map_err(|e| errors::graph(&e, &e.to_string()))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }
}

impl Model {
    fn of(classifier: Classifier) -> Self {
        Model { classifier, explainers: Pool::default(), methods: Pool::default() }
    }

    /// The method compiled for tensors; a panic while compiling becomes an error.
    fn compiled(&self, method: &Method) -> PyResult<(Box<dyn Compiled>, Parameters)> {
        let model = &self.classifier.model;
        let compile = || {
            let definition = methods::find(&method.name)?;
            let choices = self.classifier.choices(&method.levels, method.seed);
            let prepared = || methods::prepare(model, definition.as_ref(), &method.set, &choices);
            let panicked = |reason| candor::Error::Panicked { what: model.info.path.clone(), reason };
            guard::guarded(prepared).map_err(panicked).flatten()
        };
        self.methods.take(method, compile).raised()
    }
}

fn explain(
    explainer: &mut Explainer,
    photos: Vec<Photo>,
    classes: &[Class],
    seed: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<PhotoExplanation>> {
    let header = Arc::new(ExplainResult::of(explainer, seed).raised()?);
    let mut watcher = Watcher::new(progress, photos.len() as u64 * explainer.steps(classes.len()));
    let raised = watcher.raised();
    let together = explainer.together();
    let mut all = vec![];
    let mut photos = photos.into_iter().peekable();
    while photos.peek().is_some() {
        let part = photos.by_ref().take(together);
        let part =
            part.map(|photo| Ok((photo.name.clone(), photo.decoded(&explainer.classifier.preprocessing)?)));
        let part = part.collect::<candor::Result<Vec<_>>>().raised()?;
        let given: Vec<_> = part.iter().map(|(name, decoded)| (name.as_str(), &decoded.photo)).collect();
        let start = Instant::now();
        let found = explainer.photos(&given, classes, &mut watcher);
        let seconds = start.elapsed().as_secs_f64() / part.len() as f64;
        for (found, (_, decoded)) in found.into_iter().zip(&part) {
            let found = raised.or(found.raised())?.after(&decoded.changes);
            all.push(PhotoExplanation::new(found, header.clone(), seconds));
        }
    }
    watcher.finish()?;
    Ok(all)
}
