//! For a terminal: columns are padded to the width of their cells on a screen, and the table is fitted to the screen's width.

use anstyle::{AnsiColor, Style};
use candor::printable::acts;
use unicode_width::UnicodeWidthStr;

use super::{Align, Cell, MISSING, Mark, Number, Table};

/// Style of the names of rows and columns.
const NAME: Style = Style::new().bold();
/// Style of the best of a column.
const BEST: Style = AnsiColor::Green.on_default().bold();
/// Number of blanks between two columns.
const GAP: usize = 2;

impl Table {
    /// The title, the names of the columns and the rows, one line each, at full width. The best of a column is followed by ` *`, values
    /// of too few items by ` ?`; the 95th percentile is in brackets; intervals and notes are left out.
    pub fn terminal(&self) -> String {
        self.titled(&self.grid().text(false))
    }

    /// The same for a screen of `width` columns, with styles. A table that is wider gets column names on several lines; if that is not
    /// enough, rows and columns are exchanged; otherwise it is split into parts, each with the first column.
    pub fn screen(&self, width: usize) -> String {
        let plain = self.grid();
        let fits = |grid: &Grid| grid.width() <= width;
        let folded = || Some(plain.folded()).filter(fits);
        let turned = || Some(plain.turned()).filter(fits);
        let turned_folded = || Some(plain.turned().folded()).filter(fits);
        let whole = Some(plain.clone()).filter(fits).or_else(folded).or_else(turned).or_else(turned_folded);
        let parts = whole.map_or_else(|| plain.folded().parts(width), |grid| vec![grid]);
        let texts: Vec<String> = parts.iter().map(|grid| grid.text(true)).collect();
        self.titled(&texts.join("\n"))
    }

    /// The help texts of the columns that have one, one line each.
    pub fn legend(&self) -> String {
        let explained = self.columns.iter().filter(|c| !c.help.is_empty());
        explained.map(|c| format!("{}: {}\n", c.name, c.help)).collect()
    }

    fn titled(&self, text: &str) -> String {
        if self.title.is_empty() { text.to_string() } else { format!("{}\n{text}", self.title) }
    }

    fn grid(&self) -> Grid {
        let head = self.columns.iter().map(|c| vec![format!("{}{}", c.name, c.better.arrow())]).collect();
        let aligns = self.columns.iter().map(|c| c.align).collect();
        let place = |cell: &Cell| Place { text: self.written(cell), best: is_best(cell) };
        let rows = self.rows.iter().map(|row| row.iter().map(place).collect()).collect();
        Grid { head, aligns, rows }
    }

    /// A cell. If marks are used, a number without one is followed by blanks, so that digits are aligned.
    fn written(&self, cell: &Cell) -> String {
        let blank = if self.has(Mark::Best) || self.has(Mark::Few) { "  " } else { "" };
        match cell {
            Cell::Missing => format!("{MISSING}{blank}"),
            // One line per row, whatever characters a name contains.
            Cell::Text(text) | Cell::Code(text) => text.replace(acts, " "),
            Cell::Number(n) if n.mark == Mark::Best => number(n) + " *",
            Cell::Number(n) if n.mark == Mark::Few => number(n) + n.mark.sign(),
            Cell::Number(n) => number(n) + blank,
        }
    }
}

fn is_best(cell: &Cell) -> bool {
    matches!(cell, Cell::Number(Number { mark: Mark::Best, .. }))
}

fn number(n: &Number) -> String {
    let plain = |v: f64| n.unit.text(v);
    match n.p95 {
        Some(p95) => format!("{} ({})", plain(n.value), plain(p95)),
        None => plain(n.value),
    }
}

/// A rendered cell.
#[derive(Clone)]
struct Place {
    text: String,
    best: bool,
}

/// A rendered table: the lines of each column's name, and the rows.
#[derive(Clone)]
struct Grid {
    head: Vec<Vec<String>>,
    aligns: Vec<Align>,
    rows: Vec<Vec<Place>>,
}

