//! Exported methods, run by an engine like any other model, against Candor's own maps.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::error::one_line;
use candor::progress::Unwatched;
use std::path::Path;

use candor::engine::RTen;
use candor::export::{export, exportable};
use candor::image::Preprocessing;
use candor::methods::{self, Choices};
use candor::model::{Model, ModelOptions};
use candor::scores::ranking;
use candor::sidecar::Sidecar;
use candor_graph::onnx;
use candor_graph::tensor::{Tensor, TensorData};
use candor_scenes::embedded;

/// Largest difference, relative to the largest value of Candor's own map.
const TOLERANCE: f32 = 1e-4;

type Settings = Vec<(String, String)>;

fn set(pairs: &[(&str, &str)]) -> Settings {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

/// Every method that can be exported, and the settings that change its graph.
fn cases() -> Vec<(&'static str, Settings)> {
    let mut cases: Vec<_> = exportable().into_iter().map(|name| (name, short(name))).collect();
    cases.extend([
        ("gradient", set(&[("channels", "sum")])),
        ("lrp", set(&[("composite", "epsilon-gamma-box")])),
        ("deeplift", set(&[("baseline", "mean")])),
        ("deeplift", set(&[("baseline", "blur")])),
        ("integrated-gradients", set(&[("steps", "3"), ("baseline", "blur")])),
        ("integrated-gradients", set(&[("rule", "right"), ("steps", "3"), ("baseline", "mean")])),
        (
            "reliable",
            set(&[("iterations", "4"), ("shape", "full"), ("upsample", "nearest"), ("rivals", "no-top1")]),
        ),
        (
            "reliable",
            set(&[("iterations", "4"), ("objective", "logit"), ("exact", "false"), ("floor", "null")]),
        ),
        ("reliable", set(&[("iterations", "6"), ("anneal", "0.6")])),
        ("reliable", set(&[("iterations", "6"), ("evidence", "photo")])),
        ("reliable", set(&[("iterations", "6"), ("lambda", "0.01"), ("weak", "true")])),
        ("reliable", set(&[("iterations", "6"), ("shape", "full")])),
    ]);
    cases
}

/// Few steps: the arithmetic of each step is compared.
fn short(name: &str) -> Settings {
    match name {
        "reliable" => set(&[("iterations", "8")]),
        "integrated-gradients" => set(&[("steps", "5")]),
        _ => vec![],
    }
}

fn embedded_model() -> Model {
    Model::from_bytes("scenes", embedded::MODEL, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap()
}

fn preprocessing(model: &Model) -> Preprocessing {
    let [c, h, w] = model.input_shape;
    Sidecar::default().preprocessing(None, [Some(h), Some(w)], c).unwrap()
}

/// Waves with a different wavelength in each channel.
fn waves([channels, height, width]: [usize; 3]) -> Vec<f32> {
    let plane = height * width;
    let value = |i: usize| {
        let (c, y, x) = (i / plane, i / width % height, i % width);
        ((x as f32 * 0.31 + c as f32).sin() + (y as f32 * 0.17 - c as f32).cos()) / 2.0
    };
    (0..channels * plane).map(value).collect()
}

/// Allowed error of a map, relative to the largest value of Candor's own.
#[derive(Clone, Copy, PartialEq)]
enum Off {
    /// At every pixel.
    Most,
    /// At every pixel, but only on average if λ is adapted to what the masks keep: λ depends on the last bit of that, too, and among ten
    /// thousand mask entries some are about to flip.
    MeanWhereLambdaFollows,
}

/// Runs every case on an image, for its answer and the lowest class, and returns the differences.
fn differences(model: &Model, allowed: Off) -> Vec<String> {
    let [c, h, w] = model.input_shape;
    let (image, preprocessing) = (waves(model.input_shape), preprocessing(model));
    let image = image.as_slice();
    let mut wrong = vec![];
    for (name, set) in cases() {
        let method = methods::find(name).unwrap();
        let exported = export(model, &preprocessing, method.as_ref(), &set, &Choices::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        // An exported graph takes no closer look, and if it has no windows it evaluates the whole photo.
        let chosen = ["evidence", "look"].iter().filter_map(|&key| {
            let value = exported.method.parameters.get(key)?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            Some((key.to_string(), text))
        });
        let own_set: Settings =
            set.iter().filter(|(key, _)| key != "evidence").cloned().chain(chosen).collect();
        let (mut own, _) = methods::prepare(model, method.as_ref(), &own_set, &Choices::default()).unwrap();
        let scores = own.scores(model, image).unwrap();
        let order = ranking(&scores);
        let classes = [order[0], order[order.len() - 1]];
        let maps = own.explain(model, &classes, &mut Unwatched).unwrap();
        // Through the file, as other programs will read it.
        let bytes = onnx::to_bytes_with(&exported.graph, &exported.notes).unwrap();
        assert!(!bytes.is_empty());
        let mut session = model.engine.compile(&exported.graph).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (rows, queries) = match model.fixed_batch {
            Some(n) => (n, vec![classes[0] as i64; n]),
            None => (2, classes.map(|c| c as i64).to_vec()),
        };
        let images = Tensor::floats(&[rows, c, h, w], image.repeat(rows)).unwrap();
        let queries = Tensor::new(vec![rows], TensorData::Int64(queries)).unwrap();
        let out = session.run(&[&images, &queries]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(out[1].shape(), [rows, 1, h, w], "{name}");
        let logits = &out[0].as_floats().unwrap()[..scores.len()];
        let area = h * w;
        let got = out[1].as_floats().unwrap();
        for (q, own) in maps.iter().enumerate().take(rows) {
            let largest = own.map.data.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(1e-6);
            let pairs = got[q * area..(q + 1) * area].iter().zip(&own.map.data);
            let offs: Vec<f32> = pairs.map(|(a, b)| (a - b).abs() / largest).collect();
            let most = offs.iter().fold(0.0f32, |m, v| m.max(*v));
            let follows = exported.method.parameters.get("keep").and_then(|v| v.as_f64()) > Some(0.0);
            let mean = follows && allowed == Off::MeanWhereLambdaFollows;
            let off = if mean { offs.iter().sum::<f32>() / area as f32 } else { most };
            println!("{name} {set:?}, query {q}: {off:.1e} (most {most:.1e}) of {largest:.2e}");
            if off.is_nan() || off > TOLERANCE {
                wrong.push(format!(
                    "{name} {set:?}, query {q}: map off by {off:.1e} of its largest value {largest:.2e}"
                ));
            }
        }
        let off = logits.iter().zip(&scores).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        if off > 1e-4 {
            wrong.push(format!("{name}: logits off by {off:.1e}"));
        }
    }
    wrong
}

#[test]
fn the_embedded_model_explains_itself() {
    let wrong = differences(&embedded_model(), Off::Most);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn a_real_model_explains_itself() {
    let data = candor_testing::data_dir();
    let path = data.join("models/cifar10_resnet20.onnx");
    let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    let wrong = differences(&model, Off::Most);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn larger_models_explain_themselves() {
    let data = candor_testing::data_dir();
    let mut wrong = vec![];
    for name in ["mobilenet_v2_1.0_224", "squeezenet1_0_deepcompressed"] {
        let path = data.join(format!("models/{name}.onnx"));
        let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
        wrong.extend(
            differences(&model, Off::MeanWhereLambdaFollows).into_iter().map(|w| format!("{name}: {w}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_cannot_be_exported_says_what_can() {
    let model = embedded_model();
    let preprocessing = preprocessing(&model);
    let try_it = |name: &str, set: &[(String, String)]| {
        let method = methods::find(name).unwrap();
        let result = export(&model, &preprocessing, method.as_ref(), set, &Choices::default());
        one_line(&result.err().expect("refused"))
    };
    let rise = try_it("rise", &[]);
    assert!(
        rise.contains("cannot be exported; these can: reliable, gradient") && !rise.contains('\n'),
        "{rise}"
    );
    let best = try_it("reliable", &set(&[("return", "best")]));
    assert!(best.contains("can only be exported with return=last"), "{best}");
}

#[test]
fn a_file_is_there_whole_or_not_at_all() {
    let model = embedded_model();
    let preprocessing = preprocessing(&model);
    let method = methods::find("gradient").unwrap();
    let exported = export(&model, &preprocessing, method.as_ref(), &[], &Choices::default()).unwrap();
    let error = exported.save(Path::new("no/such/folder/x.onnx")).unwrap_err().to_string();
    assert!(error.contains("no/such/folder/x.onnx"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.onnx");
    exported.save(&path).unwrap();
    let loaded = onnx::load(&path).unwrap();
    assert_eq!(loaded.graph.inputs.len(), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
