//! What becomes of values in an exported graph: maps, the query, the outputs.

pub mod canvas;
pub mod maps;
