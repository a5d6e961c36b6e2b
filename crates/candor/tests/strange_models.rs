//! Unusual models from practice: heads with one logit, several outputs, TopK and ArgMax at the end, batch statistics, strides that skip
//! positions, pixels as input, other inputs. Each kind in several forms that must give the same results.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use candor::engine::{Engine, RTen};
use candor::error::one_line;
use candor::explanation::Explanation;
use candor::export::export;
use candor::image::{Preset, RgbImage};
use candor::labels::Labels;
use candor::mask::levels::survey;
use candor::methods::{self, Choices, prepare};
use candor::model::{Head, Model, ModelOptions};
use candor::progress::Unwatched;
use candor::sidecar::Sidecar;
use candor::{Class, Classifier, Method};
use candor_graph::builder::{Builder, Expr};
use candor_graph::graph::{Attr, Graph, Node};
use candor_graph::onnx;
use candor_graph::shape::Dim;
use candor_graph::tensor::{DataType, Tensor, TensorData};

const SIDE: usize = 12;

fn numbers(shape: &[usize], salt: usize) -> Tensor {
    let value = |i: usize| ((i * 37 + salt * 101) as f32 * 0.73).sin();
    Tensor::floats(shape, (0..shape.iter().product()).map(value).collect()).unwrap()
}

fn ints(v: &[i64]) -> Attr {
    Attr::Ints(v.to_vec())
}

fn free(channels: usize) -> [Dim; 4] {
    [Dim::Batch(1), Dim::Fixed(channels), Dim::Fixed(SIDE), Dim::Fixed(SIDE)]
}

fn conv<'b>(x: Expr<'b>, weight: &[usize], salt: usize, strides: &[i64]) -> Expr<'b> {
    let pad = weight[2] as i64 / 2;
    let size = weight[1..].iter().product::<usize>() as f32;
    let values = numbers(weight, salt).as_floats().unwrap().iter().map(|v| v / size.sqrt()).collect();
    let w = x.builder().constant(Tensor::floats(weight, values).unwrap());
    let kernel = ints(&[weight[2] as i64, weight[3] as i64]);
    x.op("Conv", &[w], &[("kernel_shape", kernel), ("pads", ints(&[pad; 4])), ("strides", ints(strides))])
}

/// Eight positive features of an image N×3×H×W, N×8.
fn body(x: Expr<'_>) -> Expr<'_> {
    let features = conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]);
    features.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[])
}

fn linear<'b>(features: Expr<'b>, classes: usize, salt: usize) -> Expr<'b> {
    features.op("MatMul", &[features.builder().constant(numbers(&[8, classes], salt)) * 2.0], &[])
}

/// A file of the outputs that `make` builds for an image input with that shape and type.
fn file_of(
    shape: &[Dim],
    dtype: DataType,
    make: impl for<'b> Fn(Expr<'b>) -> Vec<(&'static str, Expr<'b>)>,
) -> Vec<u8> {
    let b = Builder::new(Graph::new(18));
    let made: Vec<_> = make(b.input("x", dtype, shape)).into_iter().map(|(name, e)| (name, e.id())).collect();
    let mut graph = b.finish().unwrap();
    // Names as in a file, not those of rewrites.
    for id in graph.value_ids() {
        let name = graph.name(id).replace("candor_", "value_");
        graph.rename(id, &name);
    }
    for (name, id) in &made {
        graph.rename(*id, name);
    }
    graph.outputs = made.into_iter().map(|(_, id)| id).collect();
    onnx::to_bytes(&graph).unwrap()
}

fn file(make: impl for<'b> Fn(Expr<'b>) -> Vec<(&'static str, Expr<'b>)>) -> Vec<u8> {
    file_of(&free(3), DataType::Float, make)
}

fn load_with(bytes: &[u8], options: &ModelOptions) -> Result<Model, String> {
    Model::from_bytes("m.onnx", bytes, options, Box::new(RTen::new(1))).map_err(|e| one_line(&e))
}

fn load(bytes: &[u8]) -> Model {
    load_with(bytes, &ModelOptions::default()).unwrap()
}

fn image(salt: usize) -> Vec<f32> {
    numbers(&[3, SIDE, SIDE], 7 + salt).as_floats().unwrap().to_vec()
}

fn scores(model: &Model, image: &[f32]) -> Vec<f32> {
    model.scores(model.forward().unwrap().as_mut(), image).unwrap()
}

fn explain(model: &Model, method: &str, set: &[(&str, &str)], classes: &[usize]) -> Vec<Explanation> {
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let definition = methods::find(method).unwrap();
    let (mut compiled, _) = prepare(model, definition.as_ref(), &set, &Choices::default())
        .unwrap_or_else(|e| panic!("{method}: {}", one_line(&e)));
    compiled.scores(model, &image(0)).unwrap();
    compiled.explain(model, classes, &mut Unwatched).unwrap_or_else(|e| panic!("{method}: {}", one_line(&e)))
}

