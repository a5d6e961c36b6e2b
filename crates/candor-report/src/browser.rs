//! A page that explains in the browser: a folder of static files, among them exported methods as graphs that ONNX Runtime runs as
//! WebAssembly. No photo leaves the device.
//!
//! ```text
//! index.html, page.css, *.js      the page (its source is web/page)
//! page.json                       model, preprocessing, labels, methods and their stages, the check
//! graphs/*.onnx, graphs/weights.data   the network and the stages or the search of each method; shared weights are stored once
//! runtime/*                       ONNX Runtime for the browser
//! samples/*                       sample photos
//! check.png, check-*.f32          a photo with the results that Candor computed, with which the page compares its own
//! ```

mod description;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candor::export::{self, LOGITS, MAP};
use candor::image::{RgbImage, decode_bytes};
use candor::mask::stepwise::Stepwise;
use candor::parameters::MethodInfo;
use candor::scores::argmax;
use candor::{Class, Classifier, Method, Unwatched, methods};
use candor_graph::graph::Graph;
use candor_graph::onnx::{Notes, WEIGHTS, Weights, to_bytes_sharing};
use candor_graph::rewrite;
use candor_graph::stages::{Stage, stages};
use serde_json::Value;

use description::{About, Checked, Colors, Description, Explains, How, Run, Search, Turned};

use crate::atomic;
use crate::error::ReportError;
use crate::paint::{Scale, ScaleSource};

/// The files of ONNX Runtime that the page loads, from the npm package `onnxruntime-web`.
pub const RUNTIME: [&str; 2] = ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"];
/// The additional files that it loads to compute on a GPU.
pub const WEBGPU: [&str; 2] = ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"];

/// The page's own files.
const PAGE: [(&str, &str); 16] = [
    ("index.html", include_str!("../../../web/page/index.html")),
    ("page.css", include_str!("../../../web/page/page.css")),
    ("page.js", include_str!("../../../web/page/page.js")),
    ("asking.js", include_str!("../../../web/page/asking.js")),
    ("cards.js", include_str!("../../../web/page/cards.js")),
    ("elements.js", include_str!("../../../web/page/elements.js")),
    ("graphs.js", include_str!("../../../web/page/graphs.js")),
    ("offline.js", include_str!("../../../web/page/offline.js")),
    ("paint.js", include_str!("../../../web/page/paint.js")),
    ("picture.js", include_str!("../../../web/page/picture.js")),
    ("planes.js", include_str!("../../../web/page/planes.js")),
    ("preprocess.js", include_str!("../../../web/page/preprocess.js")),
    ("search.js", include_str!("../../../web/page/search.js")),
    ("state.js", include_str!("../../../web/page/state.js")),
    ("verdict.js", include_str!("../../../web/page/verdict.js")),
    ("worker.js", include_str!("../../../web/page/worker.js")),
];

/// The content of a page.
pub struct Page<'a> {
    /// The classifier.
    pub classifier: &'a Classifier,
    /// The methods; the first is selected when the page opens.
    pub methods: &'a [Method],
    /// Sample photos: a file name and the file's bytes.
    pub samples: &'a [(String, Vec<u8>)],
    /// A PNG for the check that the page runs when it opens.
    pub check: &'a [u8],
    /// The folder with the files of [`RUNTIME`], and of [`WEBGPU`] if `webgpu` is set.
    pub runtime: &'a Path,
    /// Whether the page may compute on a GPU.
    pub webgpu: bool,
}

