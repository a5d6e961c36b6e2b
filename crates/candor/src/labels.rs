//! Names of classes: reading them, and finding a class by name.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::file;
use crate::printable::printable;
use crate::suggest::nearest;

/// The names of a model's classes, in class order. A class may have several, separated by commas
/// (`tench, Tinca tinca`), or none (an empty string).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
}

/// Errors of label files, each in one line.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// It cannot be read, or is not UTF-8.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// It is JSON, but not a list or map of names.
    #[error("{}: {message}; give a list of names or {{\"0\": name, …}}, or text with a name a line", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// It contains no names.
    #[error("{}: holds no names; give one a line, in class order", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It contains more names than any model has classes.
    #[error("{}: holds {names} names, more than any model has classes; give one a line, in class order", path.display())]
    Many {
        /// The file.
        path: PathBuf,
        /// Names found.
        names: usize,
    },
    /// The number of names differs from the model's number of classes.
    #[error("{labels} labels for a model of {classes} classes; give the labels the model was trained with")]
    Count {
        /// Names given.
        labels: usize,
        /// Number of the model's classes.
        classes: usize,
    },
}

/// Why a query does not identify a class, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// A number that is not below the number of classes.
    #[error("class {id} is out of range: the model has {classes} classes, 0 to {}", classes.saturating_sub(1))]
    OutOfRange {
        /// The number.
        id: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Several classes have the name.
    #[error("`{query}` names several classes: {}; give the number", .candidates.join(", "))]
    Ambiguous {
        /// The name.
        query: String,
        /// Number and name of each.
        candidates: Vec<String>,
    },
    /// It is the number of one class and the name of another, or the name of several.
    #[error("`{query}` {}is the name of class {}; write {}", match .number {
        Some(number) => format!("is the number of class {number} and "),
        None => String::new(),
    }, .named.join(" and of class "), .number.iter().map(|_| format!("#{query}")).chain(.named.iter().cloned()).collect::<Vec<_>>().join(" or "))]
    NumberOrName {
        /// The number as given.
        query: String,
        /// Number and name of the class with that number, if there is one.
        number: Option<String>,
        /// The numbers of the classes with that name.
        named: Vec<String>,
    },
    /// No class has the name.
    #[error("no class is called `{query}`; {}", match .nearest.is_empty() {
        true => format!("there are: {}", .known.join(", ")),
        false => format!("did you mean {}?", .nearest.join(", ")),
    })]
    Unknown {
        /// The name.
        query: String,
        /// Number and name of the most similar classes, best first, or a word that selects a class by rank.
        nearest: Vec<String>,
        /// Number and name of the classes; if there are many, of the first ones.
        known: Vec<String>,
    },
    /// A name was given, but the classes have no names.
    #[error("no class is called `{query}`: the classes have no names; give a number from 0 to {}, or their names with --labels", classes.saturating_sub(1))]
    Unnamed {
        /// The name.
        query: String,
        /// Number of classes.
        classes: usize,
    },
    /// A rank above the number of classes.
    #[error("no class has the rank `{query}`; there are top1, the model's answer, to top{classes}")]
    Rank {
        /// The rank as given.
        query: String,
        /// Number of classes.
        classes: usize,
    },
}

impl ClassError {
    /// Adds the word for a rank that may have been meant instead of a name.
    #[must_use]
    pub(crate) fn or_word(self, text: &str, words: &[&str]) -> Self {
        let Some(word) = nearest(text, words.iter().copied()) else { return self };
        let word = std::iter::once(word.to_string());
        match self {
            ClassError::Unknown { query, nearest, known } => {
                ClassError::Unknown { query, nearest: word.chain(nearest).collect(), known }
            }
            ClassError::Unnamed { query, .. } => {
                ClassError::Unknown { query, nearest: word.collect(), known: vec![] }
            }
            other => other,
        }
    }
}

/// Number of similar names suggested for an unknown name.
const SUGGESTIONS: usize = 3;
/// Number of names listed for an unknown name if none is similar.
const LISTED: usize = 20;

/// Maximum bytes of a file of labels.
const MOST_BYTES: u64 = 64 << 20;
/// Maximum number of names: more than any model has classes.
const MOST_NAMES: usize = 1 << 20;

impl Labels {
    /// These names, in class order. Control characters, line breaks and characters that change the text direction are replaced by spaces.
    pub fn new(names: Vec<String>) -> Self {
        Labels { names: names.iter().map(|name| printable(name)).collect() }
    }

    /// `classes` classes without names.
    pub fn unnamed(classes: usize) -> Self {
        Labels { names: vec![String::new(); classes] }
    }

