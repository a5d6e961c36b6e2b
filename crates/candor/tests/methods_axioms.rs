//! Properties of methods that hold for any model: completeness, independence of photos and queries, the seed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;

use candor::engine::RTen;
use candor::error::one_line;
use candor::explanation::{Explanation, Verdict};
use candor::map::Map;
use candor::methods::{self, Choices, Compiled};
use candor::model::{Model, ModelOptions};
use candor_scenes::embedded;
use candor_testing::fixture;

fn model() -> Model {
    let options = ModelOptions::default();
    Model::from_bytes("scenes.onnx", embedded::MODEL, &options, Box::new(RTen::new(2))).unwrap()
}

/// A model that the method is defined for: the embedded one, a vision transformer for methods of attention.
fn model_for(method: &str) -> Model {
    if !method.contains("attention") {
        return model();
    }
    let path = fixture!("transformer.onnx");
    Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap()
}

/// The demo scene `i` as the model's input.
fn scene(model: &Model, i: usize) -> Vec<f32> {
    let photo =
        candor::image::decode_bytes(embedded::DEMO_SCENES[i].png, std::path::Path::new("scene")).unwrap();
    let [_, height, width] = model.input_shape;
    candor::image::Preset::Inception.preprocessing(height, width).apply(&photo)
}

/// Cheap settings.
fn settings(method: &str) -> &'static [(&'static str, &'static str)] {
    match method {
        "reliable" => &[("iterations", "2")],
        "smoothgrad" => &[("samples", "2")],
        "integrated-gradients" => &[("steps", "2")],
        "expected-gradients" => &[("samples", "2")],
        "occlusion" => &[("window", "56"), ("stride", "56")],
        "rise" => &[("masks", "8")],
        "lime" => &[("segments", "6"), ("samples", "40")],
        "kernel-shap" => &[("segments", "4"), ("samples", "20")],
        "meaningful-perturbation" => &[("iterations", "2"), ("cells", "7")],
        "extremal-perturbation" => &[("iterations", "2"), ("area", "0.2")],
        _ => &[],
    }
}

fn prepare(model: &Model, name: &str, set: &[(&str, &str)], seed: u64) -> Box<dyn Compiled> {
    let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let choices = Choices { seed, ..Choices::default() };
    methods::prepare(model, methods::find(name).unwrap().as_ref(), &set, &choices).unwrap().0
}

fn explain(e: &mut dyn Compiled, model: &Model, image: &[f32], classes: &[usize]) -> Vec<Explanation> {
    e.scores(model, image).unwrap();
    let mut steps = 0;
    let mut count = |more| {
        steps += more;
        ControlFlow::Continue(())
    };
    let explanations = e.explain(model, classes, &mut count).unwrap();
    assert_eq!(steps, e.steps(classes.len()), "steps told and steps promised");
    assert!(explanations.iter().all(|e| e.map.data.iter().all(|v| v.is_finite())));
    explanations
}

fn differ(a: &Map, b: &Map) -> f32 {
    let norm = a.data.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
    a.data.iter().zip(&b.data).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt() / norm
}

#[test]
fn a_map_depends_on_its_own_photo_and_class_only() {
    for method in methods::all() {
        let d = method.description();
        let model = model_for(d.name);
        let photos = [scene(&model, 0), scene(&model, 2)];
        let mut e = prepare(&model, d.name, settings(d.name), 0);
        let first = explain(e.as_mut(), &model, &photos[0], &[1]).remove(0).map;
        let other = explain(e.as_mut(), &model, &photos[1], &[1]).remove(0).map;
        let again = explain(e.as_mut(), &model, &photos[0], &[1]).remove(0).map;
        assert!(first == again, "{}: a photo between changed the map", d.name);
        // Without max pooling the result of a deconvnet does not depend on the photo (Springenberg et al. 2015); that of the centre never
        // does.
        assert_eq!(
            first == other,
            ["deconvnet", "centre"].contains(&d.name),
            "{}: two photos have one map",
            d.name
        );
        let together = explain(e.as_mut(), &model, &photos[0], &[4, 1]);
        let off = differ(&first, &together[1].map);
        assert!(off < 1e-5, "{}: another query moved the map by {off:.1e}", d.name);
        if !d.class_sensitive {
            assert!(together[0].map == together[1].map, "{}: claims to know no class", d.name);
        } else {
            assert!(together[0].map != together[1].map, "{}: claims to know the class", d.name);
        }
        if !d.signed {
            assert!(first.min() >= 0.0, "{}: claims to be unsigned, has {}", d.name, first.min());
        }
        assert_eq!([first.height, first.width], [model.input_shape[1], model.input_shape[2]]);
    }
}

