//! Fuzz targets, one function each. Each takes any bytes and must return; a panic, an endless loop and unbounded memory are findings.
//!
//! libFuzzer calls them (fuzz_targets), and so does an ordinary test, with the seeds and changes of them
//! (crates/candor-cli/tests/fuzz_seeds.rs).

use std::path::Path;

use candor::engine::{Engine, Folding, Guarded, RTen};
use candor::image::{ColorOrder, Filter, Picture, Preprocessing, Preset, ResizeMode, RgbImage};
use candor::labels::Labels;
use candor::sidecar::Sidecar;
use candor_eval::journal::{Entry, Journal, Outcome};
use candor_graph::grad::deep_lift::{rescale, twin};
use candor_graph::grad::lrp::{Composite, LayerRule, lrp};
use candor_graph::grad::policy::{deconvnet, guided_backprop};
use candor_graph::grad::{Policy, propagate};
use candor_graph::graph::{Graph, ValueId};
use candor_graph::onnx;
use candor_graph::rewrite::{self, Evaluate};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

/// A target: a function of the bytes that it is given.
pub type Target = fn(&[u8]);

/// Targets by name, each with the folder of its seeds.
pub const TARGETS: [(&str, &str, Target); 6] = [
    ("loader", "graph", loader),
    ("lowering", "graph", lowering),
    ("sweep", "graph", sweep),
    ("text", "text", text),
    ("input", "photo", input),
    ("journal", "journal", journal),
];

/// Any bytes give a graph or an error; a graph can be written, and read again.
pub fn loader(bytes: &[u8]) {
    let Ok(loaded) = onnx::load_bytes(bytes) else { return };
    let _ = loaded.describe_inputs();
    if let Ok(written) = onnx::to_bytes(&loaded.graph) {
        let _ = onnx::load_bytes(&written);
    }
}

/// Computes nothing: the passes and rules are tested, not an engine.
struct Refuses;

impl Evaluate for Refuses {
    fn evaluate(&self, _: &Graph) -> Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        Err("not computed".into())
    }
}

/// A graph that loads passes through the rewrites, with an engine that folds its constants, or gives an error.
pub fn lowering(bytes: &[u8]) {
    let Ok(loaded) = onnx::load_bytes(bytes) else { return };
    let engine = Guarded::new(Box::new(RTen::new(1)), "fuzzed");
    let engine: &dyn Engine = &engine;
    let mut graph = loaded.graph;
    rewrite::free_batch(&mut graph, &Folding(engine));
    if rewrite::standard(&mut graph, &Folding(engine)).is_ok() {
        graph.check().expect("the passes leave a sound graph");
        let _ = graph.depth();
    }
}

/// The backward sweep of a graph that loads, under some policy, gives a result or an error.
pub fn sweep(bytes: &[u8]) {
    let Ok(loaded) = onnx::load_bytes(bytes) else { return };
    let mut graph = loaded.graph;
    if rewrite::standard(&mut graph, &Refuses).is_err() {
        return;
    }
    let (Some(&x), Some(&y)) = (graph.inputs.first(), graph.outputs.first()) else { return };
    let Some(shape) = graph.shape(y) else { return };
    // One policy per file, chosen by its content, so that an execution stays short.
    let chosen = bytes.iter().fold(0usize, |sum, &b| sum.wrapping_mul(31).wrapping_add(usize::from(b)));
    swept(graph, (x, y), &shape, chosen);
}

/// One more than the last policy of [`swept`].
const POLICIES: usize = 12;

fn swept(mut graph: Graph, (x, y): (ValueId, ValueId), shape: &[Dim], chosen: usize) {
    let seed = graph.add_input("seed", DataType::Float, shape);
    let biases = (chosen / POLICIES).is_multiple_of(2);
    let composite =
        |rule: LayerRule| Composite { first: Some(rule), conv: rule, dense: rule, last: None, biases };
    let rules = [
        LayerRule::Epsilon(1e-6),
        LayerRule::Gamma(0.25),
        LayerRule::AlphaBeta(2.0, 1.0),
        LayerRule::WSquare,
        LayerRule::Flat,
        LayerRule::ZBox(-1.0, 1.0),
        LayerRule::Excitation,
        LayerRule::ContrastiveExcitation,
    ];
    let policy = match chosen % POLICIES {
        0 => Policy::default(),
        1 => guided_backprop(),
        2 => deconvnet(),
        3 => {
            let reference = graph.shape(x).map(|s| graph.add_input("reference", DataType::Float, &s));
            let Some(reference) = reference else { return };
            let twins = twin(&mut graph, x, reference);
            rescale(twins)
        }
        at => lrp(&graph, x, composite(rules[at - 4])),
    };
    if let Ok((swept, _)) = propagate(graph, &[(y, seed)], &[x], &policy) {
        let _ = onnx::to_bytes(&swept);
    }
}

