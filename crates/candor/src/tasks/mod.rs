//! Tasks that judge methods: what can be asked of a map beside looking at it.

pub mod bench;
pub mod check;
pub mod detect;
pub mod input_shift;
pub mod memory;
pub mod randomize;
pub mod speed;
pub mod vanishing;
