//! The book (`book/`): its generated pages and figures are up to date, its links are valid, its shell commands run, and it stays short.
//!
//! `CANDOR_WRITE_BOOK=1 cargo test -p candor-cli --test book` writes the generated pages.
#![allow(clippy::unwrap_used, reason = "a test")]

mod counts;
mod generated;
mod links;
mod pages;
mod shell;

use std::collections::BTreeSet;

use pages::{book, read, root};

/// Maximum number of words of README.md, ARCHITECTURE.md and the book without generated text.
const MOST_WORDS: usize = 40_000;
/// Maximum number of lines of a page of results: a screen and a half.
const MOST_LINES: usize = 90;

#[test]
fn generated_pages_are_what_the_program_says() {
    let write = std::env::var_os("CANDOR_WRITE_BOOK").is_some();
    for (path, expected) in generated::pages() {
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        if write && committed != expected {
            std::fs::write(&path, &expected).unwrap();
        } else {
            let what = "is not what the program says; CANDOR_WRITE_BOOK=1 cargo test -p candor-cli --test book writes it";
            assert!(committed == expected, "{}: {what}", path.display());
        }
    }
}

#[test]
fn figures_count_the_rows_of_the_data() {
    assert_eq!(counts::wrong_counts(), [""; 0]);
    assert_eq!(counts::wrong_differences(), [""; 0]);
}

#[test]
fn the_summary_lists_every_page() {
    let listed: BTreeSet<_> = pages::listed().into_iter().collect();
    let there: BTreeSet<_> = pages::all().into_iter().filter(|p| !p.ends_with("SUMMARY.md")).collect();
    let missing: Vec<_> = there.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "in the folder or in the summary, but not in both: {missing:?}");
}

#[test]
fn links_lead_somewhere() {
    let broken = links::broken();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn paths_in_the_pages_for_contributors_exist() {
    let missing = links::missing_paths();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_method_of_the_guide_is_that_of_the_source() {
    let guide = read(&book().join("contributing/adding-a-method.md"));
    let blocks = pages::fenced(&guide, "rust");
    let source = |path| read(&root().join("crates/candor/src/methods").join(path));
    let (file, registry) = (source("gradient_times_input.rs"), source("mod.rs"));
    assert!(file.contains(&blocks[0]), "the first block is not in gradient_times_input.rs");
    for block in &blocks[1..] {
        assert!(registry.contains(block.as_str()), "not in mod.rs: {block}");
    }
}

#[test]
fn the_documents_stay_short() {
    let mut words = 0;
    for file in ["README.md", "ARCHITECTURE.md"] {
        words += read(&root().join(file)).split_whitespace().count();
    }
    for page in pages::listed() {
        let text = generated::without(&read(&page));
        words += text.split_whitespace().count();
        let lines = text.lines().count();
        let results = page.parent().unwrap().ends_with("results");
        assert!(!results || lines <= MOST_LINES, "{}: {lines} lines", page.display());
    }
    assert!(words <= MOST_WORDS, "{words} words");
}

#[cfg(unix)]
#[test]
fn the_shell_commands_run() {
    let mut shell = shell::Shell::new();
    for page in pages::listed() {
        let from = page.strip_prefix(book()).unwrap().display().to_string();
        for (language, block) in pages::blocks(&read(&page)) {
            match language.as_str() {
                "sh" => shell.run(&block, &from),
                "python" => shell.python(&block, &from),
                _ => {}
            }
        }
    }
    assert!(shell.ran > 20, "{} blocks", shell.ran);
}

/// Other kinds of blocks are not run: `console` is for commands that need other programs or data that the book cannot make.
#[test]
fn commands_that_the_book_can_run_are_run() {
    for page in pages::listed() {
        let from = page.strip_prefix(book()).unwrap();
        let excused = from.starts_with("results")
            || from.starts_with("contributing")
            || from.starts_with("reference/commands.md");
        let text = read(&page);
        let run: Vec<String> = pages::fenced(&text, "sh");
        let console: Vec<String> = pages::fenced(&text, "console");
        let plain =
            text.lines().filter(|l| l.trim_start().starts_with("candor ") && !l.starts_with("candor's"));
        let known = |line: &str| run.iter().chain(&console).any(|b| b.contains(line));
        let other: Vec<_> = plain.filter(|l| !known(l)).collect();
        assert!(excused || other.is_empty(), "{}: {other:?}", from.display());
    }
}
