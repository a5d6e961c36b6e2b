//! Columns of tables as bars with their intervals, drawn as one SVG file: one panel per table and column.
//!
//! The picture is narrow enough that a phone hardly scales it, has its own background and follows the reader's light or dark scheme.

use std::fmt::Write;

use super::{Axis, is_whole};
use crate::table::{Cell, Number, Table, Unit};

/// Lengths in pixels: gap between elements, height of a row, of each further line of its name, of a bar, of a line of text, width of the
/// bars' axis, of the numbers after it.
const GAP: f64 = 12.0;
const ROW: f64 = 18.0;
const NEXT: f64 = 14.0;
const BAR: f64 = 10.0;
const LINE: f64 = 16.0;
const PLOT: f64 = 150.0;
const NUMBER: f64 = 50.0;
/// Upper bound of the width of a character in fonts of 12.5 and of 12 pixels, and in bold ones of 14.
const CHARACTER: f64 = 7.0;
const HEAVY: f64 = 8.5;
/// Maximum number of characters of a line of a name, and of its lines; longer names are cut.
const LONGEST: usize = 22;
const LINES: usize = 3;
/// Maximum number of decimals; numbers that have more get `SHARE`, as do shares, which are between -1 and 1.
const DECIMALS: usize = 4;
const SHARE: usize = 3;

/// Background, text, secondary text, grid, bars, accented bars; light, then dark.
const STYLE: &str = "\
:root{--g:#fff;--t:#1c1e21;--q:#5a6068;--l:#dfe2e6;--b:#a3b1bf;--f:#2345df}
@media(prefers-color-scheme:dark){:root{--g:#1b1f27;--t:#e6e8eb;--q:#a4abb5;--l:#363c47;--b:#66748a;--f:#7f9bee}}
.g{fill:var(--g)}text{fill:var(--t);font-size:12.5px}.h{font-weight:650;font-size:14px}.q{fill:var(--q);font-size:12px}
.l{stroke:var(--l)}.b{fill:var(--b)}.f{fill:var(--f)}.w{stroke:var(--t);stroke-width:1.5}";

/// The order of the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The highest number first.
    Descending,
    /// As the rows of the table.
    Rows,
}

/// A row of a panel: its name, its number, and whether it has the accent.
struct Bar<'t> {
    name: &'t str,
    number: &'t Number,
    has_accent: bool,
}

/// A column of a table.
struct Panel<'t> {
    title: &'t str,
    column: &'t str,
    bars: Vec<Bar<'t>>,
}

impl<'t> Panel<'t> {
    /// `None` if the table has no such column, or the column no finite number.
    fn new(table: &'t Table, column: &'t str, order: Order, accents: &[&str]) -> Option<Self> {
        let at = table.columns.iter().position(|c| c.name == column)?;
        let name = |row: &'t Vec<Cell>| row.first().map_or("", Cell::name);
        let first = [table.rows.first().map_or("", name)];
        let accents = if accents.is_empty() { &first } else { accents };
        let bar = |row: &'t Vec<Cell>| match &row[at] {
            Cell::Number(number) if number.value.is_finite() => {
                let name = name(row);
                Some(Bar { name, number, has_accent: accents.iter().any(|a| is_kind(name, a)) })
            }
            _ => None,
        };
        let mut bars: Vec<Bar> = table.rows.iter().filter_map(bar).collect();
        if order == Order::Descending {
            bars.sort_by(|a, b| b.number.value.total_cmp(&a.number.value));
        }
        (!bars.is_empty()).then_some(Panel { title: &table.title, column, bars })
    }

    fn ends(&self) -> impl Iterator<Item = f64> {
        let of = |n: &Number| [n.value].into_iter().chain(n.interval.into_iter().flatten());
        self.bars.iter().flat_map(move |b| of(b.number))
    }
}

/// The format of plain numbers: as many decimals as they have.
fn unit(panels: &[&Panel]) -> Unit {
    let values = || panels.iter().flat_map(|p| &p.bars).map(|b| b.number.value);
    let exact = |d: usize| values().all(|v| is_whole(v * 10_f64.powi(d as i32)));
    let decimals = (0..=DECIMALS).find(|&d| exact(d)).unwrap_or(SHARE);
    let are_shares = values().all(|v| v.abs() <= 1.0);
    Unit::Decimals(if are_shares { decimals.max(SHARE) } else { decimals })
}

/// Whether a row is the first one or another setting of it: `reliable+lambda=0.01` of `reliable`, `mask, b` of `mask, a`.
fn is_kind(name: &str, first: &str) -> bool {
    let rest = name.strip_prefix(first.split(", ").next().unwrap_or(first));
    rest.is_some_and(|r| r.is_empty() || r.starts_with(", ") || r.starts_with('+') && r.contains('='))
}

