//! The output directory of one run. Its files are made beside an earlier result and replace it together at the end.
//!
//! ```text
//! out/explain.json
//! out/report.html
//! out/<image stem>/<class id>_<class>.overlay.png    the map over the photo
//! out/<image stem>/<class id>_<class>.map.png        the map alone, same scale
//! out/<image stem>/<class id>_<class>.npz            raw magnitudes
//! ```
//!
//! With several methods, each file's name contains the method: `<class id>_<class>.<method>.npz`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::folder::{Draft, Folder, Terms, list, sha256};
use super::html::Page;
use super::names::{self, Names};
use super::paint;
use super::result::{ExplainResult, ExplainedImage, ExplainedQuery, ImageResult, MapInfo, QueryResult};
use super::scales::MethodScales;
use super::{atomic, json, npz, png};
use candor::map::Map;

/// Name of the JSON file in the output directory.
pub const JSON_FILE: &str = "explain.json";
/// Name of the HTML page in the output directory.
pub const HTML_FILE: &str = "report.html";
/// Name of the result in the folder's list of results.
const RESULT: &str = "explain";

/// Writes the files of one run. Memory use does not grow with the number of pictures: the page's parts are stored on disk.
///
/// Equal runs give equal bytes, except for the seconds that a query took.
#[derive(Debug)]
pub struct ReportWriter {
    draft: Draft,
    folders: Names,
    page: Page,
    images: Vec<ImageResult>,
}

impl ReportWriter {
    /// Creates `directory` if it is missing and checks that it is writable, so that a long run does not fail at its end. An earlier
    /// result is unchanged until [`ReportWriter::finish`].
    ///
    /// # Errors
    /// As [`Folder::open`] and [`Folder::check`].
    pub fn create(directory: &Path) -> Result<Self, ReportError> {
        let terms = Terms { command: "an explanation".to_owned(), ..Terms::default() };
        ReportWriter::begin_in(Folder::open(directory, terms)?)
    }

    /// [`ReportWriter::create`] for a folder that is already open. An interrupted run's result is discarded.
    ///
    /// # Errors
    /// As [`Folder::draft`] and [`Folder::check`].
    pub fn begin_in(folder: Folder) -> Result<Self, ReportError> {
        ReportWriter::begin(folder.draft(RESULT)?)
    }

    /// Resumes what an interrupted run left in the folder: see [`ReportWriter::keep`].
    ///
    /// # Errors
    /// As [`ReportWriter::begin_in`].
    pub fn resume(folder: Folder) -> Result<Self, ReportError> {
        ReportWriter::begin(folder.resume(RESULT)?)
    }

    fn begin(draft: Draft) -> Result<Self, ReportError> {
        draft.folder().check(&[JSON_FILE, HTML_FILE])?;
        let parts = draft.work().join("parts");
        fs::create_dir_all(&parts).map_err(ReportError::write(&parts))?;
        Ok(ReportWriter {
            draft,
            folders: ReportWriter::names(),
            page: Page::create(&parts)?,
            images: Vec::new(),
        })
    }

    /// Assigns the names of the images' folders, in the order in which images are added.
    pub fn names() -> Names {
        Names::without(&[JSON_FILE, HTML_FILE])
    }

    /// Folder for the caller's data for resuming. It is removed by [`ReportWriter::finish`].
    pub fn work(&self) -> PathBuf {
        self.draft.work()
    }

    /// Keeps what was added from now on for [`ReportWriter::resume`] if the run ends early.
    pub fn keep_if_interrupted(&mut self) {
        self.draft.keep();
    }

    /// SHA-256 of the files of an image that was added, by name.
    ///
    /// # Errors
    /// [`ReportError::Write`] naming a file that cannot be read.
    pub fn hashes(&self, image: &ImageResult) -> Result<BTreeMap<String, String>, ReportError> {
        let files = image.queries.iter().flat_map(|q| [&q.map.npz, &q.map.png, &q.map.overlay]).flatten();
        let hash = |file: &String| {
            let path = self.draft.files().join(file);
            Ok((file.clone(), sha256(&path).map_err(ReportError::write(&path))?))
        };
        files.map(hash).collect()
    }

