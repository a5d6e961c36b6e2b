//! The pages of the book and their content.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of the pages.
pub fn book() -> PathBuf {
    root().join("book/src")
}

/// A text file.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The pages in the order of the summary.
pub fn listed() -> Vec<PathBuf> {
    let summary = read(&book().join("SUMMARY.md"));
    let targets = summary.lines().filter_map(|l| l.split_once("](")?.1.strip_suffix(')'));
    targets.map(|t| book().join(t)).collect()
}

/// Every Markdown file of the book.
pub fn all() -> Vec<PathBuf> {
    markdown(&book())
}

/// The Markdown files below a folder.
pub fn markdown(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            found.extend(markdown(&entry));
        } else if entry.extension().is_some_and(|e| e == "md") {
            found.push(entry);
        }
    }
    found.sort();
    found
}

/// The fenced blocks: the language and the lines of each.
pub fn blocks(markdown: &str) -> Vec<(String, String)> {
    let mut blocks = vec![];
    let mut block: Option<(String, String)> = None;
    for line in markdown.lines() {
        match (line.strip_prefix("```"), block.take()) {
            (Some(language), None) => block = Some((language.to_string(), String::new())),
            (Some(_), Some(done)) => blocks.push(done),
            (None, Some((language, text))) => block = Some((language, text + line + "\n")),
            (None, None) => {}
        }
    }
    blocks
}

/// The blocks in a language.
pub fn fenced(markdown: &str, language: &str) -> Vec<String> {
    blocks(markdown).into_iter().filter(|(l, _)| l == language).map(|(_, text)| text).collect()
}

/// A text without its fenced blocks and its code spans, line by line.
pub fn prose(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = vec![];
    for line in markdown.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside && !line.starts_with("    ") {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join(" "));
        }
    }
    lines
}
