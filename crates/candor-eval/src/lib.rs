//! Measures explanations: whether a method's maps of absent classes are empty ([`check`]), where maps point ([`mod@bench`]), how removing
//! these regions affects the network ([`faithfulness`]), and what methods cost ([`speed`]).
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
