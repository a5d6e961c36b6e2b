//! `candor bench`: measurements.

mod asked;
mod benchmark;
mod dataset;
mod examples;
mod speed;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::{Bench, BenchArgs};

pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    match &args.bench {
        Bench::Wsol(args) => dataset::wsol(args),
        Bench::Dwsol(args) => dataset::dwsol(args),
        Bench::Adversarial(args) => dataset::adversarial(args),
        Bench::Grid(args) => dataset::grid(args),
        Bench::Objects(args) => dataset::objects(args),
        Bench::Faithfulness(args) => dataset::faithfulness(args),
        Bench::Speed(args) => speed::run(args),
    }
}
