//! The checks of maps, on the embedded model, for methods whose result is known.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;

use candor::engine::RTen;
use candor::methods::{self, Choices};
use candor::model::{Model, ModelOptions};
use candor::progress::{Progress, Unwatched};
use candor_eval::check::input_shift::{InputShift, input_shift};
use candor_eval::check::randomize::cascade;
use candor_eval::check::vanishing::vanishing;
use candor_eval::check::{Forgetful, Input, Kind, Subject, check_method};
use candor_eval::error::Error;
use candor_scenes::embedded;

fn model() -> Model {
    let options = ModelOptions::default();
    Model::from_bytes("scenes.onnx", embedded::MODEL, &options, Box::new(RTen::new(2))).unwrap()
}

fn scenes(model: &Model, count: usize) -> Vec<Input> {
    let [_, height, width] = model.input_shape;
    let preprocessing = candor::image::Preset::Inception.preprocessing(height, width);
    let input = |(number, scene): (usize, &embedded::DemoScene)| {
        let photo = candor::image::decode_bytes(scene.png, std::path::Path::new(scene.name)).unwrap();
        Input { number, path: scene.name.to_string(), values: preprocessing.apply(&photo) }
    };
    embedded::DEMO_SCENES[..count].iter().enumerate().map(input).collect()
}

fn with_subject<T>(name: &str, set: &[(&str, &str)], f: impl FnOnce(Subject<'_>) -> T) -> T {
    let method = methods::find(name).unwrap();
    let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let choices = Choices { calibrated_lambda: Some(embedded::LAMBDA), ..Choices::default() };
    f(Subject { method: method.as_ref(), set: &set, choices: &choices })
}

#[test]
fn the_reliable_mask_passes_and_null_methods_fail() {
    let model = model();
    let images = scenes(&model, 4);
    let check = |name: &str, set: &[(&str, &str)]| {
        with_subject(name, set, |s| {
            check_method(&model, s, &images, 0, &mut Unwatched, &mut Forgetful).unwrap()
        })
    };
    let reliable = check("reliable", &[("iterations", "30")]);
    assert!(reliable.passed && reliable.repeatable, "{:?}", reliable.reasons);
    let lowest = &reliable.queries[&Kind::Lowest];
    assert_eq!(lowest.level_mass.len(), 4);
    assert!(lowest.level_mass.iter().all(|&m| m == 0.0), "{:?}", lowest.level_mass);
    assert!(reliable.queries[&Kind::Top1].level_mass.iter().any(|&m| m > 0.01));
    for name in ["random", "edges"] {
        let null = check(name, &[]);
        assert!(!null.passed, "{name} passes");
        let ratio = null.queries[&Kind::Random].ratio.unwrap();
        assert!(ratio.median > 0.9 && ratio.interval[0] <= ratio.median, "{name}: {ratio:?}");
    }
    // Edges do not depend on the class: the maps are equal, and the random-logit test shows it.
    assert_eq!(check("edges", &[]).queries[&Kind::Random].ssim.unwrap().median, 1.0);
}

#[test]
fn a_gradient_does_not_move_with_the_input_and_gradient_times_input_does() {
    let model = model();
    let images = scenes(&model, 2);
    let shift =
        |name: &str| with_subject(name, &[], |s| input_shift(&model, s, &images, &mut Unwatched).unwrap());
    let InputShift { constant, difference, ssim, spearman } = shift("gradient");
    assert!(constant > 0.1, "{constant}");
    assert!(difference.unwrap() < 1e-3, "{difference:?}");
    assert!(ssim.unwrap() > 0.999 && spearman.unwrap() > 0.999);
    assert!(shift("gradient-times-input").difference.unwrap() > 0.1);
}

#[test]
fn random_weights_change_a_gradient_and_not_the_edges() {
    let model = model();
    let images = scenes(&model, 2);
    let stages = |name: &str| {
        with_subject(name, &[], |s| cascade(&model, s, &images, (3, 0), &mut Unwatched).unwrap())
    };
    let gradient = stages("gradient");
    assert!(gradient.len() >= 3 && gradient.windows(2).all(|w| w[0].layers < w[1].layers));
    let last = gradient.last().unwrap();
    assert!(last.ssim.unwrap() < 0.9 && last.smooth_ssim.unwrap() < 0.95, "{last:?}");
    let edges = stages("edges");
    assert!(edges.iter().all(|s| s.ssim == Some(1.0) && s.smooth_ssim == Some(1.0)), "{edges:?}");
    let plain =
        with_subject("gradient", &[], |s| cascade(&model, s, &images, (0, 0), &mut Unwatched).unwrap());
    assert_eq!(plain.last().unwrap().smooth_ssim, None);
}

#[test]
fn whoever_watches_ends_a_check_within_a_map() {
    let model = model();
    let images = scenes(&model, 1);
    // The second poll comes within the first map: a search has sixty steps.
    let ended = |run: &mut dyn FnMut(&mut dyn Progress) -> Result<(), Error>| {
        let mut asked = 0;
        let mut twice = |_: u64| {
            asked += 1;
            if asked < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let end = run(&mut twice);
        assert!(matches!(end, Err(Error::Explain(candor::Error::Cancelled(_)))), "{end:?}");
        assert_eq!(asked, 2);
    };
    with_subject("reliable", &[], |s| {
        ended(&mut |p| check_method(&model, s, &images, 0, p, &mut Forgetful).map(drop));
        ended(&mut |p| cascade(&model, s, &images, (0, 0), p).map(drop));
        ended(&mut |p| input_shift(&model, s, &images, p).map(drop));
    });
}

#[test]
fn gradients_are_compared_level_by_level() {
    let model = model();
    let levels = vanishing(&model, &[], &scenes(&model, 3), 0, &mut Forgetful).unwrap();
    assert_eq!(levels.len(), 5);
    assert_eq!(levels[0].value, "image");
    for level in &levels {
        let top = level.queries[&Kind::Top1];
        assert!(top.norm.unwrap() > 0.0, "{level:?}");
        assert!((top.ratio.unwrap() - 1.0).abs() < 1e-9 && (top.cosine.unwrap() - 1.0).abs() < 1e-6);
        let lowest = level.queries[&Kind::Lowest].cosine.unwrap();
        assert!((0.0..1.0).contains(&lowest), "{level:?}");
    }
}