/// Networks with random weights are certain of nothing: all evidence is to be shown, even if absent classes show as much.
const PHOTO: (&str, &str) = ("evidence", "photo");

fn mask(model: &Model, classes: &[usize]) -> Vec<Explanation> {
    explain(model, "reliable", &[("iterations", "12"), PHOTO], classes)
}

// ---- one logit

fn one_logit(tail: impl for<'b> Fn(Expr<'b>) -> Expr<'b>) -> Vec<u8> {
    // All weights and features are positive: the answer is class 1.
    let weights: Vec<f32> = numbers(&[8, 1], 2).as_floats().unwrap().iter().map(|v| 16.0 * v.abs()).collect();
    file(|x| {
        let weight = x.builder().constant(Tensor::floats(&[8, 1], weights.clone()).unwrap());
        vec![("y", tail(body(x).op("MatMul", &[weight], &[])))]
    })
}

fn forms_of_one_logit() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("the logit", one_logit(|z| z * 1.0)),
        ("its sigmoid", one_logit(|z| (z * 1.0).op("Sigmoid", &[], &[]))),
        ("squeezed", one_logit(|z| (z * 1.0).op("Squeeze", &[z.builder().ints(&[1])], &[]))),
        ("the sigmoid squeezed", {
            one_logit(|z| (z * 1.0).op("Sigmoid", &[], &[]).op("Squeeze", &[z.builder().ints(&[1])], &[]))
        }),
        ("N×1×1×1", one_logit(|z| (z * 1.0).reshape(&[-1, 1, 1, 1]))),
        ("the sigmoid clipped", {
            one_logit(|z| {
                let (low, high) = (z.builder().scalar(1e-6), z.builder().scalar(0.999_999));
                (z * 1.0).op("Sigmoid", &[], &[]).op("Clip", &[low, high], &[])
            })
        }),
    ]
}

#[test]
fn every_form_of_one_logit_is_two_classes_with_the_same_maps() {
    let forms = forms_of_one_logit();
    let first = load(&forms[0].1);
    let z = scores(&first, &image(0))[1];
    assert!(z.abs() > 0.5, "{z}");
    let wanted = mask(&first, &[0, 1]);
    let answer = usize::from(z > 0.0);
    assert!(wanted[answer].map.mass() > 1e-3, "the answer has a map");
    assert!(wanted[1 - answer].map.mass() < 1e-9, "the other class has none");
    for (what, bytes) in &forms {
        let model = load(bytes);
        assert_eq!((model.head, model.classes), (Head::Binary, 2), "{what}");
        assert_eq!(scores(&model, &image(0)), [-z, z], "{what}");
        let p = model.probabilities(&[-z, z]);
        assert!(
            (p[0] + p[1] - 1.0).abs() < 1e-12 && (p[1] - 1.0 / (1.0 + f64::from(-z).exp())).abs() < 1e-12,
            "{what}"
        );
        assert_eq!(model.log_odds(&[-z, z], 0), f64::from(-z), "{what}");
        for (got, want) in mask(&model, &[0, 1]).iter().zip(&wanted) {
            assert_eq!(got.map, want.map, "{what}: bit for bit");
            assert_eq!((got.evidence, got.null_log_odds), (want.evidence, want.null_log_odds), "{what}");
        }
    }
}

#[test]
fn every_method_explains_both_sides_of_one_logit() {
    let model = load(&one_logit(|z| z * 1.0));
    for definition in methods::all() {
        let description = definition.description();
        let few =
            [("segments", "6"), ("samples", "60"), ("iterations", "20"), ("masks", "60"), ("steps", "20")];
        let known = |name: &str| description.parameters.iter().any(|p| p.name == name);
        let set: Vec<(String, String)> = few
            .iter()
            .chain([&PHOTO])
            .filter(|(name, _)| known(name))
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let (mut compiled, _) = match prepare(&model, definition.as_ref(), &set, &Choices::default()) {
            Ok(ready) => ready,
            // Methods for attention are not defined here.
            Err(e) => {
                assert!(description.name.contains("attention"), "{}: {}", description.name, one_line(&e));
                continue;
            }
        };
        compiled.scores(&model, &image(0)).unwrap();
        let maps = compiled.explain(&model, &[0, 1], &mut Unwatched);
        let maps = maps.unwrap_or_else(|e| panic!("{}: {}", description.name, one_line(&e)));
        assert!(maps.iter().all(|e| e.map.data.iter().all(|v| v.is_finite())), "{}", description.name);
        let largest = maps.iter().flat_map(|e| &e.map.data).map(|v| v.abs()).fold(0.0, f32::max);
        assert!(largest > 0.0, "{}: both sides are empty", description.name);
        if ["gradient-times-input", "occlusion"].contains(&description.name) {
            let opposite = |(a, b): (&f32, &f32)| (a + b).abs() <= 1e-5 * largest;
            assert!(maps[0].map.data.iter().zip(&maps[1].map.data).all(opposite), "{}", description.name);
        }
    }
}

