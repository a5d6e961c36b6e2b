//! How to reproduce a page: the command, versions, parameters and the model's file, shown at the end of every page.

use std::fmt::Write;
use std::path::Path;
use std::time::SystemTime;

use candor::engine::EngineInfo;
use candor::model::ModelInfo;
use candor::parameters::MethodInfo;
use serde::Serialize;
use serde_json::Value;

/// Address of the documents.
const DOCUMENTS: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// What a page says about the run that wrote it.
#[derive(Clone, Debug, Serialize)]
pub struct Recipe {
    command: Option<String>,
    facts: Vec<(String, String)>,
    preprocessing: Vec<(String, String)>,
    methods: Vec<Settings>,
    documents: Vec<Document>,
    version: &'static str,
}

/// A method with all its parameters.
#[derive(Clone, Debug, Serialize)]
struct Settings {
    name: String,
    parameters: Vec<(String, String)>,
}

/// A document about what the page shows.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    title: &'static str,
    address: String,
}

impl Document {
    /// A file of the repository, such as `book/src/explanation/evidence.md`, under a title.
    pub fn new(title: &'static str, file: &str) -> Self {
        Document { title, address: format!("{DOCUMENTS}{file}") }
    }
}

impl Recipe {
    /// The recipe of a run of `model` on `engine`. The date is the current modification date of the model's file.
    pub fn new(model: &ModelInfo, engine: &EngineInfo, preprocessing: &Value, seed: u64) -> Self {
        let mut facts = model_facts(model);
        facts.extend([
            ("Engine".to_string(), format!("{} {}", engine.name, engine.version)),
            ("Threads".to_string(), engine.threads.to_string()),
            ("Seed".to_string(), seed.to_string()),
            ("Candor".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ]);
        Recipe {
            command: None,
            facts,
            preprocessing: fields(preprocessing),
            methods: vec![],
            documents: vec![],
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Adds the command that wrote the page, quoted for a shell; `None` if a program called the library.
    #[must_use]
    pub fn command(self, command: Option<&str>) -> Self {
        Recipe { command: command.map(str::to_string), ..self }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.push((name.to_string(), value.into()));
        self
    }

    /// Adds the parameters of methods.
    #[must_use]
    pub fn methods<'m>(mut self, methods: impl IntoIterator<Item = &'m MethodInfo>) -> Self {
        let settings = |m: &MethodInfo| Settings {
            name: m.name.clone(),
            parameters: m.parameters.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        };
        self.methods.extend(methods.into_iter().map(settings));
        self
    }

    /// Adds parameters under a name: the fields of `value`.
    #[must_use]
    pub fn settings(mut self, name: &str, value: &Value) -> Self {
        self.methods.push(Settings { name: name.to_string(), parameters: fields(value) });
        self
    }

    /// Adds documents.
    #[must_use]
    pub fn documents(self, documents: impl Into<Vec<Document>>) -> Self {
        Recipe { documents: documents.into(), ..self }
    }
}

/// Path, hash, date, operator set and producer of a model.
pub(crate) fn model_facts(model: &ModelInfo) -> Vec<(String, String)> {
    let producer = if model.producer.is_empty() { "not stated" } else { &model.producer };
    let facts = [
        ("Model", model.path.clone()),
        ("SHA-256", model.sha256.clone()),
        ("Date of the file", date_of(Path::new(&model.path)).unwrap_or_else(|| "no file".to_string())),
        ("Operator set", model.opset.to_string()),
        ("Producer", producer.to_string()),
    ];
    facts.map(|(name, value)| (name.to_string(), value)).into()
}

/// When a file was last changed, `2026-11-29 08:45:33 UTC`; `None` if there is no such file.
fn date_of(path: &Path) -> Option<String> {
    written(std::fs::metadata(path).ok()?.modified().ok()?)
}

fn written(time: SystemTime) -> Option<String> {
    // Times before 1970 or after 9999 are left out.
    time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let mut text = String::new();
    write!(text, "{}", humantime::format_rfc3339_seconds(time)).ok()?;
    Some(text.replace('T', " ").replace('Z', " UTC"))
}

/// The fields of an object as text.
pub(crate) fn fields(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        Value::Null => vec![],
        other => vec![("value".to_string(), plain(other))],
    }
}

/// A parameter as text: strings without quotes, lists with commas, everything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn dates_are_written_in_utc() {
        let at = UNIX_EPOCH + Duration::from_secs(1_795_941_933);
        assert_eq!(written(at).as_deref(), Some("2026-11-29 08:45:33 UTC"));
        assert_eq!(written(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(date_of(Path::new("scenes.onnx (embedded)")), None);
    }
}
