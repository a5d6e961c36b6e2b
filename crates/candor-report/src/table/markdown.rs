//! Markdown, as in the pages of results.

use super::{Align, Cell, MISSING, Mark, Number, Table};

impl Table {
    /// A heading, the note, and the table. The best of a column and the summary of a row are bold; intervals are in
    /// brackets, the 95th percentile follows a comma; values of too few items have a question mark.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        if !self.title.is_empty() {
            text += &format!("### {}\n\n", self.title);
        }
        if !self.note.is_empty() {
            text += &format!("{}\n\n", self.note);
        }
        text += &line(self.columns.iter().map(|c| escaped(&c.name)));
        text +=
            &line(self.columns.iter().map(|c| if c.align == Align::Right { "---:" } else { "---" }.into()));
        for row in &self.rows {
            text += &line(row.iter().map(cell));
        }
        text
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Missing => MISSING.to_string(),
        Cell::Text(text) => escaped(text),
        Cell::Code(code) => format!("`{}`", escaped(code)),
        Cell::Number(n) => number(n),
    }
}

fn number(n: &Number) -> String {
    let plain = |v: f64| n.unit.text(v);
    let mut text = plain(n.value);
    if matches!(n.mark, Mark::Best | Mark::Summary) {
        text = format!("**{text}**");
    }
    if let Some([low, high]) = n.interval {
        text += &format!(" ({} to {})", plain(low), plain(high));
    }
    if let Some(p95) = n.p95 {
        text += &format!(", {}", plain(p95));
    }
    text + n.mark.sign()
}

/// Escapes characters that would end a cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;

    #[test]
    fn a_cell_has_its_interval_its_percentile_and_its_mark() {
        let expected = "\
### All

Every photo.

| method | hits | ratio | setting |
| --- | ---: | ---: | --- |
| lrp | **0.574** (0.500 to 0.600) | 0.000 (0.000 to 1.000), 46.120 | a, \"b\" \\| <c> |
| κατά | **12.5 %** | – | `x=1` |
";
        assert_eq!(example().markdown(), expected);
    }
}