/// A recorded value as text for `--set`.
fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[test]
fn recorded_parameters_make_the_same_bytes() {
    // A wrapped method's parameters are recorded, too.
    let wrapped: &[(&str, &str)] = &[("samples", "2"), ("method", "lrp"), ("method.composite", "epsilon")];
    let all = methods::all().into_iter().map(|m| m.description().name);
    let cases =
        all.map(|name| (name, settings(name))).chain([("smoothgrad", wrapped), ("evident", &wrapped[1..])]);
    for (name, set) in cases {
        let model = model_for(name);
        let photo = scene(&model, 0);
        let method = methods::find(name).unwrap();
        let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let run = |set: &[(String, String)], levels: Vec<String>| {
            let choices = Choices { seed: 3, levels, ..Choices::default() };
            let (mut e, parameters) = methods::prepare(&model, method.as_ref(), set, &choices).unwrap();
            (explain(e.as_mut(), &model, &photo, &[1]).remove(0).map, parameters.values().clone())
        };
        let (first, recorded) = run(&set, vec![]);
        // What `--levels` names is recorded with the parameters.
        let named = |key: &str| recorded.get(key).cloned().unwrap_or_default();
        let mut levels: Vec<String> =
            named("levels").as_array().map_or(vec![], |l| l.iter().map(text).collect());
        levels.extend(named("layer").as_str().map(str::to_string));
        let is_level = |key: &str| ["levels", "layer"].contains(&key);
        let again: Vec<_> =
            recorded.iter().filter(|(k, _)| !is_level(k)).map(|(k, v)| (k.clone(), text(v))).collect();
        let (second, recorded_again) = run(&again, levels);
        assert_eq!(recorded, recorded_again, "{name}");
        let bits = |map: &Map| map.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(&first) == bits(&second), "{name}: {again:?} make another map");
    }
}

#[test]
fn the_seed_decides_what_is_random() {
    let model = model();
    let photo = scene(&model, 0);
    for name in ["smoothgrad", "expected-gradients", "rise", "lime", "random"] {
        let map = |seed| {
            let mut e = prepare(&model, name, settings(name), seed);
            explain(e.as_mut(), &model, &photo, &[1]).remove(0).map
        };
        assert!(map(7) == map(7), "{name}: one seed, two maps");
        assert!(map(7) != map(8), "{name}: two seeds, one map");
    }
}

/// Σ map against S_c(x) − S_c(0).
fn completeness(name: &str, set: &[(&str, &str)]) -> (f64, f64) {
    let model = model();
    let photo = scene(&model, 2);
    let mut e = prepare(&model, name, set, 0);
    let nothing = e.scores(&model, &vec![0.0; photo.len()]).unwrap();
    let scores = e.scores(&model, &photo).unwrap();
    let class = candor::scores::argmax(&scores);
    let found = explain(e.as_mut(), &model, &photo, &[class]).remove(0);
    assert!(found.warnings.is_empty(), "{name}: {:?}", found.warnings);
    let sum = found.map.data.iter().map(|&v| f64::from(v)).sum::<f64>();
    (sum, f64::from(scores[class] - nothing[class]))
}

#[test]
fn deeplift_adds_up_to_the_difference_of_scores() {
    let (sum, want) = completeness("deeplift", &[]);
    assert!((sum - want).abs() < 1e-3 * want.abs(), "{sum} is not {want}");
}

#[test]
fn integrated_gradients_add_up_to_the_difference_of_scores() {
    let (sum, want) = completeness("integrated-gradients", &[("steps", "200")]);
    assert!((sum - want).abs() < 2e-2 * want.abs(), "{sum} is not {want}");
}

#[test]
fn kernel_shap_adds_up_to_the_difference_of_scores() {
    let model = model();
    let photo = scene(&model, 2);
    // Sampled coalitions, and all of them.
    for (segments, samples) in [("12", "100"), ("4", "100")] {
        let set = [("segments", segments), ("samples", samples), ("hidden", "zero")];
        let mut e = prepare(&model, "kernel-shap", &set, 0);
        let nothing = e.scores(&model, &vec![0.0; photo.len()]).unwrap();
        let scores = e.scores(&model, &photo).unwrap();
        let map = explain(e.as_mut(), &model, &photo, &[1]).remove(0).map;
        let count = segments.parse().unwrap();
        let labels = methods::superpixels::slic(&photo, model.input_shape, count, 0.3);
        let values: std::collections::BTreeMap<_, _> = labels.iter().zip(&map.data).collect();
        let (sum, want) = (values.values().copied().sum::<f32>(), scores[1] - nothing[1]);
        assert!((sum - want).abs() < 1e-4 * want.abs(), "{sum} is not {want}");
    }
}

#[test]
fn relevance_adds_up_to_the_logit_where_there_are_no_biases() {
    let model = model();
    let mut graph = model.graph.clone();
    let biases: Vec<_> = graph.nodes.iter().filter(|n| ["Conv", "Gemm"].contains(&n.op.as_str())).collect();
    let biases: Vec<_> = biases.iter().filter_map(|n| n.input(2)).collect();
    assert!(!biases.is_empty());
    for bias in biases {
        let shape = graph.constant(bias).unwrap().shape().to_vec();
        graph.set_constant(bias, candor_graph::tensor::Tensor::full(&shape, 0.0).into());
    }
    let model = model.with_graph(graph);
    let photo = scene(&model, 2);
    let missing = |epsilon: &str| {
        let mut e = prepare(&model, "lrp", &[("composite", "epsilon"), ("epsilon", epsilon)], 0);
        let scores = e.scores(&model, &photo).unwrap();
        let map = explain(e.as_mut(), &model, &photo, &[1]).remove(0).map;
        let sum = map.data.iter().map(|&v| f64::from(v)).sum::<f64>();
        (sum / f64::from(scores[1]) - 1.0).abs()
    };
    let (some, none) = (missing("0.1"), missing("1e-7"));
    assert!(none < 1e-3 && none < some, "ε takes {some:.1e}, and {none:.1e} as it goes to zero");
}

