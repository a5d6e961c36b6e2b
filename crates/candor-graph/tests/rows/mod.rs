//! Rows of the table in rules.rs, by kind of operator.

mod lowered;
mod moving;
mod reducing;
mod smooth;

use crate::Row;

/// All rows of these files.
pub fn all() -> Vec<Row> {
    [smooth::rows(), reducing::rows(), moving::rows(), lowered::rows()].into_iter().flatten().collect()
}
