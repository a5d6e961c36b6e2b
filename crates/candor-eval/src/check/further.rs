//! Tables of a sanity check's optional measurements: maps of shifted photos and of models with random weights. Page, terminal
//! and `candor table` render the same tables.

use candor_report::table::{Better, Cell, Column, Number, Table, Unit};

use super::report::{Randomization, Shifted};

/// One table for each measurement made.
pub fn further(input_shift: &[Shifted], randomization: &[Randomization]) -> Vec<Table> {
    let shifted = (!input_shift.is_empty()).then(|| shifts(input_shift));
    let random = (!randomization.is_empty()).then(|| randomized(randomization));
    shifted.into_iter().chain(random).collect()
}

pub(super) fn plain(value: Option<f64>) -> Cell {
    value.map(Number::new).into()
}

fn shifts(all: &[Shifted]) -> Table {
    let columns = vec![
        Column::text("method", ""),
        Column::number("difference", "norm of the change ÷ norm of the map", Better::Lower),
        Column::number("SSIM", "structural similarity of the two maps", Better::Higher),
        Column::number("Spearman", "their rank correlation", Better::Higher),
    ];
    let note = "The same model, made to expect photos with a constant added, on such photos: nothing changes for the model, so \
                nothing should change in a map.";
    let mut table = Table::new("With shifted values", note, columns);
    for s in all {
        let figures = [s.shift.difference, s.shift.ssim, s.shift.spearman].map(plain);
        table.row(std::iter::once(Cell::text(&s.method)).chain(figures).collect());
    }
    table
}

fn randomized(all: &[Randomization]) -> Table {
    let smooth = all.iter().flat_map(|r| &r.stages).any(|s| s.smooth_ssim.is_some());
    let mut columns = vec![
        Column::text("method", ""),
        Column::number(
            "random layers",
            "weighted layers with shuffled weights, counted from the last",
            Better::Neither,
        ),
        Column::number("SSIM", "structural similarity to the original map", Better::Lower),
        Column::number("Spearman", "rank correlation with it", Better::Lower),
        Column::number("entropy rise", "of the map's entropy over the original's", Better::Higher),
    ];
    if smooth {
        columns.push(Column::number(
            "SSIM, smooth",
            "of maps averaged over noisy copies of the photo",
            Better::Lower,
        ));
    }
    let note = "The last layers' weights are shuffled, then more of them, then all. A map that stays the same (similarity near 1) \
                does not explain the model.";
    let mut table = Table::new("With random weights", note, columns);
    for (r, s) in all.iter().flat_map(|r| r.stages.iter().map(move |s| (r, s))) {
        let layers = Cell::number(Some(s.layers as f64), Unit::Decimals(0));
        let figures = [s.ssim, s.spearman, s.entropy_rise].map(plain);
        let row = [Cell::text(&r.method), layers].into_iter().chain(figures);
        table.row(row.chain(smooth.then(|| plain(s.smooth_ssim))).collect());
    }
    table
}
