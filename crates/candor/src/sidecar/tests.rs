//! Tests of the sidecar.

use std::fs;

use super::*;

const EVERY_KEY: &str = r#"preset = "caffe"
size = [227, 200]
scale = 1
mean = [123, 117.0, 104.5]
std = [1.0, 2.0, 3.0]
color = "rgb"
layout = "nhwc"
resize = "crop"
crop = 0.95
fill = [1, 2, 3]
rounding = "timm"
filter = "lanczos"
window = [40.0, 400.0]
labels = "classes.txt"
output = "y"
logits = "fc"
levels = ["conv1", "conv5"]
lambda = 0.25

[inputs]
temperature = 1.5
"#;

fn parse(text: &str) -> Result<Sidecar, SidecarError> {
    Sidecar::parse(text, Path::new("m.candor.toml"))
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn every_key_is_read_and_written() {
    let sidecar = parse(EVERY_KEY).unwrap();
    let text = sidecar.to_text(Path::new("m.candor.toml")).unwrap();
    assert_eq!(parse(&text).unwrap(), sidecar);
    assert_eq!(text.lines().count(), EVERY_KEY.lines().count());
}

#[test]
fn the_sidecar_refines_the_preset() {
    let sidecar = parse(EVERY_KEY).unwrap();
    let preprocessing = sidecar.preprocessing(None, [None, Some(200)], 3).unwrap();
    let expected = Preprocessing {
        height: 227,
        width: 200,
        channels: 3,
        color: ColorOrder::Rgb,
        resize: ResizeMode::Crop,
        // ⌊227 / 0.95⌋, ⌊200 / 0.95⌋
        resized: Some([238, 210]),
        rounding: Rounding::Timm,
        fill: [1, 2, 3],
        window: Some([40.0, 400.0]),
        filter: Filter::Lanczos,
        scale: 1.0,
        mean: [123.0, 117.0, 104.5],
        std: [1.0, 2.0, 3.0],
    };
    assert_eq!(preprocessing, expected);
    // A requested preset brings its own numbers; the way of resizing stays the sidecar's.
    let asked = sidecar.preprocessing(Some(Preset::Unit), [None, Some(200)], 3).unwrap();
    let unit = Preset::Unit.preprocessing(227, 200);
    assert_eq!((asked.scale, asked.mean, asked.std), (unit.scale, unit.mean, unit.std));
    assert_eq!(
        (asked.resize, asked.resized, asked.filter),
        (ResizeMode::Crop, Some([238, 210]), Filter::Lanczos)
    );
}

#[test]
fn one_number_serves_all_channels() {
    for text in [
        "mean = 127.5\nstd = 2",
        "mean = [127.5]\nstd = [2.0]",
        "mean = [127.5, 127.5, 127.5]\nstd = [2, 2, 2]",
    ] {
        let sidecar = parse(text).unwrap();
        assert_eq!((sidecar.mean, sidecar.std), (Some([127.5; 3]), Some([2.0; 3])), "{text}");
        let grey = sidecar.preprocessing(None, [Some(4), Some(5)], 1).unwrap();
        assert_eq!((grey.channels, grey.mean[0], grey.std[0]), (1, 127.5, 2.0), "{text}");
    }
}

#[test]
fn a_photo_comes_to_its_size_as_is_said() {
    let of = |text: &str| parse(text).unwrap().preprocessing(None, [Some(224), Some(224)], 3).unwrap();
    let how = |text: &str| (of(text).resize, of(text).resized);
    assert_eq!(how(""), (ResizeMode::Squash, None));
    assert_eq!(how("resize = 'crop'"), (ResizeMode::Crop, None));
    assert_eq!(how("crop = 0.95"), (ResizeMode::Crop, Some([235, 235])));
    assert_eq!(how("crop = 1.0"), (ResizeMode::Crop, Some([224, 224])));
    assert_eq!(how("crop = 0.9\nresize = 'squash'"), (ResizeMode::Squash, Some([248, 248])));
    assert_eq!(how("resize = 'letterbox'"), (ResizeMode::Letterbox, None));
    assert_eq!(how("resize = 'pad'"), (ResizeMode::Letterbox, None));
    assert_eq!(of("color = 'gray'").color, ColorOrder::Grey);
}

#[test]
fn what_calibration_writes_stays_before_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.candor.toml");
    fs::write(&path, "# mine\npreset = 'unit'\n\n[inputs]\nlambda = 3.0\n").unwrap();
    let text = Sidecar::with_calibration(&path, &calibrated(0.5)).unwrap();
    let sidecar = parse(&text).unwrap();
    assert_eq!((sidecar.lambda, sidecar.inputs.get("lambda")), (Some(0.5), Some(&3.0)), "{text}");
    fs::write(&path, "# mine\npreset = 'unit'\n\n[inputs]\nt = 3.0\n").unwrap();
    let text = Sidecar::with_calibration(&path, &calibrated(0.5)).unwrap();
    assert_eq!(text, "# mine\npreset = 'unit'\n\nlambda = 0.5\n[inputs]\nt = 3.0\n");
}

