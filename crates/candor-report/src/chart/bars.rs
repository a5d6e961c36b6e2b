//! Columns of tables as bars with their intervals, drawn as one SVG file: one panel per table and column.
//!
//! The picture is narrow enough to be read on a phone, has its own background and follows the reader's light or dark scheme.

use std::fmt::Write;

use super::Axis;
use crate::table::{Cell, Number, Table};

/// Lengths in pixels: gap between elements, height of a row, of a bar, of a line of text, width of the bars' axis, of the numbers after
/// it.
const GAP: f64 = 12.0;
const ROW: f64 = 18.0;
const BAR: f64 = 10.0;
const LINE: f64 = 16.0;
const PLOT: f64 = 165.0;
const NUMBER: f64 = 52.0;
/// Upper bound of the width of a character in fonts of 12.5 and of 12 pixels.
const CHARACTER: f64 = 7.0;
/// Maximum number of characters of a name; longer ones are cut.
const LONGEST: usize = 44;

/// Background, text, secondary text, grid, bars, bar of the first row; light, then dark.
const STYLE: &str = "\
:root{--g:#fff;--t:#1c1e21;--q:#5a6068;--l:#dfe2e6;--b:#a3b1bf;--f:#2345df}
@media(prefers-color-scheme:dark){:root{--g:#1b1f27;--t:#e6e8eb;--q:#a4abb5;--l:#363c47;--b:#66748a;--f:#7f9bee}}
.g{fill:var(--g)}text{fill:var(--t);font-size:12.5px}.h{font-weight:650;font-size:14px}.q{fill:var(--q);font-size:12px}
.l{stroke:var(--l)}.b{fill:var(--b)}.f{fill:var(--f)}.w{stroke:var(--t);stroke-width:1.5}";

/// A row of a panel: its name, its number, and whether it is the table's first row or another setting of the same method.
struct Bar<'t> {
    name: &'t str,
    number: &'t Number,
    is_first: bool,
}

/// A column of a table, highest number first.
struct Panel<'t> {
    title: &'t str,
    column: &'t str,
    bars: Vec<Bar<'t>>,
}

impl<'t> Panel<'t> {
    /// `None` if the table has no such column, or the column no finite number.
    fn new(table: &'t Table, column: &'t str) -> Option<Self> {
        let at = table.columns.iter().position(|c| c.name == column)?;
        let first = table.rows.first().map_or("", |row| name(row));
        let bar = |row: &'t Vec<Cell>| match &row[at] {
            Cell::Number(number) if number.value.is_finite() => {
                let name = name(row);
                Some(Bar { name, number, is_first: is_kind(name, first) })
            }
            _ => None,
        };
        let mut bars: Vec<Bar> = table.rows.iter().filter_map(bar).collect();
        bars.sort_by(|a, b| b.number.value.total_cmp(&a.number.value));
        (!bars.is_empty()).then_some(Panel { title: &table.title, column, bars })
    }

    fn ends(&self) -> impl Iterator<Item = f64> {
        let of = |n: &Number| [n.value].into_iter().chain(n.interval.into_iter().flatten());
        self.bars.iter().flat_map(move |b| of(b.number))
    }
}

/// The name of a row.
fn name(row: &[Cell]) -> &str {
    match row.first() {
        Some(Cell::Text(name) | Cell::Code(name)) => name,
        _ => "",
    }
}

/// Whether a row is the first one or another setting of it: `reliable+lambda=0.01` of `reliable`, `mask, b` of `mask, a`.
fn is_kind(name: &str, first: &str) -> bool {
    let rest = name.strip_prefix(first.split(", ").next().unwrap_or(first));
    rest.is_some_and(|r| r.is_empty() || r.starts_with(", ") || r.starts_with('+') && r.contains('='))
}

