//! For a terminal: columns padded to the width that their cells have on a screen.

use unicode_width::UnicodeWidthStr;

use super::{Align, Cell, MISSING, Mark, Number, Table};

impl Table {
    /// The title, the names of the columns and the rows, a line each. The best of a column has a ` *` behind it, what is of too few
    /// items a ` ?`; the 95th percentile stands in brackets; intervals and notes are left out.
    pub fn terminal(&self) -> String {
        let head = self.columns.iter().map(|c| format!("{}{}", c.name, c.better.arrow())).collect();
        let cells = |row: &Vec<Cell>| row.iter().map(|cell| self.written(cell)).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(self.rows.iter().map(cells)).collect();
        let wide = |c: usize| lines.iter().map(|line| line[c].width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(wide).collect();
        let mut text = String::new();
        if !self.title.is_empty() {
            text += &format!("{}\n", self.title);
        }
        for line in &lines {
            let padded = line.iter().zip(&self.columns).zip(&widths);
            let padded: Vec<String> = padded.map(|((cell, c), &width)| pad(cell, c.align, width)).collect();
            text += &format!("{}\n", padded.join("  ").trim_end());
        }
        text
    }

    /// A cell. Where marks are used, a number without one has blanks in its place, so that digits stand under digits.
    fn written(&self, cell: &Cell) -> String {
        let blank = if self.has(Mark::Best) || self.has(Mark::Few) { "  " } else { "" };
        match cell {
            Cell::Missing => format!("{MISSING}{blank}"),
            Cell::Text(text) | Cell::Code(text) => text.clone(),
            Cell::Number(n) if n.mark == Mark::Best => number(n) + " *",
            Cell::Number(n) if n.mark == Mark::Few => number(n) + n.mark.sign(),
            Cell::Number(n) => number(n) + blank,
        }
    }
}

fn number(n: &Number) -> String {
    let plain = |v: f64| n.unit.write(v, |v| format!("{v:.3}"));
    match n.p95 {
        Some(p95) => format!("{} ({})", plain(n.value), plain(p95)),
        None => plain(n.value),
    }
}

fn pad(cell: &str, align: Align, width: usize) -> String {
    let blanks = " ".repeat(width - cell.width().min(width));
    match align {
        Align::Left => format!("{cell}{blanks}"),
        Align::Right => format!("{blanks}{cell}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::super::tests::example;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let expected = "\
All
method    hits ↑           ratio ↓  setting
lrp      0.574 *  0.000 (46.120)    a, \"b\" | <c>
κατά    12.5 %                 –    x=1
";
        assert_eq!(example().terminal(), expected);
        // A wide letter takes two places.
        let mut wide = example();
        wide.rows[1][0] = Cell::text("犬犬犬犬");
        assert!(wide.terminal().contains("\nlrp        0.574 *  "), "{}", wide.terminal());
    }
}
