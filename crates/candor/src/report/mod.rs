//! Results and their formats: one file a format.

/// Plain serde results.
pub mod result;