#[test]
fn an_exported_method_of_one_logit_takes_both_classes() {
    let model = load(&one_logit(|z| z.op("Sigmoid", &[], &[])));
    for method in ["gradient-times-input", "reliable"] {
        let definition = methods::find(method).unwrap();
        let set =
            if method == "reliable" { vec![("iterations".to_string(), "6".to_string())] } else { vec![] };
        let preprocessing = Preset::Raw.preprocessing(SIDE, SIDE);
        let exported =
            export(&model, &preprocessing, definition.as_ref(), &set, &Choices::default()).unwrap();
        let mut session = RTen::new(1).compile(&exported.graph).unwrap();
        let mut run = |class: i64| -> Vec<Vec<f32>> {
            let out =
                session.run(&[&model.input_tensor(&image(0)).unwrap(), &Tensor::ints(&[class])]).unwrap();
            out.into_iter().map(|t| t.into_floats().unwrap()).collect()
        };
        let set: Vec<(&str, &str)> = set.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for (class, want) in explain(&model, method, &set, &[0, 1]).iter().enumerate() {
            let found = run(class as i64);
            assert_eq!(found[0], scores(&model, &image(0)), "{method}");
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
            assert!(found[1].iter().zip(&want.map.data).all(near), "{method}, class {class}");
        }
    }
}

#[test]
fn one_logit_takes_two_labels_or_one() {
    let bytes = one_logit(|z| z * 1.0);
    let of = |labels: &str| {
        let sidecar = Sidecar::parse(labels, "m.candor.toml".as_ref()).unwrap();
        Classifier::from_bytes("m.onnx", &bytes, sidecar, Some(Box::new(RTen::new(1))))
    };
    let names = |c: &Classifier| [0, 1].map(|class| c.labels.name(class));
    assert_eq!(names(&of("labels = ['safe', 'unsafe']").unwrap()), ["safe", "unsafe"]);
    assert_eq!(names(&of("labels = ['unsafe']").unwrap()), ["not unsafe", "unsafe"]);
    assert!(of("labels = ['a', 'b', 'c']").is_err());
    let classifier = of("").unwrap();
    let mut explainer = classifier.explainer(&Method::named("gradient")).unwrap();
    let photo =
        RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| image::Rgb([x as u8 * 20, y as u8 * 20, 9]));
    let found = explainer.photo("p", &photo, &[Class::Index(0), Class::Index(1)], &mut Unwatched).unwrap();
    assert_eq!(found.classes.iter().map(|c| c.class_id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(found.top.len(), 2);
}

#[test]
fn a_row_without_its_batch_is_as_many_classes() {
    let shape = [1, 3, SIDE, SIDE].map(Dim::Fixed);
    let squeezed =
        file_of(&shape, DataType::Float, |x| vec![("y", linear(body(x), 5, 3).op("Squeeze", &[], &[]))]);
    let plain = file(|x| vec![("y", linear(body(x), 5, 3))]);
    let model = load(&squeezed);
    assert_eq!((model.classes, model.head), (5, Head::Logits));
    assert_eq!(scores(&model, &image(0)), scores(&load(&plain), &image(0)));
    assert_eq!(mask(&model, &[1])[0].map, mask(&load(&plain), &[1])[0].map);
}

// ---- outputs

#[test]
fn several_outputs_that_could_be_the_classes_are_asked_about() {
    let bytes = file(|x| {
        let f = body(x);
        vec![("age", linear(f, 7, 4)), ("gender", linear(f, 2, 5))]
    });
    let error = load_with(&bytes, &ModelOptions::default()).err().unwrap();
    let wanted = "m.onnx: several of its outputs could be the classes: 'age' N×7, 'gender' N×2; name one with --output";
    assert!(error.starts_with(wanted), "{error}");
    let named =
        |name: &str| load_with(&bytes, &ModelOptions { output: Some(name.into()), ..Default::default() });
    let gender = named("gender").unwrap();
    assert_eq!((gender.classes, gender.info.output.as_str()), (2, "gender"));
    assert_eq!(gender.info.other_outputs, ["'age' N×7"]);
    assert_eq!(named("age").unwrap().classes, 7);
    let error = named("sex").err().unwrap();
    assert!(error.contains("it has no output 'sex'; its outputs are: 'age' N×7, 'gender' N×2"), "{error}");
}

#[test]
fn an_embedding_is_not_taken_for_the_classes() {
    let bytes = file(|x| {
        let feat = linear(body(x), 8, 6);
        vec![("feat", feat), ("logits", linear(feat.op("Relu", &[], &[]), 5, 7))]
    });
    assert!(load_with(&bytes, &ModelOptions::default()).err().unwrap().contains("'feat' N×8, 'logits' N×5"));
    let map = file(|x| {
        let features = conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]);
        let pooled = features.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]);
        vec![("features", features), ("logits", linear(pooled, 5, 7))]
    });
    let model = load(&map);
    assert_eq!(model.info.output, "logits");
    assert_eq!(model.info.other_outputs, ["'features' N×8×12×12"], "what is not used is told");
}

