//! HTML: one self-contained page for a run. No network; pictures are inside. The report of explanations has no script; pages with
//! tables have one, which sorts them.
//!
//! Each image's part is rendered as it comes and spooled to disk; the page is written around the parts at the end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::atomic;
use super::error::ReportError;
use super::paint::Scales;
use super::result::{ExplainResult, ExplainedImage};
use super::view::{ImageView, PageView, Row};

/// Where the images' parts go in the rendered page. Names from outside are escaped, so none can look like this.
const IMAGES: &str = "<!-- images -->";

/// A page in the making.
#[derive(Debug)]
pub struct Page {
    templates: Environment<'static>,
    /// The images' parts so far; a file without a name, so nothing stays if the run ends early.
    spool: File,
    rows: Vec<Row>,
    /// The command that the page is of.
    pub(crate) command: Option<String>,
}

impl Page {
    /// A page without images, spooled to an unnamed file in `directory`.
    pub fn create(directory: &Path) -> Result<Self, ReportError> {
        let fail = |reason| ReportError::Directory { path: directory.to_owned(), reason };
        let spool = tempfile::tempfile_in(directory).map_err(fail)?;
        Ok(Page { templates: templates()?, spool, rows: Vec::new(), command: None })
    }

    /// Adds an image whose result has its files' paths already.
    pub fn add(&mut self, image: &ExplainedImage, scales: &Scales) -> Result<(), ReportError> {
        let view = ImageView::new(self.rows.len() + 1, image, scales)?;
        let part = self.render("image.html", &view)?;
        self.rows.push(Row::new(&view, &image.photo)?);
        let what = "the page’s part for an image, on its way to report.html,";
        self.spool.write_all(part.as_bytes()).map_err(ReportError::write(Path::new(what)))
    }

    /// Writes the page to `path`, whole or not at all.
    pub fn finish(mut self, path: &Path, result: &ExplainResult) -> Result<(), ReportError> {
        let page = self.render("page.html", &PageView::new(result, &self.rows, self.command.as_deref()))?;
        let (before, after) = page.split_once(IMAGES).ok_or_else(|| ReportError::Encode {
            what: "report.html".to_owned(),
            reason: format!("the template page.html lacks {IMAGES}"),
        })?;
        self.spool.seek(SeekFrom::Start(0)).map_err(ReportError::write(path))?;
        atomic::write_with(path, |out| {
            let images = io::BufReader::new(&self.spool);
            io::copy(&mut before.as_bytes().chain(images).chain(after.as_bytes()), out)
                .map_err(ReportError::write(path))?;
            Ok(())
        })
    }

    fn render(&self, template: &str, view: &impl Serialize) -> Result<String, ReportError> {
        let fail = || ReportError::encode("report.html");
        self.templates.get_template(template).map_err(fail())?.render(Serde(view)).map_err(fail())
    }
}

/// A page of `template`, which may use the macros and the style of all pages, and extend `layout.html`: that asks the view for
/// `title`, `kind` (what page it is), `name` (of the model), `file` (its JSON beside it, or empty) and `recipe`
/// ([`Recipe`](crate::recipe::Recipe)).
///
/// # Errors
/// [`ReportError::Encode`] if template and view do not fit together.
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

/// The templates, compiled in. Everything is escaped, and a name that is not there is an error.
fn templates() -> Result<Environment<'static>, ReportError> {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|name| {
        if name.ends_with(".css") || name.ends_with(".js") { AutoEscape::None } else { AutoEscape::Html }
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