impl Grid {
    fn widths(&self) -> Vec<usize> {
        let widest = |c: usize| {
            let cells = self.rows.iter().map(|row| row[c].text.width());
            self.head[c].iter().map(|line| line.width()).chain(cells).max().unwrap_or(0)
        };
        (0..self.head.len()).map(widest).collect()
    }

    fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    /// With column names broken into lines no wider than the column needs.
    fn folded(&self) -> Grid {
        let mut grid = self.clone();
        for (c, lines) in grid.head.iter_mut().enumerate() {
            let name = lines.join(" ");
            let cells = self.rows.iter().map(|row| row[c].text.width());
            let room = name.split(' ').map(UnicodeWidthStr::width).chain(cells).max().unwrap_or(0);
            *lines = broken(&name, room);
        }
        grid
    }

    /// With rows and columns exchanged.
    fn turned(&self) -> Grid {
        let names = self.rows.iter().map(|row| vec![row[0].text.trim_end().to_string()]);
        let head = std::iter::once(self.head[0].clone()).chain(names).collect();
        let row = |c: usize| {
            let name = Place { text: self.head[c].join(" "), best: false };
            std::iter::once(name).chain(self.rows.iter().map(|row| row[c].clone())).collect()
        };
        let aligns = std::iter::once(Align::Left).chain(self.rows.iter().map(|_| Align::Right)).collect();
        Grid { head, aligns, rows: (1..self.head.len()).map(row).collect() }
    }

    /// Split into parts with as many columns as fit, at least one besides the first.
    fn parts(&self, width: usize) -> Vec<Grid> {
        let widths = self.widths();
        let mut parts: Vec<Vec<usize>> = vec![];
        let mut used = usize::MAX;
        for (c, own) in widths.iter().enumerate().skip(1) {
            match parts.last_mut().filter(|_| used.saturating_add(GAP + own) <= width) {
                Some(part) => {
                    part.push(c);
                    used += GAP + own;
                }
                None => {
                    parts.push(vec![0, c]);
                    used = widths[0] + GAP + own;
                }
            }
        }
        parts.iter().map(|columns| self.only(columns)).collect()
    }

    fn only(&self, columns: &[usize]) -> Grid {
        let row = |row: &Vec<Place>| columns.iter().map(|&c| row[c].clone()).collect();
        Grid {
            head: columns.iter().map(|&c| self.head[c].clone()).collect(),
            aligns: columns.iter().map(|&c| self.aligns[c]).collect(),
            rows: self.rows.iter().map(row).collect(),
        }
    }

    fn text(&self, styled: bool) -> String {
        let widths = self.widths();
        let line = |cells: Vec<(&str, Option<Style>)>| {
            let last = cells.iter().rposition(|(text, _)| !text.trim().is_empty()).map_or(0, |c| c + 1);
            let padded = cells.into_iter().take(last).enumerate().map(|(c, (text, style))| {
                let (align, end) = (self.aligns[c], c + 1 == last);
                pad(text, align, widths[c], end, style.filter(|_| styled))
            });
            padded.collect::<Vec<_>>().join(&" ".repeat(GAP)) + "\n"
        };
        let height = self.head.iter().map(Vec::len).max().unwrap_or(0);
        let mut text = String::new();
        for i in 0..height {
            // Names with fewer lines are aligned at the bottom.
            let name = |lines: &Vec<String>| {
                (i + lines.len()).checked_sub(height).and_then(|i| lines.get(i).cloned())
            };
            let names: Vec<String> = self.head.iter().map(|lines| name(lines).unwrap_or_default()).collect();
            text += &line(names.iter().map(|n| (n.as_str(), Some(NAME))).collect());
        }
        for row in &self.rows {
            let style = |c: usize, p: &Place| if c == 0 { Some(NAME) } else { p.best.then_some(BEST) };
            text += &line(row.iter().enumerate().map(|(c, p)| (p.text.as_str(), style(c, p))).collect());
        }
        text
    }
}