#[test]
fn outputs_that_are_forms_of_the_same_logits_are_one() {
    let bytes = file(|x| {
        let z = linear(body(x), 5, 7);
        let p = z.op("Softmax", &[], &[("axis", Attr::Int(1))]);
        vec![("logits", z), ("p", p), ("label", p.op("ArgMax", &[], &[("axis", Attr::Int(1))]))]
    });
    let model = load(&bytes);
    assert_eq!((model.head, model.classes), (Head::Softmax, 5));
    assert_eq!(model.info.other_outputs.len(), 2);
}

#[test]
fn the_logits_are_behind_top_k_and_arg_max() {
    let plain = load(&file(|x| vec![("y", linear(body(x), 10, 8))]));
    let wanted = scores(&plain, &image(0));
    type Tail = for<'b> fn(Expr<'b>) -> Expr<'b>;
    let tails: [(&str, Head, Tail); 5] = [
        ("TopK of the softmax", Head::Softmax, |z| {
            let k = z.builder().ints(&[3]);
            z.op("Softmax", &[], &[("axis", Attr::Int(1))]).op("TopK", &[k], &[("axis", Attr::Int(1))])
        }),
        ("TopK of the logits", Head::Logits, |z| z.op("TopK", &[z.builder().ints(&[2])], &[])),
        ("ArgMax", Head::Logits, |z| z.op("ArgMax", &[], &[("axis", Attr::Int(1))])),
        ("ArgMax of the softmax, without the axis", Head::Softmax, |z| {
            z.op("Softmax", &[], &[]).op(
                "ArgMax",
                &[],
                &[("axis", Attr::Int(-1)), ("keepdims", Attr::Int(0))],
            )
        }),
        ("ArgMax as floats", Head::Logits, |z| z.op("ArgMax", &[], &[("axis", Attr::Int(1))]).to_float()),
    ];
    for (what, head, tail) in tails {
        let model = load(&file(|x| vec![("y", tail(linear(body(x), 10, 8)))]));
        assert_eq!((model.head, model.classes), (head, 10), "{what}");
        assert_eq!(scores(&model, &image(0)), wanted, "{what}");
        assert!(model.notes.is_empty(), "{what}: {:?}", model.notes);
    }
}

#[test]
fn a_softmax_over_the_batch_is_told() {
    let over = |axis: i64| {
        load(&file(move |x| {
            vec![("y", linear(body(x), 5, 3).op("Softmax", &[], &[("axis", Attr::Int(axis))]))]
        }))
    };
    let model = over(0);
    assert_eq!((model.head, model.classes, model.fixed_batch), (Head::Softmax, 5, None));
    assert!(model.notes[0].contains("over the batch and not over the classes"), "{:?}", model.notes);
    assert!(over(1).notes.is_empty() && over(-1).notes.is_empty());
    let one = load(&one_logit(|z| z.op("Softmax", &[], &[("axis", Attr::Int(1))])));
    assert_eq!(one.classes, 2);
    assert!(one.notes[0].contains("over one class"), "{:?}", one.notes);
}

#[test]
fn a_named_value_behind_a_softmax_is_its_logits() {
    let bytes = file(|x| {
        let p = linear(body(x), 5, 3).op("Softmax", &[], &[]);
        vec![("y", p * 2.0), ("p", p)]
    });
    let named =
        |name: &str| load_with(&bytes, &ModelOptions { logits: Some(name.into()), ..Default::default() });
    let plain = load(&file(|x| vec![("y", linear(body(x), 5, 3))]));
    let model = named("p").unwrap();
    assert_eq!(model.head, Head::Softmax);
    assert_eq!(scores(&model, &image(0)), scores(&plain, &image(0)));
    let sigmoid = file(|x| {
        let z = linear(body(x), 5, 3);
        vec![("p", z.op("Sigmoid", &[], &[])), ("z", z)]
    });
    let model =
        load_with(&sigmoid, &ModelOptions { logits: Some("z".into()), ..Default::default() }).unwrap();
    assert_eq!(model.head, Head::MultiLabel, "the head is what the output makes of the value");
}

// ---- the batch

