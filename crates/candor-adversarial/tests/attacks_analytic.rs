//! Attacks against closed forms: gradients of the embedded model, and a linear classifier with known distances to its boundaries.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor::image::Preset;
use candor::noise::Noise;
use candor::scores::ranking;
use candor_adversarial::attacks::{Budget, Goal, Loss, Norms};
use candor_graph::builder::Builder;
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};
use support::{Lab, length};

const SIZE: usize = 8;
const VALUES: usize = 3 * SIZE * SIZE;
const CLASSES: usize = 4;

/// S = Wᵀx + b on pixels in 0..=1, with weights for which a perturbation across the boundary stays inside 0..=1.
struct Linear {
    lab: Lab,
    /// C·H·W values for each class.
    weights: Vec<Vec<f32>>,
    biases: Vec<f32>,
}

impl Linear {
    fn new() -> Self {
        let mut noise = Noise::new(5);
        let weights: Vec<Vec<f32>> =
            (0..CLASSES).map(|_| (0..VALUES).map(|_| 0.3 * noise.normal()).collect()).collect();
        // On mid-grey the logits are 1.0, 0.6, 0.3 and 0.1.
        let biases: Vec<f32> = [1.0, 0.6, 0.3, 0.1]
            .iter()
            .zip(&weights)
            .map(|(s, w): (&f64, _)| (s - w.iter().map(|w| 0.5 * f64::from(*w)).sum::<f64>()) as f32)
            .collect();
        let columns = (0..VALUES).flat_map(|i| weights.iter().map(move |w| w[i])).collect();
        let b = Builder::new(Graph::new(18));
        let shape = [Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(SIZE), Dim::Fixed(SIZE)];
        let rows = b.input("image", DataType::Float, &shape).reshape(&[-1, VALUES as i64]);
        let weight = b.constant(Tensor::floats(&[VALUES, CLASSES], columns).unwrap());
        let bias = b.constant(Tensor::floats(&[1, CLASSES], biases.clone()).unwrap());
        let logits = (rows.op("MatMul", &[weight], &[]) + bias).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![logits];
        let lab = Lab::of(&onnx::to_bytes(&graph).unwrap(), Preset::Unit);
        Linear { lab, weights, biases }
    }

    fn logits(&self, x: &[f32]) -> Vec<f64> {
        let score = |(w, b): (&Vec<f32>, &f32)| {
            w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() + f64::from(*b)
        };
        self.weights.iter().zip(&self.biases).map(score).collect()
    }

    /// Distance of `x` from the boundary between its class and `k`: |S_k − S_y| / ‖w_k − w_y‖.
    fn distance(&self, x: &[f32], y: usize, k: usize) -> f64 {
        let s = self.logits(x);
        let w: Vec<f32> = self.weights[k].iter().zip(&self.weights[y]).map(|(a, b)| a - b).collect();
        (s[k] - s[y]).abs() / length(&w)
    }
}

fn grey() -> Vec<Vec<f32>> {
    vec![vec![0.5; VALUES]]
}

/// −∂(log p_y)/∂x = Σ_k (p_k − [k = y]) w_k.
#[test]
fn the_gradient_of_a_linear_model_is_its_formula() {
    let mut linear = Linear::new();
    let mut noise = Noise::new(2);
    let image: Vec<f32> = (0..VALUES).map(|_| noise.unit()).collect();
    let logits = linear.logits(&image);
    let sum: f64 = logits.iter().map(|s| s.exp()).sum();
    for label in 0..CLASSES {
        let found = linear.lab.gradient(&image, Loss::CrossEntropy, &Goal::away(label));
        for (i, found) in found.into_iter().enumerate() {
            let slope = |k: usize| logits[k].exp() / sum - f64::from(u8::from(k == label));
            let want: f64 = (0..CLASSES).map(|k| slope(k) * f64::from(linear.weights[k][i])).sum();
            assert!((f64::from(found) - want).abs() < 1e-5, "value {i}: {found} not {want}");
        }
    }
}

