//! A benchmark's values: one row for each column of each item.

use serde::Serialize;

use super::table::Table;

/// One value of one item.
#[derive(Serialize)]
pub(super) struct Value<'r> {
    pub table: &'r str,
    pub method: &'r str,
    pub item: String,
    pub figure: &'r str,
    pub value: f64,
}

/// All rows for some tables; `names`: names of the items.
pub(super) fn values<'r>(tables: &'r [Table], names: &dyn Fn(usize) -> String) -> Vec<Value<'r>> {
    let mut values = vec![];
    for table in tables {
        for row in &table.rows {
            for (column, cell) in table.columns.iter().zip(&row.cells) {
                let all = cell.iter().flat_map(|c| &c.values);
                values.extend(all.map(|(&item, &value)| Value {
                    table: &table.title,
                    method: &row.method,
                    item: names(item),
                    figure: &column.name,
                    value,
                }));
            }
        }
    }
    values
}
