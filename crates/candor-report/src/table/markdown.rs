//! Markdown, as the pages of results have it.

use super::{Align, Cell, MISSING, Mark, Number, Table};

impl Table {
    /// A heading, the note, and the table. The best of a column is bold, and so is what sums up a row; the interval stands in
    /// brackets, the 95th percentile behind a comma; what is of too few items has a question mark.
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
    let plain = |v: f64| n.unit.write(v, digits);
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

/// Three decimals below 1, three digits from 1 on, without noughts that say nothing; `0` is exactly 0.
fn digits(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return MISSING.to_string();
    }
    if size == 0.0 || !size.is_finite() {
        return format!("{size}").replace("inf", if value < 0.0 { "−∞" } else { "∞" });
    }
    if size < 1.0 {
        return format!("{value:.3}");
    }
    let decimals = [2, 1][usize::from(size >= 9.995)] * usize::from(size < 99.95);
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_string() }
}

/// Letters that would end a cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::digits;

    #[test]
    fn a_cell_has_its_interval_its_percentile_and_its_mark() {
        let expected = "\
### All

Every photo.

| method | hits | ratio | setting |
| --- | ---: | ---: | --- |
| lrp | **0.574** (0.500 to 0.600) | 0 (0 to 1), 46.1 | a, \"b\" \\| <c> |
| κατά | **12.5 %** | – | `x=1` |
";
        assert_eq!(example().markdown(), expected);
    }

    #[test]
    fn digits_say_no_more_than_is_known() {
        let cases = [
            (0.0, "0"),
            (0.0001, "0.000"),
            (-0.25, "-0.250"),
            (0.9999, "1.000"),
            (1.0, "1"),
            (1.304, "1.3"),
            (-4.416, "-4.42"),
            (46.12, "46.1"),
            (100.0, "100"),
            (1234.5, "1234"),
            (f64::NAN, "–"),
            (f64::NEG_INFINITY, "−∞"),
        ];
        for (value, text) in cases {
            assert_eq!(digits(value), text);
        }
    }
}