/// Writes the files of a page into a folder. `tell` receives progress messages, one line at a time.
///
/// # Errors
/// A method that cannot be exported, preprocessing that the page does not support, a sample that is not a photo, [`ReportError`] for
/// files.
pub fn write(folder: &Path, page: &Page<'_>, tell: &mut dyn FnMut(&str)) -> Result<(), BrowserError> {
    if page.classifier.preprocessing.window.is_some() {
        return Err(BrowserError::Window);
    }
    if let Some(batch) = page.classifier.model.fixed_batch.filter(|&batch| batch > 1) {
        return Err(BrowserError::Batch { batch });
    }
    let mut out = Out { folder, files: vec![] };
    for (name, text) in PAGE {
        out.write(name, text.as_bytes())?;
    }
    for name in RUNTIME.into_iter().chain(WEBGPU.into_iter().filter(|_| page.webgpu)) {
        let path = page.runtime.join(name);
        let bytes = fs::read(&path).map_err(|source| BrowserError::Runtime { path, source })?;
        out.write(&format!("runtime/{name}"), &bytes)?;
    }
    for (name, bytes) in page.samples {
        out.write(&format!("samples/{name}"), bytes)?;
    }
    out.write("check.png", page.check)?;

    let classifier = page.classifier;
    let model = &classifier.model;
    let mut graphs = Graphs { out: &mut out, weights: Weights::default(), known: HashMap::new() };
    let network = graphs.write("network", &network(classifier))?;
    let photo = decode_bytes(page.check, Path::new("check.png"))?;
    let (mut explains, mut maps) = (vec![], vec![]);
    for method in page.methods {
        tell(&method.name);
        let definition = methods::find(&method.name)?;
        let choices = classifier.choices(&method.levels, method.seed);
        let definition = definition.as_ref();
        let (how, info, asked) = match export::stepwise(model, definition, &method.set, &choices)? {
            Some((search, info)) => (graphs.search(&method.name, search)?, info, method.clone()),
            None => {
                let made =
                    export::export(model, &classifier.preprocessing, definition, &method.set, &choices)?;
                // With the settings of the graph, which may differ from the method's own.
                let asked = as_exported(method, &definition.description(), &made.method);
                (How::Stages(graphs.method(&method.name, &made.graph)?), made.method, asked)
            }
        };
        let description = definition.description();
        let map = map_of_answer(classifier, &asked, &photo)?;
        graphs.out.floats(&format!("check-{}.f32", method.name), &map)?;
        maps.push((method.name.clone(), format!("check-{}.f32", method.name)));
        explains.push(Explains {
            name: method.name.clone(),
            summary: description.summary,
            source: description.source,
            signed: description.signed,
            parameters: serde_json::to_value(&info.parameters).map_err(ReportError::encode("page.json"))?,
            how,
        });
    }
    if explains.is_empty() {
        return Err(BrowserError::NoMethod);
    }
    let weights = graphs.weights;
    out.write(&format!("graphs/{WEIGHTS}"), weights.bytes())?;
    let logits = model.scores(model.forward()?.as_mut(), &classifier.preprocessing.apply(&photo))?;
    out.floats("check-logits.f32", &logits)?;
    let name = Path::new(&model.info.path)
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut files = out.files.clone();
    files.push("page.json".to_string());
    let description = Description {
        candor: env!("CARGO_PKG_VERSION"),
        model: About {
            name,
            sha256: &model.info.sha256,
            classes: model.classes,
            image: model.graph.name(model.input),
            class: export::CLASS,
            logits: LOGITS,
            map: MAP,
            exclusive: !model.is_sigmoid(),
        },
        preprocessing: &classifier.preprocessing,
        formula: classifier.preprocessing.to_string(),
        labels: (0..model.classes).map(|c| classifier.labels.name(c)).collect(),
        weights: WEIGHTS,
        webgpu: page.webgpu,
        network,
        methods: explains,
        colors: Colors { positive: colors(false), signed: colors(true) },
        samples: page.samples.iter().map(|(name, _)| name.clone()).collect(),
        check: Checked {
            photo: "check.png",
            class: argmax(&logits),
            logits: "check-logits.f32".to_string(),
            maps,
        },
        files,
    };
    let json = serde_json::to_vec(&description).map_err(ReportError::encode("page.json"))?;
    out.write("page.json", &json)
}

/// Why a page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// A file of the runtime is missing.
    #[error("cannot read {}: {source}; `npm install onnxruntime-web` brings it, --runtime names its folder dist", path.display())]
    Runtime {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The preprocessing has a window over finer samples, but browsers decode to 8 bits.
    #[error(
        "the preprocessing has a `window` over samples of more than 8 bits, which a browser does not give to a page"
    )]
    Window,
    /// The model needs batches of several photos, but the page gives the network one photo.
    #[error(
        "the model takes batches of {batch} photos only, and a page shows one at a time; export it with a batch of 1, or a free one"
    )]
    Batch {
        /// The batch of the model's file.
        batch: usize,
    },
    /// No method was requested.
    #[error("a page needs a method; see `candor page --help`")]
    NoMethod,
    /// The model cannot be explained, or a method cannot be exported.
    #[error(transparent)]
    Candor(#[from] candor::Error),
    /// The check's photo cannot be read.
    #[error(transparent)]
    Image(#[from] candor::image::ImageError),
    /// The graph of a stage is malformed.
    #[error("a method cannot be cut into stages")]
    Graph(#[from] candor_graph::error::GraphError),
    /// A file could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// The folder, and the files written there.
struct Out<'a> {
    folder: &'a Path,
    files: Vec<String>,
}

impl Out<'_> {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), BrowserError> {
        let path = self.folder.join(name);
        let parent = path.parent().unwrap_or(self.folder);
        fs::create_dir_all(parent).map_err(ReportError::write(parent))?;
        atomic::write(&path, bytes)?;
        self.files.push(name.to_string());
        Ok(())
    }

    fn floats(&mut self, name: &str, values: &[f32]) -> Result<(), BrowserError> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.write(name, &bytes)
    }
}

