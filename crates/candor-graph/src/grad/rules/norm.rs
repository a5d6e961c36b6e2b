//! Normalisation layers.

use crate::error::{GraphError, Result};
use crate::grad::Sweep;
use crate::graph::Node;

/// (x−μ)/√(σ²+ε)·γ + β with fixed μ, σ: dx = dy·γ/√(σ²+ε)
pub(crate) fn batch_normalization(s: &mut Sweep, n: &Node) -> Result<()> {
    if n.int("training_mode", 0) != 0 {
        return Err(GraphError::node(n, "is in training mode; export the model for inference"));
    }
    if (1..5).any(|i| s.needs(n, i)) {
        return Err(GraphError::node(n, "its parameters depend on the input, which is not supported"));
    }
    let rank = s.input(n, 0)?.shape()?.len();
    let gain = s.input(n, 1)? / (s.input(n, 4)? + n.float("epsilon", 1e-5)).sqrt();
    let mut per_channel = vec![1; rank];
    per_channel[1.min(rank - 1)] = -1;
    s.add_grad(n, 0, s.dy(n) * gain.reshape(&per_channel))
}