/// Draws the picture; `None` if no table has a number in one of the columns. Panels of one column share an axis, which includes 0, and decimals; bars
/// of the rows named in `accents`, or else of a table's first row, and of their other settings have a different colour.
pub fn bars(tables: &[Table], columns: &[&str], order: Order, accents: &[&str]) -> Option<String> {
    let drawn = |t| columns.iter().filter_map(move |c| Panel::new(t, c, order, accents));
    let panels: Vec<Panel> = tables.iter().flat_map(drawn).collect();
    let lines = panels.iter().flat_map(|p| &p.bars).flat_map(|b| broken(b.name));
    let longest = lines.map(|line| line.chars().count()).max()?;
    let mut picture = Picture::new(longest);
    let mut above = "";
    for panel in &panels {
        let alike: Vec<&Panel> = panels.iter().filter(|p| p.column == panel.column).collect();
        let axis = Axis::fit(alike.iter().flat_map(|p| p.ends()).chain([0.0]));
        picture.head(panel, panel.title != above);
        picture.panel(panel, axis, unit(&alike));
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
        Picture { left: GAP + CHARACTER * longest as f64 + GAP / 2.0, y: GAP, svg: String::new() }
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
        let lines = |text, character| wrapped(text, ((self.width() - 2.0 * GAP) / character) as usize);
        let (title, column) = (lines(panel.title, CHARACTER), lines(panel.column, HEAVY));
        for line in title.iter().filter(|_| titled) {
            self.text(GAP, "q", "start", line);
            self.y += LINE;
        }
        self.y += if titled && !panel.title.is_empty() { 3.0 } else { 0.0 };
        for line in column {
            self.text(GAP, "h", "start", &line);
            self.y += LINE;
        }
        self.y += 4.0;
    }

    fn panel(&mut self, panel: &Panel, axis: Axis, unit: Unit) {
        let left = self.left;
        let place = |value: f64| left + PLOT * axis.position(value) / 100.0;
        let height = |bar: &Bar| ROW + NEXT * (broken(bar.name).len() - 1) as f64;
        let (top, bottom) = (self.y, self.y + panel.bars.iter().map(height).sum::<f64>());
        let ticks = axis.ticks();
        for tick in &ticks {
            let x = left + PLOT * tick.at.parse::<f64>().unwrap_or(0.0) / 100.0;
            self.add(format_args!("<path class=\"l\" d=\"M{x:.1} {top:.0}V{:.0}\"/>\n", bottom + 3.0));
        }
        for bar in &panel.bars {
            let value = bar.number.value;
            let (from, to) = (place(value.min(0.0)), place(value.max(0.0)));
            let (top, middle) = (self.y, self.y + height(bar) / 2.0);
            for (i, line) in broken(bar.name).iter().enumerate() {
                self.y = top + (ROW - LINE) / 2.0 + NEXT * i as f64;
                self.text(left - GAP / 2.0, "", "end", line);
            }
            self.add(format_args!(
                "<rect class=\"{}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>\n",
                if bar.has_accent { "f" } else { "b" },
                middle - BAR / 2.0,
                to - from
            ));
            if let Some(ends) = bar.number.interval {
                let [low, high] = ends.map(place);
                self.add(format_args!("<path class=\"w\" d=\"M{low:.1} {middle:.1}H{high:.1}\"/>\n"));
            }
            let unit = if bar.number.unit == Unit::Plain { unit } else { bar.number.unit };
            self.y = middle - LINE / 2.0;
            self.text(left + PLOT + NUMBER, "", "end", &unit.text(value).replace('-', "−"));
            self.y = top + height(bar);
        }
        self.y += 2.0;
        let widest = ticks.iter().map(|t| t.label.chars().count()).max().unwrap_or(0) as f64;
        let is_close = CHARACTER * (widest + 1.0) * (ticks.len() as f64 - 1.0) > PLOT;
        let every = if is_close { 2 } else { 1 };
        // One of the labels is that of 0.
        let zero = (-axis.low / axis.step).round() as usize;
        for tick in ticks.iter().skip(zero % every).step_by(every) {
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

/// The lines of a row's name, which is broken at spaces, and a word that is too long for a line after its other signs.
fn broken(name: &str) -> Vec<String> {
    let parts = |word: &str| match word.trim_end().chars().count() {
        0..=LONGEST => vec![word.to_string()],
        _ => word.split_inclusive(['-', '+', '/', ',', '_']).map(str::to_string).collect(),
    };
    let mut lines = vec![String::new()];
    for part in name.split_inclusive(' ').flat_map(parts) {
        let line =
            lines.last_mut().filter(|l| l.chars().count() + part.trim_end().chars().count() <= LONGEST);
        match line {
            Some(line) => *line += &part,
            None => lines.push(part),
        }
    }
    lines.retain(|l| !l.is_empty());
    let more = lines.len() > LINES;
    lines.truncate(LINES);
    let count = lines.len();
    let cut = |(i, line): (usize, String)| match line.trim_end() {
        line if line.chars().count() > LONGEST => line.chars().take(LONGEST - 1).chain(['…']).collect(),
        line if more && i + 1 == count => line.chars().take(LONGEST - 1).chain(['…']).collect(),
        line => line.to_string(),
    };
    if lines.is_empty() { vec![String::new()] } else { lines.into_iter().enumerate().map(cut).collect() }
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
        let svg = bars(&[table()], &["inside"], Order::Descending, &[]).unwrap();
        // Names of eight characters: the axis from -0.6 to 0.6 runs from 74 to 224.
        let drawn: Vec<&str> = svg.lines().filter(|l| l.contains("height=\"10\"")).collect();
        let expected = [
            "<rect class=\"b\" x=\"149.0\" y=\"55.0\" width=\"62.5\" height=\"10\"/>",
            "<rect class=\"f\" x=\"149.0\" y=\"73.0\" width=\"31.2\" height=\"10\"/>",
            "<rect class=\"b\" x=\"86.5\" y=\"91.0\" width=\"62.5\" height=\"10\"/>",
        ];
        assert_eq!(drawn, expected, "sorted, the table's first row coloured");
        assert!(svg.contains("class=\"w\" d=\"M174.0 78.0H186.5\""), "the interval: {svg}");
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
        let svg = bars(&[table(), higher("Others")], &["inside", "inside"], Order::Rows, &[]).unwrap();
        assert_eq!((svg.matches(">1.0<").count(), svg.matches(">All photos<").count()), (4, 1), "{svg}");
        assert_eq!(bars(&[table()], &["method"], Order::Rows, &[]), None);
        assert_eq!(bars(&[], &["inside"], Order::Rows, &[]), None);
    }

    #[test]
    fn long_titles_and_names_are_broken() {
        assert_eq!(wrapped("of one two", 6), ["of one", "two"]);
        assert_eq!(wrapped("", 6), [""; 0]);
        assert_eq!(broken("contrastive-excitation-backprop"), ["contrastive-", "excitation-backprop"]);
        assert_eq!(broken("reliable mask, ResNet-50"), ["reliable mask,", "ResNet-50"]);
        assert_eq!(broken(&"x".repeat(50)), ["x".repeat(LONGEST - 1) + "…"]);
        assert_eq!(
            broken(&"many words ".repeat(9)).last().map(String::as_str),
            Some("many words many words…")
        );
        assert_eq!(broken(""), [""]);
    }

    #[test]
    fn other_settings_of_the_first_row_have_its_colour() {
        let first = |name| is_kind(name, "grad-cam");
        assert!(first("grad-cam") && first("grad-cam+target=logit") && !first("grad-cam++") && !first("lrp"));
        assert!(is_kind("mask, b", "mask, a"));
        let accented = |accents| {
            bars(&[table()], &["inside"], Order::Rows, accents).unwrap().matches("class=\"f\"").count()
        };
        assert_eq!([accented(&[]), accented(&["lrp", "a < b"]), accented(&["no row"])], [1, 2, 0]);
    }

    #[test]
    fn numbers_have_the_decimals_that_they_need() {
        let written = |values: &[f64]| {
            let bar = |v: &f64| vec![Cell::text("row"), Number::new(*v).into()];
            let table = Table { rows: values.iter().map(bar).collect(), ..table() };
            let unit = unit(&[&Panel::new(&table, "inside", Order::Rows, &[]).unwrap()]);
            values.iter().map(|v| unit.text(*v)).collect::<Vec<_>>()
        };
        assert_eq!(written(&[0.0, 95.0]), ["0", "95"], "counts");
        assert_eq!(written(&[0.0, 1.0]), ["0.000", "1.000"], "shares");
        assert_eq!(written(&[1.17, 0.9]), ["1.17", "0.90"]);
        assert_eq!(written(&[0.0081, 0.01]), ["0.0081", "0.0100"]);
        assert_eq!(written(&[1.0 / 3.0, 12.0]), ["0.333", "12.000"], "all digits");
    }

    #[test]
    fn bars_are_sorted_or_in_the_order_of_the_rows() {
        let first = |order| {
            let svg = bars(&[table()], &["inside"], order, &[]).unwrap();
            svg.find(">lrp<") < svg.find(">reliable<")
        };
        assert!(first(Order::Descending) && !first(Order::Rows));
    }
}