#[test]
fn images_that_a_model_computes_together_are_given_one_by_one() {
    type Middle = for<'b> fn(Expr<'b>) -> Expr<'b>;
    let middles: [(&str, Middle); 4] = [
        ("BatchNormalization in training mode", |x| {
            let b = x.builder();
            let v = |v: f32| b.constant(Tensor::full(&[8], v));
            let inputs = [v(1.0), v(0.0), v(0.0), v(1.0)];
            x.op("BatchNormalization", &inputs, &[("training_mode", Attr::Int(1))])
        }),
        ("MeanVarianceNormalization", |x| x.op("MeanVarianceNormalization", &[], &[])),
        ("a share of the largest value of all", |x| {
            x / x.op("ReduceMax", &[], &[("keepdims", Attr::Int(0))])
        }),
        ("dynamic quantisation", |x| {
            let outputs = quantized(x);
            (outputs[0].to_float() - outputs[2].to_float()) * outputs[1]
        }),
    ];
    for (what, middle) in middles {
        let bytes = file(|x| {
            let features = middle(conv(x, &[8, 3, 3, 3], 1, &[1, 1])).op("Relu", &[], &[]);
            vec![("y", linear(features.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]), 5, 3))]
        });
        let model = load(&bytes);
        assert_eq!((model.fixed_batch, model.batch()), (Some(1), 1), "{what}");
        assert!(model.notes.iter().any(|n| n.contains("in a batch of one")), "{what}: {:?}", model.notes);
        let (one, other) = (image(0), image(1).iter().map(|v| 3.0 * v).collect::<Vec<f32>>());
        let mut forward = model.forward().unwrap();
        let both = model.all_scores(forward.as_mut(), &[&one, &other]).unwrap();
        assert_eq!(both, [scores(&model, &one), scores(&model, &other)], "{what}");
        for method in ["score-cam", "gradient", "occlusion"] {
            let (together, alone) =
                (explain(&model, method, &[], &[0, 3]), explain(&model, method, &[], &[3]));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
            assert!(together[1].map.data.iter().zip(&alone[0].map.data).all(near), "{what}, {method}");
        }
        mask(&model, &[0, 1]);
    }
    assert_eq!(load(&file(|x| vec![("y", linear(body(x), 5, 3))])).fixed_batch, None);
}

/// DynamicQuantizeLinear: the quantised value, its scale, its zero point.
fn quantized(x: Expr<'_>) -> [Expr<'_>; 3] {
    let b = x.builder();
    let ids = b.with_mut(|g| {
        let ids = ["q", "scale", "zero"].map(|name| g.add_value(name, None));
        let outputs = ids.iter().map(|id| Some(*id)).collect();
        g.nodes.push(Node::new(
            "dynamic",
            "DynamicQuantizeLinear",
            vec![Some(x.id())],
            outputs,
            Default::default(),
        ));
        ids
    });
    ids.map(|id| b.value(id))
}

// ---- grids

#[test]
fn a_level_is_on_the_grid_that_is_read() {
    let strided = |kernel: usize, strides: [i64; 2], pool: bool| {
        file(move |x| {
            let first = conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]);
            let second = match pool {
                false => conv(first, &[8, 8, kernel, kernel], 2, &strides),
                true => {
                    let window = [("kernel_shape", ints(&[1, 1])), ("strides", ints(&strides))];
                    conv(first.op("MaxPool", &[], &window), &[8, 8, 3, 3], 2, &[1, 1])
                }
            };
            let third = conv(second.op("Relu", &[], &[]), &[8, 8, 3, 3], 3, &[1, 1]).op("Relu", &[], &[]);
            vec![("y", linear(third.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]), 5, 4))]
        })
    };
    for (what, bytes, sizes) in [
        ("a pointwise convolution", strided(1, [2, 2], false), [6, 6]),
        ("one that skips rows only", strided(1, [2, 1], false), [6, 12]),
        ("a pool over one place", strided(1, [2, 2], true), [6, 6]),
        ("one that reads every place", strided(3, [2, 2], false), [12, 12]),
    ] {
        let model = load(&bytes);
        let all = survey(&model);
        let largest = all.iter().filter(|s| s.chosen).map(|s| s.level.shape[1..].to_vec()).next().unwrap();
        assert_eq!(largest, sizes, "{what}: {all:?}");
        let skipped = all.iter().filter(|s| s.why.contains("only some of its places are read")).count();
        assert_eq!(skipped > 0, sizes != [12, 12], "{what}");
        // Not a lattice: neighbouring values of the mask's map differ by less than the map's range.
        let map = &mask(&model, &[0, 1, 2, 3, 4])
            .into_iter()
            .max_by(|a, b| a.map.mass().total_cmp(&b.map.mass()))
            .unwrap()
            .map;
        assert!(map.mass() > 1e-3, "{what}");
        let odd = (0..SIDE * SIDE).filter(|i| i % SIDE % 2 == 1).map(|i| map.data[i]).sum::<f32>();
        let even =
            (0..SIDE * SIDE).filter(|i| (*i % SIDE).is_multiple_of(2)).map(|i| map.data[i]).sum::<f32>();
        assert!(odd > 0.5 * even && even > 0.5 * odd, "{what}: {even} and {odd}");
    }
}

