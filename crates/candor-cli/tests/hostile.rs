//! Malicious files: models, photos and names. Each is refused in one line that names it, or gives a correct result; the program takes no
//! more than 1 GiB of memory (where that can be limited), does not hang, and does not panic.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../candor-graph/tests/support/wire.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use wire::{Attribute, Model, Node, Weight};

/// Time after which a run counts as hanging. No run takes a tenth of it.
const HANGS: Duration = Duration::from_secs(300);

/// A folder for files, and the binary.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        bench.file("photo.png", candor_scenes::embedded::DEMO_SCENES[0].png);
        bench.file("model.onnx", candor_scenes::embedded::MODEL);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs the binary in that folder, with an address space of 1 GiB where `ulimit -v` is supported.
    fn run(&self, arguments: &[&str]) -> Output {
        let binary = Command::cargo_bin("candor").unwrap().get_program().to_owned();
        let mut command = if cfg!(target_os = "linux") {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -v 1048576 && exec \"$0\" \"$@\""]).arg(binary);
            shell
        } else {
            Command::new(binary)
        };
        // With it, panics that are caught would be printed, too.
        command.env_remove("RUST_BACKTRACE");
        command.current_dir(self.dir.path()).args(arguments).timeout(HANGS).output().unwrap()
    }

    fn explain(&self, arguments: &[&str]) -> Output {
        // From the previous run.
        let _ = fs::remove_dir_all(self.path("out"));
        let own = ["explain", "--preset", "unit", "--set", "iterations=2", "--threads", "1", "--out", "out"];
        self.run(&[&own[..], arguments].concat())
    }

    /// Explains the photo with a model and expects one line that names the model's file and contains `part`.
    fn refuses(&self, model: &Model, part: &str) {
        self.file("hostile.onnx", &model.bytes());
        refused(&self.explain(&["hostile.onnx", "photo.png"]), "hostile.onnx", part);
        assert!(!self.path("out").join("report.html").exists(), "{part}: something is left");
    }

    /// Explains the photo with a model that is unusual but valid.
    fn explains(&self, model: &Model) {
        self.file("hostile.onnx", &model.bytes());
        let done = self.explain(&["hostile.onnx", "photo.png"]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Expects exit code 1 and one line that contains both.
#[track_caller]
fn refused(done: &Output, file: &str, part: &str) {
    // Notes about the model may precede it.
    let told = text(&done.stderr);
    let error: String =
        told.lines().filter(|l| !l.starts_with("candor: note: ")).map(|l| format!("{l}\n")).collect();
    assert_eq!(done.status.code(), Some(1), "{part}: {error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{part}: not one line: {error}");
    assert!(error.contains(file) && error.contains(part), "'{file}' and '{part}' are not in: {error}");
    assert!(!error.contains("panicked") && !error.contains("unexpected state"), "{error}");
}

/// A classifier of images to whose logits the sum of `last` is added, which `nodes` compute from `weights` and the image.
fn classifier(weights: Vec<Weight>, nodes: Vec<Node>, last: &str) -> Model {
    let mut model =
        Model { inputs: vec![("image".into(), vec![1, 3, 8, 8])], weights, nodes, ..Model::default() };
    model.weights.push(Weight::new("matrix", &[192, 4]));
    let keep = ("keepdims", Attribute::Int(0));
    // The whole image passes through it, so that it is the masked level.
    model.nodes.insert(0, Node::new("Relu", &["image"], "features", &[]));
    model.nodes.extend([
        Node::new("Flatten", &["features"], "flat", &[]),
        Node::new("MatMul", &["flat", "matrix"], "products", &[]),
        Node::new("ReduceSum", &[last], "sum", &[keep]),
        Node::new("Add", &["products", "sum"], "logits", &[]),
    ]);
    model.outputs = vec!["logits".into()];
    model
}

fn one_node(weights: &[Weight], op: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> Model {
    classifier(weights.to_vec(), vec![Node::new(op, inputs, "large", attributes)], "large")
}

fn ints(name: &str, values: &[i64]) -> Weight {
    Weight::of_integers(name, values)
}

/// A constant of `dims` ones.
fn ones(name: &str, dims: &[i64]) -> Weight {
    Weight::new(name, dims)
}

/// Constants that expand to gigabytes, and values of the image that do.
#[test]
fn what_unfolds_to_gigabytes_is_refused() {
    let bench = Bench::new();
    let small = ones("small", &[1]);
    let image = ones("small", &[1, 1, 1, 1]);
    let wide = |sizes: &[i64]| [small.clone(), ints("sizes", sizes)];
    // Some beyond every limit, some only large.
    for size in [1 << 27, 1 << 30, i64::from(i32::MAX), 1 << 40, i64::MAX] {
        bench.refuses(&one_node(&wide(&[size]), "Tile", &["small", "sizes"], &[]), "large");
        bench.refuses(&one_node(&wide(&[size]), "Expand", &["small", "sizes"], &[]), "large");
        bench.refuses(&one_node(&wide(&[size]), "ConstantOfShape", &["sizes"], &[]), "large");
        let bounds = [ints("from", &[0]).scalar(), ints("to", &[size]).scalar(), ints("by", &[1]).scalar()];
        bench.refuses(&one_node(&bounds, "Range", &["from", "to", "by"], &[]), "large");
        let pads = [image.clone(), ints("pads", &[0, 0, 0, 0, 0, 0, 0, size])];
        bench.refuses(&one_node(&pads, "Pad", &["small", "pads"], &[]), "large");
        let sizes = [image.clone(), ints("sizes", &[1, 1, 1, size])];
        bench.refuses(&one_node(&sizes, "Resize", &["small", "", "", "sizes"], &[]), "large");
    }
    for (op, sizes) in [("Tile", [1, 1, 1 << 14, 1 << 14]), ("Expand", [1 << 14, 1, 1 << 14, 1])] {
        let spread = [ones("thin", &[1, 1, 1, 1]), ints("sizes", &sizes)];
        bench.refuses(&one_node(&spread, op, &["thin", "sizes"], &[]), "large");
        let pooled = Node::new("GlobalAveragePool", &["image"], "pooled", &[]);
        let much = Node::new(op, &["pooled", "sizes"], "large", &[]);
        bench.refuses(&classifier(spread.to_vec(), vec![pooled, much], "large"), "");
    }
    let pads = [ints("pads", &[0, 0, 1 << 14, 1 << 14, 0, 0, 0, 0])];
    bench.refuses(&one_node(&pads, "Pad", &["image", "pads"], &[]), "");
}

#[test]
fn products_and_chains_that_grow_are_refused() {
    let bench = Bench::new();
    let sides = [ones("column", &[900, 1]), ones("row", &[1, 900])];
    let mut nodes = vec![Node::new("MatMul", &["column", "row"], "product", &[])];
    nodes.push(Node::new("Reshape", &["product", "upright"], "tall", &[]));
    nodes.push(Node::new("Reshape", &["product", "lying"], "wide", &[]));
    nodes.push(Node::new("MatMul", &["tall", "wide"], "large", &[]));
    let shapes = [ints("upright", &[-1, 1]), ints("lying", &[1, -1])];
    bench.refuses(&classifier([sides.as_slice(), &shapes].concat(), nodes, "large"), "large");

    for (first, weights) in [("one", vec![ones("one", &[1])]), ("features", vec![])] {
        let mut nodes = vec![];
        let mut last = first.to_string();
        for i in 0..60 {
            let next = format!("twice{i}");
            nodes.push(Node::new("Concat", &[&last, &last], &next, &[("axis", Attribute::Int(-1))]));
            last = next;
        }
        bench.refuses(&classifier(weights, nodes, &last), "twice");
    }
    // The number of non-zero elements is known only after it is computed.
    let nodes = vec![
        Node::new("NonZero", &["matrix"], "places", &[]),
        Node::new("Cast", &["places"], "floats", &[("to", Attribute::Int(1))]),
        Node::new("Reshape", &["floats", "upright"], "tall", &[]),
        Node::new("Reshape", &["floats", "lying"], "wide", &[]),
        Node::new("MatMul", &["tall", "wide"], "square", &[]),
        Node::new("Reshape", &["square", "upright"], "taller", &[]),
        Node::new("MatMul", &["taller", "wide"], "large", &[]),
    ];
    bench.refuses(&classifier(shapes.to_vec(), nodes, "large"), "large");
    let strides = ("strides", Attribute::Ints(vec![1 << 12; 2]));
    let kernel = [ones("kernel", &[3, 1, 1, 1])];
    bench.refuses(&one_node(&kernel, "ConvTranspose", &["image", "kernel"], &[strides]), "");
    // The number of repetitions is read from the image.
    let nodes = vec![
        Node::new("ReduceMax", &["image"], "most", &[("keepdims", Attribute::Int(0))]),
        Node::new("Cast", &["most"], "count", &[("to", Attribute::Int(7))]),
        Node::new("Mul", &["million", "count"], "counts", &[]),
        Node::new("Tile", &["image", "counts"], "large", &[]),
    ];
    bench.refuses(&classifier(vec![ints("million", &[1, 1, 1000, 1000])], nodes, "large"), "large");
}

fn chain(op: &str, length: usize, twice: bool) -> Model {
    let mut nodes = vec![];
    let mut last = "features".to_string();
    for i in 0..length {
        let next = format!("v{i}");
        let inputs = if twice { vec![last.as_str(); 2] } else { vec![last.as_str()] };
        nodes.push(Node::new(op, &inputs, &next, &[]));
        last = next;
    }
    classifier(vec![], nodes, &last)
}

#[test]
fn long_chains_are_right_and_endless_ones_refused() {
    let bench = Bench::new();
    bench.explains(&chain("Identity", 10_000, false));
    bench.explains(&chain("Relu", 2_000, false));
    bench.explains(&chain("Max", 60, true));
    for (op, twice) in [("Identity", false), ("Relu", false), ("Add", true)] {
        bench.refuses(&chain(op, 100_000, twice), "nodes");
    }
    // Sums of 2⁴⁰⁰ times the image, which is not a 32-bit number.
    bench.refuses(&chain("Add", 400, true), "");
}

#[test]
fn names_that_are_given_away_do_not_slow_the_loader() {
    let bench = Bench::new();
    let mut nodes = vec![];
    // The names that unnamed values would get.
    for i in 0..20_000 {
        nodes.push(Node::new("Relu", &["features"], &format!("value_{}", 10_000 + i), &[]));
    }
    bench.explains(&classifier(vec![], nodes, "features"));
}

/// A loop over the image whose body returns its state unchanged.
fn looped(turns: Option<i64>, condition: &[Node], inside: Vec<Node>) -> Model {
    let mut body = Model { inputs: vec![], nodes: condition.to_vec(), ..Model::default() };
    for name in ["turn", "going"] {
        body.inputs.push((name.into(), vec![]));
    }
    body.inputs.push(("carried".into(), vec![1, 3, 8, 8]));
    body.nodes.extend(inside);
    body.nodes.push(Node::new("Identity", &["carried"], "handed", &[]));
    body.outputs = vec![if condition.is_empty() { "going".into() } else { "on".into() }, "handed".into()];
    let count: Vec<Weight> = turns.map(|n| ints("turns", &[n]).scalar()).into_iter().collect();
    let counted = if count.is_empty() { "" } else { "turns" };
    let node = Node::new("Loop", &[counted, "", "features"], "last", &[("body", Attribute::Graph(body))]);
    classifier(count, vec![node.named("endless")], "last")
}

#[test]
fn endless_loops_are_refused() {
    let bench = Bench::new();
    for turns in [65, 1 << 32, i64::MAX] {
        bench.refuses(&looped(Some(turns), &[], vec![]), "turns");
    }
    bench.refuses(&looped(None, &[], vec![]), "endless");
    // A computed condition, so that the loop cannot be unrolled.
    let condition = [Node::new("Equal", &["turn", "turn"], "on", &[])];
    bench.refuses(&looped(Some(i64::MAX), &condition, vec![]), "endless");
    bench.explains(&looped(Some(-1), &[], vec![]));
    bench.explains(&looped(Some(3), &[], vec![]));
    // From constants only: an engine that folds it would never return.
    let mut constant = looped(Some(i64::MAX), &condition, vec![]);
    constant.nodes[1].inputs[2] = "matrix".into();
    bench.refuses(&constant, "endless");
}

#[test]
fn cycles_are_refused_wherever_they_close() {
    let bench = Bench::new();
    let nodes = vec![Node::new("Relu", &["b"], "a", &[]), Node::new("Relu", &["a"], "b", &[])];
    bench.refuses(&classifier(vec![], nodes, "b"), "cycle");
    let itself = vec![Node::new("Add", &["a", "image"], "a", &[])];
    bench.refuses(&classifier(vec![], itself, "a"), "cycle");
    // A body that reads a result of its own loop, and two bodies that read each other's.
    let inside = |reads: &str| vec![Node::new("Relu", &[reads], "inner", &[])];
    bench.refuses(&looped(Some(2), &[], inside("last")), "last");
    let mut two = looped(Some(2), &[], inside("other"));
    let mut second = looped(Some(2), &[], inside("last")).nodes.remove(1);
    second.output = "other".into();
    two.nodes.insert(2, second);
    bench.refuses(&two, "other");
}

#[test]
fn deep_nesting_is_refused() {
    let bench = Bench::new();
    let nested = |depth: usize| {
        let mut model = Model { nodes: vec![Node::new("Relu", &["image"], "made", &[])], ..Model::default() };
        model.outputs = vec!["made".into()];
        for _ in 0..depth {
            let branches = [
                ("then_branch", Attribute::Graph(model.clone())),
                (
                    "else_branch",
                    Attribute::Graph(Model {
                        nodes: vec![Node::new("Relu", &["image"], "other", &[])],
                        outputs: vec!["other".into()],
                        ..Model::default()
                    }),
                ),
            ];
            model.nodes = vec![Node::new("If", &["yes"], "made", &branches)];
        }
        classifier(vec![ints("yes", &[1]).scalar()], model.nodes, "made")
    };
    for depth in [20, 100, 300] {
        bench.refuses(&nested(depth), "nested");
    }
    // An integer is not a valid condition: the node stays.
    bench.refuses(&nested(3), "If");
}

#[test]
fn tensors_that_claim_more_than_there_is_are_refused() {
    let bench = Bench::new();
    let claims = |change: &dyn Fn(&mut Weight)| {
        let mut weight = ones("claims", &[4]);
        change(&mut weight);
        classifier(vec![weight], vec![], "claims")
    };
    bench.refuses(&claims(&|w| w.claimed = Some(2 << 30)), "truncated");
    bench.refuses(&claims(&|w| w.dims = vec![1 << 29]), "claims");
    bench.refuses(&claims(&|w| w.dims = vec![1 << 40, 1 << 40]), "claims");
    bench.refuses(&claims(&|w| w.dims = vec![i64::MAX]), "claims");
    bench.refuses(&claims(&|w| w.dims = vec![0, i64::MAX, i64::MAX]), "claims");
    bench.refuses(&claims(&|w| w.dims = vec![-4]), "claims");
    let mut sized = claims(&|_| {});
    for dims in
        [[1, 3, i64::from(i32::MAX), 8], [1, 3, 20_000, 20_000], [1 << 30, 3, 8, 8], [1, 3, 1 << 40, 1]]
    {
        sized.inputs[0].1 = dims.to_vec();
        bench.refuses(&sized, "");
    }
}

/// Weights of three gigabytes in a sparse file.
#[test]
fn external_data_that_does_not_fit_into_memory_is_refused() {
    let bench = Bench::new();
    let weights = fs::File::create(bench.path("weights.bin")).unwrap();
    weights.set_len(3 << 30).unwrap();
    let mut weight = ones("outside", &[805_306_368]);
    weight.outside = Some("weights.bin".into());
    bench.refuses(&classifier(vec![weight], vec![], "outside"), "memory");
}

#[test]
fn shapes_that_overflow_are_refused() {
    let bench = Bench::new();
    for target in
        [vec![-1, 1 << 62], vec![1 << 31, 1 << 33], vec![i64::MAX, i64::MAX, 4], vec![-1, -1], vec![0; 70]]
    {
        bench.refuses(&one_node(&[ints("target", &target)], "Reshape", &["image", "target"], &[]), "");
    }
    let attributes = |name, value: i64, count| [(name, Attribute::Ints(vec![value; count]))];
    let kernel = [ones("kernel", &[1, 3, 1, 1])];
    for (name, count) in [("strides", 2), ("dilations", 2), ("pads", 4), ("kernel_shape", 2)] {
        for value in [i64::MIN, -1 << 40, 1 << 40, i64::MAX] {
            bench.refuses(
                &one_node(&kernel, "Conv", &["image", "kernel"], &attributes(name, value, count)),
                "",
            );
        }
    }
    let mut classes = classifier(vec![], vec![], "image");
    classes.weights[0] = ones("matrix", &[192, 0]);
    bench.refuses(&classes, "");
}

/// A PNG of one colour: a few kilobytes that expand to `height` rows.
fn flat_png(width: u32, height: u32, color: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().unwrap();
    let row = vec![0x55; (width as usize * color.samples() * depth as usize).div_ceil(8)];
    let mut stream = writer.stream_writer().unwrap();
    (0..height).for_each(|_| std::io::Write::write_all(&mut stream, &row).unwrap());
    stream.finish().unwrap();
    drop(writer);
    bytes
}

#[test]
fn photos_that_unfold_to_gigabytes_are_refused() {
    let bench = Bench::new();
    let photo = |name: &str, bytes: &[u8], part: &str| {
        bench.file(name, bytes);
        let done = bench.explain(&["model.onnx", name]);
        refused_or_right(&done, name, part);
    };
    use png::{BitDepth, ColorType};
    // 72 million pixels are allowed if there is enough memory: 576 MB with 16-bit colours, and copies.
    photo("deep.png", &flat_png(9_000, 8_000, ColorType::Rgba, BitDepth::Sixteen), "memory");
    photo("wide.png", &flat_png(100_000, 10_000, ColorType::Grayscale, BitDepth::One), "100000x10000 pixels");
    photo("thin.png", &flat_png(16_384, 1, ColorType::Rgb, BitDepth::Eight), "");
    let gif = [
        &b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02\x44\x01\x00;"[..],
    ]
    .concat();
    photo("huge.gif", &gif, "65535x65535");
    let mut bmp = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(
        [&60_000i32.to_le_bytes()[..], &60_000i32.to_le_bytes(), b"\x01\0\x18\0", &[0; 24], &[0; 16]]
            .concat(),
    );
    photo("huge.bmp", &bmp, "60000x60000");
}

/// Expects success, or a failure in one line, as for a photo among others.
#[track_caller]
fn refused_or_right(done: &Output, file: &str, part: &str) {
    let error = text(&done.stderr);
    assert!(!error.contains("panicked") && !error.contains("unexpected state"), "{error}");
    if part.is_empty() {
        assert_eq!(done.status.code(), Some(0), "{file}: {error}");
        return;
    }
    assert_eq!(done.status.code(), Some(1), "{file}: {error}");
    let told = text(&done.stdout) + &error;
    assert!(told.contains(file) && told.contains(part), "'{file}' and '{part}' are not in: {told}");
}

/// Names that are paths, markup, or control sequences of a terminal.
const NAMES: [&str; 7] = [
    "../../../../etc/passwd",
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "a\u{1b}[2J\u{7}b",
    "/dev/null",
    "'; DROP TABLE classes; --",
    "{{ 7 * 7 }} {% include 'style.css' %}",
];

#[test]
fn names_with_paths_and_markup_are_shown_and_do_nothing() {
    let bench = Bench::new();
    let classes = candor_scenes::embedded::LABELS.lines().count();
    let names: Vec<String> =
        (0..classes).map(|i| NAMES.get(i).map_or_else(|| format!("c{i}"), |n| n.to_string())).collect();
    bench.file("labels.json", serde_json::to_string(&names).unwrap().as_bytes());
    let photo = "\"><img src=x onerror=alert(3)>&{{ 1 }}.png";
    bench.file(photo, candor_scenes::embedded::DEMO_SCENES[0].png);
    let mut arguments = vec!["model.onnx", photo, "--labels", "labels.json"];
    let classes: Vec<String> = (0..classes.min(NAMES.len())).map(|i| i.to_string()).collect();
    classes.iter().for_each(|c| arguments.extend(["--class", c.as_str()]));
    let done = bench.explain(&arguments);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    for told in [&done.stdout, &done.stderr] {
        assert!(!told.contains(&0x1b) && !told.contains(&7), "a terminal would obey: {}", text(told));
    }
    let page = fs::read_to_string(bench.path("out").join("report.html")).unwrap();
    for active in ["<script", "<img src=x"] {
        assert!(!page.contains(active), "'{active}' is in the page");
    }
    for shown in ["&lt;script&gt;alert(1)", "{{ 7 * 7 }}"] {
        assert!(page.contains(shown), "'{shown}' is not in the page");
    }
    // Everything is inside the output folder.
    let inside = fs::canonicalize(bench.path("out")).unwrap();
    let mut folders = vec![inside.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(fs::canonicalize(&path).unwrap().starts_with(&inside));
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            assert!(!name.contains(['<', '>', '"', '\'', '/', '\\', ':', '\u{1b}']), "{name}");
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}

/// A sidecar and labels that never end, or contain what no parser should follow.
#[test]
fn sidecars_and_labels_without_end_are_refused() {
    let bench = Bench::new();
    let sidecar = |text: &str, part: &str| {
        bench.file("model.candor.toml", text.as_bytes());
        refused(&bench.explain(&["model.onnx", "photo.png"]), "model.candor.toml", part);
        fs::remove_file(bench.path("model.candor.toml")).unwrap();
    };
    sidecar(&format!("levels = {}", "[".repeat(100_000)), "levels");
    sidecar(&format!("mean = [{}]", "1.0, ".repeat(100_000)), "mean");
    sidecar("size = [99999999999, 1]", "size");
    sidecar("std = [0.0, 1.0, nan]", "std");
    let labels = |file: &str, part: &str| {
        refused(&bench.explain(&["model.onnx", "photo.png", "--labels", file]), file, part);
    };
    bench.file("deep.json", "[".repeat(100_000).as_bytes());
    labels("deep.json", "deep.json");
    bench.file("many.txt", "cat\n".repeat(2_000_000).as_bytes());
    labels("many.txt", "2000000 names");
    if Path::new("/dev/zero").exists() {
        labels("/dev/zero", "no regular file");
    }
    let long = fs::File::create(bench.path("long.txt")).unwrap();
    long.set_len(65 << 20).unwrap();
    labels("long.txt", "larger than 64 MiB");
}

/// Files that never begin or never end, wherever a file is read.
#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_at_once() {
    let bench = Bench::new();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap().success());
    let wsol = ["bench", "wsol", "model.onnx", "--preset", "unit", "--methods", "gradient", "--out", "out"];
    bench.file("list.csv", b"file,class_index\nphoto.png,1\n");
    for what in ["pipe", "/dev/zero"] {
        let part = "no regular file";
        refused(&bench.explain(&[what, "photo.png"]), what, part);
        refused(&bench.explain(&["model.onnx", what]), what, part);
        refused(&bench.explain(&["model.onnx", "photo.png", "--labels", what]), what, part);
        refused(&bench.explain(&["model.onnx", "photo.png", "--sidecar", what]), what, part);
        refused(&bench.run(&["table", what]), what, part);
        for format in ["csv", "coco", "cifar"] {
            refused(&bench.run(&[&wsol[..], &[what, "--format", format]].concat()), what, part);
        }
        refused(&bench.run(&[&wsol[..], &["list.csv", "--class-map", what]].concat()), what, part);
    }
    let export = ["export", "model.onnx", "--preset", "unit", "--method", "gradient", "-o", "pipe"];
    let done = bench.run(&export);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
}

/// If stderr or stdout cannot be written.
#[cfg(unix)]
#[test]
fn what_nobody_hears_keeps_its_exit_code() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let bench = Bench::new();
    let binary = Command::cargo_bin("candor").unwrap().get_program().to_owned();
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.env_remove("RUST_BACKTRACE").current_dir(bench.dir.path());
        shell.args(["-c", line]).arg(&binary).timeout(HANGS).output().unwrap()
    };
    assert_eq!(shell("\"$0\" inspect missing.onnx 2>/dev/full").status.code(), Some(1));
    assert_eq!(shell("\"$0\" inspect 2>/dev/full").status.code(), Some(2));
    // With a note that the preprocessing is assumed.
    assert_eq!(shell("\"$0\" inspect model.onnx 2>/dev/full").status.code(), Some(0));
    let done = shell("\"$0\" methods >/dev/full");
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("standard output cannot be written"), "{}", text(&done.stderr));
}

