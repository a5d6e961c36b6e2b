//! Bad input: one line that names the file and says what to do, a non-zero exit code, and no files left behind.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// A folder with the embedded model as a file, and a photo.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        fs::write(bench.path("model.onnx"), candor_scenes::embedded::MODEL).unwrap();
        fs::write(bench.path("photo.png"), candor_scenes::embedded::DEMO_SCENES[0].png).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs `candor explain` and expects it to fail with `code` and one line that contains all of `parts`.
    fn fails(&self, model: &Path, photo: &Path, extra: &[&str], code: i32, parts: &[&str]) {
        let out = self.path("out");
        let mut command = Command::cargo_bin("candor").unwrap();
        command.args(["explain", "--preset", "inception", "--set", "iterations=2"]);
        command.arg(model).arg(photo).args(extra);
        if !extra.contains(&"--out") {
            command.arg("--out").arg(&out);
        }
        let done = command.output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "one line: {error}");
        assert!(!error.contains("panicked"), "{error}");
        for part in parts {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
        let said: Vec<&str> = error.trim_end().split(": ").collect();
        assert!((1..said.len()).all(|i| !said[..i].contains(&said[i])), "said twice: {error}");
        let left: Vec<_> =
            fs::read_dir(&out).map(|d| d.map(|f| f.unwrap().path()).collect()).unwrap_or_default();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

#[test]
fn model_files() {
    let bench = Bench::new();
    let photo = bench.path("photo.png");
    let model = candor_scenes::embedded::MODEL;
    let fails = |file: &Path, parts: &[&str]| bench.fails(file, &photo, &[], 1, parts);
    fails(&bench.path("missing.onnx"), &["missing.onnx", "No such file"]);
    let folder = bench.path("folder");
    fs::create_dir(&folder).unwrap();
    fails(&folder, &["folder", "holds no .onnx file"]);
    fails(&bench.file("empty.onnx", b""), &["empty.onnx", "the file is empty"]);
    fails(
        &bench.file("text.onnx", b"this is not a model, it is a text\n"),
        &["text.onnx", "not an ONNX model"],
    );
    fails(&bench.file("cut.onnx", &model[..model.len() / 2]), &["cut.onnx", "truncated"]);
    // The input's name and rank are in the file as text and numbers: change them in place.
    let replaced = |from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let mut bytes = model.to_vec();
        let mut found = false;
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from {
                bytes[at..at + to.len()].copy_from_slice(to);
                found = true;
            }
        }
        assert!(found);
        bytes
    };
    let unknown = replaced(b"GlobalAveragePool", b"GlobalAveragePoem");
    fails(&bench.file("unknown.onnx", &unknown), &["unknown.onnx", "GlobalAveragePoem", "node '"]);
}

#[test]
fn graphs_that_are_no_image_classifiers() {
    use candor_graph::builder::Builder;
    use candor_graph::graph::Graph;
    use candor_graph::shape::Dim;
    use candor_graph::tensor::{DataType, Tensor};
    let bench = Bench::new();
    let photo = bench.path("photo.png");
    let save = |name: &str, build: &dyn Fn(&Builder) -> candor_graph::graph::ValueId| {
        let builder = Builder::new(Graph::new(18));
        let output = build(&builder);
        let mut graph = builder.finish().unwrap();
        graph.outputs = vec![output];
        candor_graph::onnx::save(&graph, &bench.path(name)).unwrap();
        bench.path(name)
    };
    let image = [Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)];
    let tabular = save("tabular.onnx", &|b| (b.input("table", DataType::Float, &image[..2]) * 2.0).id());
    bench.fails(&tabular, &photo, &[], 1, &["tabular.onnx", "0 image inputs", "'table'"]);
    let pictures = save("pictures.onnx", &|b| (b.input("x", DataType::Float, &image) * 2.0).id());
    bench.fails(&pictures, &photo, &[], 1, &["pictures.onnx", "none of its outputs is N×classes"]);
    let damaged = save("damaged.onnx", &|b| {
        let weight = b.constant(Tensor::floats(&[1, 3, 1, 1], vec![1.0, f32::NAN, 1.0]).unwrap());
        (b.input("x", DataType::Float, &image) * weight)
            .op("GlobalAveragePool", &[], &[])
            .reshape(&[0, -1])
            .id()
    });
    bench.fails(&damaged, &photo, &[], 1, &["damaged.onnx", "is NaN", "element 1"]);
    let no_rule = save("no_rule.onnx", &|b| {
        // After the masked feature map, so that the sweep meets it.
        let x = b.input("x", DataType::Float, &image).op("Relu", &[], &[]).op("Flatten", &[], &[]);
        let weight = b.constant(Tensor::full(&[192, 4], 0.1));
        x.op("Tan", &[], &[]).op("MatMul", &[weight], &[]).id()
    });
    bench.fails(
        &no_rule,
        &photo,
        &[],
        1,
        &["no_rule.onnx", "no gradient rule for operator Tan", "candor_Tan"],
    );
}

