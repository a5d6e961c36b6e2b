//! Maps a dataset's classes to a model's: by a file, or by the model's labels.

use std::collections::HashMap;
use std::path::Path;

use super::{Dataset, DatasetError, Result, lines, text};
use candor::labels::Labels;

/// For each class of the dataset, the model's classes that count as it; an empty list leaves the class out.
#[derive(Clone, Debug, Default)]
pub struct ClassMap(HashMap<String, Vec<usize>>);

impl ClassMap {
    /// Reads a map from JSON, `{"class": [1, 2], …}` or `{"class": 1, …}`, or from text with a line `class,1 2` for each class. A
    /// class without numbers is left out.
    ///
    /// # Errors
    /// [`DatasetError::Read`] with the line that has neither form.
    pub fn load(path: &Path) -> Result<Self> {
        let text = text(path)?;
        if text.trim_start().starts_with('{') {
            return ClassMap::from_json(&text).map_err(|e| DatasetError::read(path, e));
        }
        let line = |line: &str| {
            let (class, numbers) = line.rsplit_once([',', '\t'])?;
            let numbers: Result<Vec<usize>, _> = numbers.split_whitespace().map(str::parse).collect();
            Some((class.trim().to_string(), numbers.ok()?))
        };
        Ok(ClassMap(lines(path, &text, "CLASS,NUMBERS", line)?.into_iter().collect()))
    }

    fn from_json(text: &str) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        #[serde(
            untagged,
            expecting = "expected a class's number or a list of numbers; [] leaves the class out"
        )]
        enum Numbers {
            One(usize),
            Many(Vec<usize>),
        }
        let map: HashMap<String, Numbers> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let numbers = |n| match n {
            Numbers::One(n) => vec![n],
            Numbers::Many(n) => n,
        };
        Ok(ClassMap(map.into_iter().map(|(class, n)| (class, numbers(n))).collect()))
    }

    /// Fills in the model's classes of all objects: from this map, else from the dataset, else by looking up the name among the
    /// labels.
    ///
    /// # Errors
    /// [`DatasetError::Class`] for the first class that is not found, or out of the model's range.
    pub fn resolve(&self, dataset: &mut Dataset, labels: &Labels) -> Result<()> {
        let path = dataset.path.display().to_string();
        for object in dataset.samples.iter_mut().flat_map(|s| &mut s.objects) {
            let unknown = || DatasetError::Class { class: object.name.clone(), path: path.clone() };
            if let Some(classes) = self.0.get(&object.name) {
                object.classes = classes.clone();
            } else if object.classes.is_empty() {
                object.classes = vec![labels.find_class(&object.name).map_err(|_| unknown())?];
            }
            if let Some(&number) = object.classes.iter().find(|&&c| c >= labels.len()) {
                let class = object.name.clone();
                return Err(DatasetError::ClassNumber { class, path, number, classes: labels.len() });
            }
        }
        Ok(())
    }
}
