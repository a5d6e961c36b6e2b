//! The rules of relevance propagation against a direct implementation: contributions x_i·w_ij computed one by one from
//! the dense matrix of a layer.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor_graph::builder::{Builder, Expr};
use candor_graph::grad::lrp::{Composite, LayerRule, lrp};
use candor_graph::grad::propagate;
use candor_graph::graph::{Attr, Graph};
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor};

const IN: [usize; 3] = [2, 4, 4];
const OUT: [usize; 3] = [3, 4, 4];
const BIAS: [f32; 3] = [0.3, -0.2, 0.1];
const STABILISER: f64 = 1e-6;

/// A layer from IN to an output on 4×4 places, with its biases or without.
type Layer = for<'b> fn(&'b Builder, Expr<'b>, bool) -> Expr<'b>;

fn size(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

fn noise(count: usize, salt: u64) -> Vec<f32> {
    (0..count).map(|i| support::noise(i, salt)).collect()
}

/// A 3×3 convolution of stride 1 with padding.
fn conv<'b>(b: &'b Builder, x: Expr<'b>, bias: bool) -> Expr<'b> {
    let weight = b.constant(Tensor::floats(&[3, 2, 3, 3], noise(54, 1)).unwrap());
    let bias_values = b.constant(Tensor::floats(&[3], BIAS.to_vec()).unwrap());
    let attrs = [
        ("kernel_shape", Attr::Ints(vec![3, 3])),
        ("strides", Attr::Ints(vec![1, 1])),
        ("dilations", Attr::Ints(vec![1, 1])),
        ("pads", Attr::Ints(vec![1, 1, 1, 1])),
    ];
    let inputs = if bias { vec![weight, bias_values] } else { vec![weight] };
    x.op("Conv", &inputs, &attrs)
}

/// A dense layer with the biases of the convolution, one a channel.
fn dense_layer<'b>(b: &'b Builder, x: Expr<'b>, bias: bool) -> Expr<'b> {
    let weight = b.constant(Tensor::floats(&[size(IN), size(OUT)], noise(size(IN) * size(OUT), 8)).unwrap());
    let values = (0..size(OUT)).map(|j| BIAS[j / (OUT[1] * OUT[2])]).collect();
    let bias_values = b.constant(Tensor::floats(&[size(OUT)], values).unwrap());
    let inputs = if bias { vec![weight, bias_values] } else { vec![weight] };
    x.op("Flatten", &[], &[]).op("Gemm", &inputs, &[]).reshape(&[-1, 3, 4, 4])
}

/// Means over overlapping windows.
fn pool<'b>(_: &'b Builder, x: Expr<'b>, _: bool) -> Expr<'b> {
    let attrs = [("kernel_shape", Attr::Ints(vec![3, 3])), ("pads", Attr::Ints(vec![1; 4]))];
    x.op("AveragePool", &[], &attrs)
}

fn input(b: &Builder, shape: [usize; 3]) -> Expr<'_> {
    let dims = [Dim::Batch(1), Dim::Fixed(shape[0]), Dim::Fixed(shape[1]), Dim::Fixed(shape[2])];
    b.input("x", DataType::Float, &dims)
}

fn tensor(shape: [usize; 3], values: Vec<f32>) -> Tensor {
    Tensor::floats(&[1, shape[0], shape[1], shape[2]], values).unwrap()
}

/// w_ij by running the layer on unit vectors.
fn matrix(layer: Layer) -> Vec<Vec<f64>> {
    let builder = Builder::new(Graph::new(18));
    let y = layer(&builder, input(&builder, IN), false).id();
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![y];
    let column = |i: usize| {
        let mut unit = vec![0.0; size(IN)];
        unit[i] = 1.0;
        let out = support::run(&graph, &[&tensor(IN, unit)]);
        out[0].as_floats().unwrap().iter().map(|&v| f64::from(v)).collect()
    };
    (0..size(IN)).map(column).collect()
}

fn swept(layer: Layer, rule: LayerRule, biases: bool, x: &[f32], r: &[f32]) -> Vec<f64> {
    let builder = Builder::new(Graph::new(18));
    let image = input(&builder, IN);
    let y = layer(&builder, image, true);
    let out = [r.len() / (OUT[1] * OUT[2]), OUT[1], OUT[2]];
    let dims = [Dim::Batch(1), Dim::Fixed(out[0]), Dim::Fixed(out[1]), Dim::Fixed(out[2])];
    let seed = builder.input("r", DataType::Float, &dims).id();
    let (image, y) = (image.id(), y.id());
    let graph = builder.finish().unwrap();
    let policy = lrp(&graph, image, Composite { first: None, conv: rule, dense: rule, last: None, biases });
    let (mut graph, found) = propagate(graph, &[(y, seed)], &[image], &policy).unwrap();
    graph.outputs = found;
    let out = support::run(&graph, &[&tensor(IN, x.to_vec()), &tensor(out, r.to_vec())]);
    out[0].as_floats().unwrap().iter().map(|&v| f64::from(v)).collect()
}