#[test]
fn missing_external_data() {
    let bench = Bench::new();
    // A model with one Conv whose weight is in a missing file, written field by field.
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let tensor = [
        vec![8, 2, 8, 3, 8, 1, 8, 1, 16, 1],
        field(8, b"w"),
        entry("location", "weights.bin"),
        vec![14 << 3, 1],
    ]
    .concat();
    let node = [field(1, b"x"), field(1, b"w"), field(2, b"y"), field(4, b"Conv")].concat();
    let dim = |n: u8| field(1, &[8, n]);
    let shape = field(2, &[dim(1), dim(3), dim(8), dim(8)].concat());
    let input = [field(1, b"x"), field(2, &field(1, &[vec![8, 1], shape].concat()))].concat();
    let graph =
        [field(1, &node), field(2, b"g"), field(5, &tensor), field(11, &input), field(12, &field(1, b"y"))]
            .concat();
    let mut model = vec![8, 8, 7 << 3 | 2, 0x80 | (graph.len() & 0x7f) as u8, (graph.len() >> 7) as u8];
    model.extend(&graph);
    model.extend(field(8, &[16, 17]));
    let path = bench.file("external.onnx", &model);
    bench.fails(
        &path,
        &bench.path("photo.png"),
        &[],
        1,
        &["external.onnx", "'w'", "weights.bin", "beside the model"],
    );
}

#[test]
fn photos() {
    let bench = Bench::new();
    let model = bench.path("model.onnx");
    let fails = |photo: &Path, parts: &[&str]| bench.fails(&model, photo, &[], 1, parts);
    fails(&bench.path("missing.png"), &["missing.png"]);
    fails(bench.dir.path(), &["directory"]);
    fails(&bench.file("empty.png", b""), &["empty.png", "empty"]);
    fails(&bench.file("text.png", b"not a picture at all"), &["text.png"]);
    let png = candor_scenes::embedded::DEMO_SCENES[0].png;
    fails(&bench.file("cut.png", &png[..png.len() / 2]), &["cut.png", "truncated"]);
    // Width and height in the header are 30000; its checksum is corrected.
    let mut huge = png.to_vec();
    huge[16..20].copy_from_slice(&30_000u32.to_be_bytes());
    huge[20..24].copy_from_slice(&30_000u32.to_be_bytes());
    let crc = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&crc.to_be_bytes());
    fails(&bench.file("huge.png", &huge), &["huge.png", "30000"]);
}

/// CRC-32 of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn arguments() {
    let bench = Bench::new();
    let (model, photo) = (bench.path("model.onnx"), bench.path("photo.png"));
    let labels = bench.file("labels.txt", candor_scenes::embedded::LABELS.as_bytes());
    let labels = labels.to_str().unwrap();
    let fails = |extra: &[&str], code: i32, parts: &[&str]| bench.fails(&model, &photo, extra, code, parts);
    fails(&["--class", "12"], 2, &["12"]);
    fails(&["--labels", labels, "--class", "mushrom"], 2, &["mushrom", "mushroom"]);
    fails(&["--levels", "level99"], 2, &["--levels", "level99", "level"]);
    fails(&["--method", "magic"], 2, &["magic", "reliable, gradient, gradient-times-input"]);
    fails(&["--set", "lambda=-1"], 2, &["lambda", "must be a number"]);
    fails(&["--set", "speed=1"], 2, &["has no parameter 'speed'"]);
    let file = bench.file("a-file", b"");
    fails(&["--out", file.join("below").to_str().unwrap()], 1, &["a-file"]);
}

#[test]
fn photos_for_the_thresholds_are_taken_beyond_a_limit() {
    let done = Command::cargo_bin("candor")
        .unwrap()
        .args(["detect", "train", "model.onnx", "photos", "--calibration", "4"])
        .output()
        .unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{text}");
    assert!(text.contains("--limit"), "{text}");
}

#[test]
fn one_bad_photo_of_two_is_named_and_the_other_explained() {
    let bench = Bench::new();
    let bad = bench.file("bad.png", b"not a picture");
    let out = bench.path("out");
    let mut command = Command::cargo_bin("candor").unwrap();
    command.args(["explain", "--json", "--preset", "inception", "--set", "iterations=2"]);
    command.arg(bench.path("model.onnx")).arg(bench.path("photo.png")).arg(&bad).arg("--out").arg(&out);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(3));
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(json["images"].as_array().unwrap().len(), 1);
    assert!(json["failed"][0]["path"].as_str().unwrap().ends_with("bad.png"));
}
