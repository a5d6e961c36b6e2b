//! Tables of `candor bench speed`, which prints them, too.

use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor_eval::check::Skipped;
use candor_eval::check::table::Named;
use candor_report::table::{Better, Cell, Column, Number, Table, Unit};
use serde::Deserialize;

use super::{Sheet, not_defined, stem};

/// The fields of such a result that the tables need.
#[derive(Deserialize)]
pub struct Speed {
    model: ModelInfo,
    engine: EngineInfo,
    parts: Vec<Part>,
    methods: Vec<Explained>,
    #[serde(default)]
    skipped: Vec<Skipped>,
}

#[derive(Deserialize)]
struct Seconds {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    seconds: Seconds,
    gflop: f64,
    gflops: f64,
    share_of_peak: f64,
}

#[derive(Deserialize)]
struct Explained {
    method: Named,
    prepare_seconds: f64,
    seconds: Seconds,
    forward: u64,
    backward: u64,
}

pub(super) fn sheet(speed: &Speed) -> Sheet {
    Sheet { tables: tables(speed).into(), remark: not_defined(&speed.skipped) }
}

/// The tables of single passes and of whole explanations.
pub fn tables(speed: &Speed) -> [Table; 2] {
    let Speed { model, engine, .. } = speed;
    let name = stem(&model.path);
    let note = format!("{} {}, threads: {}; milliseconds.", engine.name, engine.version, engine.threads);
    let table = |title: &str, first: &str, further: [&str; 3]| {
        let number = |name: &str| Column::number(name, "", Better::Neither);
        let columns = ["median", "fastest", "slowest", "runs"].into_iter().chain(further).map(number);
        let columns = std::iter::once(Column::text(first, "")).chain(columns).collect();
        Table::new(format!("{name}: {title}"), note.clone(), columns)
    };
    let mut passes = table("one pass", "pass", ["GFLOP", "GFLOP/s", "of best"]);
    for p in &speed.parts {
        let share = Number::new(p.share_of_peak).unit(Unit::Percent(0)).into();
        let further = [decimals(p.gflop, 3), decimals(p.gflops, 1), share];
        passes.row(row(&p.name, &p.seconds, further));
    }
    let mut methods = table("one explanation", "method", ["forward", "backward", "prepare"]);
    for m in &speed.methods {
        let [forward, backward] = [m.forward, m.backward].map(|n| decimals(n as f64, 0));
        methods.row(row(&m.method.name, &m.seconds, [forward, backward, milliseconds(m.prepare_seconds)]));
    }
    [passes, methods]
}

fn row(name: &str, s: &Seconds, further: [Cell; 3]) -> Vec<Cell> {
    let seconds = [s.median, s.min, s.max].map(milliseconds);
    let first = std::iter::once(Cell::text(name)).chain(seconds);
    first.chain([decimals(s.runs as f64, 0)]).chain(further).collect()
}

fn milliseconds(seconds: f64) -> Cell {
    decimals(1e3 * seconds, 2)
}

fn decimals(value: f64, count: usize) -> Cell {
    Number::new(value).unit(Unit::Decimals(count)).into()
}
