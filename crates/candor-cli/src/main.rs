//! The command line of Candor: parse → run → report.
fn main() {}
