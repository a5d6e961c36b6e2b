//! Reverse-mode differentiation on the graph: one sweep, one table of rules.

pub mod deep_lift;
pub mod lrp;
pub mod policy;
pub(crate) mod rules;
mod sweep;
mod table;

pub use policy::Policy;
pub use sweep::{Sweep, gradients, propagate};
pub use table::{Entry, RULES, Rule, entry};
