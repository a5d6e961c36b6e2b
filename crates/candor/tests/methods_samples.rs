//! RISE, LIME and KernelSHAP: equal masks give equal maps. Against the published estimators (tools/goldens/samples.py), and
//! each method against a direct implementation of its formula for the masks of its seed.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::RTen;
use candor::map::Map;
use candor::methods::{self, Choices, kernel_shap, lime, rise, superpixels};
use candor::model::{Model, ModelOptions};
use candor::progress::Unwatched;
use candor_scenes::embedded;
use candor_testing::{noise, noise_image};
use serde_json::Value;

/// Allowed relative error of a map, in the L2 norm.
const TOLERANCE: f64 = 1e-3;
/// The same if both sides compute in the same precision.
const EXACT: f64 = 1e-4;

fn error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied())
}

fn wide(map: &Map) -> Vec<f64> {
    map.data.iter().map(|&v| v.into()).collect()
}

/// Logits of each of some images, one at a time.
fn logits(model: &Model, images: impl Iterator<Item = Vec<f32>>) -> Vec<Vec<f64>> {
    let mut session = model.forward().unwrap();
    let mut one = |image: Vec<f32>| model.scores(session.as_mut(), &image).unwrap();
    images.map(|image| one(image).into_iter().map(f64::from).collect()).collect()
}

fn probability(logits: &[f64], class: usize) -> f64 {
    1.0 / logits.iter().map(|s| (s - logits[class]).exp()).sum::<f64>()
}

/// x ⊙ M
fn masked(image: &[f32], mask: &Map) -> Vec<f32> {
    image.iter().zip(mask.data.iter().cycle()).map(|(x, m)| x * m).collect()
}

/// The image at superpixels that `row` shows, `hidden` elsewhere.
fn shown(image: &[f32], hidden: &[f32], labels: &[usize], row: &[bool]) -> Vec<f32> {
    let pixel = |i: usize| if row[labels[i % labels.len()]] { image[i] } else { hidden[i] };
    (0..image.len()).map(pixel).collect()
}

/// x with A x = b, by Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in (0..n).filter(|&i| i != k) {
            let (factor, row) = (a[i][k] / a[k][k], a[k].clone());
            a[i].iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
            b[i] -= factor * b[k];
        }
    }
    (0..n).map(|k| b[k] / a[k][k]).collect()
}

/// β that minimises Σ w (y − Xβ)² + Σ ridge_j β_j²
fn least_squares(x: &[Vec<f64>], w: &[f64], y: &[f64], ridge: &[f64]) -> Vec<f64> {
    let n = ridge.len();
    let sum = |f: &dyn Fn(usize) -> f64| (0..x.len()).map(|i| w[i] * f(i)).sum::<f64>();
    let entry = |j: usize, k: usize| sum(&|i| x[i][j] * x[i][k]) + if j == k { ridge[j] } else { 0.0 };
    let matrix = (0..n).map(|j| (0..n).map(|k| entry(j, k)).collect()).collect();
    solve(matrix, (0..n).map(|j| sum(&|i| x[i][j] * y[i])).collect())
}

/// One column per superpixel, and one of ones.
fn with_intercept(rows: &[Vec<bool>]) -> Vec<Vec<f64>> {
    let wide = |row: &Vec<bool>| row.iter().map(|&r| f64::from(u8::from(r))).chain([1.0]).collect();
    rows.iter().map(wide).collect()
}