#[test]
fn two_branches_read_the_same_places_once() {
    let bytes = file(|x| {
        let first = conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]);
        let way = conv(first, &[8, 8, 1, 1], 2, &[2, 2]).op("Relu", &[], &[]);
        let sum = (conv(way, &[8, 8, 3, 3], 3, &[1, 1]) + conv(first, &[8, 8, 1, 1], 5, &[2, 2])).op(
            "Relu",
            &[],
            &[],
        );
        let last = conv(sum, &[8, 8, 3, 3], 6, &[2, 2]).op("Relu", &[], &[]);
        vec![("y", linear(last.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]), 5, 4))]
    });
    let model = load(&bytes);
    let cut = model.graph.nodes.iter().filter(|n| n.op == "Slice").count();
    assert_eq!(cut, 1, "one cut for both branches");
    let chosen: Vec<usize> = survey(&model).iter().filter(|s| s.chosen).map(|s| s.level.shape[1]).collect();
    assert_eq!(chosen, [6, 3]);
    let names: Vec<String> = survey(&model).into_iter().map(|s| s.level.name).collect();
    assert!(names.iter().any(|n| n.ends_with("_read")), "{names:?}");
}

#[test]
fn a_grid_of_another_stride_down_than_across_is_a_level() {
    for (strides, sizes) in
        [(vec![[2, 1]], [6, 12]), (vec![[1, 3]], [12, 4]), (vec![[2, 1], [2, 1], [3, 2]], [1, 6])]
    {
        let bytes = file(|x| {
            let mut y = x;
            for (i, strides) in strides.iter().enumerate() {
                let channels = if i == 0 { 3 } else { 8 };
                y = conv(y, &[8, channels, 3, 3], i + 1, strides).op("Relu", &[], &[]);
            }
            vec![("y", linear(y.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]), 5, 4))]
        });
        let model = load(&bytes);
        let chosen: Vec<Vec<usize>> =
            survey(&model).iter().filter(|s| s.chosen).map(|s| s.level.shape[1..].to_vec()).collect();
        assert!(chosen.contains(&sizes.to_vec()), "{strides:?}: {chosen:?}");
        let found = mask(&model, &[0, 1, 2, 3, 4]);
        assert!(found.iter().any(|e| e.map.mass() > 1e-3), "{strides:?}");
        assert!(found.iter().all(|e| [e.map.height, e.map.width] == [SIDE, SIDE]), "{strides:?}");
    }
}

// ---- operators

#[test]
fn dilated_pools_run_and_have_gradients() {
    for (op, expected) in [("MaxPool", f32::max as fn(f32, f32) -> f32), ("AveragePool", |a, b| a + b)] {
        let dilated = move |x: Expr<'_>| {
            let window = [
                ("kernel_shape", ints(&[3, 2])),
                ("dilations", ints(&[2, 3])),
                ("strides", ints(&[1, 2])),
                ("pads", ints(&[2, 1, 2, 1])),
            ];
            x.op(op, &[], &window).id()
        };
        let bytes = file(move |x| {
            let features = conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]);
            let pooled = x.builder().value(dilated(features));
            vec![("y", linear(pooled.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]), 5, 3))]
        });
        let model = load(&bytes);
        assert!(scores(&model, &image(0)).iter().any(|s| s.abs() > 1e-3), "{op}");
        for method in ["gradient", "reliable"] {
            let set: &[(&str, &str)] = if method == "reliable" { &[("iterations", "4"), PHOTO] } else { &[] };
            // At least one class has evidence.
            let found = explain(&model, method, set, &[0, 1, 2, 3, 4]);
            assert!(found.iter().flat_map(|e| &e.map.data).any(|v| *v != 0.0), "{op}, {method}");
        }
        // By hand, at one position: the window's six elements, of which those on the border do not count.
        let b = Builder::new(Graph::new(19));
        let x = b.input("x", DataType::Float, &[1, 1, 6, 8].map(Dim::Fixed));
        let y = dilated(x);
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        let values: Vec<f32> = (0..48).map(|i| ((i * 7) % 48) as f32 - 20.0).collect();
        let out =
            RTen::new(1)
                .compile(&graph)
                .unwrap()
                .run(&[&Tensor::floats(&[1, 1, 6, 8], values.clone()).unwrap()]);
        let out = out.unwrap().remove(0);
        let [rows, columns] = [out.shape()[2], out.shape()[3]];
        let got = out.into_floats().unwrap();
        for (i, got) in got.iter().enumerate() {
            let (row, column) = ((i / columns) as i64, (i % columns) as i64);
            let at = |k: i64, l: i64| (row - 2 + 2 * k, 2 * column - 1 + 3 * l);
            let inside: Vec<f32> = (0..3)
                .flat_map(|k| (0..2).map(move |l| at(k, l)))
                .filter(|(y, x)| (0..6).contains(y) && (0..8).contains(x))
                .map(|(y, x)| values[(y * 8 + x) as usize])
                .collect();
            let all = inside.iter().copied().reduce(expected).unwrap();
            let want = if op == "MaxPool" { all } else { all / inside.len() as f32 };
            assert!((got - want).abs() < 1e-4, "{op} at {row}, {column} of {rows}: {got}, not {want}");
        }
    }
}

