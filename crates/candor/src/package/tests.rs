//! Tests of what is found beside a model.

use super::*;
use crate::image::{ColorOrder, Filter, ResizeMode};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(files: &[(&str, &str)]) -> Result<Package, String> {
    let folder = folder(files);
    let shown = format!("{}/", folder.path().display());
    Package::read(folder.path(), &[]).map_err(|e| crate::error::one_line(&e).replace(&shown, ""))
}

const CONVNEXT: &str = r#"{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3,
    "do_normalize": true, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]}"#;
const LABELED: &str = r#"{"id2label": {"1": "dog", "0": "cat"}, "pretrained_cfg": {"input_size": [3, 160, 160], "crop_pct": 0.95}}"#;

#[test]
fn a_folder_is_its_model_and_a_model_knows_its_folder() {
    let optimum = folder(&[("onnx/model.onnx", ""), ("onnx/model_fp16.onnx", ""), ("config.json", "{}")]);
    let root = optimum.path().to_path_buf();
    let model = root.join("onnx/model.onnx");
    let of = |path: &Path| locate(path).map_err(|e| e.to_string());
    assert_eq!(of(&root), Ok(Located { model: model.clone(), folder: root.clone() }));
    assert_eq!(of(&model), Ok(Located { model, folder: root.clone() }));
    let other = root.join("onnx/model_fp16.onnx");
    assert_eq!(of(&other).unwrap().folder, root);

    let one = folder(&[("net.onnx", ""), ("labels.txt", "a")]);
    assert_eq!(of(one.path()).unwrap().model, one.path().join("net.onnx"));
    let two = folder(&[("a.onnx", ""), ("b.onnx", "")]);
    assert!(of(two.path()).unwrap_err().ends_with("holds several models; name one: a.onnx, b.onnx"));
    let none = folder(&[("model.safetensors", "")]);
    assert!(of(none.path()).unwrap_err().contains("holds no .onnx file; export the model there"));
}

#[test]
fn the_processor_comes_before_timm_and_labels_have_their_file() {
    let both = read(&[(PREPROCESSOR, CONVNEXT), (CONFIG, LABELED)]).unwrap();
    let recipe = both.recipe.unwrap();
    assert_eq!((recipe.source.as_str(), recipe.size), (PREPROCESSOR, Some([224, 224])));
    let p = recipe.preprocessing(224, 224).unwrap();
    assert_eq!((p.resize, p.resized, p.filter), (ResizeMode::Crop, Some([256, 256]), Filter::Bicubic));
    assert_eq!((p.mean, p.color), ([0.1, 0.2, 0.3], ColorOrder::Rgb));
    assert_eq!(both.labels[0].0, CONFIG);
    assert_eq!(both.labels[0].1.name(1), "dog");
    let timm = read(&[(CONFIG, LABELED)]).unwrap().recipe.unwrap();
    assert_eq!((timm.source.as_str(), timm.size), (CONFIG, Some([160, 160])));
    assert_eq!(timm.preprocessing(160, 160).unwrap().resized, Some([168, 168]));
    let error = timm.preprocessing(224, 224).unwrap_err().to_string();
    assert!(error.starts_with("config.json: is for an input of 160×160"), "{error}");
    assert!(read(&[]).unwrap().recipe.is_none());
}

#[test]
fn timm_names_its_classes_by_their_descriptions() {
    let config = r#"{"label_names": ["n01440764", "n01443537"], "label_descriptions": {"n01440764": "tench, Tinca tinca"}}"#;
    let package = read(&[(CONFIG, config)]).unwrap();
    assert_eq!([0, 1].map(|c| package.labels[0].1.name(c)), ["tench, Tinca tinca", "n01443537"]);
}

#[test]
fn exports_of_teachable_machine_are_known_by_their_labels() {
    let package = read(&[("labels.txt", "0 Class 1\n1 Class 2\n")]).unwrap();
    let recipe = package.recipe.unwrap();
    let p = recipe.preprocessing(224, 224).unwrap();
    // The central square, scaled to −1..1.
    assert_eq!(
        (p.resize, p.resized, p.mean, p.std),
        (ResizeMode::Crop, Some([224, 224]), [0.5; 3], [0.5; 3])
    );
    assert_eq!(package.labels[0].1.name(0), "Class 1");
    assert!(read(&[("labels.txt", "cat\ndog\n")]).unwrap().recipe.is_none());
}

#[test]
fn what_a_file_cannot_mean_is_said_with_its_name() {
    let fails = |files: &[(&str, &str)], part: &str| {
        let error = read(files).unwrap_err();
        assert!(error.starts_with(files[0].0) && error.contains(part), "{error}");
    };
    fails(&[(CONFIG, "{")], "is not JSON");
    fails(&[(CONFIG, "[]")], "no object");
    fails(&[(PREPROCESSOR, r#"{"size": "large"}"#)], "`size` is neither");
    fails(&[(PREPROCESSOR, r#"{"size": 224, "resample": 5}"#)], "`resample` is none of");
    fails(
        &[(PREPROCESSOR, r#"{"size": 224, "image_mean": [1, 2]}"#)],
        "`image_mean` is not a number for each channel",
    );
    fails(&[(CONFIG, r#"{"pretrained_cfg": {"input_size": [3, 0, 9]}}"#)], "`input_size` is not");
    fails(
        &[(CONFIG, r#"{"pretrained_cfg": {"input_size": [3, 9, 9], "interpolation": "box"}}"#)],
        "`interpolation` is 'box'",
    );
}
