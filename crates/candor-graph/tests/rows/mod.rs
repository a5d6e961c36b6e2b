//! Rows of the table in rules.rs, by kind of operator.

mod golden;
mod lowered;
mod moving;
mod quantized;
mod reducing;
mod smooth;

use crate::Row;

/// All rows of these files.
pub fn all() -> Vec<Row> {
    let files = [smooth::rows(), reducing::rows(), moving::rows(), lowered::rows(), quantized::rows()];
    files.into_iter().flatten().collect()
}