fn stabilised(z: f64) -> f64 {
    z + if z < 0.0 { -STABILISER } else { STABILISER }
}

/// R_i = Σ_j share(x_i, w_ij, b_j, …) R_j with each rule's own share.
fn dense(w: &[Vec<f64>], rule: LayerRule, biases: [f32; 3], x: &[f32], r: &[f32]) -> Vec<f64> {
    let bias = |j: usize| f64::from(biases[j / (OUT[1] * OUT[2])]);
    let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
    let n = x.len();
    let mut out = vec![0.0; n];
    for j in 0..r.len() {
        let c = |i: usize| x[i] * w[i][j];
        let sum = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
        let (up, down) = (|v: f64| v.max(0.0), |v: f64| v.min(0.0));
        let b = bias(j);
        let z = sum(&c) + b;
        let contribution: Vec<f64> = match rule {
            LayerRule::Epsilon(e) => {
                let below = z + if z < 0.0 { -f64::from(e) } else { f64::from(e) };
                (0..n).map(|i| c(i) / below).collect()
            }
            LayerRule::AlphaBeta(alpha, beta) => {
                let plus = stabilised(sum(&|i| up(c(i))) + up(b));
                let minus = stabilised(sum(&|i| down(c(i))) + down(b));
                let one = |i| f64::from(alpha) * up(c(i)) / plus - f64::from(beta) * down(c(i)) / minus;
                (0..n).map(one).collect()
            }
            LayerRule::Gamma(g) => {
                // Positive contributions count 1 + γ times where z > 0, negative ones where z < 0.
                let more = |v: f64| v + f64::from(g) * if z > 0.0 { up(v) } else { down(v) };
                let total = stabilised(sum(&|i| more(c(i))) + more(b));
                (0..n).map(|i| more(c(i)) / total).collect()
            }
            LayerRule::WSquare => {
                let total = stabilised(sum(&|i| w[i][j] * w[i][j]));
                (0..n).map(|i| w[i][j] * w[i][j] / total).collect()
            }
            LayerRule::Flat => {
                // Weights that padding leaves out do not exist; the others are never exactly zero.
                let one = |i: usize| f64::from(u8::from(w[i][j] != 0.0));
                (0..n).map(|i| one(i) / stabilised(sum(&one))).collect()
            }
            LayerRule::ZBox(low, high) => {
                let (l, h) = (f64::from(low), f64::from(high));
                let one = |i: usize| c(i) - l * up(w[i][j]) - h * down(w[i][j]);
                (0..n).map(|i| one(i) / stabilised(sum(&one))).collect()
            }
            LayerRule::Excitation => {
                let total = stabilised(sum(&|i| up(c(i))));
                (0..n).map(|i| up(c(i)) / total).collect()
            }
            LayerRule::ContrastiveExcitation => {
                let plus = stabilised(sum(&|i| up(c(i))));
                let minus = stabilised(sum(&|i| down(c(i))));
                (0..n).map(|i| up(c(i)) / plus - down(c(i)) / minus).collect()
            }
        };
        contribution.iter().zip(&mut out).for_each(|(share, o)| *o += share * f64::from(r[j]));
    }
    out
}

fn relative_error(got: &[f64], want: &[f64]) -> f64 {
    let norm = want.iter().map(|v| v * v).sum::<f64>().sqrt();
    got.iter().zip(want).map(|(g, w)| (g - w).powi(2)).sum::<f64>().sqrt() / norm
}

#[test]
fn every_rule_agrees_with_its_contributions_written_out() {
    let (x, r) = (noise(size(IN), 3), noise(size(OUT), 4));
    let rules = [
        LayerRule::Epsilon(0.25),
        LayerRule::AlphaBeta(1.0, 0.0),
        LayerRule::AlphaBeta(2.0, 1.0),
        LayerRule::Gamma(0.25),
        LayerRule::WSquare,
        LayerRule::Flat,
        LayerRule::ZBox(-1.0, 1.0),
        LayerRule::Excitation,
        LayerRule::ContrastiveExcitation,
    ];
    for (name, layer) in [("conv", conv as Layer), ("dense", dense_layer)] {
        let w = matrix(layer);
        for rule in rules {
            let off = relative_error(&swept(layer, rule, true, &x, &r), &dense(&w, rule, BIAS, &x, &r));
            println!("{name}, {rule:?}: {off:.1e}");
            assert!(off <= 2e-4, "{name}, {rule:?}: relative error {off:.1e}");
        }
    }
}

/// A dense layer whose biases are a sum of their own, as exporters of matrix products write them.
fn summed<'b>(b: &'b Builder, x: Expr<'b>, bias: bool) -> Expr<'b> {
    let y = dense_layer(b, x, false);
    let bias_values = b.constant(Tensor::floats(&[3, 1, 1], BIAS.to_vec()).unwrap());
    if bias { y + bias_values } else { y }
}

