//! Resizing and cropping against Pillow's own results (tools/goldens/image.py makes them).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candor::image::{Filter, Preprocessing, Preset, ResizeMode, decode, resize};
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
