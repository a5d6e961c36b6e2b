//! Reverse-mode differentiation on the graph: one sweep, one table of rules.

pub(crate) mod rules;
mod sweep;
mod table;

pub use sweep::{Sweep, gradients};
pub use table::{Entry, RULES, Rule, entry};