#[test]
fn deepfool_crosses_the_nearest_boundary_of_a_linear_model() {
    let mut linear = Linear::new();
    let image = grey();
    let nearest = (1..CLASSES).map(|k| linear.distance(&image[0], 0, k)).fold(f64::INFINITY, f64::min);
    let found = linear.lab.attack("deepfool", &[], &image, &[Goal::away(0)]).remove(0);
    // One step of the distance plus 10⁻⁴, lengthened by the overshoot of 0.02.
    let want = 1.02 * (nearest + 1e-4 / length(&linear.weights[0]).max(1.0));
    assert!(found.success);
    assert!((found.norms.l2 / want - 1.0).abs() < 5e-3, "{} not {want}", found.norms.l2);
}

#[test]
fn carlini_wagner_comes_close_to_the_nearest_boundary() {
    let mut linear = Linear::new();
    let image = grey();
    for goal in [Goal::away(0), Goal { label: 0, target: Some(2) }] {
        let rivals = goal.target.map_or(vec![1, 2, 3], |t| vec![t]);
        let nearest = rivals.iter().map(|&k| linear.distance(&image[0], 0, k)).fold(f64::INFINITY, f64::min);
        let found = linear.lab.attack("cw", &[("initial-c", "0.1")], &image, &[goal]).remove(0);
        assert!(found.success, "{goal:?}");
        let ratio = found.norms.l2 / nearest;
        assert!((1.0..1.1).contains(&ratio), "{goal:?}: {ratio} times the least distance");
    }
}

/// The way to a boundary is straight: success exactly if the budget is larger than the distance.
#[test]
fn pgd_l2_succeeds_exactly_beyond_the_boundary() {
    let mut linear = Linear::new();
    let (image, goal) = (grey(), Goal { label: 0, target: Some(1) });
    let distance = linear.distance(&image[0], 0, 1);
    for (share, want) in [(0.98, false), (1.02, true)] {
        let eps = (share * distance).to_string();
        let set = [("eps", eps.as_str()), ("loss", "margin"), ("random-start", "false")];
        let found = linear.lab.attack("pgd-l2", &set, &image, &[goal]).remove(0);
        assert_eq!(found.success, want, "{share} of the distance");
    }
}

/// The smallest L∞ distance to a boundary is |S_k − S_y| / ‖w_k − w_y‖₁ (the dual norm).
#[test]
fn sign_steps_succeed_exactly_beyond_the_dual_distance() {
    let mut linear = Linear::new();
    let (image, goal) = (grey(), Goal { label: 0, target: Some(1) });
    let logits = linear.logits(&image[0]);
    let l1: f64 =
        linear.weights[0].iter().zip(&linear.weights[1]).map(|(a, b)| f64::from((a - b).abs())).sum();
    let distance = (logits[0] - logits[1]) / l1;
    for (share, want) in [(0.98, false), (1.02, true)] {
        let eps = (share * distance).to_string();
        for (name, set) in [("bim", vec![("loss", "margin")]), ("apgd", vec![("loss", "margin")])] {
            let set = [&set[..], &[("eps", eps.as_str())]].concat();
            let found = linear.lab.attack(name, &set, &image, &[goal]).remove(0);
            assert_eq!(found.success, want, "{name} with {share} of the distance");
        }
    }
}

#[test]
fn fgsm_is_a_step_of_eps_along_the_sign_of_the_gradient() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(3);
    let goals = lab.away(&images);
    let eps = 8.0 / 255.0;
    let found = lab.attack("fgsm", &[("eps", "8/255")], &images, &goals);
    let one_step = [("steps", "1"), ("step", "1"), ("early-stop", "false")];
    let bim = lab.attack("bim", &one_step, &images, &goals);
    let pgd = lab.attack("pgd", &[&one_step[..], &[("random-start", "false")]].concat(), &images, &goals);
    for i in 0..images.len() {
        let gradient = lab.gradient(&images[i], Loss::CrossEntropy, &goals[i]);
        let mut moved = 0;
        for ((v, x), g) in found[i].pixels.iter().zip(&images[i]).zip(&gradient) {
            let step = if *g == 0.0 { 0.0 } else { eps * f64::from(g.signum()) };
            let want = (f64::from(*x) + step).clamp(0.0, 1.0);
            assert!((f64::from(*v) - want).abs() < 1e-6, "{v} not {want}");
            moved += usize::from(step != 0.0);
        }
        assert!(moved > images[i].len() / 2, "most gradients are not zero: {moved}");
        assert_eq!(found[i].pixels, bim[i].pixels, "BIM of one full step");
        assert_eq!(found[i].pixels, pgd[i].pixels, "PGD of one full step from the image");
    }
}

