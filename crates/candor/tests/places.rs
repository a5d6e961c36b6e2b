//! Local evidence on scenes: present classes are found where they are, absent ones are not found, and masks keep the evidence.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::calibrate::calibrate;
use candor::engine::RTen;
use candor::explanation::{ClassExplanation, Verdict};
use candor::false_alarms::{EVIDENCE, FalseAlarms, Ground, TooFew, WEAK};
use candor::image::{Preset, RgbImage};
use candor::progress::Unwatched;
use candor::sidecar::Sidecar;
use candor::{Class, Classifier, Method};
use candor_graph::builder::Builder;
use candor_graph::{onnx, shape};
use candor_scenes::{FIRST_TRAINING_SEED, Scene, SceneOptions, embedded};
use std::path::Path;

fn classifier(false_alarms: Option<FalseAlarms>) -> Classifier {
    let sidecar = Sidecar::parse(embedded::SIDECAR, Path::new("embedded")).unwrap();
    let sidecar = Sidecar { false_alarms, ..sidecar };
    Classifier::from_bytes("embedded", embedded::MODEL, sidecar, Some(Box::new(RTen::new(2)))).unwrap()
}

/// Scenes with that number of objects that the embedded model was not trained on.
fn scenes(count: u64, objects: usize) -> Vec<Scene> {
    let options = SceneOptions { objects: objects..=objects, ..Default::default() };
    let first = 5000;
    assert!(first + count < FIRST_TRAINING_SEED);
    (first..first + count).map(|seed| Scene::generate(seed, &options)).collect()
}

fn explained(classifier: &Classifier, method: &Method, photo: &RgbImage) -> Vec<ClassExplanation> {
    let mut explainer = classifier.explainer(method).unwrap();
    explainer.probe = false;
    let all: Vec<Class> = (0..classifier.model.classes).map(Class::Index).collect();
    explainer.photo("scene", photo, &all, &mut Unwatched).unwrap().classes
}

#[test]
fn classes_that_are_there_are_found_and_others_are_not() {
    let classifier = classifier(None);
    let (mut there, mut found, mut inside) = (0, 0, 0);
    let (mut absent, mut alarms) = (0, 0);
    for scene in scenes(4, 2) {
        for e in explained(&classifier, &Method::default(), &scene.image) {
            let evidence = e.verdict == Verdict::Evidence;
            let Some(object) = scene.objects.iter().find(|o| o.class == e.class_id) else {
                absent += 1;
                alarms += usize::from(evidence);
                assert!(evidence || e.map.max() == 0.0, "a map without evidence is empty");
                continue;
            };
            there += 1;
            found += usize::from(evidence);
            if evidence {
                let (y, x) = e.map.argmax();
                let [x0, y0, x1, y1] = object.bbox.map(|v| v as usize);
                inside += usize::from((x0..x1).contains(&x) && (y0..y1).contains(&y));
            }
        }
    }
    assert!(found * 4 >= there * 3, "{found} of {there} are found");
    assert!(inside * 4 >= found * 3, "{inside} of {found} maps point at the object");
    assert!(alarms * 20 <= absent, "{alarms} of {absent} absent classes are found");
}

#[test]
fn an_extent_covers_more_of_the_object_and_is_empty_where_the_map_is() {
    let classifier = classifier(None);
    let (mut decisive, mut reached, mut beside) = (0.0, 0.0, 0.0);
    for scene in scenes(4, 1) {
        let [x0, y0, x1, y1] = scene.objects[0].bbox.map(|v| v as usize);
        let maps = explained(&classifier, &Method::default(), &scene.image);
        let extents = explained(&classifier, &Method::default().with("extent", true), &scene.image);
        for (map, extent) in maps.iter().zip(&extents) {
            assert_eq!((map.class_id, map.verdict), (extent.class_id, extent.verdict));
            assert!((map.map.max() - extent.map.max()).abs() < 1e-5, "one scale");
            if map.class_id != scene.objects[0].class || map.verdict != Verdict::Evidence {
                continue;
            }
            // Fraction of the box that is bright, and of the rest.
            let bright = |e: &ClassExplanation, inside: bool| {
                let within = |i: &usize| {
                    let (y, x) = (i / e.map.width, i % e.map.width);
                    ((x0..x1).contains(&x) && (y0..y1).contains(&y)) == inside
                };
                let all: Vec<usize> = (0..e.map.data.len()).filter(within).collect();
                let over = all.iter().filter(|&&i| e.map.data[i] > 0.3 * e.map.max()).count();
                over as f64 / all.len() as f64
            };
            decisive += bright(map, true);
            reached += bright(extent, true);
            beside += bright(extent, false);
        }
    }
    assert!(reached > decisive && reached > 3.0 * beside, "{decisive} {reached} {beside}");
}