#[test]
fn presets_give_way_in_order() {
    let none = Sidecar::default();
    let fixed = [Some(4), Some(5)];
    assert_eq!(none.preprocessing(None, fixed, 3).unwrap(), Preset::Imagenet.preprocessing(4, 5));
    assert_eq!(none.preprocessing(Some(Preset::Raw), fixed, 3).unwrap(), Preset::Raw.preprocessing(4, 5));
    let unit = parse("preset = 'unit'").unwrap();
    assert_eq!(unit.preprocessing(None, fixed, 3).unwrap(), Preset::Unit.preprocessing(4, 5));
    assert_eq!(unit.preprocessing(Some(Preset::Raw), fixed, 3).unwrap(), Preset::Raw.preprocessing(4, 5));
}

#[test]
fn an_input_that_makes_no_sense_is_refused() {
    let none = Sidecar::default();
    let message = none.preprocessing(None, [Some(4), None], 3).unwrap_err().to_string();
    assert!(message.contains("size = [height, width]"), "{message}");
    let message = none.preprocessing(None, [Some(4), Some(4)], 12).unwrap_err().to_string();
    assert_eq!(message, "the model's input has 12 channels; an image gives 3, or 1 when grey");
    let message =
        parse("size = [8, 8]").unwrap().preprocessing(None, [Some(4), None], 3).unwrap_err().to_string();
    let expected = "size = [8, 8] is asked for, by --size or the sidecar, but the model takes 4xany (height x width); leave it out";
    assert_eq!(message, expected);
}

#[test]
fn errors_name_file_line_and_key() {
    let unknown = error("# comment\n\nprest = 'unit'\n");
    assert!(unknown.starts_with("m.candor.toml: line 3, key `prest`: unknown field `prest`"), "{unknown}");
    let wrong = error("preset = 'unit'\nmean = [1.0, 2.0]\n");
    assert!(wrong.starts_with("m.candor.toml: line 2, key `mean`: invalid length 2"), "{wrong}");
    let long = error("size = [8, 8, 8]");
    assert_eq!(long, "m.candor.toml: line 1, key `size`: invalid length 3, expected a list of 2");
    let variant = error("resize = 'fit'");
    assert!(variant.starts_with("m.candor.toml: line 1, key `resize`: unknown variant `fit`"), "{variant}");
    let labels = error("\nlabels = 7");
    assert_eq!(labels, "m.candor.toml: line 2, key `labels`: expected a file name or a list of names");
    let later = error("levels = [\n  'a',\n  3,\n]");
    assert!(later.starts_with("m.candor.toml: line 3, key `levels`: invalid type: integer `3`"), "{later}");
    let syntax = error("size = [8, 8\nstd = 1");
    assert!(syntax.starts_with("m.candor.toml: line ") && !syntax.contains('\n'), "{syntax}");
}

#[test]
fn values_out_of_range_are_refused() {
    let cases = [
        ("std = [1, 0, 1]", "line 1, key `std`: must be finite and not 0, of a size from 1e-12 to 1e12"),
        ("\nscale = 0", "line 2, key `scale`: must be finite and not 0, of a size from 1e-12 to 1e12"),
        ("mean = [nan, 0, 0]", "line 1, key `mean`: must be from -1e12 to 1e12"),
        ("size = [0, 4]", "line 1, key `size`: must be [height, width], each in 1..=16384"),
        ("crop = 0", "line 1, key `crop`: must be in 0.01..=1"),
        ("window = [1, 0]", "line 1, key `window`: must be [centre, width], finite, the width above 0"),
        ("lambda = -1.0", "line 1, key `lambda`: must be from 1e-12 to 1e6"),
        // 64-bit numbers that are zero, or too large, as 32-bit inputs.
        ("lambda = 1e308", "line 1, key `lambda`: must be from 1e-12 to 1e6"),
        ("scale = 1e300", "line 1, key `scale`: must be finite and not 0, of a size from 1e-12 to 1e12"),
        ("std = [1, 1e-60, 1]", "line 1, key `std`: must be finite and not 0, of a size from 1e-12 to 1e12"),
        ("mean = [0, 0, -1e39]", "line 1, key `mean`: must be from -1e12 to 1e12"),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), format!("m.candor.toml: {message}"));
    }
}

