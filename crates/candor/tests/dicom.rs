//! Photos in DICOM files, written by the tests.
#![cfg(feature = "dicom")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use candor::image::{
    Change, Decoded, Filter, Picture, Preprocessing, Preset, Window, decode, decode_bytes_with_changes,
    decode_with_changes,
};
use candor::sidecar::Sidecar;
use candor::{Class, Classifier, Method};
use candor_testing::dicom::{DicomFile, Syntax, lossless_jpeg, rle};
use tempfile::TempDir;

/// Hounsfield units as a scanner stores them: 12 bits, unsigned, slope 1, intercept −1024.
const STORED: [i32; 6] = [0, 864, 1064, 1065, 1264, 4095];

fn scan(syntax: Syntax) -> DicomFile {
    DicomFile::grey(syntax, (3, 2), 12, &STORED).with_rescale("1", "-1024")
}

fn read(file: &DicomFile) -> Decoded {
    decode_bytes_with_changes(&file.bytes(), Path::new("scan.dcm")).unwrap()
}

fn fails(bytes: &[u8]) -> String {
    let error = decode_bytes_with_changes(bytes, Path::new("scan.dcm")).unwrap_err().to_string();
    assert!(error.starts_with("scan.dcm: ") && !error.contains('\n'), "{error}");
    error
}

fn samples(decoded: &Decoded) -> &[f32] {
    &decoded.photo.samples().unwrap().values
}

fn close(found: &[f32], expected: &[f64]) {
    let near = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() < 1e-4;
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(near),
        "{found:?} instead of {expected:?}"
    );
}

/// PS3.3, C.11.2.1.2.1.
fn linear(v: f64, centre: f64, width: f64) -> f64 {
    (((v - (centre - 0.5)) / (width - 1.0) + 0.5) * 255.0).clamp(0.0, 255.0)
}

#[test]
fn the_window_of_the_file_is_its_formula_in_both_encodings() {
    for syntax in [Syntax::Implicit, Syntax::Explicit] {
        let found = read(&scan(syntax).with_window("40\\-600", "400\\1500"));
        close(samples(&found), &STORED.map(|v| linear(f64::from(v) - 1024.0, 40.0, 400.0)));
        let window = Change::Windowed { window: [40.0, 400.0], by: Window::Linear };
        assert_eq!(found.changes, [window, Change::FromGrey]);
        assert_eq!(window.to_string(), "samples through the file's window of centre 40, width 400");
        // Values between two levels are not rounded.
        assert!(samples(&found).iter().any(|v| v.fract() != 0.0));
        assert_eq!(found.photo.dimensions(), (3, 2));
        assert_eq!(found.photo.get_pixel(0, 1).0, [samples(&found)[3].round() as u8; 3]);
    }
}

#[test]
fn the_other_functions_of_a_window_are_theirs() {
    let with =
        |name: &str| read(&scan(Syntax::Explicit).with_window("40", "400").with(0x0028, 0x1056, "CS", name));
    let exact = STORED.map(|v| ((f64::from(v) - 1064.0) / 400.0 + 0.5).clamp(0.0, 1.0) * 255.0);
    close(samples(&with("LINEAR_EXACT")), &exact);
    let sigmoid = STORED.map(|v| 255.0 / (1.0 + (-4.0 * (f64::from(v) - 1064.0) / 400.0).exp()));
    let found = with("SIGMOID");
    close(samples(&found), &sigmoid);
    assert!(found.changes[0].to_string().contains("sigmoid"));
}

#[test]
fn a_stated_window_is_before_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.dcm");
    fs::write(&path, scan(Syntax::Explicit).with_window("40", "400").bytes()).unwrap();
    let preprocessing = Preprocessing { window: Some([0.0, 2000.0]), ..Preset::Raw.preprocessing(2, 3) };
    let found = preprocessing.read(&path).unwrap();
    let expected = STORED.map(|v| ((f64::from(v) - 1024.0) / 2000.0 + 0.5).clamp(0.0, 1.0) * 255.0);
    close(samples(&found), &expected);
    assert_eq!(found.changes[0], Change::Windowed { window: [0.0, 2000.0], by: Window::Stated });
    // The model gets the same samples in each channel.
    let input = preprocessing.apply(&found.photo);
    close(&input[..6], &expected);
    assert_eq!((&input[..6], input.len()), (&input[12..], 18));
    let bytes = preprocessing.read_bytes(&fs::read(&path).unwrap(), &path).unwrap();
    assert_eq!(bytes, found);
}

