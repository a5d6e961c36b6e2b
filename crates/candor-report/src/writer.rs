//! One directory for one run: every image's files as it comes, `explain.json` and `report.html` at the end.
//!
//! ```text
//! out/explain.json
//! out/report.html
//! out/<image stem>/<class id>_<class>.overlay.png    the map over the photo
//! out/<image stem>/<class id>_<class>.map.png        the map alone, same scale
//! out/<image stem>/<class id>_<class>.npz            raw magnitudes
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::html::Page;
use super::names::{self, Names};
use super::paint::{self, Scales};
use super::result::{ExplainResult, ExplainedImage, ExplainedQuery, ImageResult, MapInfo, QueryResult};
use super::{atomic, json, npz, png, words};
use candor::map::Map;

/// Name of the JSON file in the output directory.
pub const JSON_FILE: &str = "explain.json";
/// Name of the HTML page in the output directory.
pub const HTML_FILE: &str = "report.html";

/// Writes the files of one run. Memory does not grow with the pictures: the page is spooled to disk.
///
/// Equal runs give equal bytes, but for the seconds that a query took.
#[derive(Debug)]
pub struct ReportWriter {
    directory: PathBuf,
    folders: Names,
    page: Page,
    images: Vec<ImageResult>,
}

impl ReportWriter {
    /// Makes `directory` where it is missing and makes sure that it can be written to, so that a long run does not
    /// end in that error. Files of an earlier run stay until their names come up again.
    ///
    /// # Errors
    /// [`ReportError::Directory`] names the directory and the reason.
    pub fn create(directory: &Path) -> Result<Self, ReportError> {
        let fail = |reason| ReportError::Directory { path: directory.to_owned(), reason };
        fs::create_dir_all(directory).map_err(fail)?;
        // The page's temporary file is in the directory itself, so it is also the test of writability.
        let page = Page::create(directory)?;
        let folders = Names::without(&[JSON_FILE, HTML_FILE]);
        Ok(ReportWriter { directory: directory.to_owned(), folders, page, images: Vec::new() })
    }

    /// The command line of the run, which the page shows.
    pub fn set_command(&mut self, command: String) {
        self.page.command = Some(command);
    }

    /// Writes this image's files and its part of the page. Returns the image's result, with the files' paths
    /// (relative to the output directory, `/` between parts) filled in.
    ///
    /// # Errors
    /// [`ReportError::BadImage`] before anything is written, if arrays and figures do not fit together or hold NaN
    /// or infinity; the writer can go on with the next image. Otherwise [`ReportError::Write`] with file and reason.
    pub fn add(&mut self, mut image: ExplainedImage) -> Result<ImageResult, ReportError> {
        check(&image)?;
        let folder = self.folders.claim(&names::folder(&image.result.path));
        let directory = self.directory.join(&folder);
        fs::create_dir_all(&directory).map_err(ReportError::write(&directory))?;

        let scales = Scales::of(&image);
        let comment = words::scale(&image.result.queries, &scales.map);
        let mut bases = Names::default();
        for i in 0..image.queries.len() {
            let query = &image.result.queries[i];
            let base = format!("{folder}/{}", bases.claim(&names::class(query.class_id, &query.class_name)));
            let about = format!("{}, class {}. {comment}", image.result.path, query.class_name);
            let arrays = &image.queries[i];
            let overlay = png::rgb(&paint::overlay(&image.photo, &arrays.map, &scales.map), &about)?;
            let alone = png::map(&arrays.map, &scales.map, &about)?;
            let raw = npz::bytes(arrays)?;
            let info = &mut image.result.queries[i].map;
            info.overlay = Some(self.write(format!("{base}.overlay.png"), &overlay)?);
            info.png = Some(self.write(format!("{base}.map.png"), &alone)?);
            info.npz = Some(self.write(format!("{base}.npz"), &raw)?);
        }
        self.page.add(&image, &scales)?;
        self.images.push(image.result.clone());
        Ok(image.result)
    }

    /// Writes `explain.json` and `report.html` and returns the whole result: `header` with the images that were
    /// added, in their order, in place of `header.images`.
    ///
    /// # Errors
    /// [`ReportError::Write`] with file and reason.
    pub fn finish(self, mut header: ExplainResult) -> Result<ExplainResult, ReportError> {
        header.images = self.images;
        json::write(&self.directory.join(JSON_FILE), &header)?;
        self.page.finish(&self.directory.join(HTML_FILE), &header)?;
        Ok(header)
    }

    fn write(&self, relative: String, bytes: &[u8]) -> Result<String, ReportError> {
        atomic::write(&self.directory.join(&relative), bytes)?;
        Ok(relative)
    }
}

impl MapInfo {
    /// The figures of a map, no files yet.
    pub fn of(map: &Map) -> MapInfo {
        MapInfo {
            shape: [map.height, map.width],
            min: f64::from(map.min()),
            max: f64::from(map.max()),
            mass: map.mass(),
            npz: None,
            png: None,
            overlay: None,
        }
    }
}

/// That arrays and figures fit together, and that every value is a number.
fn check(image: &ExplainedImage) -> Result<(), ReportError> {
    let bad = |what: String| Err(ReportError::BadImage { image: image.result.path.clone(), what });
    let (figures, arrays) = (&image.result.queries, &image.queries);
    if image.photo.width() == 0 || image.photo.height() == 0 {
        return bad("the photo has no pixels".into());
    }
    if figures.len() != arrays.len() {
        return bad(format!("figures of {} classes, but maps of {}", figures.len(), arrays.len()));
    }
    match figures.iter().zip(arrays).find_map(|(result, arrays)| problem(result, arrays)) {
        Some(what) => bad(what),
        None => Ok(()),
    }
}

fn problem(result: &QueryResult, arrays: &ExplainedQuery) -> Option<String> {
    let class = &result.class_name;
    let grid = |map: &Map| map.data.len() == map.height * map.width && !map.data.is_empty();
    if !grid(&arrays.map) {
        return Some(format!("the map for {class} has a size other than its shape, or none"));
    }
    if !arrays.map.data.iter().all(|v| v.is_finite()) {
        return Some(format!("the map for {class} holds NaN or infinity"));
    }
    if result.levels.len() != arrays.levels.len() {
        return Some(format!(
            "figures of {} levels for {class}, but masks of {}",
            result.levels.len(),
            arrays.levels.len()
        ));
    }
    arrays.levels.iter().find_map(|level| {
        let name = &level.value;
        if level.data.len() != level.shape.iter().product::<usize>() || !grid(&level.mean) {
            Some(format!("the mask at {name} for {class} has a size other than its shape, or none"))
        } else if !level.data.iter().chain(&level.mean.data).all(|v| v.is_finite()) {
            Some(format!("the mask at {name} for {class} holds NaN or infinity"))
        } else {
            None
        }
    })
}