fn golden_model(golden: &Value) -> Model {
    let name = golden["model"].as_str().unwrap();
    let path = candor_testing::data_dir().join("models").join(format!("{name}.onnx"));
    let model = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(2))).unwrap();
    assert_eq!(model.info.sha256, golden["sha256"].as_str().unwrap(), "{name}: another file");
    model
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn the_published_estimators_make_the_same_of_the_same_masks() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/samples.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let model = golden_model(&golden);
    let [_, height, width] = model.input_shape;
    let area = height * width;
    let image = noise_image(model.input_shape.iter().product(), &golden["input"]);
    let draw = |i: usize| noise(i as u64, &golden["noise"]);
    let integer = |method: &str, name: &str| golden[method][name].as_u64().unwrap() as usize;
    let number = |method: &str, name: &str| golden[method][name].as_f64().unwrap();
    let floats = |v: &Value| v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let classes: Vec<usize> =
        golden["classes"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap() as usize).collect();

    let value = |i: usize, j: usize| ((draw(i * area + j) + 1.0) / 2.0) as f32;
    let mask = |i: usize| Map { height, width, data: (0..area).map(|j| value(i, j)).collect() };
    let masks: Vec<Map> = (0..integer("rise", "masks")).map(mask).collect();
    let answers = logits(&model, masks.iter().map(|m| masked(&image, m)));
    let scores: Vec<Vec<f32>> =
        answers.iter().map(|l| classes.iter().map(|&c| probability(l, c) as f32).collect()).collect();
    let found = rise::saliency(masks, &scores, number("rise", "keep") as f32);
    for (map, want) in found.iter().zip(golden["rise"]["maps"].as_array().unwrap()) {
        let got: Vec<f64> = wide(map).into_iter().step_by(integer("rise", "stride")).collect();
        let off = error(&got, &floats(want));
        println!("rise: {off:.1e}");
        assert!(off <= TOLERANCE, "rise: {off:.1e}");
    }

    let cells = integer("lime", "cells");
    let n = cells * cells;
    let labels: Vec<usize> =
        (0..area).map(|i| i / width * cells / height * cells + i % width * cells / width).collect();
    let row = |i: usize| (0..n).map(|k| draw(i * n + k) > 0.0).collect();
    let rows: Vec<Vec<bool>> = (0..integer("lime", "samples")).map(row).collect();
    let zero = vec![0.0; image.len()];
    let answers = logits(&model, rows.iter().map(|r| shown(&image, &zero, &labels, r)));
    let ends = logits(&model, [zero.clone(), image.clone()].into_iter());
    for (q, &class) in classes.iter().enumerate() {
        let y: Vec<f64> = answers.iter().map(|l| probability(l, class)).collect();
        let got = lime::coefficients(&rows, &y, number("lime", "kernel"), number("lime", "ridge")).unwrap();
        let off = error(&got, &floats(&golden["lime"]["coefficients"][q]));
        println!("lime: {off:.1e}");
        assert!(off <= TOLERANCE, "lime: {off:.1e}");

        let y: Vec<f64> = answers.iter().map(|l| l[class]).collect();
        let (nothing, whole) = (ends[0][class], ends[1][class]);
        let got = kernel_shap::shapley_values(&rows, &vec![1.0; rows.len()], &y, nothing, whole).unwrap();
        let off = error(&got, &floats(&golden["kernel_shap"]["values"][q]));
        println!("kernel-shap: {off:.1e}");
        assert!(off <= TOLERANCE, "kernel-shap: {off:.1e}");
    }
}

/// The embedded model, one of its scenes, and the map of a method for a class with a seed.
struct Case {
    model: Model,
    image: Vec<f32>,
}

const CLASS: usize = 1;
const SEED: u64 = 5;

impl Case {
    fn new() -> Self {
        let options = ModelOptions::default();
        let model =
            Model::from_bytes("scenes.onnx", embedded::MODEL, &options, Box::new(RTen::new(2))).unwrap();
        let scene = embedded::DEMO_SCENES[0].png;
        let photo = candor::image::decode_bytes(scene, std::path::Path::new("scene")).unwrap();
        let [_, height, width] = model.input_shape;
        let image = candor::image::Preset::Inception.preprocessing(height, width).apply(&photo);
        Case { model, image }
    }

    fn map(&self, method: &str, set: &[(&str, &str)]) -> Vec<f64> {
        let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let choices = Choices { seed: SEED, ..Choices::default() };
        let method = methods::find(method).unwrap();
        let mut explainer = methods::prepare(&self.model, method.as_ref(), &set, &choices).unwrap().0;
        explainer.scores(&self.model, &self.image).unwrap();
        wide(&explainer.explain(&self.model, &[CLASS], &mut Unwatched).unwrap()[0].map)
    }

    /// Superpixels, and the photo in which each pixel is the mean of its superpixel.
    fn superpixels(&self, count: usize, compactness: f32) -> (Vec<usize>, Vec<f32>) {
        let labels = superpixels::slic(&self.image, self.model.input_shape, count, compactness);
        let area = labels.len();
        let mean = |i: usize| {
            let plane = &self.image[i - i % area..][..area];
            let members = (0..area).filter(|&j| labels[j] == labels[i % area]);
            let values: Vec<f64> = members.map(|j| f64::from(plane[j])).collect();
            (values.iter().sum::<f64>() / values.len() as f64) as f32
        };
        // One mean for each superpixel and channel is enough.
        let mut known = std::collections::HashMap::new();
        let hidden = (0..self.image.len())
            .map(|i| *known.entry((i / area, labels[i % area])).or_insert_with(|| mean(i)))
            .collect();
        (labels, hidden)
    }
}

#[test]
fn rise_is_its_formula_for_the_masks_of_its_seed() {
    let case = Case::new();
    let [_, height, width] = case.model.input_shape;
    let got = case.map("rise", &[("masks", "20"), ("cells", "5"), ("keep", "0.4")]);
    let masks: Vec<Map> = (0..20).map(|i| rise::mask(SEED, i, 5, 0.4, [height, width])).collect();
    let answers = logits(&case.model, masks.iter().map(|m| masked(&case.image, m)));
    let pixel = |j: usize| {
        let terms = masks.iter().zip(&answers).map(|(m, l)| probability(l, CLASS) * f64::from(m.data[j]));
        terms.sum::<f64>() / (20.0 * 0.4)
    };
    let off = error(&got, &(0..height * width).map(pixel).collect::<Vec<_>>());
    assert!(off <= EXACT, "{off:.1e}");
}