#[test]
fn casts_of_a_size_fold() {
    let tail = |to: i64| {
        file(move |x| {
            let b = x.builder();
            let pooled =
                conv(x, &[8, 3, 3, 3], 1, &[1, 1]).op("Relu", &[], &[]).op("GlobalAveragePool", &[], &[]);
            let size = b.ints(&[8]).op("Add", &[b.ints(&[0])], &[]);
            let cast =
                size.op("Cast", &[], &[("to", Attr::Int(to))]).op("Cast", &[], &[("to", Attr::Int(7))]);
            let first = pooled.op("Reshape", &[b.concat(&[b.ints(&[-1]), cast], 0)], &[]);
            let second = first.op("Reshape", &[b.concat(&[b.ints(&[-1]), size], 0)], &[]);
            vec![("y", linear(second, 5, 3))]
        })
    };
    let plain = load(&file(|x| vec![("y", linear(body(x), 5, 3))]));
    for to in [6, 7, 1] {
        assert_eq!(scores(&load(&tail(to)), &image(0)), scores(&plain, &image(0)), "cast to {to}");
    }
}

// ---- inputs

#[test]
fn whole_numbers_are_pixels() {
    let nhwc = [Dim::Batch(1), Dim::Fixed(SIDE), Dim::Fixed(SIDE), Dim::Fixed(3)];
    type Inside = for<'b> fn(Expr<'b>) -> Expr<'b>;
    let forms: [(&str, DataType, Inside); 4] = [
        ("uint8, cast and divided", DataType::Uint8, |x| (x.to_float() / 255.0).transpose(&[0, 3, 1, 2])),
        ("uint8, turned and cast", DataType::Uint8, |x| x.transpose(&[0, 3, 1, 2]).to_float() / 255.0),
        ("uint8, dequantised", DataType::Uint8, |x| {
            let zero = x.builder().constant(Tensor::new(vec![], TensorData::Uint8(vec![0])).unwrap());
            let x = x.op("DequantizeLinear", &[x.builder().scalar(1.0 / 255.0), zero], &[]);
            x.transpose(&[0, 3, 1, 2])
        }),
        ("float, scaled inside", DataType::Float, |x| (x * (1.0 / 255.0)).transpose(&[0, 3, 1, 2])),
    ];
    let plain = load(&file(|x| vec![("y", linear(body(x), 5, 3))]));
    let pixels: Vec<f32> = (0..3 * SIDE * SIDE).map(|i| ((i * 83) % 256) as f32).collect();
    let unit: Vec<f32> = pixels.iter().map(|v| v / 255.0).collect();
    for (what, dtype, inside) in forms {
        let bytes = file_of(&nhwc, dtype, |x| vec![("y", linear(body(inside(x)), 5, 3))]);
        let model = load(&bytes);
        assert!(model.takes_pixels, "{what}");
        assert_eq!(model.graph.name(model.input), "x", "{what}: the name that the file has");
        assert!(survey(&model).iter().all(|s| !s.level.name.starts_with("candor_")), "{what}");
        let (got, want) = (scores(&model, &pixels), scores(&plain, &unit));
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{what}: {got:?}, {want:?}");
        let gradient = &explain(&model, "gradient", &[], &[2])[0].map;
        assert!(gradient.data.iter().any(|v| *v != 0.0), "{what}: the gradient reaches the pixels");
        let classifier =
            Classifier::from_bytes("m.onnx", &bytes, Sidecar::default(), Some(Box::new(RTen::new(1))))
                .unwrap();
        assert!(classifier.preprocessing_stated, "{what}");
        assert_eq!(classifier.preprocessing, Preset::Raw.preprocessing(SIDE, SIDE), "{what}");
    }
    assert!(!plain.takes_pixels);
    let small = load(&file(|x| vec![("y", linear(body((x - 0.5) / 0.25), 5, 3))]));
    assert!(!small.takes_pixels, "a mean below one is of values that are scaled already");
}

#[test]
fn a_model_that_leaves_everything_free_is_read_by_its_weights() {
    let open = file_of(&[Dim::Unknown; 4], DataType::Float, |x| vec![("y", linear(body(x), 5, 3))]);
    let told = ModelOptions { size: Some([SIDE, SIDE]), ..Default::default() };
    assert_eq!(load_with(&open, &told).unwrap().input_shape, [3, SIDE, SIDE]);
    assert!(load_with(&open, &ModelOptions::default()).err().unwrap().contains("any size"));
}