/// Names of files that would move a cursor, end a line or change the direction of writing.
#[cfg(unix)]
#[test]
fn names_of_files_are_shown_and_do_nothing() {
    let bench = Bench::new();
    let photo = "a\u{1b}[2J\n\u{202e}b\u{7}.png";
    bench.file(photo, candor_scenes::embedded::DEMO_SCENES[0].png);
    let broken = "c\u{1b}]0;title\u{7}\u{2066}.png";
    bench.file(broken, b"no picture");
    let harmless = |told: &str| {
        for acts in ['\u{1b}', '\u{7}', '\u{202e}', '\u{2066}'] {
            assert!(!told.contains(acts), "{acts:?} is in {told}");
        }
    };
    let fast = ["--method", "gradient", "--preset", "unit", "--out", "out"];
    let done = bench.run(&[&["explain", "model.onnx", photo, broken], &fast[..]].concat());
    assert_eq!(done.status.code(), Some(3), "{}", text(&done.stderr));
    harmless(&text(&done.stdout));
    harmless(&text(&done.stderr));
    harmless(&fs::read_to_string(bench.path("out/report.html")).unwrap());
    assert!(text(&done.stdout).contains("a [2J  b .png\n"), "{}", text(&done.stdout));
    let done = bench.explain(&["model.onnx", broken]);
    refused(&done, "]0;title", "");
    harmless(&text(&done.stderr));
    let check =
        ["check", "model.onnx", photo, "--methods", "gradient", "--preset", "unit", "--out", "checked"];
    assert_eq!(bench.run(&check).status.code(), Some(0));
    harmless(&fs::read_to_string(bench.path("checked/check.html")).unwrap());
}