#[test]
fn biases_take_their_share_or_none() {
    // Positive, so that conservation is not hidden by cancellation.
    let (x, r): (Vec<f32>, Vec<f32>) =
        (noise(size(IN), 3), noise(size(OUT), 4).iter().map(|v| v.abs()).collect());
    let total: f64 = r.iter().map(|&v| f64::from(v)).sum();
    let plus = LayerRule::AlphaBeta(1.0, 0.0);
    for (name, layer) in [("conv", conv as Layer), ("dense", dense_layer), ("summed", summed)] {
        let w = matrix(layer);
        for rule in [LayerRule::Epsilon(1e-7), plus] {
            let found = swept(layer, rule, false, &x, &r);
            let off = relative_error(&found, &dense(&w, rule, [0.0; 3], &x, &r));
            assert!(off <= 2e-4, "{name}, {rule:?}: relative error {off:.1e}");
            let sum: f64 = found.iter().sum();
            assert!((sum / total - 1.0).abs() < 1e-3, "{name}, {rule:?}: {sum} of {total}");
        }
    }
    let found = swept(conv, plus, true, &x, &r);
    let off = relative_error(&found, &dense(&matrix(conv), plus, BIAS, &x, &r));
    assert!(off <= 2e-4, "with biases: relative error {off:.1e}");
    let left: f64 = found.iter().sum();
    assert!(left < 0.99 * total, "positive biases take a part: {left} of {total} is left");
}

#[test]
fn means_hand_relevance_on_by_share_whatever_the_rule() {
    let (x, r) = (noise(size(IN), 3), noise(size(IN), 4));
    let share = LayerRule::Epsilon(STABILISER as f32);
    let want = dense(&matrix(pool), share, [0.0; 3], &x, &r);
    let off = relative_error(&swept(pool, LayerRule::Flat, true, &x, &r), &want);
    assert!(off <= 2e-4, "relative error {off:.1e}");
}

/// Conv, Relu, a sum with a second branch, MaxPool, average, dense; no biases.
fn network(b: &Builder) -> (Expr<'_>, Expr<'_>) {
    let x = input(b, IN);
    let first = conv(b, x, false).op("Relu", &[], &[]);
    let weight = b.constant(Tensor::floats(&[3, 3, 1, 1], noise(9, 5)).unwrap());
    let second = first.op("Conv", &[weight], &[("kernel_shape", Attr::Ints(vec![1, 1]))]);
    let pool = [("kernel_shape", Attr::Ints(vec![2, 2])), ("strides", Attr::Ints(vec![2, 2]))];
    let pooled = (first + second).op("MaxPool", &[], &pool).op("GlobalAveragePool", &[], &[]);
    let dense = b.constant(Tensor::floats(&[3, 4], noise(12, 6)).unwrap());
    (x, pooled.op("Flatten", &[], &[]).op("Gemm", &[dense], &[]))
}

#[test]
fn without_biases_relevance_adds_up_to_the_score() {
    // αβ is not among them: where a unit has no negative contribution, β has nothing to subtract and α R is passed on.
    for rule in [LayerRule::Epsilon(1e-7), LayerRule::Gamma(0.5)] {
        let builder = Builder::new(Graph::new(18));
        let (x, y) = network(&builder);
        let seed = builder.input("r", DataType::Float, &[Dim::Batch(1), Dim::Fixed(4)]).id();
        let (x, y) = (x.id(), y.id());
        let graph = builder.finish().unwrap();
        let policy =
            lrp(&graph, x, Composite { first: None, conv: rule, dense: rule, last: None, biases: true });
        let (mut graph, found) = propagate(graph, &[(y, seed)], &[x], &policy).unwrap();
        graph.outputs = vec![y, found[0]];
        let image = tensor(IN, noise(size(IN), 7));
        let seed = |values: Vec<f32>| Tensor::floats(&[1, 4], values).unwrap();
        let scores = support::run(&graph, &[&image, &seed(vec![0.0; 4])]);
        let score = scores[0].as_floats().unwrap()[2];
        let out = support::run(&graph, &[&image, &seed(vec![0.0, 0.0, score, 0.0])]);
        let sum: f64 = out[1].as_floats().unwrap().iter().map(|&v| f64::from(v)).sum();
        let off = (sum - f64::from(score)).abs() / f64::from(score.abs());
        assert!(off < 1e-3, "{rule:?}: {sum} is not {score}");
    }
}

#[test]
fn an_operator_without_a_meaning_for_relevance_is_refused() {
    let builder = Builder::new(Graph::new(18));
    let x = input(&builder, IN);
    let (y, x) = (x.exp().id(), x.id());
    let graph = builder.finish().unwrap();
    let rule = LayerRule::Epsilon(0.0);
    let policy = lrp(&graph, x, Composite { first: None, conv: rule, dense: rule, last: None, biases: true });
    let error = propagate(graph, &[(y, x)], &[x], &policy).unwrap_err().to_string();
    assert!(error.contains("not defined for this operator") && error.contains("Exp"), "{error}");
}
