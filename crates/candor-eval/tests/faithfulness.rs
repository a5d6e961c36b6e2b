//! Figures of faithfulness against the published code of each (tools/goldens/faithfulness.py), on a small model that both
//! sides build.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::map::Map;
use candor_eval::error::Result;
use candor_eval::faithfulness::substrate::Substrate;
use candor_eval::faithfulness::{Case, curve, impute, infidelity, road, sparseness};
use candor_testing::{noise, noise_image};
use serde_json::Value;

/// Allowed relative error of a figure, or in the L2 norm of a row of figures.
const TOLERANCE: f64 = 1e-6;

fn golden() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/faithfulness.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn integer(v: &Value) -> usize {
    v.as_u64().unwrap() as usize
}

fn floats(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    let off = norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied());
    println!("{what}: {off:.1e}");
    assert!(off <= TOLERANCE, "{what}: {off:.1e}");
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|&v| v.into()).collect()
}

/// The small model, its image and the map.
struct Small {
    shape: [usize; 3],
    class: usize,
    image: Vec<f32>,
    map: Map,
    first: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
    direct: Vec<Vec<f64>>,
}

impl Small {
    fn of(golden: &Value) -> Self {
        let shape = [0, 1, 2].map(|i| integer(&golden["shape"][i]));
        let (size, hidden) = (shape.iter().product(), integer(&golden["hidden"]));
        let matrix = |name: &str, rows: usize, columns: usize| -> Vec<Vec<f64>> {
            let (spec, amplitude) = (&golden[name], golden[name]["amplitude"].as_f64().unwrap());
            let row = |r: usize| (0..columns).map(move |c| noise((r * columns + c) as u64, spec) * amplitude);
            (0..rows).map(|r| row(r).collect()).collect()
        };
        let classes = integer(&golden["classes"]);
        let [_, height, width] = shape;
        Small {
            shape,
            class: integer(&golden["class"]),
            image: noise_image(size, &golden["image"]),
            map: Map { height, width, data: noise_image(height * width, &golden["map"]) },
            first: matrix("first", hidden, size),
            second: matrix("second", classes, hidden),
            direct: matrix("direct", classes, size),
        }
    }

    fn hidden(&self, x: &[f64]) -> Vec<f64> {
        self.first.iter().map(|row| dot(row, x).tanh()).collect()
    }

    fn probability(&self, x: &[f64]) -> f64 {
        let hidden = self.hidden(x);
        let logits: Vec<f64> =
            self.second.iter().zip(&self.direct).map(|(s, d)| dot(s, &hidden) + dot(d, x)).collect();
        1.0 / logits.iter().map(|l| (l - logits[self.class]).exp()).sum::<f64>()
    }

    fn scores(&self, images: &[Vec<f32>]) -> Result<Vec<f64>> {
        Ok(images.iter().map(|x| self.probability(&wide(x))).collect())
    }

    /// Gradient × input of the class's logit, summed over channels.
    fn gradient_times_input(&self, x: &[f32]) -> Result<Map> {
        let x = wide(x);
        let hidden = self.hidden(&x);
        let slope = |i: usize| {
            let through =
                |k: usize| self.second[self.class][k] * (1.0 - hidden[k] * hidden[k]) * self.first[k][i];
            self.direct[self.class][i] + (0..hidden.len()).map(through).sum::<f64>()
        };
        let [channels, height, width] = self.shape;
        let area = height * width;
        let pixel =
            |p: usize| (0..channels).map(|c| c * area + p).map(|i| slope(i) * x[i]).sum::<f64>() as f32;
        Ok(Map { height, width, data: (0..area).map(pixel).collect() })
    }

    fn case(&self, batch: usize) -> Case<'_> {
        Case { image: &self.image, map: &self.map, batch }
    }

    /// The golden's images, drawn one after the other.
    fn images(&self, spec: &Value, count: usize) -> Vec<Vec<f32>> {
        let all = noise_image(count * self.image.len(), spec);
        all.chunks(self.image.len()).map(<[f32]>::to_vec).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn deletion_and_insertion_are_the_authors() {
    let golden = golden();
    let small = Small::of(&golden);
    let substrate = Substrate::Fixed(noise_image(small.image.len(), &golden["substrate"]));
    let steps = small.map.data.len() / integer(&golden["curves"]["step"]);
    let mut scores = |images: &[Vec<f32>]| small.scores(images);
    let deletion = curve::deletion(&mut scores, small.case(5), &substrate, steps).unwrap();
    let insertion = curve::insertion(&mut scores, small.case(5), &substrate, steps).unwrap();
    for (name, got) in [("deletion", deletion), ("insertion", insertion)] {
        let want = &golden["curves"][name];
        close(name, &got.values, &floats(&want["values"]));
        close(&format!("{name}, area"), &[got.area], &[want["area"].as_f64().unwrap()]);
        assert!(!got.uninformative);
    }
}

#[test]
fn imputation_and_road_are_the_authors() {
    let golden = golden();
    let small = Small::of(&golden);
    let [_, height, width] = small.shape;
    for (n, want) in golden["imputations"].as_array().unwrap().iter().enumerate() {
        let pixels: Vec<usize> = want["removed"].as_array().unwrap().iter().map(integer).collect();
        let mut removed = vec![false; height * width];
        pixels.iter().for_each(|&i| removed[i] = true);
        let out = impute::impute(&small.image, [height, width], &removed);
        let values = out.chunks(height * width).flat_map(|channel| pixels.iter().map(|&i| channel[i]));
        let values: Vec<f32> = values.collect();
        close(&format!("imputation {n}"), &wide(&values), &floats(&want["values"]));
    }
    let want = &golden["road"];
    let mut scores = |images: &[Vec<f32>]| small.scores(images);
    let got = road::road(&mut scores, small.case(4), &floats(&want["percentages"]), 0.0, 0).unwrap();
    close("road, most", &got.most, &floats(&want["most"]));
    close("road, least", &got.least, &floats(&want["least"]));
}

#[test]
fn infidelity_and_sensitivity_are_captums() {
    let golden = golden();
    let small = Small::of(&golden);
    let mut scores = |images: &[Vec<f32>]| small.scores(images);
    let want = &golden["infidelity"];
    for (name, scaled) in [("value", false), ("scaled", true)] {
        let perturbations = small.images(&want["perturbations"], integer(&want["count"]));
        let (image, map) = (&small.image, &small.map.data);
        let got = infidelity::infidelity(&mut scores, image, map, perturbations, scaled, 5).unwrap().unwrap();
        close(&format!("infidelity, {name}"), &[got.value], &[want[name].as_f64().unwrap()]);
    }
    let want = &golden["sensitivity"];
    let moves = small.images(&want["nearby"], integer(&want["count"]));
    let nearby = moves.iter().map(|by| small.image.iter().zip(by).map(|(x, b)| x + b).collect::<Vec<f32>>());
    let mut explain = |x: &[f32]| small.gradient_times_input(x);
    let got = infidelity::max_sensitivity(&mut explain, &small.image, nearby).unwrap().unwrap();
    close("sensitivity", &[got.relative.unwrap()], &[want["value"].as_f64().unwrap()]);
}

#[test]
fn gini_is_quantus() {
    let golden = golden();
    let map = Small::of(&golden).map;
    close("gini", &[sparseness::gini(&map).unwrap()], &[golden["gini"].as_f64().unwrap()]);
}
