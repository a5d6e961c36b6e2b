//! Links between the documents of the repository.

use std::path::{Path, PathBuf};

use crate::pages::{all, book, listed, markdown, prose, read, root};

/// The documents whose links are checked.
fn documents() -> Vec<PathBuf> {
    let own = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "tools/README.md"];
    let mut documents: Vec<_> = own.iter().map(|f| root().join(f)).collect();
    documents.extend(markdown(&root().join("crates")).into_iter().filter(|p| p.ends_with("README.md")));
    documents.extend(all());
    documents
}

/// Broken links, one line each.
pub fn broken() -> Vec<String> {
    let mut broken = vec![];
    for document in documents() {
        for target in prose(&read(&document)).iter().flat_map(|line| targets(line)) {
            if let Some(why) = fault(&document, &target) {
                broken.push(format!("{}: {target}: {why}", document.display()));
            }
        }
    }
    broken
}

/// The targets of the links and images in a line.
fn targets(line: &str) -> Vec<String> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_string()).collect()
}

/// Why a link of a document is broken.
fn fault(document: &Path, target: &str) -> Option<&'static str> {
    if target.starts_with("https://") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { document.to_path_buf() } else { document.parent().unwrap().join(path) };
    let Ok(file) = file.canonicalize() else { return Some("there is no such file") };
    let in_book = document.starts_with(book());
    if in_book && !file.starts_with(book().canonicalize().unwrap()) {
        return Some("is outside the book");
    }
    let is_page = file.extension().is_some_and(|e| e == "md");
    if in_book && is_page && !listed().iter().any(|p| p.canonicalize().is_ok_and(|p| p == file)) {
        return Some("is not in the summary");
    }
    let there = || is_page && anchors(&read(&file)).iter().any(|a| a == anchor);
    let missing = !anchor.is_empty() && !there();
    missing.then_some("there is no such heading")
}

/// The anchors of a page's headings, as mdBook names them.
fn anchors(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut anchors = vec![];
    for line in markdown.lines() {
        inside ^= line.starts_with("```");
        if !inside && line.starts_with('#') {
            anchors.push(anchor(line.trim_start_matches('#').trim()));
        }
    }
    anchors
}

/// Letters, digits, `-` and `_` in lower case; spaces become `-`.
fn anchor(heading: &str) -> String {
    let kept =
        heading.to_lowercase().chars().map(|c| if c.is_whitespace() { '-' } else { c }).collect::<String>();
    kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

/// Paths in code spans of the pages for contributors that do not exist.
pub fn missing_paths() -> Vec<String> {
    let mut pages = markdown(&book().join("contributing"));
    pages.extend(["ARCHITECTURE.md", "CONTRIBUTING.md"].map(|f| root().join(f)));
    let mut missing = vec![];
    for page in pages {
        let text = read(&page);
        let spans =
            text.lines().filter(|l| !l.starts_with("    ")).flat_map(|l| l.split('`').skip(1).step_by(2));
        for path in spans.filter(|s| is_path(s)) {
            // For a pattern, the folder before it.
            let exact = match path.split_once(['{', '*']) {
                Some((start, _)) => start.rsplit_once('/').unwrap().0,
                None => path,
            };
            if !root().join(exact).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    missing
}

/// Whether a code span is a path from the root of the repository, not a command or a pattern with a placeholder.
fn is_path(span: &str) -> bool {
    let rooted = ["crates/", "tools/", "book/", "fuzz/"].iter().any(|folder| span.starts_with(folder));
    rooted && !span.contains([' ', '<']) && !span.contains("NAME")
}
