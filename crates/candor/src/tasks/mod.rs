//! Tasks that judge methods: what can be asked of a map beside looking at it.

pub mod check;
pub mod memory;
pub mod randomize;
pub mod similarity;
pub mod speed;
pub mod statistics;