#[test]
fn a_coarse_integral_is_told() {
    let model = model();
    let mut e = prepare(&model, "integrated-gradients", &[("steps", "1"), ("rule", "right")], 0);
    let found = explain(e.as_mut(), &model, &scene(&model, 2), &[0]).remove(0);
    assert!(found.warnings[0].contains("add up to"), "{:?}", found.warnings);
}

#[test]
fn costs_are_counted() {
    let model = model();
    let photo = scene(&model, 0);
    let with = |name: &str, set: &[(&str, &str)], classes: &[usize]| {
        let mut e = prepare(&model, name, set, 0);
        let found = explain(e.as_mut(), &model, &photo, classes);
        let sum = |f: &dyn Fn(&Explanation) -> u64| found.iter().map(f).sum::<u64>();
        (sum(&|e| e.passes.forward), sum(&|e| e.passes.backward))
    };
    let cost = |name: &str, classes: &[usize]| with(name, settings(name), classes);
    assert_eq!(cost("gradient", &[0, 1, 2]), (1, 3));
    assert_eq!(cost("grad-cam", &[0]), (1, 1));
    assert_eq!(cost("integrated-gradients", &[0, 1]), (4, 4));
    assert_eq!(cost("smoothgrad", &[0, 1]), (3, 4));
    // FullGrad's own passes, the photo for its evidence, and the empty masks.
    assert_eq!(cost("evident", &[0, 1]), (3, 2));
    assert_eq!(cost("rise", &[0, 1]), (9, 0));
    assert_eq!(cost("occlusion", &[0]), (5, 0));
    assert_eq!(cost("meaningful-perturbation", &[0, 1]), (5, 4));
    assert_eq!(cost("deeplift", &[0]), (2, 1));
    // Each layer of epsilon-plus also computes its output with positive weights.
    assert_eq!(cost("lrp", &[0, 1]), (2, 2));
    assert_eq!(cost("excitation-backprop", &[0]), (1, 1));
    // α2β1 computes the outputs with negative weights, too, and propagates back through both.
    assert_eq!(with("lrp", &[("composite", "epsilon-alpha2-beta1")], &[0]), (3, 2));
}

#[test]
fn a_map_on_the_scale_of_evidence_is_empty_where_the_mask_is() {
    let model = model();
    let classes: Vec<usize> = (0..model.classes).collect();
    let mut empty = 0;
    for photo in (0..embedded::DEMO_SCENES.len()).map(|i| scene(&model, i)) {
        let all = |name: &str, set| explain(prepare(&model, name, set, 0).as_mut(), &model, &photo, &classes);
        let masks = all("reliable", &[("iterations", "2")]);
        let plain = all("layer-cam", &[]);
        let scaled = all("evident", &[("method", "layer-cam")]);
        let most = |e: &Explanation| e.map.max();
        for ((m, p), s) in masks.iter().zip(&plain).zip(&scaled) {
            assert_eq!((m.evidence, m.null_log_odds), (s.evidence, s.null_log_odds));
            let there = s.verdict() == Verdict::Evidence;
            assert_eq!((most(s) > 0.0, most(m) > 0.0), (there, there));
            empty += usize::from(!there && most(p) > 0.0);
            if there {
                let (largest, ratio) = (most(p), most(p) / most(s));
                let off = |(s, p): (&f32, &f32)| (s * ratio - p).abs();
                assert!(s.map.data.iter().zip(&p.map.data).all(|pair| off(pair) < 1e-5 * largest));
            }
        }
        // The answer sets the scale, if it has evidence.
        let shown = scaled.iter().any(|e| e.verdict() == Verdict::Evidence);
        assert_eq!(scaled.iter().any(|e| (most(e) - 1.0).abs() < 1e-6), shown);
    }
    assert!(empty > 0, "no class was absent");
}

#[test]
fn a_method_that_is_not_defined_says_so_in_a_line() {
    let model = model();
    let refused = |name: &str, key: &str, value: &str| {
        let method = methods::find(name).unwrap();
        let set = [(key.to_string(), value.to_string())];
        let prepared = methods::prepare(&model, method.as_ref(), &set, &Choices::default());
        one_line(&prepared.err().unwrap())
    };
    for name in ["smoothgrad", "evident"] {
        let error = refused(name, "method", name);
        assert!(error.contains("cannot wrap itself") && !error.contains('\n'), "{error}");
    }
    let error = refused("smoothgrad", "method.channels", "many");
    assert!(error.contains("max-abs"), "{error}");
}
