//! The fuzz targets without a fuzzer: each with its seeds, and with reproducible changes of them.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::{Path, PathBuf};

use candor_graph::guard::guarded;
use candor_testing::dicom::{DicomFile, Syntax};

/// Number of changes of each seed.
const CHANGES: u64 = 24;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name)
}

/// The seeds of a folder, by name.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(name)).unwrap().map(|f| f.unwrap().path());
    let mut all: Vec<_> = files
        .map(|f| (f.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&f).unwrap()))
        .collect();
    all.sort();
    all
}

/// Pseudo-random numbers: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A seed with a few bytes set, removed or doubled, or with a part replaced by one of another seed.
fn changed(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let end = (at + numbers.below(9)).min(bytes.len());
        match numbers.below(5) {
            0 if !bytes.is_empty() => bytes[at] = numbers.next() as u8,
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => {
                let from = numbers.below(other.len());
                let to = (from + numbers.below(40)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

fn replay(target: &str) {
    let (_, folder, run) = *fuzz::TARGETS.iter().find(|(name, _, _)| *name == target).unwrap();
    let seeds = seeds(folder);
    assert!(seeds.len() > 3, "the seeds of {folder} are gone");
    let mut numbers = Numbers(1);
    for (name, seed) in &seeds {
        guarded(|| run(seed)).unwrap_or_else(|words| panic!("{target} of {name}: {words}"));
        for change in 0..CHANGES {
            let other = numbers.below(seeds.len());
            let bytes = changed(seed, &seeds[other].1, &mut numbers);
            guarded(|| run(&bytes)).unwrap_or_else(|words| {
                let kept = std::env::temp_dir().join(format!("candor-{target}-{change}-{name}"));
                fs::write(&kept, &bytes).unwrap();
                panic!("{target} of change {change} of {name}, kept as {}: {words}", kept.display())
            });
        }
    }
}

#[test]
fn loader() {
    replay("loader");
}

#[test]
fn lowering() {
    replay("lowering");
}

#[test]
fn sweep() {
    replay("sweep");
}

#[test]
fn text() {
    replay("text");
}

#[test]
fn input() {
    replay("input");
}

#[test]
fn journal() {
    replay("journal");
}

/// Writes the seeds that are not graphs; graphs are written by the rows of candor-graph (tests/rows/golden.rs).
#[test]
#[ignore = "writes files: the seeds of fuzz/seeds"]
fn write_seeds() {
    let write = |folder_name: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(folder(folder_name)).unwrap();
        fs::write(folder(folder_name).join(name), bytes).unwrap();
    };
    for (name, text) in [
        ("preset.toml", "preset = \"inception\"\nsize = [8, 9]\nlabels = \"classes.txt\"\nlambda = 0.01\n"),
        (
            "numbers.toml",
            "scale = 1.0\nmean = [123.0, 117.0, 104.0]\nstd = [1.0, 2.0, 3.0]\ncolor = \"bgr\"\nlayout = \"nhwc\"\n",
        ),
        (
            "names.toml",
            "labels = [\"cat\", \"dog\"]\nlogits = \"fc\"\nlevels = [\"conv1\", \"conv5\"]\nresize = \"crop\"\nfilter = \"lanczos\" # sharp\n",
        ),
        ("lines.txt", "n01440764 tench, Tinca tinca\ngoldfish\n\ngreat_white shark\n"),
        ("list.json", "[\"cat\", \"dog\", \"\\u001b[2J\"]"),
        ("map.json", "{\"0\": \"cat\", \"1\": \"dog\"}"),
        ("keras.json", "{\"0\": [\"n1\", \"cat\"], \"1\": [\"n2\", \"dog\"]}"),
        ("hugging_face.json", "{\"model_type\": \"vit\", \"id2label\": {\"0\": \"cat\", \"1\": \"dog\"}}"),
    ] {
        write("text", name, text.as_bytes());
    }
    let samples: Vec<i32> = (0..24).map(|i| 40 * i).collect();
    for (name, syntax) in [("implicit.dcm", Syntax::Implicit), ("explicit.dcm", Syntax::Explicit)] {
        let file = DicomFile::grey(syntax, (6, 4), 12, &samples).with_window("400", "300");
        write("photo", name, &file.with_rescale("1", "-24").bytes());
    }
    let frames = DicomFile::grey8(Syntax::Explicit, (3, 2), &[0, 9, 60, 90, 200, 255, 7, 7, 7, 1, 2, 3]);
    let frames = frames.with(0x0028, 0x0008, "IS", "2").with(0x0028, 0x0004, "CS", "MONOCHROME1");
    write("photo", "frames.dcm", &frames.bytes());
    let line = |item: usize, outcome: &str| {
        format!("{{\"method\":\"gradient\",\"item\":{item},\"outcome\":{outcome}}}\n")
    };
    let header = "{\"candor_benchmark\":{\"model\":\"m\",\"seed\":1}}\n";
    let measured = line(0, "{\"measured\":0.5}") + &line(1, "{\"failed\":\"no photo\"}");
    for (name, text) in [
        ("empty.jsonl", String::new()),
        ("begun.jsonl", header.to_string()),
        ("measured.jsonl", format!("{header}{measured}")),
        ("cut.jsonl", format!("{header}{measured}{{\"method\":\"grad")),
        ("other.jsonl", header.replace("1}", "2}")),
    ] {
        write("journal", name, text.as_bytes());
    }
    // Width and height of a photo, those of the input, the way of resizing, the scale, and samples.
    for (name, head) in [
        ("squash.raw", [5, 4, 8, 8, 0, 1]),
        ("crop.raw", [9, 3, 7, 6, 32, 1]),
        ("grey.raw", [3, 8, 4, 4, 8 + 64, 0]),
        ("bgr.raw", [1, 1, 2, 2, 3 + 16 + 128, 255]),
        ("sharp.raw", [40, 2, 3, 30, 192, 1]),
    ] {
        write("photo", name, &[&head[..], &[0, 255, 17, 90, 3, 200]].concat());
    }
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../candor/tests/data/image/decode");
    for name in [
        "grey.png",
        "palette.png",
        "grey_alpha.png",
        "upright.png",
        "rgb.webp",
        "animation.gif",
        "rgb.bmp",
        "rgb.tiff",
        "jpeg_cmyk.jpg",
    ] {
        write("photo", name, &fs::read(pictures.join(name)).unwrap());
    }
}