#[test]
fn other_inputs_take_a_value() {
    let bytes = {
        let b = Builder::new(Graph::new(18));
        let x = b.input("x", DataType::Float, &free(3));
        let t = b.input("temperature", DataType::Float, &[Dim::Batch(1), Dim::Fixed(1)]);
        let y = (linear(body(x), 5, 3) / t).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![y];
        onnx::to_bytes(&graph).unwrap()
    };
    let error = load_with(&bytes, &ModelOptions::default()).err().unwrap();
    assert!(error.contains("other inputs") && error.contains("[inputs]"), "{error}");
    let with = |name: &str, v: f64| {
        load_with(&bytes, &ModelOptions { inputs: [(name.to_string(), v)].into(), ..Default::default() })
    };
    let plain = scores(&load(&file(|x| vec![("y", linear(body(x), 5, 3))])), &image(0));
    let halved = scores(&with("temperature", 2.0).unwrap(), &image(0));
    assert!(halved.iter().zip(&plain).all(|(h, p)| (2.0 * h - p).abs() < 1e-5), "{halved:?}, {plain:?}");
    let error = with("temprature", 2.0).err().unwrap();
    assert!(error.contains("it has no input 'temprature'"), "{error}");
}

// ---- maps at the level of rounding, and at the border

#[test]
fn superpixels_that_change_nothing_are_zero() {
    // For a uniform photo each superpixel has its own mean colour whether or not it is hidden.
    let model = load(&file(|x| vec![("y", linear(body(x), 5, 3))]));
    for (method, sets) in [
        ("lime", &[("samples", "200")][..]),
        ("kernel-shap", &[("samples", "200")]),
        ("occlusion", &[("window", "3"), ("baseline", "mean")]),
    ] {
        let definition = methods::find(method).unwrap();
        let set: Vec<(String, String)> = sets.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let (mut compiled, _) = prepare(&model, definition.as_ref(), &set, &Choices::default()).unwrap();
        for empty in [true, false] {
            let image = if empty { vec![0.3; 3 * SIDE * SIDE] } else { image(0) };
            compiled.scores(&model, &image).unwrap();
            let map = compiled.explain(&model, &[0], &mut Unwatched).unwrap().remove(0).map;
            assert_eq!(map.data.iter().all(|v| *v == 0.0), empty, "{method}: {:?}", map.data);
        }
    }
}

#[test]
fn occlusion_of_a_uniform_photo_is_even_to_the_border() {
    // The score is the mean of the photo: every pixel has the same weight.
    let bytes = file(|x| {
        let mean = x.op("GlobalAveragePool", &[], &[]).op("Flatten", &[], &[]);
        let weight =
            x.builder().constant(Tensor::floats(&[3, 2], vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap());
        vec![("y", mean.op("MatMul", &[weight], &[]))]
    });
    let model = load(&bytes);
    let definition = methods::find("occlusion").unwrap();
    for (window, stride) in [("5", "3"), ("4", "4"), ("5", "5"), ("7", "2")] {
        let set = [("window", window), ("stride", stride), ("baseline", "zero")]
            .map(|(k, v)| (k.to_string(), v.to_string()));
        let (mut compiled, _) = prepare(&model, definition.as_ref(), &set, &Choices::default()).unwrap();
        compiled.scores(&model, &vec![1.0; 3 * SIDE * SIDE]).unwrap();
        let map = compiled.explain(&model, &[0], &mut Unwatched).unwrap().remove(0).map;
        let ratio = map.min() / map.max();
        assert!(ratio > 0.999, "window {window}, stride {stride}: the least is {ratio} of the most");
    }
}

// ---- words

#[test]
fn numbers_as_names_choose_their_class() {
    let labels = Arc::new(Labels::new(["0", "90", "180", "270"].map(String::from).to_vec()));
    assert_eq!(Class::parse("180", &labels).unwrap(), Class::Index(2));
    assert_eq!(Class::parse("#1", &labels).unwrap(), Class::Index(1));
    assert!(Class::parse("181", &labels).is_err());
}

#[test]
fn files_of_another_kind_are_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let zip = b"PK\x03\x04 and more";
    let page = b"<!DOCTYPE html><html></html>";
    let lite = b"\x1c\0\0\0TFL3 and more";
    for (bytes, part) in [
        (
            &pointer[..],
            "m.onnx: is a Git LFS pointer, not an ONNX model; fetch the file itself with `git lfs pull`",
        ),
        (zip, "is a zip archive"),
        (page, "is a web page"),
        (lite, "is a TensorFlow Lite model"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, bytes).unwrap();
        let error = Model::load(&path, &ModelOptions::default(), Box::new(RTen::new(1))).err().unwrap();
        assert!(one_line(&error).contains(part), "{}", one_line(&error));
    }
}
