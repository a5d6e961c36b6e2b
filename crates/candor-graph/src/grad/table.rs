//! The table of gradient rules: operator → rule, zero, or unsupported with a reason.

use super::rules::{conv, elementwise, matmul, norm, pool, reduce, shape, softmax};
use super::sweep::Sweep;
use crate::error::Result;
use crate::graph::Node;

/// Adds to the gradients of a node's inputs, given that of its output.
pub type Rule = fn(&mut Sweep<'_>, &Node) -> Result<()>;

/// What is known of an operator's gradient.
#[derive(Clone, Copy)]
pub enum Entry {
    /// It has a rule.
    Rule(Rule),
    /// Its gradient is zero wherever it exists.
    Zero,
    /// It has none here, for this reason.
    Unsupported(&'static str),
}

/// Operators of the default domain with a rule. Each must have a row in tests/rules.rs.
pub const RULES: &[(&str, Rule)] = &[
    ("Abs", elementwise::abs),
    ("Add", elementwise::add),
    ("AveragePool", pool::average_pool),
    ("BatchNormalization", norm::batch_normalization),
    ("Cast", elementwise::identity),
    ("Clip", elementwise::clip),
    ("Concat", shape::concat),
    ("Conv", conv::conv),
    ("Div", elementwise::div),
    ("Dropout", elementwise::identity),
    ("Exp", elementwise::exp),
    ("Flatten", shape::reshape),
    ("Gemm", matmul::gemm),
    ("GlobalAveragePool", pool::global_average_pool),
    ("GlobalMaxPool", pool::global_max_pool),
    ("HardSigmoid", elementwise::hard_sigmoid),
    ("HardSwish", elementwise::hard_swish),
    ("Identity", elementwise::identity),
    ("LeakyRelu", elementwise::leaky_relu),
    ("Log", elementwise::log),
    ("LogSoftmax", softmax::log_softmax),
    ("MatMul", matmul::matmul),
    ("MaxPool", pool::max_pool),
    ("Mul", elementwise::mul),
    ("Neg", elementwise::neg),
    ("Pad", shape::pad),
    ("ReduceMean", reduce::reduce_mean),
    ("ReduceSum", reduce::reduce_sum),
    ("Relu", elementwise::relu),
    ("Reshape", shape::reshape),
    ("Sigmoid", elementwise::sigmoid),
    ("Slice", shape::slice),
    ("Softmax", softmax::softmax),
    ("Sqrt", elementwise::sqrt),
    ("Squeeze", shape::reshape),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::sum),
    ("Tanh", elementwise::tanh),
    ("Transpose", shape::transpose),
    ("Unsqueeze", shape::reshape),
];

/// Operators whose gradient is zero wherever it exists.
const ZERO: &[&str] = &[
    "And",
    "ArgMax",
    "ArgMin",
    "Ceil",
    "ConstantOfShape",
    "Equal",
    "EyeLike",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "NonZero",
    "Not",
    "OneHot",
    "Or",
    "Range",
    "Round",
    "Shape",
    "Sign",
    "Size",
    "Xor",
];

/// Operators that are known and refused.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("If", "control flow is not supported; fold it away with onnxsim or export without it"),
    ("Loop", "control flow is not supported; unroll it when exporting"),
    ("Scan", "control flow is not supported; unroll it when exporting"),
    ("LSTM", "recurrent networks are not image classifiers that can be masked"),
    ("GRU", "recurrent networks are not image classifiers that can be masked"),
    ("RNN", "recurrent networks are not image classifiers that can be masked"),
    ("NonMaxSuppression", "detectors are not classifiers; export the classifier head alone"),
];

/// Looks an operator up. `None`: it is not in the table.
pub fn entry(domain: &str, op: &str) -> Option<Entry> {
    if !domain.is_empty() {
        return None;
    }
    if let Some((_, rule)) = RULES.iter().find(|(name, _)| *name == op) {
        return Some(Entry::Rule(*rule));
    }
    if ZERO.contains(&op) {
        return Some(Entry::Zero);
    }
    UNSUPPORTED.iter().find(|(name, _)| *name == op).map(|(_, reason)| Entry::Unsupported(reason))
}