#[test]
fn both_names_are_found_but_not_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.v2.onnx");
    assert!(Sidecar::find(&model).unwrap().is_none());
    let long = folder.path().join("net.v2.onnx.candor.toml");
    fs::write(&long, "preset = 'unit'").unwrap();
    assert_eq!(Sidecar::find(&model).unwrap().unwrap().0, long);
    fs::write(folder.path().join("net.v2.candor.toml"), "preset = 'raw'").unwrap();
    let message = Sidecar::find(&model).unwrap_err().to_string();
    assert!(message.ends_with("net.v2.onnx.candor.toml both exist; keep one"), "{message}");
    fs::remove_file(long).unwrap();
    assert_eq!(Sidecar::find(&model).unwrap().unwrap().1.preset, Some(Preset::Raw));
}

fn calibrated(lambda: f64) -> Calibrated {
    Calibrated { lambda, false_alarms: None, preset: None, assumed: None, levels: vec![] }
}

#[test]
fn lambda_is_set_and_the_rest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.candor.toml");
    let with = |lambda| Sidecar::with_calibration(&path, &calibrated(lambda)).unwrap();
    assert_eq!(with(0.5), "lambda = 0.5\n");
    fs::write(&path, "# mine\nlambda = 3 # old\npreset = 'unit' # why\n").unwrap();
    assert_eq!(with(1e-7), "# mine\nlambda = 1e-7\npreset = 'unit' # why\n");
    let tricky = "logits = '''\nlambda = 9'''\n";
    fs::write(&path, tricky).unwrap();
    let loaded = parse(&with(2.0)).unwrap();
    assert_eq!((loaded.lambda, loaded.logits.as_deref()), (Some(2.0), Some("lambda = 9")));
}

#[test]
fn what_lambda_was_found_for_is_written_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.candor.toml");
    fs::write(&path, "# mine\nmean = [1, 2, 3]\npreset = 'caffe'\nresize = 'crop'\nlevels = ['a']\n")
        .unwrap();
    let before = parse(&fs::read_to_string(&path).unwrap()).unwrap();
    let levels = vec!["b".to_string(), "c\"d".to_string()];
    let found = Calibrated { preset: Some(Preset::Inception), levels: levels.clone(), ..calibrated(0.25) };
    let text = Sidecar::with_calibration(&path, &found).unwrap();
    assert!(text.starts_with("# mine\npreset = \"inception\"\nresize = 'crop'\n"), "{text}");
    let after = parse(&text).unwrap();
    assert_eq!((after.lambda, after.levels.as_ref()), (Some(0.25), Some(&levels)));
    // The next run, without a preset, prepares photos as this one did.
    let used = before.preprocessing(Some(Preset::Inception), [Some(8), Some(8)], 3).unwrap();
    assert_eq!(after.preprocessing(None, [Some(8), Some(8)], 3).unwrap(), used);
}

#[test]
fn an_assumed_preset_does_not_become_a_stated_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.candor.toml");
    let found = Calibrated { assumed: Some(Preset::Imagenet), ..calibrated(0.25) };
    let text = Sidecar::with_calibration(&path, &found).unwrap();
    assert_eq!(text, "lambda = 0.25 # for imagenet preprocessing, which was assumed\n");
    assert!(!parse(&text).unwrap().states_preprocessing());
    for (text, stated) in [
        ("preset = 'unit'", true),
        ("std = [1, 1, 1]", true),
        ("color = 'bgr'", true),
        ("resize = 'crop'\nsize = [8, 8]\nlabels = ['a']\nlambda = 1.0", false),
    ] {
        assert_eq!(parse(text).unwrap().states_preprocessing(), stated, "{text}");
    }
}

#[test]
fn a_lambda_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.candor.toml");
    fs::write(&path, "lambda = 1.0\n").unwrap();
    assert!(Sidecar::with_calibration(&path, &calibrated(f64::NAN)).is_err());
}

#[test]
fn labels_lie_beside_the_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("classes.txt"), "cat\ndog\n").unwrap();
    let path = folder.path().join("m.candor.toml");
    let names = parse(EVERY_KEY).unwrap().labels(&path).unwrap().unwrap();
    assert_eq!(names.name(1), "dog");
    let inline = parse("labels = ['a', 'b', 'c']").unwrap().labels(&path).unwrap().unwrap();
    assert_eq!(inline.len(), 3);
    assert!(Sidecar::default().labels(&path).unwrap().is_none());
}