    /// Adds an image that an interrupted run added, from its result. Returns `false` if it has to be explained again: its files are
    /// missing, or would have other names.
    pub fn keep(&mut self, image: &ImageResult) -> bool {
        let folder = self.folders.next(&names::folder(&image.path));
        let there = |file: &Option<String>| {
            let own = file.as_ref().filter(|f| f.strip_prefix(&folder).is_some_and(|f| f.starts_with('/')));
            own.is_some_and(|f| self.draft.files().join(f).is_file())
        };
        let whole =
            image.queries.iter().all(|q| there(&q.map.npz) && there(&q.map.png) && there(&q.map.overlay));
        let kept = whole && self.page.keep(&folder);
        if kept {
            self.folders.claim(&folder);
            self.images.push(image.clone());
        }
        kept
    }

    /// Skips an image that fails, or that another run explains, so that the names of the others do not change.
    pub fn pass_over(&mut self, path: &str) {
        self.folders.claim(&names::folder(path));
    }

    /// Sets the command line of the run, which the page shows.
    pub fn set_command(&mut self, command: String) {
        self.page.command = Some(command);
    }

    /// Writes this image's files and its part of the page. Returns the image's result, with the files' paths
    /// (relative to the output directory, `/` between parts) filled in.
    ///
    /// # Errors
    /// [`ReportError::BadImage`] before anything is written, if arrays and result are inconsistent or contain NaN
    /// or infinity; the writer can continue with the next image. Otherwise [`ReportError::Write`] with file and reason.
    pub fn add(&mut self, mut image: ExplainedImage) -> Result<ImageResult, ReportError> {
        check(&image)?;
        let folder = self.folders.claim(&names::folder(&image.result.path));
        let directory = self.draft.files().join(&folder);
        if directory.exists() {
            // Files of an interrupted run that explained other classes of this image.
            fs::remove_dir_all(&directory).map_err(ReportError::write(&directory))?;
        }
        fs::create_dir_all(&directory).map_err(ReportError::write(&directory))?;

        let scales = MethodScales::of(&image);
        let mut bases = Names::default();
        for i in 0..image.queries.len() {
            let query = &image.result.queries[i];
            let own = query.method.as_ref().map_or_else(String::new, |name| format!(".{name}"));
            let class = names::class(query.class_id, &query.class_name);
            let base = format!("{folder}/{}", bases.claim(&format!("{class}{own}")));
            let MethodScales { scales, sentence, .. } = MethodScales::for_query(&scales, query);
            let about = format!("{}, class {}. {sentence}", image.result.path, query.class_name);
            let arrays = &image.queries[i];
            let overlay = png::rgb(&paint::overlay(&image.photo, &arrays.map, &scales.map), &about)?;
            let alone = png::map(&arrays.map, &scales.map, &about)?;
            let raw = npz::bytes(arrays)?;
            let info = &mut image.result.queries[i].map;
            info.overlay = Some(self.write(format!("{base}.overlay.png"), &overlay)?);
            info.png = Some(self.write(format!("{base}.map.png"), &alone)?);
            info.npz = Some(self.write(format!("{base}.npz"), &raw)?);
        }
        self.page.add(&folder, &image, &scales)?;
        self.images.push(image.result.clone());
        Ok(image.result)
    }

    /// Writes `explain.json` and `report.html`, replaces an earlier result by all files and returns the whole result: `header` with
    /// the images that were added, in order, in place of `header.images`.
    ///
    /// # Errors
    /// As [`Draft::publish`]. What was added can then be kept: [`ReportWriter::keep_if_interrupted`].
    pub fn finish(self, mut header: ExplainResult) -> Result<ExplainResult, ReportError> {
        let directory = self.draft.files();
        self.tidy()?;
        header.images = self.images;
        json::write(&directory.join(JSON_FILE), &header)?;
        self.page.finish(&directory.join(HTML_FILE), &header)?;
        self.draft.publish(&header.model.sha256)?;
        Ok(header)
    }

    /// Removes what an interrupted run made and this one does not use.
    fn tidy(&self) -> Result<(), ReportError> {
        let directory = self.draft.files();
        let maps = self.images.iter().flat_map(|i| &i.queries).map(|q| &q.map);
        let ours: BTreeSet<&String> = maps.flat_map(|m| [&m.npz, &m.png, &m.overlay]).flatten().collect();
        for file in list(&directory).map_err(ReportError::write(&directory))? {
            if !ours.contains(&file) {
                let path = directory.join(file);
                fs::remove_file(&path).map_err(ReportError::write(&path))?;
            }
        }
        Ok(())
    }

    fn write(&self, relative: String, bytes: &[u8]) -> Result<String, ReportError> {
        atomic::write(&self.draft.files().join(&relative), bytes)?;
        Ok(relative)
    }
}

impl MapInfo {
    /// The statistics of a map, without files.
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

/// Checks that arrays and result are consistent, and that every value is finite.
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