/// Draws the picture; `None` if no table has a number in one of the columns. Panels of one column share an axis, which includes 0; bars
/// are sorted by their number, and those of a table's first row and its other settings have a different colour.
pub fn bars(tables: &[Table], columns: &[&str]) -> Option<String> {
    let panels: Vec<Panel> =
        tables.iter().flat_map(|t| columns.iter().filter_map(move |c| Panel::new(t, c))).collect();
    let longest = panels.iter().flat_map(|p| &p.bars).map(|b| b.name.chars().count()).max()?;
    let mut picture = Picture::new(longest);
    let mut above = "";
    for panel in &panels {
        let alike = panels.iter().filter(|p| p.column == panel.column);
        let axis = Axis::fit(alike.flat_map(Panel::ends).chain([0.0]));
        picture.head(panel, panel.title != above);
        picture.panel(panel, axis);
        above = panel.title;
    }
    if panels.iter().flat_map(|p| &p.bars).any(|b| b.number.interval.is_some()) {
        picture.text(GAP, "q", "start", "Lines are 95 % intervals.");
        picture.y += LINE;
    }
    Some(picture.finish(&panels))
}

/// A picture, drawn from top to bottom.
struct Picture {
    /// Left end of the bars' axis, in pixels.
    left: f64,
    /// Bottom of what is drawn so far, in pixels.
    y: f64,
    svg: String,
}

impl Picture {
    fn new(longest: usize) -> Self {
        Picture {
            left: GAP + CHARACTER * longest.min(LONGEST) as f64 + GAP / 2.0,
            y: GAP,
            svg: String::new(),
        }
    }

    fn width(&self) -> f64 {
        self.left + PLOT + NUMBER + GAP
    }

    fn add(&mut self, arguments: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = self.svg.write_fmt(arguments);
    }

    /// A line of text; its top is at the current height.
    fn text(&mut self, x: f64, class: &str, anchor: &str, text: &str) {
        let y = self.y + LINE - 4.0;
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        self.add(format_args!("<text x=\"{x:.0}\" y=\"{y:.0}\"{class}{anchor}>{}</text>\n", escaped(text)));
    }

    /// The name of the column; above it the title of the table if `titled`.
    fn head(&mut self, panel: &Panel, titled: bool) {
        let characters = ((self.width() - 2.0 * GAP) / CHARACTER) as usize;
        for line in wrapped(panel.title, characters).iter().filter(|_| titled) {
            self.text(GAP, "q", "start", line);
            self.y += LINE;
        }
        self.y += if titled && !panel.title.is_empty() { 3.0 } else { 0.0 };
        self.text(GAP, "h", "start", panel.column);
        self.y += LINE + 4.0;
    }

    fn panel(&mut self, panel: &Panel, axis: Axis) {
        let left = self.left;
        let place = |value: f64| left + PLOT * axis.position(value) / 100.0;
        let (top, bottom) = (self.y, self.y + ROW * panel.bars.len() as f64);
        let ticks = axis.ticks();
        for tick in &ticks {
            let x = left + PLOT * tick.at.parse::<f64>().unwrap_or(0.0) / 100.0;
            self.add(format_args!("<path class=\"l\" d=\"M{x:.1} {top:.0}V{:.0}\"/>\n", bottom + 3.0));
        }
        for bar in &panel.bars {
            let value = bar.number.value;
            let (from, to) = (place(value.min(0.0)), place(value.max(0.0)));
            let middle = self.y + ROW / 2.0;
            self.y += (ROW - LINE) / 2.0;
            self.text(left - GAP / 2.0, "", "end", &cut(bar.name));
            self.add(format_args!(
                "<rect class=\"{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>\n",
                if bar.is_first { "f" } else { "b" },
                middle - BAR / 2.0,
                to - from
            ));
            if let Some(ends) = bar.number.interval {
                let [low, high] = ends.map(place);
                self.add(format_args!("<path class=\"w\" d=\"M{low:.1} {middle:.1}H{high:.1}\"/>\n"));
            }
            let number = bar.number.unit.text(value).replace('-', "−");
            self.text(left + PLOT + NUMBER, "", "end", &number);
            self.y = middle + ROW / 2.0;
        }
        self.y += 2.0;
        for tick in ticks.iter().step_by(if ticks.len() > 5 { 2 } else { 1 }) {
            self.text(
                left + PLOT * tick.at.parse::<f64>().unwrap_or(0.0) / 100.0,
                "q",
                "middle",
                &tick.label,
            );
        }
        self.y += LINE + GAP;
    }