#[test]
fn without_a_window_all_that_the_bits_can_hold_is_shown() {
    let found = read(&scan(Syntax::Implicit));
    close(samples(&found), &STORED.map(|v| f64::from(v) / 4095.0 * 255.0));
    let words = found.changes[0].to_string();
    assert!(words.starts_with("samples from -1024 to 3071, "), "{words}");
    // Signed samples of 16 bits.
    let signed = [-32768, -1000, 0, 32767];
    let found = read(&DicomFile::grey(Syntax::Explicit, (2, 2), 16, &signed));
    close(samples(&found), &signed.map(|v| (f64::from(v) + 32768.0) / 65535.0 * 255.0));
    // 8 bits are unchanged.
    let found = read(&DicomFile::grey8(Syntax::Explicit, (3, 1), &[0, 100, 255]));
    assert_eq!((samples(&found), &found.changes[..]), (&[0.0, 100.0, 255.0][..], &[Change::FromGrey][..]));
}

#[test]
fn monochrome1_is_inverted() {
    let file = scan(Syntax::Explicit).with_window("40", "400");
    let plain = read(&file);
    let inverted = read(&file.with(0x0028, 0x0004, "CS", "MONOCHROME1"));
    let expected: Vec<f64> = samples(&plain).iter().map(|&v| 255.0 - f64::from(v)).collect();
    close(samples(&inverted), &expected);
    assert!(inverted.changes.contains(&Change::Inverted) && !plain.changes.contains(&Change::Inverted));
}

/// 2×1 samples in each of three frames.
fn three_frames() -> DicomFile {
    DicomFile::grey(Syntax::Explicit, (2, 1), 12, &[1, 2, 3, 4, 5, 6]).with(0x0028, 0x0008, "IS", "3")
}

#[test]
fn a_frame_is_chosen_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scan.dcm");
    fs::write(&path, three_frames().bytes()).unwrap();
    let frame = |number: &str| decode_with_changes(&PathBuf::from(format!("{}{number}", path.display())));
    for (number, first, said) in
        [("", 1, "frame 1 of 3"), ("#1", 1, "frame 1 of 3"), ("#3", 5, "frame 3 of 3")]
    {
        let found = frame(number).unwrap();
        close(samples(&found), &[first, first + 1].map(|v| f64::from(v) / 4095.0 * 255.0));
        assert_eq!(found.changes[0].to_string(), said);
    }
    let error = frame("#4").unwrap_err().to_string();
    assert!(
        error.ends_with("scan.dcm#4: there is no frame 4 in the file; its frames are #1 to #3"),
        "{error}"
    );
    // A file with a single image has no frame numbers.
    let png = folder.path().join("photo.png");
    image::GrayImage::new(2, 2).save(&png).unwrap();
    let error = decode(&PathBuf::from(format!("{}#2", png.display()))).unwrap_err().to_string();
    assert!(error.contains("it is one picture"), "{error}");
}

#[test]
fn what_cannot_be_read_is_said_with_its_remedy() {
    let scan = scan(Syntax::Explicit);
    let cases = [
        (scan.clone().without(0x7FE0, 0x0010), "is DICOM without pixel data (modality CR)"),
        (
            scan.clone().with(0x0028, 0x0004, "CS", "RGB"),
            "DICOM with colours RGB is not supported; convert it to PNG",
        ),
        (scan.clone().with(0x0028, 0x0004, "CS", "PALETTE COLOR"), "colours PALETTE COLOR"),
        (scan.clone().with_number(0x0028, 0x0002, 3), "DICOM with 3 samples a pixel is not supported"),
        (scan.clone().with_number(0x0028, 0x0100, 32), "DICOM with 32 bits a sample is not supported"),
        (scan.clone().with_number(0x0028, 0x0010, 0), "damaged (3x0 pixels"),
        (
            scan.clone().with_number(0x0028, 0x0010, 16_000).with_number(0x0028, 0x0011, 16_000),
            "are too many",
        ),
        (scan.clone().with_number(0x0028, 0x0010, 3), "the DICOM data is truncated"),
        (scan.clone().with(0x0028, 0x3000, "SQ", ""), "modality lookup table"),
    ];
    for (file, expected) in cases {
        let error = fails(&file.bytes());
        assert!(error.contains(expected), "{error}");
    }
    for uid in ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.80", "1.2.3.99"] {
        let file = DicomFile::grey(Syntax::Encapsulated(uid), (3, 2), 12, &STORED);
        let error = fails(&file.bytes());
        assert!(error.contains(uid) && error.contains("gdcmconv --raw"), "{error}");
    }
}

