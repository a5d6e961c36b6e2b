//! One network in many file forms: layouts, batches, heads, channels. All must give the same scores and the same masks.
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::engine::RTen;
use candor::error::one_line;
use candor::image::Layout;
use candor::mask::Returned;
use candor::mask::learn::{Learned, Learner};
use candor::mask::settings::SETTLING;
use candor::mask::{Settings, automatic_levels};
use candor::methods::{Choices, prepare};
use candor::model::{Head, Model, ModelOptions};
use candor::progress::Unwatched;
use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::{Attr, Graph};
use candor_graph::insert::MaskShape;
use candor_graph::onnx;
use candor_graph::shape::{self, Dim};
use candor_graph::tensor::{DataType, Tensor, TensorData};
use candor_scenes::embedded;

const SIZE: usize = embedded::INPUT_SIZE as usize;

fn network() -> Graph {
    let mut graph = onnx::load_bytes(embedded::MODEL).unwrap().graph;
    shape::infer(&mut graph).unwrap();
    graph
}

fn load(graph: &Graph, options: &ModelOptions) -> Result<Model, String> {
    let bytes = onnx::to_bytes(graph).unwrap();
    Model::from_bytes("variant.onnx", &bytes, options, Box::new(RTen::new(2))).map_err(|e| one_line(&e))
}

/// The network with `head` after its output.
fn with_head(head: impl for<'b> Fn(Expr<'b>) -> Expr<'b>) -> Graph {
    let graph = network();
    let output = graph.outputs[0];
    let builder = Builder::new(graph);
    let id = head(builder.value(output)).id();
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![id];
    graph
}

/// The network with another input, which `form` converts to the original one.
fn with_input(shape: &[Dim], form: impl for<'b> Fn(Expr<'b>) -> Expr<'b>) -> Graph {
    let mut graph = network();
    let old = graph.inputs[0];
    let nodes = std::mem::take(&mut graph.nodes);
    graph.inputs.clear();
    let builder = Builder::new(graph);
    let new = form(builder.input("picture", DataType::Float, shape)).id();
    let mut graph = builder.finish().unwrap();
    graph.nodes.extend(nodes);
    graph.replace_uses(old, new, |_| true);
    graph
}

fn image(channels: usize) -> Vec<f32> {
    let plane = SIZE * SIZE;
    let value = |i: usize| {
        let (c, y, x) = (i / plane, i / SIZE % SIZE, i % SIZE);
        ((x as f32 * 0.11 + c as f32).sin() + (y as f32 * 0.07 - c as f32).cos()) / 2.0
    };
    (0..channels * plane).map(value).collect()
}

fn learn(model: &Model, image: &[f32], settings: Settings, classes: &[usize]) -> Vec<Learned> {
    let mut learner = Learner::new(model, automatic_levels(model).unwrap(), settings).unwrap();
    let prepared = learner.prepare(model, image).unwrap();
    learner.learn(model, &prepared, classes, &mut Unwatched).unwrap()
}

fn scores(model: &Model, image: &[f32]) -> Vec<f32> {
    model.scores(model.forward().unwrap().as_mut(), image).unwrap()
}

fn short() -> Settings {
    Settings { iterations: 4, exact: false, ..Settings::of_photo() }
}

/// The search with windows, at a constant λ.
fn at_places() -> Settings {
    Settings { iterations: 4, exact: false, keep: 0.0, ..Settings::default() }
}

fn assert_near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-4 * (1.0 + w.abs()), "{what}, value {i}: {g} is not {w}");
    }
}

