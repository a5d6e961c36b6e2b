//! The table of gradient rules: operator → rule, zero, or unsupported with a reason.

use super::rules::{
    activations, conv, einsum, elementwise, extremum, gather, matmul, norm, pool, quantize, rearrange,
    reduce, shape, softmax,
};
use super::sweep::Sweep;
use crate::error::Result;
use crate::graph::Node;

/// Adds to the gradients of a node's inputs, given the gradient of its output.
pub type Rule = fn(&mut Sweep<'_>, &Node) -> Result<()>;

/// How an operator is differentiated.
#[derive(Clone, Copy)]
pub enum Entry {
    /// It has a rule.
    Rule(Rule),
    /// Its gradient is zero wherever it exists.
    Zero,
    /// It is not supported, for this reason.
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
    ("ConvTranspose", conv::conv_transpose),
    ("Cos", activations::cos),
    ("CumSum", rearrange::cum_sum),
    ("DepthToSpace", rearrange::depth_to_space),
    ("DequantizeLinear", quantize::dequantize_linear),
    ("Div", elementwise::div),
    ("Dropout", elementwise::identity),
    ("Einsum", einsum::einsum),
    ("Elu", activations::elu),
    ("Erf", activations::erf),
    ("Exp", elementwise::exp),
    ("Expand", rearrange::expand),
    ("Flatten", shape::reshape),
    ("Gather", gather::gather),
    ("GatherElements", gather::gather_elements),
    ("GatherND", gather::gather_nd),
    ("Gelu", activations::gelu),
    ("Gemm", matmul::gemm),
    ("GlobalAveragePool", pool::global_average_pool),
    ("GlobalMaxPool", pool::global_max_pool),
    ("HardSigmoid", elementwise::hard_sigmoid),
    ("HardSwish", elementwise::hard_swish),
    ("Identity", elementwise::identity),
    ("InstanceNormalization", norm::instance_normalization),
    ("LayerNormalization", norm::layer_normalization),
    ("LeakyRelu", elementwise::leaky_relu),
    ("Log", elementwise::log),
    ("LogSoftmax", softmax::log_softmax),
    ("MatMul", matmul::matmul),
    ("Max", extremum::max),
    ("MaxPool", pool::max_pool),
    ("Mean", elementwise::mean),
    ("Min", extremum::min),
    ("Mod", elementwise::modulo),
    ("Mul", elementwise::mul),
    ("Neg", elementwise::neg),
    ("PRelu", activations::prelu),
    ("Pad", shape::pad),
    ("Pow", activations::pow),
    ("QuantizeLinear", quantize::quantize_linear),
    ("RMSNormalization", norm::rms_normalization),
    ("Reciprocal", activations::reciprocal),
    ("ReduceL1", reduce::reduce_l1),
    ("ReduceL2", reduce::reduce_l2),
    ("ReduceLogSum", reduce::reduce_log_sum),
    ("ReduceLogSumExp", reduce::reduce_log_sum_exp),
    ("ReduceMax", extremum::reduce_max),
    ("ReduceMean", reduce::reduce_mean),
    ("ReduceMin", extremum::reduce_min),
    ("ReduceProd", reduce::reduce_prod),
    ("ReduceSum", reduce::reduce_sum),
    ("ReduceSumSquare", reduce::reduce_sum_square),
    ("Relu", elementwise::relu),
    ("Reshape", shape::reshape),
    ("ScatterElements", gather::scatter_elements),
    ("ScatterND", gather::scatter_nd),
    ("Sigmoid", elementwise::sigmoid),
    ("Sin", activations::sin),
    ("Slice", shape::slice),
    ("Softmax", softmax::softmax),
    ("Softplus", activations::softplus),
    ("Softsign", activations::softsign),
    ("Split", rearrange::split),
    ("Sqrt", elementwise::sqrt),
    ("Squeeze", shape::reshape),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::sum),
    ("Swish", activations::swish),
    ("Tanh", elementwise::tanh),
    ("Tile", rearrange::tile),
    ("TopK", gather::top_k),
    ("Transpose", shape::transpose),
    ("Trilu", rearrange::trilu),
    ("Unsqueeze", shape::reshape),
    ("Where", rearrange::select),
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
    ("If", "its condition is computed from the image; export the branch that is taken"),
    ("Loop", "its number of turns or its condition is computed from the image; unroll it when exporting"),
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
