//! Data for the HTML templates: results as text, widths and data URIs, so that templates need no logic.
//! Here the view of one image; [`page`] has the page around the images.

mod page;

use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Serialize;

use super::error::ReportError;
use super::figures::{figure, percent, width};
use super::paint::{self, Scale, Scales};
use super::picture::Picture;
use super::result::{ExplainedImage, ExplainedQuery, LevelInfo, QueryResult};
use super::scales::MethodScales;
use super::words;
use candor::explanation::Verdict;
use candor::map::Map;

pub(crate) use page::{PageView, Row};

/// Longer side of a picture in the page, in pixels; the files beside the page have the full resolution.
const SIDE: u32 = 400;
/// Longer side of a map alone in the page, in pixels.
const MAP_SIDE: usize = 112;

/// One image's part of the page.
#[derive(Debug, Serialize)]
pub(crate) struct ImageView {
    number: usize,
    name: String,
    path: String,
    /// The photo on the model's input grid, its size there, and how it was prepared.
    photo: Picture,
    /// The photo in its own aspect ratio, shown under the maps.
    under: Picture,
    size: String,
    preparation: String,
    top: Vec<Top>,
    scales: Vec<Legend>,
    queries: Vec<Query>,
    /// The queries class by class, if there are several methods.
    classes: Vec<OneClass>,
    /// Whether a method has masks, and therefore evidence.
    masks: bool,
    /// Whether some query has masks of levels.
    levels: bool,
    /// Which kinds of queries it has, as words for the page's filter.
    marks: String,
}

