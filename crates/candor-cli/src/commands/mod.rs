//! One file per command.

pub mod attack;
pub mod bench;
pub mod calibrate;
pub mod check;
pub mod completions;
pub mod demo;
pub mod detect;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod inspect;
pub mod man;
pub mod merge;
pub mod methods;
pub mod page;
pub mod scenes;
pub mod table;