#[test]
fn the_fitted_lambda_keeps_the_evidence_and_a_set_one_stays() {
    let classifier = classifier(None);
    for scene in scenes(3, 1) {
        let class = scene.objects[0].class;
        let of = |method: &Method| explained(&classifier, method, &scene.image).swap_remove(class);
        let e = of(&Method::default());
        if e.verdict == Verdict::Evidence {
            let kept = (e.kept.unwrap().log_odds - e.null_log_odds.unwrap()) / e.evidence.unwrap();
            assert!(kept >= 0.9, "{kept} is kept at lambda {:?}", e.lambda);
            assert!(e.warnings.is_empty(), "{:?}", e.warnings);
        }
        assert_eq!(of(&Method::default().with("lambda", 0.02)).lambda.unwrap() as f32, 0.02);
    }
}

/// The embedded network with twice as many classes, of which the second twelve are never likely: enough for windows to be evaluated.
fn with_a_crowd() -> Classifier {
    let mut graph = onnx::load_bytes(embedded::MODEL).unwrap().graph;
    shape::infer(&mut graph).unwrap();
    let output = graph.outputs[0];
    let builder = Builder::new(graph);
    let logits = builder.value(output);
    let id = builder.concat(&[logits, logits * 0.5 - 6.0], 1).id();
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![id];
    let sidecar = Sidecar { preset: Some(Preset::Inception), ..Sidecar::default() };
    let bytes = onnx::to_bytes(&graph).unwrap();
    Classifier::from_bytes("crowd", &bytes, sidecar, Some(Box::new(RTen::new(2)))).unwrap()
}

#[test]
fn windows_find_objects_and_a_closer_look_is_counted() {
    let classifier = with_a_crowd();
    let (mut there, mut at_object) = (0, 0);
    for scene in scenes(3, 2) {
        let asked = |look: usize| {
            let method = Method::default().with("look", look).with("iterations", 3);
            explained(&classifier, &method, &scene.image)
        };
        let [with, without] = [1, 0].map(asked);
        let forward = |all: &[ClassExplanation]| {
            let silent = |e: &&ClassExplanation| e.verdict == Verdict::NoEvidence && e.class_id > 11;
            all.iter().filter(silent).map(|e| e.cost.forward).sum::<u64>()
        };
        assert!(forward(&with) > forward(&without), "a look is a pass");
        assert!(without.iter().all(|e| e.judged.unwrap().ground != Ground::CloserLook));
        for object in &scene.objects {
            there += 1;
            let [top, left, bottom, right] = with[object.class].judged.unwrap().window;
            let centre = |from: u32, to: u32| f64::from(from + to) / 2.0 / 112.0;
            let [x0, y0, x1, y1] = object.bbox;
            let (x, y) = (centre(x0, x1), centre(y0, y1));
            at_object += usize::from((left..right).contains(&x) && (top..bottom).contains(&y));
        }
    }
    assert!(at_object * 6 >= there * 5, "{at_object} of {there} windows hold their object");
}

#[test]
fn calibration_learns_what_absent_classes_show() {
    let photos: Vec<RgbImage> = scenes(10, 1).into_iter().map(|s| s.image).collect();
    let plain = classifier(None);
    let Classifier { model, preprocessing, .. } = &plain;
    let few = calibrate(model, preprocessing, &photos[..2], &[], 1.0, &mut Unwatched).unwrap();
    assert_eq!((few.false_alarms, few.too_few), (None, Some(TooFew { classes: 22, needed: 99 })));
    let learned = calibrate(model, preprocessing, &photos[..9], &[], 1.0, &mut Unwatched).unwrap();
    let rule = learned.false_alarms.unwrap();
    assert_eq!((rule.photos, rule.place.classes), (9, 9 * 11), "all but the answer");
    let at = rule.place.threshold(WEAK).unwrap();
    assert!(rule.place.rate(at + 100.0) <= WEAK && rule.place.rate(at - 100.0) > 0.4);
    assert!(rule.place.threshold(EVIDENCE) >= Some(at), "99 classes tell one in a hundred");
    let e = explained(&classifier(Some(rule)), &Method::default().with("iterations", 2), &photos[9]);
    assert!(e.iter().all(|e| e.judged.unwrap().calibrated));
}
