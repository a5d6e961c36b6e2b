//! Generated pages and parts of pages: commands from their help, methods from their registry, operators from
//! the table of gradient rules and the formulas of the rules; and the figures, drawn by the commands on the pages of results.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::pages::{book, fenced, listed, read, root};

const BEGIN: &str = "<!-- generated -->\n";
const END: &str = "<!-- end of generated -->\n";
const NOTE: &str =
    "<!-- This page is generated: CANDOR_WRITE_BOOK=1 cargo test -p candor-cli --test book -->\n";

/// Each page that is generated or has a generated part, with its expected text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let reference = book().join("reference");
    let methods: Vec<Value> = serde_json::from_str(&candor(&["methods", "--json"])).unwrap();
    let mut pages = vec![
        (reference.join("commands.md"), commands()),
        (reference.join("operators.md"), operators()),
        filled(reference.join("methods.md"), &index(&methods)),
    ];
    let page =
        |m: &Value| filled(reference.join("methods").join(format!("{}.md", text(m, "name"))), &method(m));
    pages.extend(methods.iter().map(page));
    pages.extend(figures());
    pages
}

/// The figures: the drawing of each command that begins with `candor table ../data/`, run in the folder of the page.
fn figures() -> Vec<(PathBuf, String)> {
    let results = book().join("results");
    let pages = listed().into_iter().filter(|p| p.starts_with(&results));
    let blocks = pages.flat_map(|p| fenced(&read(&p), "console"));
    let lines: Vec<String> = blocks.flat_map(|b| b.lines().map(str::to_string).collect::<Vec<_>>()).collect();
    let drawn = lines.iter().filter(|l| l.starts_with("candor table ../data/")).map(|line| {
        let (command, file) = line.split_once(" > ").unwrap_or_else(|| panic!("{line}: for which file?"));
        let arguments = words(command.strip_prefix("candor ").unwrap());
        (results.join(file), candor_in(&results, &arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    drawn.collect()
}

/// The words of a command; some may be in single quotes.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    let quoted = |(i, part): (usize, &str)| match i % 2 {
        0 => part.split_whitespace().map(str::to_string).collect::<Vec<_>>(),
        _ => vec![part.to_string()],
    };
    parts.flat_map(quoted).collect()
}

/// A page without its generated part.
pub fn without(page: &str) -> String {
    if page.starts_with("<!-- This page is generated: ") {
        return String::new();
    }
    match (page.split_once(BEGIN), page.split_once(END)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
        _ => page.to_string(),
    }
}

/// A page with its generated part.
fn filled(path: PathBuf, part: &str) -> (PathBuf, String) {
    let page = read(&path);
    let (before, _) = page.split_once(BEGIN).unwrap_or_else(|| panic!("{}: has no {BEGIN}", path.display()));
    let (_, after) = page.split_once(END).unwrap_or_else(|| panic!("{}: has no {END}", path.display()));
    let text = format!("{before}{BEGIN}\n{part}\n{END}{after}");
    (path, text)
}

/// The program's output.
fn candor(arguments: &[&str]) -> String {
    candor_in(&root(), arguments)
}

/// The program's output, run in a folder.
fn candor_in(folder: &Path, arguments: &[&str]) -> String {
    let mut program = Command::new(assert_cmd::cargo::cargo_bin("candor"));
    let done = program.args(arguments).current_dir(folder).env_remove("COLUMNS").output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn commands() -> String {
    let mut page = format!("{NOTE}\n# Commands\n\nWhat `candor COMMAND --help` says.\n");
    add_command(&mut page, &[]);
    page
}

/// Adds the help of a command and of its subcommands.
fn add_command(page: &mut String, command: &[&str]) {
    let help = candor(&[command, &["--help"]].concat());
    let name = [&["candor"], command].concat().join(" ");
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    *page += &format!("\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    let listed = lines.iter().skip_while(|l| **l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let named = listed.filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    for below in named.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help") {
        add_command(page, &[command, &[below]].concat());
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace(" | ", ", ").replace('|', "\\|")
}

/// The table of all methods.
fn index(methods: &[Value]) -> String {
    let mut table = "| method | computes | passes a query | source |\n|---|---|---|---|\n".to_string();
    for m in methods {
        let name = text(m, "name");
        let [summary, cost, source] = ["summary", "cost", "source"].map(|f| cell(text(m, f)));
        table += &format!("| [{name}](methods/{name}.md) | {summary} | {cost} | {source} |\n");
    }
    table
}

/// The registry's description of a method.
fn method(m: &Value) -> String {
    let says = |field: &str, yes: &'static str, no: &'static str| if m[field] == true { yes } else { no };
    let mut part = format!(
        "| | |\n|---|---|\n| in short | {} |\n| source | {} |\n| passes a query | {} |\n| values | {} |\n| depends on the class | {} |\n",
        cell(text(m, "summary")),
        cell(text(m, "source")),
        cell(text(m, "cost")),
        says("signed", "of both signs", "0 and above"),
        says("class_sensitive", "yes", "no"),
    );
    let parameters = m["parameters"].as_array().unwrap();
    if !parameters.is_empty() {
        part += "\n| `--set` | default | values | meaning |\n|---|---|---|---|\n";
    }
    for p in parameters {
        let [name, default, values, help] = ["name", "default", "values", "help"].map(|f| cell(text(p, f)));
        part += &format!("| `{name}` | {default} | {values} | {help} |\n");
    }
    part
}

fn operators() -> String {
    let grad = root().join("crates/candor-graph/src/grad");
    let table = read(&grad.join("table.rs"));
    let mut page = format!(
        "{NOTE}\n# Operators\n\nOperators of ONNX's default domain, operator sets 7 to 25, that Candor differentiates. dy is the gradient of the \
         output, dx that of the input. `candor inspect MODEL` lists those of your model.\n\n## With a gradient rule\n\n| operator | gradient |\n\
         |---|---|\n"
    );
    for (operator, function) in quoted(&table, "pub const RULES") {
        let (file, name) = function.split_once("::").unwrap();
        let rules = read(&grad.join(format!("rules/{file}.rs")));
        page += &format!("| {operator} | {} |\n", cell(&formula(&rules, name)));
    }
    page += "\n## Lowered to simpler operators\n\nThese become an exact expression of the operators above before anything is differentiated.\n\n";
    page += &lowered(&read(&grad.join("../rewrite/lower/mod.rs"))).join(", ");
    page += ".\n\n## Gradient zero\n\nTheir gradient is zero wherever it exists.\n\n";
    page += &quoted(&table, "const ZERO").map(|(op, _)| op).collect::<Vec<_>>().join(", ");
    page += ".\n\n## Known and refused\n\n| operator | why, and what to do |\n|---|---|\n";
    for (operator, reason) in quoted(&table, "const UNSUPPORTED") {
        page += &format!("| {operator} | {} |\n", cell(reason.trim_matches('"')));
    }
    page += "\nAn operator that is in none of these tables is an error that names the node. An `If` or a `Loop` whose course is constant is unfolded \
             before.\n";
    page
}

/// The entries of a table in the source: the name in quotes, and the rest.
fn quoted<'t>(source: &'t str, table: &str) -> impl Iterator<Item = (&'t str, &'t str)> {
    let body = source.split_once(table).unwrap().1;
    let lines = body.lines().skip(1).take_while(|l| *l != "];").map(str::trim);
    lines.filter_map(|l| {
        let (name, rest) = l.trim_start_matches('(').strip_prefix('"')?.split_once('"')?;
        Some((name, rest.trim_start_matches(',').trim_end_matches(',').trim().trim_end_matches(')')))
    })
}

/// The operators of the table of lowerings, with their domain if it is not ONNX's own.
fn lowered(source: &str) -> Vec<String> {
    let entries = quoted(source, "pub const LOWERINGS");
    let named = entries.map(|(domain, rest)| (domain, rest.split('"').nth(1).unwrap()));
    named
        .map(|(domain, op)| if domain.is_empty() { op.to_string() } else { format!("{op} ({domain})") })
        .collect()
}

/// The first paragraph of a function's doc comment, as one line.
fn formula(source: &str, function: &str) -> String {
    let (before, _) = source.split_once(&format!("pub(crate) fn {function}(")).unwrap();
    let mut lines: Vec<&str> = before.lines().rev().map_while(|l| l.strip_prefix("///")).collect();
    lines.reverse();
    lines.iter().map(|l| l.trim()).take_while(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}