#[test]
fn lime_is_its_regression_for_the_subsets_of_its_seed() {
    let case = Case::new();
    let got = case.map("lime", &[("segments", "6"), ("samples", "40")]);
    let (labels, hidden) = case.superpixels(6, 0.3);
    let n = labels.iter().max().unwrap() + 1;
    let rows = lime::subsets(n, 40, SEED);
    let answers = logits(&case.model, rows.iter().map(|r| shown(&case.image, &hidden, &labels, r)));
    let y: Vec<f64> = answers.iter().map(|l| probability(l, CLASS)).collect();
    let x = with_intercept(&rows);
    let weight = |row: &Vec<f64>| {
        let row = &row[..n];
        let (dot, size) = (row.iter().sum::<f64>(), row.iter().map(|v| v * v).sum::<f64>().sqrt());
        // The distance of an empty sample to anything is 1, as in scikit-learn.
        let likeness = if size == 0.0 { 0.0 } else { dot / (size * (n as f64).sqrt()) };
        let distance = 1.0 - likeness;
        (-distance * distance / (0.25f64 * 0.25)).exp().sqrt()
    };
    let w: Vec<f64> = x.iter().map(weight).collect();
    let mut ridge = vec![1.0; n];
    ridge.push(0.0);
    let beta = least_squares(&x, &w, &y, &ridge);
    let off = error(&got, &labels.iter().map(|&k| beta[k]).collect::<Vec<_>>());
    assert!(off <= EXACT, "{off:.1e}");
}

#[test]
fn kernel_shap_is_its_constrained_regression_for_the_coalitions_of_its_seed() {
    let case = Case::new();
    let got = case.map("kernel-shap", &[("segments", "9"), ("samples", "60")]);
    let (labels, hidden) = case.superpixels(9, 0.3);
    let n = labels.iter().max().unwrap() + 1;
    let (rows, weights) = kernel_shap::coalitions(n, 60, SEED);
    assert!(rows.len() == 60 && weights.iter().all(|w| *w == 1.0), "sampled, not enumerated");
    let show = |r: &Vec<bool>| shown(&case.image, &hidden, &labels, r);
    let value = |r: &Vec<bool>| logits(&case.model, [show(r)].into_iter())[0][CLASS];
    let (nothing, whole) = (value(&vec![false; n]), value(&vec![true; n]));
    // The last value follows from the others: y − nothing − z_n (whole − nothing) = Σ_i φ_i (z_i − z_n).
    let last = |r: &Vec<bool>| f64::from(u8::from(r[n - 1]));
    let x: Vec<Vec<f64>> =
        rows.iter().map(|r| r[..n - 1].iter().map(|&z| f64::from(u8::from(z)) - last(r)).collect()).collect();
    let y: Vec<f64> = rows.iter().map(|r| value(r) - nothing - last(r) * (whole - nothing)).collect();
    let mut phi = least_squares(&x, &weights, &y, &vec![0.0; n - 1]);
    phi.push(whole - nothing - phi.iter().sum::<f64>());
    let off = error(&got, &labels.iter().map(|&k| phi[k]).collect::<Vec<_>>());
    assert!(off <= EXACT, "{off:.1e}");
}

#[test]
fn kernel_shap_of_few_superpixels_is_the_sum_over_all_coalitions() {
    let case = Case::new();
    let got = case.map("kernel-shap", &[("segments", "4"), ("samples", "100")]);
    let (labels, hidden) = case.superpixels(4, 0.3);
    let n = labels.iter().max().unwrap() + 1;
    assert!(n <= 6, "{n} superpixels have too many coalitions");
    let row = |bits: usize| (0..n).map(|i| bits >> i & 1 == 1).collect::<Vec<bool>>();
    let all = (0..1usize << n).map(|bits| shown(&case.image, &hidden, &labels, &row(bits)));
    let value: Vec<f64> = logits(&case.model, all).iter().map(|l| l[CLASS]).collect();
    let factorial = |k: usize| (1..=k).map(|v| v as f64).product::<f64>();
    // φ_i = Σ_S |S|! (n − |S| − 1)! / n! (v(S ∪ i) − v(S))
    let shapley = |i: usize| {
        let without = (0..1usize << n).filter(|bits| bits >> i & 1 == 0);
        let term = |bits: usize| {
            let s = bits.count_ones() as usize;
            factorial(s) * factorial(n - s - 1) / factorial(n) * (value[bits | 1 << i] - value[bits])
        };
        without.map(term).sum::<f64>()
    };
    let phi: Vec<f64> = (0..n).map(shapley).collect();
    let efficiency = phi.iter().sum::<f64>() - (value[(1 << n) - 1] - value[0]);
    assert!(efficiency.abs() < 1e-9, "the test's own values miss the whole by {efficiency:.1e}");
    let off = error(&got, &labels.iter().map(|&k| phi[k]).collect::<Vec<_>>());
    assert!(off <= EXACT, "{off:.1e}");
}
