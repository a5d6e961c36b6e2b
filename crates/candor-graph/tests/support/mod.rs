//! Shared by integration tests: an engine, deterministic numbers, the folder of real models.
#![allow(dead_code, missing_docs, reason = "each test uses its part")]

pub mod wire;

use candor_engine::{Engine, Folding, RTen};
use candor_graph::graph::Graph;
use candor_graph::rewrite;
use candor_graph::tensor::Tensor;

/// Runs a graph on the embedded engine, after the passes that every model goes through.
pub fn run(graph: &Graph, inputs: &[&Tensor]) -> Vec<Tensor> {
    let engine = RTen::new(2);
    let mut graph = graph.clone();
    rewrite::standard(&mut graph, &Folding(&engine)).expect("the passes apply");
    engine.compile(&graph).expect("compiles").run(inputs).expect("runs")
}

/// A number in −1..1 that depends only on `i` and `salt`.
pub fn noise(i: usize, salt: u64) -> f32 {
    let mut x = (i as u64).wrapping_add(salt << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 32;
    (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// `n` distinct values, at least `gap` apart from each other and `gap / 2` from zero, in a scrambled order.
pub fn spread(n: usize, gap: f32, salt: u64) -> Vec<f32> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| noise(a, salt).total_cmp(&noise(b, salt)));
    let mut values = vec![0.0; n];
    for (rank, &i) in order.iter().enumerate() {
        values[i] = (rank as f32 - (n / 2) as f32 + 0.5) * gap;
    }
    values
}
