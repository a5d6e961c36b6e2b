//! Properties that exporters write into the ONNX file (`metadata_props`): names of classes, and the size of the input.

use serde_json::Value;

use super::Recipe;
use crate::image::{Preprocessing, Preset, ResizeMode};
use crate::labels::Labels;

/// Keys under which exporters write the names of classes, most likely first.
const NAMES: [&str; 7] = ["names", "id2label", "class_names", "classes", "labels", "categories", "character"];

/// Preprocessing and labels from the properties.
pub(super) struct OfFile {
    pub recipe: Option<Recipe>,
    pub labels: Option<(String, Labels)>,
}

/// Height and width of the input, as Ultralytics writes them.
pub(crate) fn size(properties: &[(String, String)]) -> Option<[usize; 2]> {
    properties.iter().find(|(key, _)| key == "imgsz").and_then(|(_, text)| sides(text))
}

/// Reads the known keys.
pub(super) fn read(properties: &[(String, String)]) -> OfFile {
    let find = |key: &str| properties.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    let labels = NAMES.iter().find_map(|key| {
        let names = names(find(key)?)?;
        Some((format!("the model file (property {key})"), Labels::new(names)))
    });
    // Ultralytics' classifiers resize the shorter side to the input's, crop the centre, and scale to 0..1.
    let classifies = find("task") == Some("classify");
    let size = find("imgsz").filter(|_| classifies).and_then(sides);
    let recipe = size.map(|[height, width]| Recipe {
        source: "the model file (properties task, imgsz)".to_string(),
        size: Some([height, width]),
        preprocessing: Preprocessing {
            resize: ResizeMode::Crop,
            resized: Some([height, width]),
            ..Preset::Unit.preprocessing(height, width)
        },
    });
    OfFile { recipe, labels }
}

/// `[224, 224]`, `224`
fn sides(text: &str) -> Option<[usize; 2]> {
    let fine = |v: &Value| v.as_u64().filter(|n| (1..=1 << 14).contains(n)).map(|n| n as usize);
    match serde_json::from_str::<Value>(text).ok()? {
        Value::Array(list) => match &list[..] {
            [height, width] => Some([fine(height)?, fine(width)?]),
            _ => None,
        },
        one => fine(&one).map(|side| [side; 2]),
    }
}

/// Names as JSON (a list, or an object by number), as a Python dict or list, one per line, or separated by commas.
fn names(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with(['{', '[']) {
        return of_json(text).or_else(|| of_json(&python_as_json(text)));
    }
    let separator = if text.trim_end().contains('\n') { '\n' } else { ',' };
    let names: Vec<String> =
        text.trim_end_matches(['\n', '\r']).split(separator).map(str::to_string).collect();
    (names.len() > 1).then_some(names)
}

fn of_json(text: &str) -> Option<Vec<String>> {
    let name = |v: &Value| v.as_str().map(str::to_string);
    match serde_json::from_str(text).ok()? {
        Value::Array(list) => list.iter().map(name).collect(),
        Value::Object(map) => {
            let mut numbered: Vec<(usize, String)> =
                map.iter().map(|(id, v)| Some((id.parse().ok()?, name(v)?))).collect::<Option<_>>()?;
            numbered.sort_unstable();
            let whole = numbered.iter().map(|(id, _)| *id).eq(0..numbered.len());
            whole.then(|| numbered.into_iter().map(|(_, name)| name).collect())
        }
        _ => None,
    }
}

/// A Python dict or list of numbers and strings as JSON: with double quotes and strings as keys.
fn python_as_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\'' | '"' => {
                let mut inside = String::new();
                while let Some(c) = characters.next().filter(|inner| *inner != c) {
                    match c {
                        '\\' => inside.extend(characters.next()),
                        c => inside.push(c),
                    }
                }
                json += &Value::from(inside).to_string();
            }
            '0'..='9' => {
                let mut number = c.to_string();
                while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                json += &format!("\"{number}\"");
            }
            c => json.push(c),
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(key: &str, value: &str) -> (String, String) {
        (key.to_string(), value.to_string())
    }

    #[test]
    fn every_way_of_writing_names_is_read() {
        for text in [
            r#"{0: 'cat', 1: "dog's", 2: 'cow'}"#,
            r#"{0: 'cat', 1: 'dog\'s', 2: 'cow'}"#,
            r#"{"0": "cat", "1": "dog's", "2": "cow"}"#,
            r#"["cat", "dog's", "cow"]"#,
            r#"['cat', "dog's", 'cow']"#,
            "cat\ndog's\ncow\n",
            "cat,dog's,cow",
        ] {
            assert_eq!(names(text).unwrap(), ["cat", "dog's", "cow"], "{text}");
        }
        for text in ["", "cat", "{0: 'cat', 2: 'dog'}", "{'a': 'cat'}", "[1, 2", "{0: 'cat"] {
            assert_eq!(names(text), None, "{text}");
        }
    }

    #[test]
    fn ultralytics_classifiers_say_their_input() {
        let properties = [
            property("task", "classify"),
            property("imgsz", "[224, 192]"),
            property("names", "{0: 'a', 1: 'b'}"),
        ];
        let found = read(&properties);
        let recipe = found.recipe.unwrap();
        assert_eq!(recipe.size, Some([224, 192]));
        assert_eq!((recipe.preprocessing.resized, recipe.preprocessing.mean), (Some([224, 192]), [0.0; 3]));
        assert_eq!(found.labels.unwrap().1.name(1), "b");
        assert!(read(&properties[1..]).recipe.is_none(), "a detector's images are fitted otherwise");
    }
}
