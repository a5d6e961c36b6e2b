//! Malformed models give errors, never panics or failing allocations: faults put into a valid model, random graphs,
//! and damaged bytes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor_graph::error::Result;
use candor_graph::grad::{RULES, gradients};
use candor_graph::graph::Graph;
use candor_graph::onnx;
use candor_graph::rewrite::{self, Evaluate, LOWERINGS};
use candor_graph::tensor::{DataType, Tensor};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::wire::{Attribute, Model, Node, Weight};

/// Computes nothing: the loader, the passes and the rules are tested, not an engine.
struct Refuses;

impl Evaluate for Refuses {
    fn evaluate(
        &self,
        _: &Graph,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn std::error::Error + Send + Sync>> {
        Err("not computed".into())
    }
}

/// Loads a model, puts it through the passes and differentiates its first output with respect to its first input.
fn explain(bytes: &[u8]) -> Result<()> {
    let mut graph = onnx::load_bytes(bytes)?.graph;
    rewrite::standard(&mut graph, &Refuses)?;
    let (Some(&x), Some(&y)) = (graph.inputs.first(), graph.outputs.first()) else { return Ok(()) };
    let Some(shape) = graph.shape(y) else { return Ok(()) };
    let seed = graph.add_input("seed", DataType::Float, &shape);
    gradients(graph, &[(y, seed)], &[x]).map(|_| ())
}

/// Convolutions and activations, then a linear layer: `depth` blocks.
fn sound(depth: usize) -> Model {
    let mut model = Model { inputs: vec![("image".into(), vec![1, 2, 6, 6])], ..Model::default() };
    let mut last = "image".to_string();
    for i in 0..depth {
        model.weights.push(Weight::new(&format!("kernel{i}"), &[2, 2, 3, 3]));
        let pads = ("pads", Attribute::Ints(vec![1; 4]));
        model.nodes.push(Node::new("Conv", &[&last, &format!("kernel{i}")], &format!("conv{i}"), &[pads]));
        model.nodes.push(Node::new("Relu", &[&format!("conv{i}")], &format!("relu{i}"), &[]));
        last = format!("relu{i}");
    }
    model.weights.extend([Weight::new("matrix", &[2, 4]), Weight::new("bias", &[4])]);
    model.nodes.push(Node::new("GlobalAveragePool", &[&last], "pooled", &[]));
    model.nodes.push(Node::new("Flatten", &["pooled"], "flat", &[]));
    model.nodes.push(Node::new("Gemm", &["flat", "matrix", "bias"], "logits", &[]));
    model.outputs = vec!["logits".into()];
    model
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cycle,
    Dangling,
    OutputOfNothing,
    OutputTwice,
    WeightTwice,
    InputTwice,
    WeightNamedAsOutput,
    WeightOfAnotherRank,
    ImageOfAnotherRank,
    NegativeDimOfWeight,
    NegativeDimOfInput,
    DimsClaimTooMuch,
    BytesClaimTooMuch,
    TooFewBytes,
}

const FAULTS: [Fault; 14] = [
    Fault::Cycle,
    Fault::Dangling,
    Fault::OutputOfNothing,
    Fault::OutputTwice,
    Fault::WeightTwice,
    Fault::InputTwice,
    Fault::WeightNamedAsOutput,
    Fault::WeightOfAnotherRank,
    Fault::ImageOfAnotherRank,
    Fault::NegativeDimOfWeight,
    Fault::NegativeDimOfInput,
    Fault::DimsClaimTooMuch,
    Fault::BytesClaimTooMuch,
    Fault::TooFewBytes,
];

/// Puts a fault into a model, at a node and a weight that the indices pick. `size` is the claimed size, as a power of two.
fn spoil(model: &mut Model, fault: Fault, node: Index, weight: Index, size: u32) {
    let (at, later) = (node.index(model.nodes.len()), model.nodes.len() - 1);
    let weights = model.weights.len();
    let weight = &mut model.weights[weight.index(weights)];
    match fault {
        Fault::Cycle => model.nodes[at].inputs[0] = model.nodes[later].output.clone(),
        Fault::Dangling => model.nodes[at].inputs[0] = "nowhere".into(),
        Fault::OutputOfNothing => model.outputs[0] = "nowhere".into(),
        Fault::OutputTwice => {
            let other = (at + 1) % model.nodes.len();
            model.nodes[at].output = model.nodes[other].output.clone();
        }
        Fault::WeightTwice => {
            let copy = weight.clone();
            model.weights.push(copy);
        }
        Fault::InputTwice => model.inputs.push(model.inputs[0].clone()),
        Fault::WeightNamedAsOutput => weight.name = model.nodes[at].output.clone(),
        Fault::WeightOfAnotherRank => {
            // The number of elements is unchanged; no operator here takes five axes, or a vector in place of a matrix.
            let count = weight.dims.iter().product();
            weight.dims = vec![1, 1, count, 1, 1];
        }
        Fault::ImageOfAnotherRank => model.inputs[0].1 = vec![1, 72],
        Fault::NegativeDimOfWeight => weight.dims[0] = -weight.dims[0],
        Fault::NegativeDimOfInput => model.inputs[0].1[2] = -6,
        Fault::DimsClaimTooMuch => weight.dims[0] = 1 << size,
        Fault::BytesClaimTooMuch => weight.claimed = Some(1 << size),
        Fault::TooFewBytes => weight.data.truncate(weight.data.len() - 1),
    }
}

#[test]
fn a_sound_model_is_none_of_these() {
    for depth in 1..4 {
        explain(&sound(depth).bytes()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_fault_is_an_error_of_one_line(
        depth in 1usize..4,
        fault in select(&FAULTS[..]),
        (node, weight) in any::<(Index, Index)>(),
        size in 31u32..62,
    ) {
        let mut model = sound(depth);
        spoil(&mut model, fault, node, weight, size);
        let error = explain(&model.bytes());
        prop_assert!(error.is_err(), "{fault:?} was not noticed");
        let line = error.unwrap_err().to_string();
        prop_assert!(!line.contains('\n') && line.len() > 10, "{fault:?}: {line}");
    }

    #[test]
    fn a_random_graph_is_a_gradient_or_an_error(model in random_model()) {
        let _ = explain(&model.bytes());
    }

    #[test]
    fn damaged_bytes_are_a_model_or_an_error(
        depth in 1usize..3,
        changes in prop::collection::vec(any::<(Index, u8)>(), 1..6),
        cut in any::<Option<Index>>(),
    ) {
        let mut bytes = sound(depth).bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = explain(&bytes);
    }
}

/// Nodes of any operator with a rule or a lowering, which read any earlier value, with attributes of any name that some operator reads.
fn random_model() -> impl Strategy<Value = Model> {
    let dims = prop::collection::vec(select(vec![-3i64, -1, 0, 1, 2, 3, 4, 1 << 33]), 0..6);
    let image = prop_oneof![4 => Just(vec![1i64, 2, 6, 6]), 1 => dims.clone()];
    let weights = prop::collection::vec((dims, any::<bool>()), 0..4);
    let nodes = prop::collection::vec(random_node(), 1..6);
    (image, weights, nodes).prop_map(|(image, weights, nodes)| {
        let mut model = Model { inputs: vec![("image".into(), image)], ..Model::default() };
        let mut names = vec!["image".to_string(), String::new()];
        for (i, (dims, whole)) in weights.into_iter().enumerate() {
            let mut weight = Weight::new(&format!("weight{i}"), &dims);
            if whole {
                weight.make_integers();
            }
            names.push(weight.name.clone());
            model.weights.push(weight);
        }
        for (i, (op, domain, reads, attributes)) in nodes.into_iter().enumerate() {
            // Recent values are read most often.
            let pick =
                |index: &Index| names[names.len() - 1 - index.index(2 * names.len()) % names.len()].clone();
            let inputs: Vec<String> = reads.iter().map(pick).collect();
            let output = format!("value{i}");
            names.push(output.clone());
            let name = String::new();
            model.nodes.push(Node { name, op, domain, inputs, output, attributes });
        }
        model.outputs = vec![names[names.len() - 1].clone()];
        model
    })
}

type RandomNode = (String, String, Vec<Index>, Vec<(String, Attribute)>);

fn random_node() -> impl Strategy<Value = RandomNode> {
    let mut ops: Vec<(String, String)> =
        RULES.iter().map(|(op, _)| (op.to_string(), String::new())).collect();
    ops.extend(LOWERINGS.iter().map(|(domain, op, _)| (op.to_string(), domain.to_string())));
    ops.extend(
        ["Shape", "ConstantOfShape", "Range", "NonZero", "OneHot"].map(|op| (op.into(), String::new())),
    );
    let reads = prop::collection::vec(any::<Index>(), 0..5);
    let names = vec![
        "axis",
        "axes",
        "keepdims",
        "pads",
        "strides",
        "dilations",
        "kernel_shape",
        "group",
        "perm",
        "to",
        "alpha",
        "mode",
        "blocksize",
        "size",
        "p",
        "num_groups",
        "num_heads",
        "q_num_heads",
        "kv_num_heads",
        "equation",
        "auto_pad",
        "ceil_mode",
        "output_padding",
        "num_outputs",
        "transA",
        "transB",
        "start",
        "end",
        "allowzero",
        "reduction",
        "upper",
        "batch_dims",
    ];
    let number = select(vec![i64::MIN, -1 << 33, -7, -2, -1, 0, 1, 2, 3, 4, 17, 1 << 33, i64::MAX]);
    let texts =
        ["reflect", "linear", "SAME_UPPER", "ij,jk->ik", "...a->a", "->", "a", "add", "é"].map(String::from);
    let value = prop_oneof![
        number.clone().prop_map(Attribute::Int),
        prop::collection::vec(number, 0..9).prop_map(Attribute::Ints),
        any::<f32>().prop_map(Attribute::Float),
        select(texts.to_vec()).prop_map(Attribute::Text),
    ];
    let attributes = prop::collection::vec((select(names).prop_map(String::from), value), 0..4);
    (select(ops), reads, attributes)
        .prop_map(|((op, domain), reads, attributes)| (op, domain, reads, attributes))
}