/// Checks that scores and masks of `graph` are those of the original network.
fn same_as_network(what: &str, graph: &Graph, options: &ModelOptions, fixed_batch: Option<usize>) {
    let plain = load(&network(), &ModelOptions::default()).unwrap();
    let model = load(graph, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(model.fixed_batch, fixed_batch, "{what}");
    let image = image(3);
    assert_near(what, &scores(&model, &image), &scores(&plain, &image));
    let (got, want) =
        (learn(&model, &image, short(), &[0, 5, 7]), learn(&plain, &image, short(), &[0, 5, 7]));
    for (got, want) in got.iter().zip(&want) {
        for (got, want) in got.masks.iter().zip(&want.masks) {
            assert_near(what, got, want);
        }
    }
    let (got, want) =
        (learn(&model, &image, at_places(), &[0, 5]), learn(&plain, &image, at_places(), &[0, 5]));
    for (got, want) in got.iter().zip(&want) {
        let [a, b] = [got, want].map(|l| l.found.clone().unwrap());
        assert_eq!((a.place.window, a.ground), (b.place.window, b.ground), "{what}");
        assert!((a.place.strength - b.place.strength).abs() < 1e-3, "{what}");
        assert_near(what, &got.masks.concat(), &want.masks.concat());
    }
}

#[test]
fn channels_last() {
    let shape = [Dim::Batch(1), Dim::Fixed(SIZE), Dim::Fixed(SIZE), Dim::Fixed(3)];
    let graph = with_input(&shape, |x| x.transpose(&[0, 3, 1, 2]));
    same_as_network("NHWC", &graph, &ModelOptions::default(), None);
    let told = ModelOptions { layout: Some(Layout::Nhwc), ..ModelOptions::default() };
    same_as_network("NHWC, told so", &graph, &told, None);
}

#[test]
fn batches_that_an_exporter_fixed() {
    let fixed = |n: usize| {
        let mut graph = network();
        let input = graph.inputs[0];
        graph.set_shape(input, &[n, 3, SIZE, SIZE].map(Dim::Fixed));
        graph
    };
    // The network does not depend on the batch size: it becomes variable.
    same_as_network("batch of 1", &fixed(1), &ModelOptions::default(), None);
    // A reshape target that contains the batch: [1, …] can be made variable, [2, …] cannot.
    for (n, stays) in [(1, None), (2, Some(2))] {
        let shape = [n, 3, SIZE, SIZE];
        let target = shape.map(|d| d as i64);
        let graph = with_input(&shape.map(Dim::Fixed), |x| x.reshape(&target));
        same_as_network(&format!("batch of {n} in a Reshape"), &graph, &ModelOptions::default(), stays);
    }
}

#[test]
fn heads_with_softmax_give_their_logits() {
    let axis = |a: i64| [("axis", Attr::Int(a))];
    for op in ["Softmax", "LogSoftmax"] {
        let graph = with_head(|y| y.op(op, &[], &axis(1)));
        assert_eq!(load(&graph, &ModelOptions::default()).unwrap().head, Head::Softmax);
        same_as_network(op, &graph, &ModelOptions::default(), None);
    }
    let behind = with_head(|y| y.op("Softmax", &[], &axis(-1)).reshape(&[-1, 12, 1, 1]));
    same_as_network("Softmax and Reshape", &behind, &ModelOptions::default(), None);
    // The sidecar's name takes precedence over the search.
    let name = network().name(network().outputs[0]).to_string();
    let named = ModelOptions { logits: Some(name), ..ModelOptions::default() };
    let graph = with_head(|y| y.op("Softmax", &[], &axis(1)) * 2.0);
    same_as_network("logits by name", &graph, &named, None);
}

#[test]
fn a_sigmoid_per_class_needs_no_rivals() {
    let graph = with_head(|y| y.op("Sigmoid", &[], &[]));
    let model = load(&graph, &ModelOptions::default()).unwrap();
    assert_eq!(model.head, Head::MultiLabel);
    let image = image(3);
    let logits = scores(&load(&network(), &ModelOptions::default()).unwrap(), &image);
    assert_near("sigmoid", &scores(&model, &image), &logits);
    let learned = learn(&model, &image, short(), &[3]);
    assert!((learned[0].query.log_odds(&logits) - f64::from(logits[3])).abs() < 1e-4);
    // In a window, too, a class has no rivals: its strength is its logit there minus the logit of nothing.
    let learned = learn(&model, &image, at_places(), &[3]).remove(0);
    let place = learned.found.clone().unwrap().place;
    assert!(place.strength >= f64::from(logits[3]) - learned.query.floor - 1e-4, "the whole is a window");
}

#[test]
fn two_classes_and_one_output_have_places() {
    let some = |n: i64| with_head(|y| y.slice(&[1], &[0], &[n], &[1]));
    let image = image(3);
    for n in [2, 1] {
        let model = load(&some(n), &ModelOptions::default()).unwrap();
        let answer = candor::scores::argmax(&scores(&model, &image));
        let learned = learn(&model, &image, at_places(), &[answer]).remove(0);
        let found = learned.found.clone().unwrap();
        let chance = 0.0;
        assert!(learned.query.floor >= chance, "worse than even odds are no evidence");
        assert!(found.place.strength.is_finite() && (0.0..=1.0).contains(&found.p_value), "{n}");
        let there = learned.query.log_odds(&learned.query.reference) > learned.query.floor;
        assert!(!there || learned.query.evidence() > 0.0, "{n}");
        // The search changes the masks: not all of them stay where they started.
        assert!(learned.masks.concat().iter().any(|&m| m != 1.0 && m != 0.1), "{n}");
    }
}

#[test]
fn probabilities_without_logits_become_their_logarithms() {
    let graph = with_head(|y| {
        let (low, high) = (y.builder().scalar(0.0), y.builder().scalar(1.0));
        y.op("Softmax", &[], &[("axis", Attr::Int(1))]).op("Clip", &[low, high], &[])
    });
    let model = load(&graph, &ModelOptions::default()).unwrap();
    assert_eq!(model.head, Head::LogProbability);
    let image = image(3);
    let logits = scores(&load(&network(), &ModelOptions::default()).unwrap(), &image);
    let sum: f32 = logits.iter().map(|v| v.exp()).sum();
    let want: Vec<f32> = logits.iter().map(|v| v - sum.ln()).collect();
    assert_near("log p", &scores(&model, &image), &want);
    // Subtracting a constant from all logits does not change the log-odds, and therefore not the masks.
    let plain = learn(&load(&network(), &ModelOptions::default()).unwrap(), &image, short(), &[0]);
    assert_near("masks", &learn(&model, &image, short(), &[0])[0].masks[0], &plain[0].masks[0]);
}

#[test]
fn one_channel() {
    let shape = [Dim::Batch(1), Dim::Fixed(1), Dim::Fixed(SIZE), Dim::Fixed(SIZE)];
    let graph = with_input(&shape, |x| x.builder().concat(&[x, x, x], 1));
    let model = load(&graph, &ModelOptions::default()).unwrap();
    assert_eq!(model.input_shape, [1, SIZE, SIZE]);
    let grey = image(1);
    let plain = load(&network(), &ModelOptions::default()).unwrap();
    assert_near("grey", &scores(&model, &grey), &scores(&plain, &grey.repeat(3)));
}

#[test]
fn a_free_size_must_be_named() {
    let mut graph = network();
    let input = graph.inputs[0];
    graph.set_shape(input, &[Dim::Batch(1), Dim::Fixed(3), Dim::Unknown, Dim::Unknown]);
    let error = load(&graph, &ModelOptions::default()).err().unwrap();
    assert!(error.contains("any size") && error.contains("size = ["), "{error}");
    let told = ModelOptions { size: Some([SIZE, SIZE]), ..ModelOptions::default() };
    same_as_network("size told", &graph, &told, None);
}

#[test]
fn settings_do_what_they_say() {
    let model = load(&network(), &ModelOptions::default()).unwrap();
    let image = image(3);
    let top = candor::scores::argmax(&scores(&model, &image));
    let with = |settings: Settings| learn(&model, &image, settings, &[top]).remove(0);
    let full = with(Settings { shape: MaskShape::Full, ..short() });
    let levels = automatic_levels(&model).unwrap();
    for (mask, level) in full.masks.iter().zip(&levels) {
        assert_eq!(mask.len(), level.shape.iter().product::<usize>());
    }
    let best = with(Settings { returned: Returned::Best, rate: 0.4, iterations: 12, ..short() });
    let last = with(Settings { rate: 0.4, iterations: 12, ..short() });
    let lowest = last.losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(
        (best.losses[best.losses.len() - 1] - lowest).abs() <= 1e-5 * lowest.abs(),
        "the best is returned"
    );
    // At a learning rate of 0.4 the iterates after the first three steps are averaged.
    let mean = |iterations| with(Settings { returned: Returned::Mean, rate: 0.4, iterations, ..short() });
    let at = |iterations| with(Settings { rate: 0.4, iterations, ..short() });
    let wanted = [at(4), at(5)].map(|l| l.masks.concat());
    for (i, got) in mean(5).masks.concat().iter().enumerate() {
        assert!((got - (wanted[0][i] + wanted[1][i]) / 2.0).abs() < 1e-6, "{i}");
    }
    let (steps, early) = (40, with(Settings { settle: 1.0, iterations: 40, ..short() }));
    // A non-negative loss can never decrease by more than itself.
    assert_eq!(early.losses.len(), SETTLING + 2, "the first comparison ends it; one more loss at the end");
    let all = with(Settings { settle: 0.0, iterations: steps, ..short() });
    assert_eq!(all.losses.len(), steps + 1);
    assert_eq!(all.losses[..SETTLING + 1], early.losses[..SETTLING + 1]);
    // With all of four steps annealed, the factors of the learning rate are 0.96, 0.69, 0.31 and 0.04, two in total; a closing entry
    // moves that far.
    let lowest = |l: Learned| l.masks.concat().into_iter().fold(f32::INFINITY, f32::min);
    let [steady, annealed, late] =
        [0.0, 1.0, 0.25].map(|anneal| lowest(with(Settings { anneal, ..short() })));
    assert!((steady - 0.8).abs() < 1e-3 && (annealed - 0.9).abs() < 1e-3, "{steady}, {annealed}");
    assert!((late - 0.825).abs() < 1e-3, "the last step is half a step: {late}");
    let capped = with(Settings { cap: 0.5, ..short() });
    assert!(capped.masks.iter().flatten().all(|&m| m <= 0.5));
}

/// Windows of a transformer are several rows per image: a photo's rows cannot be broadcast over the queries.
#[test]
fn several_classes_of_rows_that_are_parts_of_an_image() {
    let classes = scores(&load(&network(), &ModelOptions::default()).unwrap(), &image(3)).len() as i64;
    let graph = with_head(|y| {
        let parts = y.reshape(&[-1, 1]);
        (parts * parts).reshape(&[-1, classes])
    });
    let model = load(&graph, &ModelOptions::default()).unwrap();
    let method = candor::methods::find("gradient").unwrap();
    let (mut gradient, _) = prepare(&model, method.as_ref(), &[], &Choices::default()).unwrap();
    gradient.scores(&model, &image(3)).unwrap();
    let mut maps = |classes: &[usize]| -> Vec<Vec<f32>> {
        let explained = gradient.explain(&model, classes, &mut Unwatched).unwrap();
        explained.into_iter().map(|e| e.map.data).collect()
    };
    let together = maps(&[0, 5, 7]);
    for (class, map) in [0, 5, 7].into_iter().zip(&together) {
        assert_near("together and alone", map, &maps(&[class])[0]);
    }
    assert_ne!(together[0], together[1]);
}

/// PyTorch's newer exporter reads a flattened batch at positions computed from the batch size.
#[test]
fn several_classes_where_places_count_in_batches() {
    let classes = scores(&load(&network(), &ModelOptions::default()).unwrap(), &image(3)).len() as i64;
    let graph = with_head(|y| {
        let b = y.builder();
        let whole = |v: &[i64], shape: &[usize]| {
            b.constant(Tensor::new(shape.to_vec(), TensorData::Int64(v.to_vec())).unwrap())
        };
        let picture = b.value(b.with(|g| g.inputs[0]));
        let count = picture.op("Shape", &[], &[]).op("Gather", &[whole(&[0], &[])], &[]);
        let rows = whole(&[0], &[]).op("Range", &[count, whole(&[1], &[])], &[]).op(
            "Unsqueeze",
            &[whole(&[1], &[1])],
            &[],
        );
        let columns: Vec<i64> = (0..classes).collect();
        let places = rows.op("Mul", &[whole(&[classes], &[])], &[]).op(
            "Add",
            &[whole(&columns, &[columns.len()])],
            &[],
        );
        y.reshape(&[-1]).op("Gather", &[places], &[])
    });
    let model = load(&graph, &ModelOptions::default()).unwrap();
    let image = image(3);
    let together = learn(&model, &image, short(), &[0, 5]);
    for (class, learned) in [0, 5].into_iter().zip(&together) {
        let alone = learn(&model, &image, short(), &[class]).remove(0);
        for (got, want) in learned.masks.iter().zip(&alone.masks) {
            assert_near("together and alone", got, want);
        }
    }
}

/// The fusion of features and masks is the mean over channels of m ⊙ a.
#[test]
fn the_attribution_form_weighs_masks_by_features() {
    let feature = [1.0, 2.0, 3.0, 4.0];
    let map = candor::mask::fuse::attribution_mean(&[0.5, 1.0], [1, 1, 2], &feature);
    assert_eq!(map.data, vec![1.0, 3.0]);
}

/// A network whose first level is read only by pointwise convolutions, with and without strides and bias.
fn pointwise() -> Graph {
    let builder = Builder::new(Graph::new(18));
    let input = builder.input(
        "picture",
        DataType::Float,
        &[Dim::Batch(1), Dim::Fixed(3), Dim::Fixed(16), Dim::Fixed(16)],
    );
    let conv = |x: Expr<'_>, from: usize, to: usize, kernel: usize, stride: i64, bias: bool| {
        let value = |i: usize| ((i * 37 + to) as f32 * 0.7).sin() / (from * kernel) as f32;
        let weight = Tensor::floats(
            &[to, from, kernel, kernel],
            (0..to * from * kernel * kernel).map(value).collect(),
        );
        let mut inputs = vec![builder.constant(weight.unwrap())];
        inputs.extend(bias.then(|| builder.constant(Tensor::full(&[to], 0.1))));
        let ints = |n: i64, count| Attr::Ints(vec![n; count]);
        let (kernel, pads) = (ints(kernel as i64, 2), ints(kernel as i64 / 2, 4));
        let id = x
            .op("Conv", &inputs, &[("kernel_shape", kernel), ("strides", ints(stride, 2)), ("pads", pads)])
            .id();
        builder.value(id)
    };
    let relu = |x: Expr<'_>| builder.value(x.op("Relu", &[], &[]).id());
    let first = relu(conv(input, 3, 8, 3, 1, true));
    let way = conv(relu(conv(first, 8, 4, 1, 1, true)), 4, 6, 3, 2, true);
    let second = relu(way + conv(first, 8, 6, 1, 2, false));
    let weight = Tensor::floats(&[6, 5], (0..30).map(|i| (i as f32 * 0.9).sin() * 9.0).collect()).unwrap();
    let pooled = second.op("GlobalAveragePool", &[], &[]).reshape(&[-1, 6]);
    let logits = pooled.op("MatMul", &[builder.constant(weight)], &[]).id();
    let mut graph = builder.finish().unwrap();
    graph.outputs = vec![logits];
    graph
}

#[test]
fn masks_behind_pointwise_convolutions_are_the_same() {
    let model = load(&pointwise(), &ModelOptions::default()).unwrap();
    let image: Vec<f32> = image(3)[..3 * 16 * 16].to_vec();
    let levels: Vec<_> = automatic_levels(&model).unwrap().iter().map(|l| l.shape).collect();
    assert_eq!(levels, [[8, 16, 16], [6, 8, 8]]);
    let learned = |keep_features: bool| {
        learn(
            &model,
            &image,
            Settings { keep_features, lambda: Some(1e-3), iterations: 12, ..short() },
            &[1, 4],
        )
    };
    let (behind, before) = (learned(false), learned(true));
    let says = |m: &Vec<f32>| m.iter().any(|v| (v - m[0]).abs() > 0.1);
    assert!(before.iter().flat_map(|l| &l.masks).any(says), "masks say something");
    for (got, want) in behind.iter().zip(&before) {
        assert_near(
            "losses",
            &got.losses.iter().map(|&l| l as f32).collect::<Vec<_>>(),
            &want.losses.iter().map(|&l| l as f32).collect::<Vec<_>>(),
        );
        for (got, want) in got.masks.iter().zip(&want.masks) {
            assert_near("masks", got, want);
        }
    }
}