/// Breaks text into lines of at most `room` columns.
fn broken(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= room) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_string()),
        }
    }
    lines
}

/// The cell padded with blanks; not at the end of a line.
fn pad(cell: &str, align: Align, width: usize, last: bool, style: Option<Style>) -> String {
    let blanks = " ".repeat(width - cell.width().min(width));
    let shown = if last { cell.trim_end() } else { cell };
    let shown = style.map_or_else(|| shown.to_string(), |style| format!("{style}{shown}{style:#}"));
    match align {
        Align::Left if last => shown,
        Align::Left => format!("{shown}{blanks}"),
        Align::Right => format!("{blanks}{shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::super::{Better, Cell, Column, Number, Table};
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let expected = "\
All
method    hits ↑           ratio ↓  setting
lrp      0.574 *  0.000 (46.120)    a, \"b\" | <c>
κατά    12.5 %                 –    x=1
";
        assert_eq!(example().terminal(), expected);
        // A wide character takes two columns.
        let mut wide = example();
        wide.rows[1][0] = Cell::text("犬犬犬犬");
        assert!(wide.terminal().contains("\nlrp        0.574 *  "), "{}", wide.terminal());
    }

    /// The table on a screen of this width, without styles.
    fn shown(table: &Table, width: usize) -> String {
        let mut text = String::new();
        let mut styled = false;
        for c in table.screen(width).chars() {
            match (c, styled) {
                ('\x1b', _) => styled = true,
                ('m', true) => styled = false,
                (_, true) => {}
                (c, false) => text.push(c),
            }
        }
        text
    }

    /// Three methods with three values, each with a name of three words.
    fn figures() -> Table {
        let names = ["pointing game hits", "share of mass", "best box found"];
        let columns = names.map(|name| Column::number(name, "", Better::Neither));
        let columns = std::iter::once(Column::text("method", "")).chain(columns).collect();
        let mut table = Table::new("", "", columns);
        for (method, value) in [("lrp", 0.25), ("rise", 0.5), ("lime", 1.0)] {
            let cells = (1..4).map(|i| Number::new(value * f64::from(i)).into());
            table.row(std::iter::once(Cell::text(method)).chain(cells).collect());
        }
        table
    }

    #[test]
    fn a_table_that_is_wider_than_the_screen_is_folded_then_turned_then_cut() {
        let table = figures();
        assert_eq!(shown(&table, 80), table.terminal());
        let folded = shown(&table, 40);
        let lines: Vec<&str> = folded.lines().collect();
        assert_eq!(lines.len(), 3 + 3, "{folded}");
        assert_eq!(lines[2], "method      hits   mass  found");
        assert_eq!(lines[3], "lrp        0.250  0.500  0.750");
        // With many columns and few rows, the exchanged form is narrower.
        let mut wide = Table::new("", "", (0..9).map(|i| Column::text(format!("figure{i}"), "")).collect());
        wide.row((0..9).map(|i| Cell::text(format!("{i}"))).collect());
        assert_eq!(shown(&wide, 20).lines().next(), Some("figure0  0"));
        assert_eq!(shown(&wide, 20).lines().count(), 9);
        // If nothing fits, each part has the first column.
        let parts = shown(&table, 18);
        assert_eq!(parts.matches("method").count(), 3, "{parts}");
        for width in 18..100 {
            let text = shown(&table, width);
            assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
            for cell in ["lrp", "rise", "lime", "0.250", "3.000"] {
                assert!(text.contains(cell), "{cell} is not in: {text}");
            }
        }
    }

    #[test]
    fn names_are_bold_and_the_best_is_green() {
        let text = example().screen(80);
        assert!(text.contains("\x1b[1mmethod\x1b[0m"), "{text:?}");
        assert!(text.contains("\x1b[1m\x1b[32m0.574 *\x1b[0m"), "{text:?}");
        assert_eq!(shown(&example(), 80), example().terminal());
    }
}