#[test]
fn a_step_of_pgd_l2_goes_along_the_gradient_itself() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let goals = lab.away(&images);
    let set =
        [("eps", "0.1"), ("steps", "1"), ("step", "1"), ("early-stop", "false"), ("random-start", "false")];
    let found = lab.attack("pgd-l2", &set, &images, &goals);
    for i in 0..images.len() {
        let gradient = lab.gradient(&images[i], Loss::CrossEntropy, &goals[i]);
        let change: Vec<f32> = found[i].pixels.iter().zip(&images[i]).map(|(a, b)| a - b).collect();
        let along: f64 = change.iter().zip(&gradient).map(|(a, b)| f64::from(a * b)).sum();
        assert!(along / (length(&change) * length(&gradient)) > 0.99, "the change is along the gradient");
        assert!((0.095..=0.1).contains(&found[i].norms.l2), "{:?}", found[i].norms);
    }
}

/// ⟨v, ∇L⟩ against (L(x + hv) − L(x − hv)) / 2h along the gradient.
#[test]
fn gradients_of_the_target_model_are_those_of_differences() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(4);
    let goals = lab.away(&images);
    for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
        let mut compared = 0;
        for (image, goal) in images.iter().zip(&goals) {
            let gradient = lab.gradient(image, loss, goal);
            let size = length(&gradient);
            // Short, since the network is linear only between the kinks of its ReLUs.
            let h = 0.001;
            let at = |sign: f64| -> Vec<f32> {
                let moved = image.iter().zip(&gradient);
                moved.map(|(x, g)| (f64::from(*x) + sign * h * f64::from(*g) / size) as f32).collect()
            };
            let logits = lab.logits(&[at(1.0), at(-1.0)]);
            // If the order of the first three classes changes, the ratio has a kink and no derivative.
            if ranking(&logits[0])[..3] != ranking(&logits[1])[..3] {
                continue;
            }
            compared += 1;
            let [up, down] = [0, 1].map(|i| loss.at(&logits[i], goal).0);
            let slope = (up - down) / (2.0 * h);
            assert!((slope / size - 1.0).abs() < 0.02, "{loss:?}: {slope}, by the sweep {size}");
        }
        assert!(compared > 0, "{loss:?}: no image without a kink");
    }
}

/// A point outside the L2 ball is projected onto its surface, on the line to the centre.
#[test]
fn projection_onto_the_l2_ball_is_along_the_line_to_its_centre() {
    let mut noise = Noise::new(9);
    let origin: Vec<f32> = (0..VALUES).map(|_| 0.4 + 0.2 * noise.unit()).collect();
    let direction: Vec<f32> = (0..VALUES).map(|_| noise.normal()).collect();
    let size = length(&direction);
    for eps in [0.05, 0.5, 1.0] {
        for far in [0.5, 2.0, 40.0] {
            let at = |distance: f64| -> Vec<f32> {
                let moved = origin.iter().zip(&direction);
                moved.map(|(o, d)| (f64::from(*o) + distance / size * f64::from(*d)) as f32).collect()
            };
            let mut image = at(far * eps);
            Budget::L2(eps).project(&mut image, &origin);
            let want = at(far.min(1.0) * eps);
            let off = Norms::between(&image, &want).linf;
            assert!(off < 1e-6, "eps {eps}, {far} times as far: {off}");
            assert!(Norms::between(&image, &origin).l2 <= eps);
        }
    }
}