    fn finish(self, panels: &[Panel]) -> String {
        let (width, height) = (self.width(), self.y + GAP / 2.0);
        let names: Vec<String> = panels.iter().map(|p| format!("{}: {}", p.title, p.column)).collect();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"system-ui, sans-serif\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"g\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n{}</svg>\n",
            escaped(&names.join("; ")),
            self.svg
        )
    }
}

/// Breaks text into lines of at most `characters` characters at spaces; a longer word is a line of its own.
fn wrapped(text: &str, characters: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= characters => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

fn cut(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_string();
    }
    name.chars().take(LONGEST - 1).chain(['…']).collect()
}

/// Text escaped for XML, without characters that XML does not allow or that affect how text is read.
fn escaped(text: &str) -> String {
    let plain = candor::printable::printable(text);
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Better, Column};

    fn table() -> Table {
        let columns = vec![Column::text("method", ""), Column::number("inside", "", Better::Higher)];
        let mut table = Table::new("All photos", "", columns);
        table.row(vec![Cell::text("reliable"), Number::new(0.25).between([0.2, 0.3]).into()]);
        table.row(vec![Cell::text("a < b"), Number::new(-0.5).into()]);
        table.row(vec![Cell::text("lrp"), Number::new(0.5).into()]);
        table.row(vec![Cell::text("none"), Cell::Missing]);
        table
    }

    #[test]
    fn a_bar_begins_at_0_and_ends_at_its_number() {
        let svg = bars(&[table()], &["inside"]).unwrap();
        // Names of eight characters: the axis from -0.6 to 0.6 runs from 74 to 239.
        let drawn: Vec<&str> = svg.lines().filter(|l| l.contains("height=\"10\"")).collect();
        let expected = [
            "<rect class=\"b\" x=\"156.5\" y=\"55.0\" width=\"68.8\" height=\"10\"/>",
            "<rect class=\"f\" x=\"156.5\" y=\"73.0\" width=\"34.4\" height=\"10\"/>",
            "<rect class=\"b\" x=\"87.8\" y=\"91.0\" width=\"68.7\" height=\"10\"/>",
        ];
        assert_eq!(drawn, expected, "sorted, the table's first row coloured");
        assert!(svg.contains("class=\"w\" d=\"M184.0 78.0H197.8\""), "the interval: {svg}");
        assert!(svg.contains(">a &lt; b<") && svg.contains(">−0.500<") && !svg.contains("none"), "{svg}");
        assert!(svg.contains("<title>All photos: inside</title>") && svg.contains("95 %"), "{svg}");
    }

    #[test]
    fn panels_of_a_column_share_their_axis_and_a_table_is_named_once() {
        let higher = |title: &str| {
            let mut table = Table { title: title.into(), ..table() };
            table.row(vec![Cell::text("high"), Number::new(2.0).into()]);
            table
        };
        let svg = bars(&[table(), higher("Others")], &["inside", "inside"]).unwrap();
        assert_eq!((svg.matches(">1.5<").count(), svg.matches(">All photos<").count()), (4, 1), "{svg}");
        assert_eq!(bars(&[table()], &["method"]), None);
        assert_eq!(bars(&[], &["inside"]), None);
    }

    #[test]
    fn long_titles_are_broken_and_long_names_cut() {
        assert_eq!(wrapped("of one two", 6), ["of one", "two"]);
        assert_eq!(wrapped("", 6), [""; 0]);
        assert_eq!(cut(&"x".repeat(50)).chars().count(), LONGEST);
    }

    #[test]
    fn other_settings_of_the_first_row_have_its_colour() {
        let first = |name| is_kind(name, "grad-cam");
        assert!(first("grad-cam") && first("grad-cam+target=logit") && !first("grad-cam++") && !first("lrp"));
        assert!(is_kind("mask, b", "mask, a"));
    }
}
