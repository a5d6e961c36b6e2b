//! Measures explanations: whether a method stays silent about what is not there ([`check`]), where it points ([`mod@bench`]), what
//! removing that does to the network ([`faithfulness`]), and what it costs ([`speed`]).
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod bench;
pub mod check;
pub mod dataset;
pub mod error;
pub mod explaining;
pub mod faithfulness;
pub mod journal;
pub mod localization;
pub mod memory;
pub mod scatter;
pub mod shard;
pub mod speed;
pub mod statistics;