    /// Reads the names in the file at `path`: text with one name per line (an empty line is a class without a name), or
    /// JSON: a list of names, `{"0": "tench", …}`, Keras' `{"0": ["n01440764", "tench"], …}`, or a Hugging
    /// Face `config.json` with `id2label`.
    ///
    /// # Errors
    /// The file cannot be read, holds no names, or is JSON of another form.
    pub fn load(path: &Path) -> Result<Labels, LabelsError> {
        let text = file::read_text(path, MOST_BYTES)
            .map_err(|source| LabelsError::Unreadable { path: path.into(), source })?;
        Labels::parse(&text, path)
    }

    /// Reads the names in a text; `path` is used in errors.
    ///
    /// # Errors
    /// As [`Labels::load`], for a text that can be read.
    pub fn parse(text: &str, path: &Path) -> Result<Labels, LabelsError> {
        let text = text.trim_start_matches('\u{feff}').trim_end();
        if text.is_empty() {
            return Err(LabelsError::Empty { path: path.into() });
        }
        let is_json = text.trim_start().starts_with(['{', '[']);
        let names = if is_json {
            from_json(text).map_err(|message| LabelsError::Json { path: path.into(), message })?
        } else {
            let numbered = Labels::are_numbered(text);
            let name = |line: &str| match line.trim().split_once(' ') {
                Some((_, name)) if numbered => name.trim().to_string(),
                _ => line.trim().to_string(),
            };
            text.lines().map(name).collect()
        };
        if names.len() > MOST_NAMES {
            return Err(LabelsError::Many { path: path.into(), names: names.len() });
        }
        Ok(Labels::new(names))
    }

    /// Whether each line of a text is a name preceded by the number of its class, as written by Teachable Machine: `0 cat`, `1 dog`.
    pub(crate) fn are_numbered(text: &str) -> bool {
        let numbered = |(i, line): (usize, &str)| {
            line.trim()
                .split_once(' ')
                .is_some_and(|(number, name)| number == i.to_string() && !name.trim().is_empty())
        };
        !text.trim().is_empty() && text.trim_end().lines().enumerate().all(numbered)
    }

    /// For a model with a single logit and one name, two names: the negation, then that of the positive class.
    #[must_use]
    pub(crate) fn for_one_logit(self, one_logit: bool) -> Self {
        match &self.names[..] {
            [name] if one_logit && !name.is_empty() => {
                Labels { names: vec![format!("not {name}"), name.clone()] }
            }
            _ => self,
        }
    }

    /// Checks that there is one label for each of a model's classes.
    ///
    /// # Errors
    /// [`LabelsError::Count`] if there are more or fewer.
    pub fn check_count(&self, classes: usize) -> Result<(), LabelsError> {
        match self.len() {
            n if n == classes => Ok(()),
            labels => Err(LabelsError::Count { labels, classes }),
        }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The class's name; `class N` where it has none.
    pub fn name(&self, class: usize) -> String {
        match self.names.get(class) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("class {class}"),
        }
    }

    /// The class that `query` identifies: by its number, or by its name, the whole name or one of its comma-separated parts, ignoring
    /// case, with underscores for spaces, without a leading WordNet ID. A match of the whole name is preferred. `#3` is always a number,
    /// and so is `3` unless another class has that name.
    ///
    /// # Errors
    /// A number out of range; a name that several classes have, or that none has; a number that is the name of another class.
    pub fn find_class(&self, query: &str) -> Result<usize, ClassError> {
        let classes = self.len();
        let by_number =
            |id: usize| if id < classes { Ok(id) } else { Err(ClassError::OutOfRange { id, classes }) };
        if let Some(id) = query.trim().strip_prefix('#').and_then(|n| n.parse().ok()) {
            return by_number(id);
        }
        let wanted = plain(query);
        if let Ok(id) = query.trim().parse::<usize>() {
            let named = self.ids(|name| name == wanted);
            return match named[..] {
                [] => by_number(id),
                [class] if class == id || id >= classes => Ok(class),
                _ => Err(ClassError::NumberOrName {
                    query: query.trim().to_string(),
                    number: (id < classes).then(|| self.describe(id)),
                    named: named.iter().map(|&class| format!("#{class}")).collect(),
                }),
            };
        }
        let whole = self.ids(|name| name == wanted);
        let found =
            if whole.is_empty() { self.ids(|name| parts(name).any(|part| part == wanted)) } else { whole };
        let query = query.to_string();
        match found[..] {
            [class] => Ok(class),
            [] if self.names.iter().all(String::is_empty) => {
                Err(ClassError::Unnamed { query, classes: self.len() })
            }
            [] => Err(ClassError::Unknown { query, nearest: self.nearest(&wanted), known: self.listed() }),
            _ => {
                let candidates = found.iter().map(|&class| self.describe(class)).collect();
                Err(ClassError::Ambiguous { query, candidates })
            }
        }
    }