#[test]
fn a_file_that_ends_early_is_an_error_and_a_damaged_one_no_panic() {
    for syntax in [Syntax::Implicit, Syntax::Explicit] {
        let whole = scan(syntax).with_window("40", "400").bytes();
        for length in 132..whole.len() {
            fails(&whole[..length]);
        }
        for at in 132..whole.len() {
            for value in [0, 0xFF] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Err(error) = decode_bytes_with_changes(&damaged, Path::new("scan.dcm")) {
                    assert!(error.to_string().starts_with("scan.dcm: "), "{error}");
                }
            }
        }
    }
}

#[test]
fn jpeg_inside_is_read() {
    let grey = image::GrayImage::from_fn(16, 16, |x, _| image::Luma([if x < 8 { 40 } else { 200 }]));
    let mut jpeg = vec![];
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100).encode_image(&grey).unwrap();
    // JPEG baseline, process 1.
    let file = DicomFile::grey8(Syntax::Encapsulated("1.2.840.10008.1.2.4.50"), (16, 16), &jpeg);
    let other = fails(&file.clone().with_number(0x0028, 0x0010, 8).bytes());
    assert!(other.contains("a JPEG of 16x16 pixels in a picture of 16x8"), "{other}");
    let found = read(&file);
    let largest =
        samples(&found).iter().zip(grey.as_raw()).map(|(a, &b)| (a - f32::from(b)).abs()).fold(0.0, f32::max);
    assert!(largest <= 2.0, "{largest}");
}

/// Samples of 12 bits in runs, and the file whose pixel data are `bytes` in that transfer syntax.
fn runs(uid: &'static str, of: impl Fn(&[i32]) -> Vec<u8>) -> (Vec<i32>, DicomFile) {
    let stored: Vec<i32> =
        (0..16 * 8).map(|i| [4095, 0, 300 + 7 * i, 255, 256][i as usize / 3 % 5]).collect();
    let file = DicomFile::grey(Syntax::Encapsulated(uid), (16, 8), 12, &stored);
    let bytes = of(&stored);
    (stored, file.with_bytes(0x7FE0, 0x0010, "OB", bytes))
}

#[test]
fn compressed_without_loss_is_what_was_stored() {
    let jpeg = |samples: &[i32]| lossless_jpeg((16, 8), 12, samples);
    for (stored, file) in [
        runs("1.2.840.10008.1.2.5", rle),
        runs("1.2.840.10008.1.2.4.57", jpeg),
        runs("1.2.840.10008.1.2.4.70", jpeg),
    ] {
        let expected: Vec<f64> = stored.iter().map(|&v| f64::from(v) / 4095.0 * 255.0).collect();
        close(samples(&read(&file)), &expected);
        // Damage is an error or another picture, no panic; an early end is an error.
        let whole = file.bytes();
        for at in whole.len() - 120..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5A;
            if let Err(error) = decode_bytes_with_changes(&damaged, Path::new("scan.dcm")) {
                assert!(error.to_string().starts_with("scan.dcm: "), "{error}");
            }
            fails(&whole[..at]);
        }
    }
}

#[test]
fn big_endian_is_read() {
    let found = read(&scan(Syntax::BigEndian).with_window("40", "400"));
    assert_eq!(found, read(&scan(Syntax::Explicit).with_window("40", "400")));
    let signed = [-32768, -1000, 0, 32767];
    let of = |syntax| read(&DicomFile::grey(syntax, (2, 2), 16, &signed));
    assert_eq!(of(Syntax::BigEndian), of(Syntax::Implicit));
    // Of 8 bits a sample, two are a word.
    let of = |syntax| read(&DicomFile::grey8(syntax, (3, 1), &[0, 100, 255]));
    assert_eq!(of(Syntax::BigEndian), of(Syntax::Explicit));
}

#[test]
fn a_table_of_grey_levels_is_looked_up() {
    for syntax in [Syntax::Implicit, Syntax::Explicit] {
        // Rescaled samples from 100 on have an entry each; below and above, the first and the last.
        let file =
            DicomFile::grey(syntax, (5, 1), 12, &[0, 1100, 1101, 1102, 4095]).with_rescale("1", "-1000");
        let found = read(&file.clone().with_table(100, 10, &[1023, 512, 0]));
        close(samples(&found), &[1023.0, 1023.0, 512.0, 0.0, 0.0].map(|v| v / 1023.0 * 255.0));
        assert_eq!(found.changes, [Change::Table, Change::FromGrey]);
        // A window of the file is looked through first, one that is stated before both.
        let both = file.with_table(100, 10, &[1023, 512, 0]).with_window("40", "400");
        assert!(matches!(read(&both).changes[0], Change::Windowed { by: Window::Linear, .. }));
    }
}

