//! Resizing and cropping against Pillow's own results (tools/goldens/image.py makes them).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candor::image::{Filter, Photo, Preprocessing, Preset, ResizeMode, Samples, decode, resize};
use image::{Rgb, RgbImage};

use candor_testing::fixture;

/// `large()` of tools/goldens/image.py.
fn large() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| {
        let r = (x * 5 + y * 3 + (x * y) / 7) % 256;
        let g = (x / 3 + (y * y) / 11) % 256;
        let b = ((x / 40 + y / 30) % 2) * 255;
        Rgb([r as u8, g as u8, b as u8])
    })
}

/// (largest difference in levels, samples that differ, samples)
fn compare(ours: &RgbImage, golden: &str) -> (u8, usize, usize) {
    let theirs = decode(&fixture!(golden)).unwrap();
    assert_eq!(ours.dimensions(), theirs.dimensions(), "{golden}");
    let differences = ours.as_raw().iter().zip(theirs.as_raw()).map(|(a, b)| a.abs_diff(*b));
    let largest = differences.clone().max().unwrap();
    (largest, differences.filter(|&d| d > 0).count(), ours.as_raw().len())
}

#[test]
fn every_filter_is_pillows() {
    let source = decode(&fixture!("image/resize/source.png")).unwrap();
    let filters = [
        ("nearest", Filter::Nearest),
        ("bilinear", Filter::Bilinear),
        ("bicubic", Filter::Bicubic),
        ("lanczos", Filter::Lanczos),
    ];
    for (name, filter) in filters {
        let (mut largest, mut different, mut samples) = (0, 0, 0);
        let mut add = |image: &str, photo: &RgbImage, (h, w): (u32, u32)| {
            let golden = format!("image/resize/{image}_{name}_{h}x{w}.png");
            let (l, d, s) = compare(&resize(photo, h, w, filter), &golden);
            (largest, different, samples) = (l.max(largest), different + d, samples + s);
        };
        for size in [(8, 8), (24, 31), (80, 64), (53, 20), (20, 37), (16, 60)] {
            add("source", &source, size);
        }
        for size in [(32, 32), (56, 75)] {
            add("large", &large(), size);
        }
        println!("{name}: {different} of {samples} samples differ, by at most {largest}");
        assert_eq!((largest, different), (0, 0), "{name}: Pillow's result to the last level");
    }
}

#[test]
fn floats_are_resized_as_pillow_does_it() {
    let source = decode(&fixture!("image/resize/source.png")).unwrap();
    let values = source.pixels().map(|p| f32::from(p.0[0]) / 3.0).collect();
    let photo = Photo::from(Samples { width: source.width(), height: source.height(), values });
    let golden = std::fs::read_to_string(fixture!("image/resize/floats.json")).unwrap();
    let golden: std::collections::BTreeMap<String, Vec<f32>> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 12);
    for (name, theirs) in golden {
        let (filter, size) = name.split_once('_').unwrap();
        let (height, width) = size.split_once('x').unwrap();
        let filter = serde_json::from_value(filter.into()).unwrap();
        let of_size = Preset::Raw.preprocessing(height.parse().unwrap(), width.parse().unwrap());
        let ours = Preprocessing { filter, channels: 1, ..of_size }.apply(&photo);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // For values up to 85 the last bit is 7.6e-6.
        assert!(largest <= 8e-6, "{name}: off by {largest}");
    }
}

#[test]
fn the_crop_is_torchvisions() {
    for (height, width) in [(480, 640), (375, 500), (333, 250), (53, 37), (97, 97), (20, 61), (64, 201)] {
        let photo = image::imageops::crop_imm(&large(), 0, 0, width, height).to_image();
        for size in [32, 28, 45] {
            let preset = Preset::Imagenet.preprocessing(size, size);
            let crop = Preprocessing { resize: ResizeMode::Crop, ..preset };
            let golden = format!("image/crop/{height}x{width}_{size}.png");
            let (largest, different, _) = compare(&crop.pixels(&photo), &golden);
            assert_eq!((largest, different), (0, 0), "{golden}");
        }
    }
}
