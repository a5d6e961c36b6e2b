//! Parts of an exported graph after the network: maps, the query, the outputs.

pub mod canvas;
pub mod maps;
