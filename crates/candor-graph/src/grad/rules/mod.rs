//! Gradient rules, one small function each. dy is the gradient of the node's output, dx that of its input.

pub(super) mod activations;
pub(super) mod conv;
pub(super) mod einsum;
pub(super) mod elementwise;
pub(super) mod extremum;
pub(super) mod gather;
pub(super) mod matmul;
pub(super) mod norm;
pub(crate) mod place;
pub(crate) mod pool;
pub(super) mod quantize;
pub(crate) mod rearrange;
pub(super) mod reduce;
pub(super) mod shape;
pub(super) mod softmax;
