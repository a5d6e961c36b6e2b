//! Tasks for evaluating methods: what can be measured on a map.

pub mod bench;
pub mod check;
pub mod detect;
pub mod input_shift;
pub mod memory;
pub mod randomize;
pub mod speed;
pub mod vanishing;