/// Results of several methods for one class.
#[derive(Debug, Serialize)]
struct OneClass {
    name: String,
    synonyms: String,
    rank: usize,
    probability: String,
    /// Indices of its queries, from 0.
    queries: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Top {
    id: usize,
    name: String,
    synonyms: String,
    score: String,
    probability: String,
    width: String,
    asked: bool,
}

/// A colour bar with its ticks in raw units.
#[derive(Debug, Serialize)]
struct Legend {
    /// The method, if a run has several; else empty.
    method: String,
    gradient: String,
    from: String,
    middle: String,
    to: String,
    signed: bool,
    sentence: String,
}

#[derive(Debug, Serialize)]
struct Query {
    /// The method, if a run has several; else empty.
    method: String,
    /// Class and method.
    label: String,
    /// Whether its method has masks.
    masks: bool,
    id: usize,
    name: String,
    synonyms: String,
    rank: usize,
    verdict: &'static str,
    overlay: Picture,
    overlay_file: Option<String>,
    map_file: Option<String>,
    npz_file: Option<String>,
    alone: Tile,
    levels: Vec<Tile>,
    /// The maps at other λ, if requested.
    path: Vec<Tile>,
    score: String,
    probability: String,
    log_odds: String,
    null_log_odds: String,
    evidence: String,
    /// What shows the class best, and what fraction of absent classes shows as much; empty for methods that do not evaluate this.
    ground: String,
    p_value: String,
    kept_score: String,
    kept_log_odds: String,
    bars: Option<Bars>,
    min: String,
    max: String,
    mass: String,
    ratio: String,
    forward: u64,
    backward: u64,
    seconds: String,
    warnings: Vec<String>,
}

/// Evidence in the photo and evidence kept by the masks, on a common axis of the image.
#[derive(Debug, Serialize)]
struct Bars {
    evidence: String,
    evidence_width: String,
    kept: String,
    kept_width: String,
    /// Kept ÷ evidence; empty if that has no meaning.
    share: String,
}

/// A map or a level's mean mask on its own grid.
#[derive(Debug, Serialize)]
struct Tile {
    name: String,
    picture: Picture,
    shape: String,
    mass: String,
    gradient: String,
    from: String,
    to: String,
    /// Fewer than 64 values per side: shown as squares.
    coarse: bool,
}

impl ImageView {
    /// The view of the `number`-th image.
    pub(crate) fn new(
        number: usize,
        image: &ExplainedImage,
        scales: &[MethodScales],
    ) -> Result<Self, ReportError> {
        let result = &image.result;
        let photo = display_size(&image.photo);
        let name = result.path.rsplit(['/', '\\']).next().unwrap_or(&result.path).to_owned();
        let top_mass = |of: &QueryResult| {
            let mut own = result.queries.iter().filter(|query| query.method == of.method);
            own.find(|query| query.rank == 1).map(|query| query.map.mass)
        };
        let axis = result
            .queries
            .iter()
            .filter_map(evidence)
            .map(|(there, kept)| there.max(kept))
            // At least 1, so that very little evidence does not fill the axis.
            .fold(1.0, f64::max);
        let queries = result.queries.iter().zip(&image.queries);
        let queries: Vec<Query> = queries
            .map(|(q, a)| {
                let scales = &MethodScales::for_query(scales, q).scales;
                Query::new(q, a, &photo, scales, top_mass(q), axis)
            })
            .collect::<Result<_, _>>()?;
        let top = result.top.iter().map(|class| Top {
            id: class.class_id,
            name: words::short(&class.name).to_owned(),
            synonyms: words::synonyms(&class.name).to_owned(),
            score: figure(class.score),
            probability: percent(class.probability),
            width: width(class.probability, 1.0),
            asked: result.queries.iter().any(|query| query.class_id == class.class_id),
        });
        Ok(ImageView {
            number,
            path: result.path.clone(),
            photo: Picture::jpeg(&display_size(&image.seen), format!("{name}, as the model sees it"))?,
            size: format!("{} × {}", image.seen.width(), image.seen.height()),
            preparation: result.preparation.join("; "),
            top: top.collect(),
            scales: scales.iter().map(Legend::new).collect(),
            classes: if scales.len() > 1 { classes(&queries) } else { vec![] },
            masks: queries.iter().any(|query| query.bars.is_some()),
            levels: queries.iter().any(|query| !query.levels.is_empty()),
            marks: marks(&queries),
            queries,
            under: Picture::jpeg(&photo, String::new())?,
            name,
        })
    }
}

/// Queries by class, in the order of the classes.
fn classes(queries: &[Query]) -> Vec<OneClass> {
    let mut classes: Vec<OneClass> = vec![];
    let mut last = None;
    for (i, query) in queries.iter().enumerate() {
        if last != Some(query.id) {
            classes.push(OneClass {
                name: query.name.clone(),
                synonyms: query.synonyms.clone(),
                rank: query.rank,
                probability: query.probability.clone(),
                queries: vec![],
            });
            last = Some(query.id);
        }
        if let Some(class) = classes.last_mut() {
            class.queries.push(i);
        }
    }
    classes
}

/// Words for the page's filter: the verdicts, and `warned`.
fn marks(queries: &[Query]) -> String {
    let mut marks: Vec<String> = queries.iter().map(|q| q.verdict.replace(' ', "-")).collect();
    marks.extend(queries.iter().filter(|q| !q.warnings.is_empty()).map(|_| "warning".to_string()));
    marks.sort_unstable();
    marks.dedup();
    marks.join(" ")
}

impl Query {
    fn new(
        result: &QueryResult,
        arrays: &ExplainedQuery,
        photo: &RgbImage,
        scales: &Scales,
        top_mass: Option<f64>,
        axis: f64,
    ) -> Result<Self, ReportError> {
        let overlay = paint::overlay(photo, &arrays.map, &scales.map);
        let levels = arrays.levels.iter().zip(&result.levels).zip(&scales.levels);
        let or_none = |value: Option<f64>| value.map_or("–".to_owned(), figure);
        let name = words::short(&result.class_name).to_owned();
        let method = result.method.clone().unwrap_or_default();
        Ok(Query {
            label: if method.is_empty() { name.clone() } else { format!("{name}, {method}") },
            method,
            masks: result.kept.is_some(),
            id: result.class_id,
            name,
            synonyms: words::synonyms(&result.class_name).to_owned(),
            rank: result.rank,
            verdict: result.verdict.words(),
            overlay: Picture::jpeg(&overlay, words::overlay(result, &arrays.map, &scales.map))?,
            overlay_file: result.map.overlay.clone(),
            map_file: result.map.png.clone(),
            npz_file: result.map.npz.clone(),
            alone: Tile::fused("fused map".into(), &arrays.map, result, &scales.map)?,
            path: result
                .lambda_path
                .iter()
                .zip(&arrays.path)
                .map(|(at, map)| Tile::fused(format!("λ {}", figure(at.lambda)), map, result, &scales.map))
                .collect::<Result<_, _>>()?,
            levels: levels
                .map(|((mask, info), scale)| Tile::level(&mask.mean, info, scale))
                .collect::<Result<_, _>>()?,
            score: figure(result.score),
            probability: percent(result.probability),
            log_odds: figure(result.log_odds),
            null_log_odds: or_none(result.null_log_odds),
            evidence: or_none(result.evidence),
            ground: result.judged.map_or_else(String::new, |j| words::ground(&j, result.verdict)),
            p_value: result.judged.map_or("–".to_owned(), |j| words::rate(j.p_value)),
            kept_score: or_none(result.kept.map(|kept| kept.score)),
            kept_log_odds: or_none(result.kept.map(|kept| kept.log_odds)),
            bars: evidence(result).map(|(there, kept)| Bars::new(result.verdict, there, kept, axis)),
            min: figure(result.map.min),
            max: figure(result.map.max),
            mass: figure(result.map.mass),
            ratio: top_mass
                .filter(|&top| top > 0.0)
                .map_or("–".into(), |top| percent(result.map.mass / top)),
            forward: result.cost.forward,
            backward: result.cost.backward,
            seconds: format!("{:.2}", result.cost.seconds),
            warnings: result.warnings.clone(),
        })
    }
}

/// The class's log-odds above the null in the photo, at least 0, and those of the masked photo.
fn evidence(query: &QueryResult) -> Option<(f64, f64)> {
    let (null, kept) = (query.null_log_odds?, query.kept?);
    Some((query.evidence?, kept.log_odds - null))
}

/// A larger quotient only says that it is large: its denominator is small.
const LARGE_SHARE: f64 = 2.0;

impl Bars {
    fn new(verdict: Verdict, there: f64, kept: f64, axis: f64) -> Self {
        let lost = kept <= 0.0 && there > 0.0;
        Bars {
            evidence: figure(there),
            evidence_width: width(there, axis),
            kept: if lost { "none".to_owned() } else { figure(kept.max(0.0)) },
            kept_width: width(kept, axis),
            // With very little evidence every quotient is large, or far below zero.
            share: match kept / there {
                _ if lost || !matches!(verdict, Verdict::Evidence | Verdict::Weak) => String::new(),
                share if share > LARGE_SHARE => format!("more than {}", percent(LARGE_SHARE)),
                share => percent(share),
            },
        }
    }
}

impl Tile {
    fn fused(name: String, map: &Map, result: &QueryResult, scale: &Scale) -> Result<Self, ReportError> {
        let shrink = (MAP_SIDE as f64 / map.height.max(map.width) as f64).min(1.0);
        let side = |n: usize| ((n as f64 * shrink).round() as usize).max(1);
        let small = map.resized(side(map.height), side(map.width));
        let alt = format!("Map alone for {} ({name})", words::short(&result.class_name));
        let shape = format!("{} × {}", map.height, map.width);
        Tile::new(name, Picture::map(&small, scale, alt)?, shape, map.mass(), scale)
    }