    /// Classes whose plain, non-empty name passes the test.
    fn ids(&self, test: impl Fn(&str) -> bool) -> Vec<usize> {
        let passes = |name: &String| !name.is_empty() && test(&plain(name));
        self.names.iter().enumerate().filter(|(_, name)| passes(name)).map(|(class, _)| class).collect()
    }

    fn nearest(&self, wanted: &str) -> Vec<String> {
        let mut scored: Vec<(f64, usize)> = self
            .names
            .iter()
            .enumerate()
            .map(|(class, name)| (similarity(wanted, &plain(name)), class))
            .collect();
        scored.retain(|(score, _)| *score >= 0.75);
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(SUGGESTIONS).map(|(_, class)| self.describe(class)).collect()
    }

    /// The first classes, and a note if there are more.
    fn listed(&self) -> Vec<String> {
        let more = self.len().checked_sub(LISTED + 1).map(|_| format!("… ({} in all)", self.len()));
        (0..self.len().min(LISTED)).map(|class| self.describe(class)).chain(more).collect()
    }

    fn describe(&self, class: usize) -> String {
        format!("{class} ({})", self.name(class))
    }
}

/// Lower case, single spaces, no leading WordNet ID.
fn plain(name: &str) -> String {
    let words = name.to_lowercase().replace('_', " ");
    let mut words: Vec<&str> = words.split_whitespace().collect();
    let is_wordnet =
        |w: &str| w.len() == 9 && w.starts_with('n') && w[1..].bytes().all(|b| b.is_ascii_digit());
    if words.len() > 1 && is_wordnet(words[0]) {
        words.remove(0);
    }
    words.join(" ")
}

fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(',').map(str::trim)
}

/// Similarity of the best match among the name's parts and their words, 0..=1; 1 if one contains the other.
fn similarity(wanted: &str, name: &str) -> f64 {
    let one = |text: &str| match text {
        "" => 0.0,
        text if wanted.len() > 2 && text.contains(wanted) => 1.0,
        text => strsim::jaro_winkler(wanted, text),
    };
    parts(name).flat_map(|part| std::iter::once(part).chain(part.split(' '))).map(one).fold(0.0, f64::max)
}

/// Supported JSON formats of labels.
#[derive(Deserialize)]
#[serde(untagged, expecting = "this JSON holds no labels")]
enum Json {
    List(Vec<String>),
    HuggingFace { id2label: BTreeMap<String, String> },
    Keras(BTreeMap<String, (String, String)>),
    Map(BTreeMap<String, String>),
}

