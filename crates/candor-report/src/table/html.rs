//! An HTML fragment, alone or as a part of a page.

use serde::Serialize;

use super::{Align, Cell, MISSING, Mark, Number, Table};
use crate::ReportError;
use crate::html::render;

/// The input of the macro `table` of `table.html`: a page's view of a [`Table`].
#[derive(Clone, Debug, Serialize)]
pub struct View {
    title: String,
    note: String,
    columns: Vec<ColumnView>,
    rows: Vec<Vec<CellView>>,
    /// Whether some column has a help text.
    explained: bool,
    /// How wide it is, for the style sheet: `slim`, `some`, `many` or `most` columns.
    span: &'static str,
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
    /// Sort key for a click on the column's name; empty for text and missing values.
    sort: String,
    best: bool,
    /// Of too few items for a comparison.
    few: bool,
}

impl Table {
    /// The title as `<h3>`, the note and the `<table>`. All text is escaped.
    ///
    /// # Errors
    /// [`ReportError::Encode`]; a valid table never causes it.
    pub fn html(&self) -> Result<String, ReportError> {
        let fragment = include_str!("../template/fragment.html");
        render("fragment.html", fragment, &View::from(self)).map(|html| html.trim_start().to_string())
    }
}

impl From<&Table> for View {
    fn from(table: &Table) -> Self {
        let column = |c: &super::Column| ColumnView {
            // No line breaks before the arrow, or inside an interval.
            name: format!("{}{}", c.name, c.better.arrow().replace(' ', "\u{a0}")),
            help: c.help.clone(),
            right: c.align == Align::Right,
        };
        View {
            title: table.title.clone(),
            note: table.note.clone(),
            columns: table.columns.iter().map(column).collect(),
            rows: table.rows.iter().map(|row| row.iter().map(CellView::from).collect()).collect(),
            explained: table.columns.iter().any(|c| !c.help.is_empty()),
            span: match table.columns.len() {
                0..=3 => "slim",
                4..=6 => "some",
                7..=9 => "many",
                _ => "most",
            },
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
            Cell::Missing => words(MISSING, "number"),
            Cell::Text(text) => words(text, "text"),
            Cell::Code(code) => words(code, "code"),
            Cell::Number(n) => CellView {
                below: below(n),
                remark: n.remark.clone(),
                sort: sort(n.value),
                best: n.mark == Mark::Best,
                few: n.mark == Mark::Few,
                ..words(&n.unit.text(n.value), "number")
            },
        }
    }
}

/// A value in a form that a script can parse; empty if it is not finite.
fn sort(value: f64) -> String {
    match value {
        v if v.is_nan() => String::new(),
        v if v.is_infinite() => format!("{}Infinity", if v < 0.0 { "-" } else { "" }),
        v => v.to_string(),
    }
}

fn below(n: &Number) -> Vec<String> {
    let plain = |v: f64| n.unit.text(v);
    let interval = n.interval.map(|[low, high]| format!("{} to\u{a0}{}", plain(low), plain(high)));
    interval.into_iter().chain(n.p95.map(plain)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn a_fragment_is_escaped_and_marks_the_best() {
        let html = example().html().unwrap();
        assert!(
            html.starts_with("<h3>All</h3>\n<p class=\"note\">Every photo.</p>\n")
                && html.trim_end().ends_with("</table>"),
            "{html}"
        );
        for part in [
            "<th scope=\"col\" class=\"n\" title=\"share of hits\">hits\u{a0}↑</th>",
            "<th scope=\"row\"><b>lrp</b></th>",
            "<td class=\"n best\" data-value=\"0.5741\" title=\"\"><b>0.574</b> * <small>0.500 to\u{a0}0.600</small></td>",
            ">0.000 <small>0.000 to\u{a0}1.000</small> <small>46.120</small>",
            "&lt;c&gt;",
            "<td><code>x=1</code></td>",
            "title=\"\">–</td>",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
        assert_eq!(html.matches("<tr>").count(), 3);
        assert!(!html.contains("<button"), "nothing sorts a fragment");
    }

    #[test]
    fn on_a_page_every_heading_is_a_button_that_says_how_it_sorts_and_every_cell_has_its_name() {
        let template = "{% from \"table.html\" import sheet %}{{ sheet(t) }}";
        let view = serde_json::json!({ "t": serde_json::to_value(View::from(&example())).unwrap() });
        let html = render("sheet.html", template, &view).unwrap();
        assert_eq!(html.matches("aria-sort=\"none\"").count(), 4, "{html}");
        assert_eq!(html.matches("<button type=\"button\">").count(), 4, "{html}");
        assert_eq!(html.matches(" data-label=\"ratio\u{a0}↓\"").count(), 2, "{html}");
        for part in [
            "<div class=\"sheet scroll some\" role=\"region\" tabindex=\"0\" aria-label=\"All\">",
            "<dt>hits\u{a0}↑</dt><dd>share of hits</dd>",
            "data-value=\"\" title=\"\"><b>–</b>",
        ] {
            assert!(html.contains(part), "no {part} in {html}");
        }
    }

    #[test]
    fn what_a_script_sorts_by_is_a_number_of_its_language() {
        assert_eq!([f64::NAN, f64::NEG_INFINITY, 0.25].map(sort), ["", "-Infinity", "0.25"]);
    }
}
