//! The figures of faithfulness, each with how it is computed from a record, and their table and curves.

use super::Faithful;
use crate::bench::Found;
use crate::bench::table::{Better, Cell, Column, Curve, Plot, Row, Table, rate};
use crate::faithfulness::curve;

/// A column of the table: its description, and how it is computed from a record. `None`: it is not defined for the map.
struct Figure {
    name: &'static str,
    better: Better,
    help: &'static str,
    read: fn(&Faithful) -> Option<f64>,
}

/// All figures, in the order of the columns.
const FIGURES: [Figure; 16] = [
    Figure {
        name: "deletion",
        better: Better::Lower,
        help: "area under the probability while pixels go, mean colour in their place",
        read: |r| Some(curve::area(&r.deletion.mean)),
    },
    Figure {
        name: "deletion-blur",
        better: Better::Lower,
        help: "the same, the blurred photo in their place",
        read: |r| Some(curve::area(&r.deletion.blur)),
    },
    Figure {
        name: "deletion-infill",
        better: Better::Lower,
        help: "the same, imputed from the pixels that are left",
        read: |r| Some(r.deletion.infill_area()),
    },
    Figure {
        name: "insertion",
        better: Better::Higher,
        help: "area under the probability while pixels come back into the blurred photo",
        read: |r| Some(curve::area(&r.insertion.blur)),
    },
    Figure {
        name: "insertion-mean",
        better: Better::Higher,
        help: "the same, into the mean colour",
        read: |r| Some(curve::area(&r.insertion.mean)),
    },
    Figure {
        name: "insertion-infill",
        better: Better::Higher,
        help: "the same, the others imputed from those that are back",
        read: |r| Some(r.insertion.infill_area()),
    },
    Figure {
        name: "road",
        better: Better::Higher,
        help: "(least − most relevant first) ÷ 2 of the probability, pixels imputed from their neighbours",
        read: |r| r.road,
    },
    Figure {
        name: "average-drop",
        better: Better::Lower,
        help: "share of the probability lost by the photo times the map",
        read: |r| r.confidence?.drop(),
    },
    Figure {
        name: "increase",
        better: Better::Higher,
        help: "share of photos whose probability rises by that",
        read: |r| Some(rate(r.confidence?.increases())),
    },
    Figure {
        name: "sufficiency",
        better: Better::Higher,
        help: "log-odds gained by keeping only the map's region, the rest blurred",
        read: |r| Some(r.region?.sufficiency()),
    },
    Figure {
        name: "necessity",
        better: Better::Higher,
        help: "log-odds lost by blurring the map's region",
        read: |r| Some(r.region?.necessity()),
    },
    Figure {
        name: "excess",
        better: Better::Higher,
        help: "log-odds lost by that beyond what other places of the same shape lose: agreement by removal",
        read: |r| r.excess,
    },
    Figure {
        name: "infidelity",
        better: Better::Lower,
        help: "mean square of what the map foretells of squares blurred, less what happens, at its best scale; log-odds²",
        read: |r| r.infidelity,
    },
    Figure {
        name: "sensitivity",
        better: Better::Lower,
        help: "largest change of the map among photos near by ÷ its norm",
        read: |r| r.sensitivity,
    },
    Figure {
        name: "gini",
        better: Better::Neither,
        help: "0 if all pixels are equal, near 1 if one has all",
        read: |r| r.gini,
    },
    Figure {
        name: "pixels-90",
        better: Better::Neither,
        help: "share of the pixels that hold 90 % of the positive mass",
        read: |r| r.pixels,
    },
];

const NOTE: &str = "Of the model's answer. A figure that a constant or empty map does not have is left out of the mean; deletion \
                    and insertion of such a map go row by row.";

/// The records of a method.
type Records<'r> = [(usize, &'r Faithful)];

/// The table and the curves. Nothing is tuned, so all items are reported.
pub fn tables(found: &Found<Faithful>, seed: u64) -> (Table, Vec<Plot>) {
    let methods: Vec<(&str, Vec<_>)> =
        found.methods.iter().map(|m| (m.name.as_str(), found.of(&m.name))).collect();
    let columns = FIGURES.iter().map(|f| Column::new(f.name, f.better, f.help)).collect();
    let rows = methods.iter().map(|(name, records)| row(name, records, seed)).collect();
    let plot = |title: &str, x: &str, of: fn(&Faithful) -> &[f64]| Plot {
        title: title.into(),
        x: x.into(),
        y: "probability".into(),
        curves: methods.iter().map(|(name, records)| mean_curve(name, records, of)).collect(),
    };
    let plots = vec![
        plot("Deletion", "share of pixels removed, the map's highest first", |r| &r.deletion.mean),
        plot("Insertion", "share of pixels put back, the map's highest first", |r| &r.insertion.blur),
    ];
    (Table::new("Faithfulness", NOTE, columns, rows, seed), plots)
}

/// The mean of each figure over the records for which it is defined.
fn row(method: &str, records: &Records<'_>, seed: u64) -> Row {
    let cell = |f: &Figure| {
        let values = records.iter().filter_map(|(item, r)| Some((*item, (f.read)(r)?)));
        Cell::of(values, seed)
    };
    Row { method: method.into(), setting: String::new(), cells: FIGURES.iter().map(cell).collect() }
}

/// The mean of a method's curves, which have equal steps.
fn mean_curve(method: &str, records: &Records<'_>, of: fn(&Faithful) -> &[f64]) -> Curve {
    let steps = records.first().map_or(0, |(_, r)| of(r).len());
    let height = |s: usize| records.iter().map(|(_, r)| of(r)[s]).sum::<f64>() / records.len() as f64;
    let points = (0..steps).map(|s| [s as f64 / (steps - 1) as f64, height(s)]).collect();
    Curve { method: method.into(), points }
}