/// Any text gives a sidecar or an error, and labels or an error; names can be looked up.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new("model.candor.toml");
    if let Ok(sidecar) = Sidecar::parse(&text, path) {
        let again = sidecar.to_text(path).map(|text| Sidecar::parse(&text, path));
        assert_eq!(
            again.ok().and_then(Result::ok),
            Some(sidecar.clone()),
            "a sidecar is read as it was written"
        );
        let _ = sidecar.preprocessing(None, [Some(8), None], 3);
    }
    if let Ok(labels) = Labels::parse(&text, Path::new("labels.txt")) {
        let queries = (0..labels.len().min(4)).map(|class| labels.name(class));
        for query in queries.chain(text.lines().take(4).map(str::to_string)) {
            if let Err(error) = labels.find_class(&query) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

/// Any bytes give a photo or an error; any photo gives a model's input of the requested size, and a view.
pub fn input(bytes: &[u8]) {
    for window in [None, Some([40.0, 400.0])] {
        let preprocessing = Preprocessing { window, ..Preset::Imagenet.preprocessing(9, 7) };
        let _ = preprocessing
            .read_bytes(bytes, Path::new("photo"))
            .map(|file| prepared(&file.photo, &preprocessing));
    }
    let Some((&[w, h, height, width, how, scale], samples)) = bytes.split_first_chunk() else { return };
    let size = 3 * usize::from(w) * usize::from(h);
    let samples = samples.iter().copied().cycle().take(size).collect::<Vec<u8>>();
    let Some(photo) = RgbImage::from_raw(w.into(), h.into(), samples) else { return };
    let preset = Preset::ALL[usize::from(how) % Preset::ALL.len()];
    let filters = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];
    let preprocessing = Preprocessing {
        channels: if how & 8 == 0 { 3 } else { 1 },
        color: if how & 16 == 0 { ColorOrder::Rgb } else { ColorOrder::Bgr },
        resize: if how & 32 == 0 { ResizeMode::Squash } else { ResizeMode::Crop },
        filter: filters[usize::from(how >> 6)],
        scale: f64::from(scale) * 1e300,
        ..preset.preprocessing(usize::from(height).max(1), usize::from(width).max(1))
    };
    prepared(&photo, &preprocessing);
}

fn prepared(photo: &impl Picture, preprocessing: &Preprocessing) {
    let input = preprocessing.apply(photo);
    assert_eq!(input.len(), preprocessing.channels * preprocessing.height * preprocessing.width);
    let view = preprocessing.view(photo.shown());
    assert!(view.width() > 0 && view.height() > 0);
}

/// Any file is a journal that can be continued, or gives an error and is unchanged.
pub fn journal(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("journal.jsonl");
    std::fs::write(&path, bytes).expect("is written");
    let configuration = serde_json::json!({ "seed": 1, "model": "m" });
    joined(folder.path(), &path, bytes, &configuration);
    match Journal::open(&path, &configuration) {
        Ok(journal) => {
            let _ = (journal.len(), journal.has("gradient", 0));
            let entries: Result<Vec<Entry<f64>>, _> = journal.entries(&["gradient", "reliable"]);
            let _ = entries.map(|e| e.len());
        }
        Err(_) => {
            assert_eq!(std::fs::read(&path).expect("is read"), bytes, "a refused journal stays as it was")
        }
    }
}

/// Joins it with a valid journal: the result contains all lines of the valid one, and the parts are unchanged.
fn joined(folder: &Path, path: &Path, bytes: &[u8], configuration: &serde_json::Value) {
    let [other, target] = ["other.jsonl", "joined.jsonl"].map(|name| folder.join(name));
    let mut journal = Journal::open(&other, configuration).expect("is begun");
    for item in 0..2 {
        let entry = Entry { method: "gradient".to_owned(), item, outcome: Outcome::Measured(0.5) };
        journal.append(&entry).expect("is written");
    }
    let before = std::fs::read(&other).expect("is read");
    match Journal::join(&target, &[path.to_path_buf(), other.clone()]) {
        Ok(()) => {
            let joined = Journal::open(&target, configuration).expect("a joined journal is one");
            assert!((0..2).all(|item| joined.has("gradient", item)));
            let all: Vec<Entry<serde_json::Value>> = joined.all().expect("its lines are entries");
            assert_eq!(all.len(), joined.len(), "no line is there twice");
        }
        Err(_) => assert!(!target.exists(), "nothing is half joined"),
    }
    assert_eq!(std::fs::read(path).expect("is read"), bytes);
    assert_eq!(std::fs::read(&other).expect("is read"), before);
}
