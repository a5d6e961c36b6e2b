//! Preprocessing found beside a model, against the inputs that transformers and timm compute for the same photo
//! (tools/goldens/preprocessing.py): pixels exactly, values to 1e-6.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::image::{Preprocessing, RgbImage};
use candor::package::Package;
use candor_testing::fixture;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Golden {
    name: String,
    file: String,
    config: serde_json::Value,
    photo: [u32; 2],
    input: [usize; 2],
    sha256: String,
    pixels: Vec<u8>,
    floats: BTreeMap<usize, f64>,
}

/// `photo` of the script.
fn photo([height, width]: [u32; 2]) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([0, 1, 2].map(|c| ((3 * x * x + 5 * y * y + (c + 1) * x * y + 40 * c) % 256) as u8))
    })
}

#[test]
fn found_preprocessing_is_that_of_the_library() {
    let text = std::fs::read_to_string(fixture!("../golden/preprocessing.json")).unwrap();
    let goldens: Vec<Golden> = serde_json::from_str(&text).unwrap();
    let names: BTreeSet<&str> = goldens.iter().map(|g| g.name.as_str()).collect();
    assert!(names.len() >= 20, "{} configurations", names.len());
    let mut worst = 0.0f64;
    for Golden { name, file, config, photo: size, input: [height, width], sha256, pixels, floats } in &goldens
    {
        let what = format!("{name}, photo of {size:?}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), config.to_string()).unwrap();
        let recipe = Package::read(folder.path(), &[])
            .unwrap()
            .recipe
            .unwrap_or_else(|| panic!("{what}: nothing found"));
        assert_eq!(&recipe.source, file, "{what}");
        let found = recipe.preprocessing(*height, *width).unwrap();
        let photo = photo(*size);
        let levels =
            Preprocessing { scale: 1.0, mean: [0.0; 3], std: [1.0; 3], ..found.clone() }.apply(&photo);
        let levels: Vec<u8> = levels.iter().map(|v| *v as u8).collect();
        assert_eq!(&levels[..pixels.len()], pixels, "{what}: first pixels");
        let hash: String = Sha256::digest(&levels).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&hash, sha256, "{what}: pixels ({found})");
        let values = found.apply(&photo);
        for (i, want) in floats {
            let error = (f64::from(values[*i]) - want).abs();
            worst = worst.max(error);
            assert!(error <= 1e-6, "{what}, value {i}: {} is not {want}", values[*i]);
        }
    }
    println!(
        "{} configurations, {} photos each; largest difference {worst:.1e}",
        names.len(),
        goldens.len() / names.len()
    );
}
