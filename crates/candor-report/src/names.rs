//! Names of files and folders: valid on every system, unique within a report.

use std::collections::HashSet;
use std::path::Path;

/// Hands out names, each only once; names that differ only in case count as equal (as on macOS and Windows).
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// Names of which `taken` are already used.
    pub fn without(taken: &[&str]) -> Self {
        Names(taken.iter().map(|name| name.to_lowercase()).collect())
    }

    /// `name` or, if that is used, `name-2`, `name-3`, …
    pub fn claim(&mut self, name: &str) -> String {
        let next = self.next(name);
        self.0.insert(next.to_lowercase());
        next
    }

    /// What [`Names::claim`] would return.
    pub fn next(&self, name: &str) -> String {
        let numbered = (2..).map(|n| format!("{name}-{n}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|candidate| !self.0.contains(&candidate.to_lowercase()))
            .expect("there are endlessly many numbers")
    }
}

/// The file's name without its folders.
pub fn file(path: impl AsRef<Path>) -> String {
    path.as_ref().file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
}

/// Folder name of an image: its file name without the last extension, with unsafe characters replaced.
pub fn folder(path: &str) -> String {
    let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let name = safe(&stem, 80);
    if name.is_empty() { "image".to_owned() } else { name }
}

/// The base name of a class's files: `207_golden-retriever`.
pub fn class(id: usize, name: &str) -> String {
    let slug = safe(&name.to_lowercase(), 48).replace(['.', '_'], "-");
    if slug.is_empty() { id.to_string() } else { format!("{id}_{slug}") }
}

/// Keeps letters and digits of any script, and `_` and `.` inside; everything else becomes a single `-`. At most `limit` bytes.
fn safe(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_alphanumeric() || c == '_' || c == '.' { c } else { '-' };
        if out.len() + c.len_utf8() > limit {
            break;
        }
        if !(c == '-' && out.ends_with('-')) {
            out.push(c);
        }
    }
    out.trim_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_safe() {
        let cases = [
            ("photos/dog.jpg", "dog"),
            ("my dog (1).final.jpeg", "my-dog-1-.final"),
            ("../../etc/passwd", "passwd"),
            ("a\"b<c>&.png", "a-b-c"),
            ("犬.jpg", "犬"),
            ("???.jpg", "image"),
            ("", "image"),
            ("..", "image"),
        ];
        for (path, name) in cases {
            assert_eq!(folder(path), name, "{path}");
        }
        assert!(folder(&"é".repeat(200)).len() <= 80);
    }

    #[test]
    fn classes_are_safe() {
        assert_eq!(class(0, "tench, Tinca tinca"), "0_tench-tinca-tinca");
        assert_eq!(class(7, "<b>\"x\"&"), "7_b-x");
        assert_eq!(class(7, "!?"), "7");
    }

    #[test]
    fn every_name_is_given_once() {
        let mut names = Names::without(&["report.html"]);
        let given = ["a", "a-2", "A", "a", "report.html"].map(|name| names.claim(name));
        assert_eq!(given, ["a", "a-2", "A-3", "a-4", "report.html-2"]);
    }
}