/// Writes graphs as files that share their weights; equal graphs share one file.
struct Graphs<'o, 'f> {
    out: &'o mut Out<'f>,
    weights: Weights,
    known: HashMap<Vec<u8>, String>,
}

impl Graphs<'_, '_> {
    fn write(&mut self, name: &str, graph: &Graph) -> Result<String, BrowserError> {
        let bytes = to_bytes_sharing(graph, &Notes::default(), &mut self.weights)?;
        if let Some(file) = self.known.get(&bytes) {
            return Ok(file.clone());
        }
        let file = format!("graphs/{name}.onnx");
        self.out.write(&file, &bytes)?;
        self.known.insert(bytes, file.clone());
        Ok(file)
    }

    fn search(&mut self, name: &str, search: Stepwise) -> Result<How, BrowserError> {
        let mut part = |what: &str, graph: &Graph| self.write(&format!("{name}-{what}"), graph);
        let [features, tail] = match &search.windows {
            Some([features, tail]) => [Some(part("features", features)?), Some(part("tail", tail)?)],
            None => [None, None],
        };
        let before = search.before.as_ref().map(|graph| part("before", graph)).transpose()?;
        Ok(How::Search(Box::new(Search {
            before,
            answer: part("answer", &search.answer)?,
            step: part("step", &search.step)?,
            features,
            tail,
            plan: search.plan,
        })))
    }

    fn method(&mut self, name: &str, graph: &Graph) -> Result<Vec<Run>, BrowserError> {
        let mut runs = vec![];
        for (i, stage) in stages(graph)?.into_iter().enumerate() {
            let name = format!("{name}-{}", i + 1);
            runs.push(match stage {
                Stage::Once(graph) => Run { file: self.write(&name, &graph)?, turns: None },
                Stage::Loop(turns) => Run {
                    file: self.write(&name, &turns.graph)?,
                    turns: Some(Turned {
                        turns: turns.count,
                        turn: turns.turn,
                        carried: turns
                            .carried
                            .into_iter()
                            .map(|c| {
                                [
                                    ("input", c.input),
                                    ("output", c.output),
                                    ("first", c.first),
                                    ("last", c.last),
                                ]
                                .into()
                            })
                            .collect(),
                        captured: turns.captured.into_iter().collect(),
                    }),
                },
            });
        }
        Ok(runs)
    }
}

/// A method with every parameter set as in an export.
fn as_exported(method: &Method, description: &methods::Description, made: &MethodInfo) -> Method {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    let known = |name: &&String| description.parameters.iter().any(|p| p.name == name.as_str());
    let names = made.parameters.keys().filter(known);
    let set = names.map(|name| (name.clone(), text(&made.parameters[name]))).collect();
    Method { set, ..method.clone() }
}

/// The network alone; its output is named as in exported methods.
fn network(classifier: &Classifier) -> Graph {
    let model = &classifier.model;
    let mut graph = model.graph.clone();
    graph.rename(model.logits, LOGITS);
    (graph.inputs, graph.outputs) = (vec![model.input], vec![model.logits]);
    rewrite::remove_dead(&mut graph);
    graph
}

/// A method's map for the top-1 class of a photo.
fn map_of_answer(
    classifier: &Classifier,
    method: &Method,
    photo: &RgbImage,
) -> Result<Vec<f32>, BrowserError> {
    let mut explainer = classifier.explainer(method)?;
    explainer.probe = false;
    let mut explained = explainer.photo("check.png", photo, &[Class::top(1)], &mut Unwatched)?;
    let class = explained.classes.pop().ok_or(BrowserError::NoMethod)?;
    Ok(class.weak_map.unwrap_or(class.map).data)
}

fn colors(signed: bool) -> Vec<String> {
    let scale = Scale { max: 1.0, signed, source: ScaleSource::TopClass };
    scale.palette().into_iter().map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}")).collect()
}