fn from_json(text: &str) -> Result<Vec<String>, String> {
    let named: BTreeMap<String, String> =
        match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Json::List(names) => return Ok(names),
            Json::Map(map) | Json::HuggingFace { id2label: map } => map,
            Json::Keras(map) => map.into_iter().map(|(class, (_, name))| (class, name)).collect(),
        };
    let mut by_class = BTreeMap::new();
    for (key, name) in named {
        let class: usize = key.parse().map_err(|_| format!("`{key}` is not the number of a class"))?;
        by_class.insert(class, name);
    }
    match (0..by_class.len()).find(|class| !by_class.contains_key(class)) {
        Some(class) => Err(format!("class {class} has no name")),
        None => Ok(by_class.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Labels {
        let names =
            ["tench, Tinca tinca", "crane", "African elephant", "Crane", "", "grey fox, gray fox", "fox"];
        Labels::new(names.map(String::from).to_vec())
    }

    fn error(query: &str) -> String {
        labels().find_class(query).unwrap_err().to_string()
    }

    #[test]
    fn numbers_names_and_parts_are_found() {
        for (query, class) in [
            ("4", 4),
            ("tench", 0),
            ("TINCA  tinca", 0),
            ("Tench, tinca tinca", 0),
            ("african_elephant", 2),
            ("fox", 6),
            ("n02120505 gray fox", 5),
        ] {
            assert_eq!(labels().find_class(query), Ok(class), "{query}");
        }
    }

    #[test]
    fn names_that_are_numbers_are_found() {
        let turned = Labels::new(["0", "90", "180", "270"].map(String::from).to_vec());
        for (query, class) in [("0", 0), ("180", 2), ("#3", 3), (" 270 ", 3), ("1", 1), ("3", 3)] {
            assert_eq!(turned.find_class(query), Ok(class), "{query}");
        }
        assert!(turned.find_class("#180").is_err());
        let digits = Labels::new((1..=5).map(|d| d.to_string()).collect());
        let error = digits.find_class("3").unwrap_err().to_string();
        assert_eq!(error, "`3` is the number of class 3 (4) and is the name of class #2; write #3 or #2");
        assert_eq!((digits.find_class("5"), digits.find_class("0")), (Ok(4), Ok(0)));
        let twice = Labels::new(["7", "a", "7"].map(String::from).to_vec());
        assert_eq!(
            twice.find_class("7").unwrap_err().to_string(),
            "`7` is the name of class #0 and of class #2; write #0 or #2"
        );
    }

    #[test]
    fn numbers_before_names_are_no_part_of_them() {
        assert_eq!(load("0 Class 1\n1 Class 2\n").unwrap(), ["Class 1", "Class 2"]);
        assert_eq!(load("0 a\n2 b\n").unwrap(), ["0 a", "2 b"]);
        assert_eq!(load("0\n90\n").unwrap(), ["0", "90"]);
    }

    #[test]
    fn one_name_of_one_logit_is_two() {
        let one = Labels::new(vec!["safe".to_string()]);
        assert_eq!(one.clone().for_one_logit(true).names, ["not safe", "safe"]);
        assert_eq!(one.clone().for_one_logit(false), one);
    }

    #[test]
    fn what_cannot_be_found_is_explained() {
        assert_eq!(error("7"), "class 7 is out of range: the model has 7 classes, 0 to 6");
        assert_eq!(error("crane"), "`crane` names several classes: 1 (crane), 3 (Crane); give the number");
        assert_eq!(error("elefant"), "no class is called `elefant`; did you mean 2 (African elephant)?");
        let all = "0 (tench, Tinca tinca), 1 (crane), 2 (African elephant), 3 (Crane), 4 (class 4), 5 (grey fox, gray fox), 6 (fox)";
        assert_eq!(error("zzz"), format!("no class is called `zzz`; there are: {all}"));
        assert_eq!(
            Labels::unnamed(3).find_class("cat").unwrap_err().to_string(),
            "no class is called `cat`: the classes have no names; give a number from 0 to 2, or their names with --labels"
        );
        let many = Labels::new((0..1000).map(|i| format!("{i}{i}{i}")).collect());
        let error = many.find_class("zebra").unwrap_err().to_string();
        assert!(error.ends_with("19 (191919), … (1000 in all)"), "{error}");
    }

    fn load(text: &str) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = format!("{}: ", file.path().display());
        Labels::load(file.path()).map(|l| l.names).map_err(|e| e.to_string().replace(&path, ""))
    }

    #[test]
    fn every_form_is_read() {
        for text in [
            "\u{feff}cat\r\ndog\r\n\r\n",
            r#"["cat", "dog"]"#,
            r#"{"1": "dog", "0": "cat"}"#,
            r#"{"0": ["n1", "cat"], "1": ["n2", "dog"]}"#,
            r#"{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}"#,
        ] {
            assert_eq!(load(text).unwrap(), ["cat", "dog"], "{text}");
        }
        assert_eq!(load("cat\n\ndog").unwrap(), ["cat", "", "dog"]);
    }

    #[test]
    fn what_acts_on_a_terminal_is_no_part_of_a_name() {
        let names = load(r#"["cat\u001b[2Jdog", "two\nlines", "\u202egod", "a \"b\" <c>"]"#).unwrap();
        assert_eq!(names, ["cat [2Jdog", "two lines", "god", "a \"b\" <c>"]);
    }

    #[test]
    fn more_names_than_any_model_has_classes_are_refused() {
        let many = load(&"cat\n".repeat(MOST_NAMES + 1)).unwrap_err();
        assert!(many.starts_with("holds 1048577 names, more than any model has classes"), "{many}");
    }

    #[test]
    fn what_holds_no_names_is_refused() {
        assert_eq!(load(" \n").unwrap_err(), "holds no names; give one a line, in class order");
        let gap = load(r#"{"0": "a", "2": "b"}"#).unwrap_err();
        assert!(gap.starts_with("class 1 has no name; give a list"), "{gap}");
        assert!(load("{\"a\": 1}").unwrap_err().starts_with("this JSON holds no labels; give"));
        let message = labels().check_count(1000).unwrap_err().to_string();
        assert!(message.starts_with("7 labels for a model of 1000 classes"), "{message}");
    }
}
