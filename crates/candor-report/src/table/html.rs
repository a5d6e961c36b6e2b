//! A fragment of HTML, alone or as a part of a page.

use serde::Serialize;

use super::{Align, Cell, MISSING, Mark, Number, Table};
use crate::ReportError;
use crate::figures::figure;
use crate::html::render;

/// What the macro `table` of `table.html` is given: a page's view of a [`Table`].
#[derive(Clone, Debug, Serialize)]
pub struct View {
    title: String,
    note: String,
    columns: Vec<ColumnView>,
    rows: Vec<Vec<CellView>>,
}

#[derive(Clone, Debug, Serialize)]
struct ColumnView {
    name: String,
    help: String,
    right: bool,
}

#[derive(Clone, Debug, Serialize)]
struct CellView {
    text: String,
    /// `text`, `code` or `number`.
    kind: &'static str,
    /// Lines below it: the interval, the 95th percentile.
    below: Vec<String>,
    remark: String,
    /// By which a click on the column's name sorts; empty for words.
    sort: String,
    best: bool,
    /// Of too few items to compare.
    few: bool,
}

impl Table {
    /// The title as `<h3>`, the note and the `<table>`. Everything from outside is escaped.
    ///
    /// # Errors
    /// [`ReportError::Encode`]; a plain table never causes it.
    pub fn html(&self) -> Result<String, ReportError> {
        let fragment = include_str!("../template/fragment.html");
        render("fragment.html", fragment, &View::from(self)).map(|html| html.trim_start().to_string())
    }
}

impl From<&Table> for View {
    fn from(table: &Table) -> Self {
        let column = |c: &super::Column| ColumnView {
            name: format!("{}{}", c.name, c.better.arrow()),
            help: c.help.clone(),
            right: c.align == Align::Right,
        };
        View {
            title: table.title.clone(),
            note: table.note.clone(),
            columns: table.columns.iter().map(column).collect(),
            rows: table.rows.iter().map(|row| row.iter().map(CellView::from).collect()).collect(),
        }
    }
}

impl From<&Cell> for CellView {
    fn from(cell: &Cell) -> Self {
        let words = |text: &str, kind| CellView {
            text: text.to_string(),
            kind,
            below: vec![],
            remark: String::new(),
            sort: String::new(),
            best: false,
            few: false,
        };
        match cell {
            Cell::Missing => CellView { sort: "-Infinity".to_string(), ..words(MISSING, "number") },
            Cell::Text(text) => words(text, "text"),
            Cell::Code(code) => words(code, "code"),
            Cell::Number(n) => CellView {
                below: below(n),
                remark: n.remark.clone(),
                sort: n.value.to_string(),
                best: n.mark == Mark::Best,
                few: n.mark == Mark::Few,
                ..words(&n.unit.write(n.value, figure), "number")
            },
        }
    }
}

fn below(n: &Number) -> Vec<String> {
    let plain = |v: f64| n.unit.write(v, figure);
    let interval = n.interval.map(|[low, high]| format!("{} to {}", plain(low), plain(high)));
    interval.into_iter().chain(n.p95.map(plain)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;

    #[test]
    fn a_fragment_is_escaped_and_marks_the_best() {
        let html = example().html().unwrap();
        assert!(
            html.starts_with("<h3>All</h3>\n<p class=\"note\">Every photo.</p>\n")
                && html.trim_end().ends_with("</table>"),
            "{html}"
        );
        for part in [
            "<th scope=\"col\" class=\"n\" title=\"share of hits\">hits ↑</th>",
            "<th scope=\"row\"><b>lrp</b></th>",
            "<td class=\"n best\" data-value=\"0.5741\" title=\"\"><b>0.574</b><small>0.500 to 0.600</small></td>",
            "<small>0 to 1.00</small><small>46.1</small>",
            "&lt;c&gt;",
            "<td><code>x=1</code></td>",
            "<b>–</b>",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
        assert_eq!(html.matches("<tr>").count(), 3);
    }
}