    fn level(mean: &Map, info: &LevelInfo, scale: &Scale) -> Result<Self, ReportError> {
        let [channels, height, width] = info.shape;
        let shape = format!("{channels} × {height} × {width}");
        let picture = Picture::map(mean, scale, format!("Mean mask at {}", info.value))?;
        Tile::new(info.value.clone(), picture, shape, info.mass, scale)
    }

    fn new(
        name: String,
        picture: Picture,
        shape: String,
        mass: f64,
        scale: &Scale,
    ) -> Result<Self, ReportError> {
        let (from, _, to) = ticks(scale);
        let palette = scale.palette();
        let gradient = gradient(&palette.iter().step_by(palette.len() / 16).copied().collect::<Vec<_>>());
        let coarse = picture.width.max(picture.height) < 64;
        Ok(Tile { name, shape, mass: figure(mass), gradient, from, to, coarse, picture })
    }
}

impl Legend {
    fn new(of: &MethodScales) -> Self {
        let scale = of.scales.map;
        let (from, middle, to) = ticks(&scale);
        Legend {
            method: of.method.clone().unwrap_or_default(),
            gradient: gradient(&paint::legend(&scale, 25)),
            from,
            middle,
            to,
            signed: scale.signed,
            sentence: of.sentence.clone(),
        }
    }
}

/// First, middle and last value of a scale.
fn ticks(scale: &Scale) -> (String, String, String) {
    let max = f64::from(scale.max);
    let (from, middle) = if scale.signed { (-max, 0.0) } else { (0.0, max / 2.0) };
    (figure(from), figure(middle), figure(max))
}

/// A CSS gradient from left to right.
fn gradient(colors: &[[u8; 3]]) -> String {
    let stops: Vec<String> = colors.iter().map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}")).collect();
    format!("linear-gradient(to right,{})", stops.join(","))
}

/// The photo at the page's size. A tiny one is enlarged by an integer factor, so that its pixels stay visible.
fn display_size(photo: &RgbImage) -> RgbImage {
    let longest = photo.width().max(photo.height());
    if longest > SIDE {
        let side = |n: u32| (n * SIDE).div_ceil(longest).max(1);
        imageops::resize(photo, side(photo.width()), side(photo.height()), FilterType::CatmullRom)
    } else {
        let factor = (SIDE / longest.max(1)).max(1);
        imageops::resize(photo, photo.width() * factor, photo.height() * factor, FilterType::Nearest)
    }
}
