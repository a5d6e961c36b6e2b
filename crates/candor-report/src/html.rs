//! HTML: one self-contained page for a run, with its pictures inside; it loads nothing from a network. The report of explanations has no
//! script; pages with tables have one, which sorts them.
//!
//! The view of each image is written to a file when it is added; the page is rendered from these files at the end, in the order of the
//! images.

use std::path::{Path, PathBuf};

use candor::file;
use candor::printable::acts;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::atomic;
use super::error::ReportError;
use super::result::{ExplainResult, ExplainedImage};
use super::scales::MethodScales;
use super::view::{ImageView, PageView, Row};

/// Placeholder for the images' parts in the rendered page. External names are escaped and therefore cannot contain it.
const IMAGES: &str = "<!-- images -->";

/// A page in progress.
#[derive(Debug)]
pub struct Page {
    templates: Environment<'static>,
    /// Folder of the images' parts.
    parts: PathBuf,
    /// Keys of the images' parts, in order, and their rows in the table of images.
    keys: Vec<String>,
    rows: Vec<Value>,
    /// The command that wrote the page.
    pub(crate) command: Option<String>,
}

/// One image on the page. It is numbered at the end.
#[derive(Serialize, Deserialize)]
struct Part {
    view: Value,
    row: Value,
}

impl Page {
    /// A page without images; added images are stored in the folder `parts`.
    pub fn create(parts: &Path) -> Result<Self, ReportError> {
        Ok(Page {
            templates: templates()?,
            parts: parts.to_owned(),
            keys: vec![],
            rows: vec![],
            command: None,
        })
    }

    /// Adds an image whose result already has the paths of its files. `key`: a unique file name.
    pub(crate) fn add(
        &mut self,
        key: &str,
        image: &ExplainedImage,
        scales: &[MethodScales],
    ) -> Result<(), ReportError> {
        let view = ImageView::new(0, image, scales)?;
        let row = Row::new(&view, &image.photo)?;
        let fail = || ReportError::encode("the page’s part for an image");
        let text = serde_json::to_vec(&json!({ "view": view, "row": row })).map_err(fail())?;
        atomic::write(&self.part(key), &text)?;
        self.push(key, serde_json::to_value(row).map_err(fail())?);
        Ok(())
    }

    /// Adds an image that an earlier run added under this key; returns `false` if there is none.
    pub fn keep(&mut self, key: &str) -> bool {
        let part = self.read(key);
        part.map(|part| self.push(key, part.row)).is_ok()
    }

    /// Writes the page to `path`, whole or not at all.
    pub fn finish(self, path: &Path, result: &ExplainResult) -> Result<(), ReportError> {
        let page = self.render("page.html", &PageView::new(result, &self.rows, self.command.as_deref()))?;
        let (before, after) = page.split_once(IMAGES).ok_or_else(|| ReportError::Encode {
            what: "report.html".to_owned(),
            reason: format!("the template page.html lacks {IMAGES}"),
        })?;
        atomic::write_with(path, |out| {
            let mut write = |text: &str| out.write_all(text.as_bytes()).map_err(ReportError::write(path));
            write(before)?;
            for (i, key) in self.keys.iter().enumerate() {
                let mut view = self.read(key)?.view;
                view["number"] = (i + 1).into();
                write(&self.render("image.html", &view)?)?;
            }
            write(after)
        })
    }

    fn push(&mut self, key: &str, mut row: Value) {
        self.keys.push(key.to_owned());
        row["number"] = self.keys.len().into();
        self.rows.push(row);
    }

    fn part(&self, key: &str) -> PathBuf {
        self.parts.join(format!("{key}.json"))
    }

    fn read(&self, key: &str) -> Result<Part, ReportError> {
        let path = self.part(key);
        let fail = |reason: String| ReportError::Read { path: path.clone(), reason };
        let bytes = file::read(&path, u64::MAX).map_err(|e| fail(e.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string()))
    }

    fn render(&self, template: &str, view: &impl Serialize) -> Result<String, ReportError> {
        let fail = || ReportError::encode("report.html");
        self.templates.get_template(template).map_err(fail())?.render(Serde(view)).map_err(fail())
    }
}

/// Renders a page from `template`, which may use the macros and the style of all pages and extend `layout.html`. The layout uses the
/// view's `title`, `kind` (of page), `name` (of the model), `file` (the JSON file beside it, or empty) and `recipe`
/// ([`Recipe`](crate::recipe::Recipe)).
///
/// # Errors
/// [`ReportError::Encode`] if the template uses something that the view does not have.
pub fn render(
    name: &'static str,
    template: &'static str,
    view: &impl Serialize,
) -> Result<String, ReportError> {
    let fail = || ReportError::encode(name);
    let mut templates = templates()?;
    templates.add_template(name, template).map_err(fail())?;
    templates.get_template(name).map_err(fail())?.render(Serde(view)).map_err(fail())
}

/// The templates, compiled in. Everything is escaped, and an undefined name is an error.
fn templates() -> Result<Environment<'static>, ReportError> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|name| {
        if name.ends_with(".css") || name.ends_with(".js") { AutoEscape::None } else { AutoEscape::Html }
    });
    // External names may also contain characters that affect the reader's page: U+202E reverses the direction of writing.
    templates.set_formatter(|out, state, value| {
        let acts = |c: char| acts(c) && c != '\n';
        match value.as_str().filter(|text| !value.is_safe() && text.contains(acts)) {
            Some(text) => escape_formatter(out, state, &minijinja::Value::from(text.replace(acts, " "))),
            None => escape_formatter(out, state, value),
        }
    });
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    templates.set_syntax(syntax.map_err(ReportError::encode("the syntax of the templates"))?);
    for (name, text) in [
        ("page.html", include_str!("template/page.html")),
        ("image.html", include_str!("template/image.html")),
        ("macros.html", include_str!("template/macros.html")),
        ("table.html", include_str!("template/table.html")),
        ("chart.html", include_str!("template/chart.html")),
        ("layout.html", include_str!("template/layout.html")),
        ("style.css", include_str!("template/style.css")),
        ("sheet.css", include_str!("template/sheet.css")),
        ("chart.css", include_str!("template/chart.css")),
        ("sort.js", include_str!("template/sort.js")),
    ] {
        templates.add_template(name, text).map_err(ReportError::encode(name))?;
    }
    Ok(templates)
}