/// A model's folder with a copy of `pneumonia_cnn_128` and a sidecar.
fn pneumonia(sidecar: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("pneumonia.onnx");
    fs::copy(candor_testing::model_file("pneumonia_cnn_128"), &model).unwrap();
    fs::write(Sidecar::path_for(&model), sidecar).unwrap();
    (folder, model)
}

#[test]
#[ignore = "needs CANDOR_DATA"]
fn pneumonia_is_explained_from_dicom_as_from_its_pixels() {
    let (folder, model) = pneumonia("preset = \"imagenet\"\nlabels = [\"normal\", \"pneumonia\"]\n");
    let classifier = Classifier::open(&model).unwrap();
    let mut explainer =
        classifier.explainer(&Method { name: "grad-cam".into(), ..Method::default() }).unwrap();
    explainer.probe = false;
    let images = candor_testing::data_dir().join("medical/images");
    let mut pngs: Vec<PathBuf> = fs::read_dir(images).unwrap().map(|e| e.unwrap().path()).collect();
    pngs.retain(|p| p.extension().is_some_and(|e| e == "png"));
    pngs.sort();
    for (i, png) in pngs.iter().take(6).enumerate() {
        let grey = image::open(png).unwrap().to_luma8();
        let size = (grey.width() as u16, grey.height() as u16);
        let syntax = if i % 2 == 0 { Syntax::Implicit } else { Syntax::Explicit };
        // As from a radiography unit: 12 bits, high values black, rescaled by an intercept, with its window.
        let stored: Vec<i32> = grey.as_raw().iter().map(|&v| 4080 - 16 * i32::from(v)).collect();
        let file = DicomFile::grey(syntax, size, 12, &stored)
            .with(0x0028, 0x0004, "CS", "MONOCHROME1")
            .with_rescale("2", "-100")
            .with_window("3980", "8160")
            .with(0x0028, 0x1056, "CS", "LINEAR_EXACT");
        let path = folder.path().join(format!("scan{i}.dcm"));
        fs::write(&path, file.bytes()).unwrap();
        let classes = [Class::top(1), Class::Index(1)];
        let of_dicom = explainer.explain(&path, &classes).unwrap();
        let of_png = explainer.explain(png, &classes).unwrap();
        for (a, b) in of_dicom.iter().zip(&of_png) {
            assert_eq!(a.class_id, b.class_id, "{}", png.display());
            // The PNG is rounded to 8 bits again when it is resized, by at most half a level of 255 (2.2 after normalising, over std).
            assert!((a.score - b.score).abs() < 0.05, "{}: {} {}", png.display(), a.score, b.score);
        }
    }
}

#[test]
#[ignore = "needs CANDOR_DATA"]
fn twelve_bits_reach_the_model() {
    let (folder, model) = pneumonia("preset = \"imagenet\"\nwindow = [2048.0, 64.0]\n");
    let classifier = Classifier::open(&model).unwrap();
    // 28×28 samples that fill a sixty-fourth of the range: in 8 bits they would be four levels.
    let stored: Vec<i32> = (0..784).map(|i| 2016 + (i * 37) % 64).collect();
    let path = folder.path().join("scan.dcm");
    fs::write(&path, DicomFile::grey(Syntax::Explicit, (28, 28), 12, &stored).bytes()).unwrap();
    let preprocessing = &classifier.preprocessing;
    let photo = preprocessing.read(&path).unwrap().photo;
    let input = preprocessing.apply(&photo);
    let mut levels: Vec<u32> = input[..128 * 128].iter().map(|v| v.to_bits()).collect();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() > 1000, "{} different values", levels.len());
    // Within half a level of the result with 8 bits, resized twice.
    let rounded = preprocessing.apply(&photo.clone().into_shown());
    let level = 1.0 / 255.0 / 0.224;
    assert!(input.iter().zip(&rounded).all(|(a, b)| (a - b).abs() <= 2.1 * level));
    assert_eq!(preprocessing.filter, Filter::Bilinear);
}
