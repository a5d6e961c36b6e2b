//! Colours for maps: one common scale for all queries of an image, and the two pictures drawn with it.
//!
//! Colours: a map that is never negative is painted in `INFERNO`. Its lightness rises evenly from black (0, nothing)
//! to pale yellow, so that it can be read with any colour vision and in print, and an empty map is plainly black.
//! (`VIRIDIS` and `CIVIDIS` start at a visible blue, which makes nothing look like something; `MAGMA` ends so pale
//! that a peak is lost on a bright photo.) A signed map is painted in orange (for the class) and purple (against it)
//! around a pale zero, the diverging pair that is safest for colour-blind readers.

use image::{Rgb, RgbImage};

use super::result::ExplainedImage;
use candor::explanation::Verdict;
use candor::map::Map;

/// Maps values to colours for one image, with the same scale for every class.
///
/// Dividing each map by its own maximum would scale a nearly empty map up to full range and hide that it is empty,
/// so a scale cannot be made from one query alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The raw magnitude that gets the last colour; larger ones get it, too. Above 0.
    pub max: f32,
    /// Whether the scale runs from −max to max (some map has negative values) or from 0 to max.
    pub signed: bool,
    /// Where `max` comes from.
    pub source: ScaleSource,
}

/// How a scale's maximum was determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleSource {
    /// The map of the model's answer (rank 1).
    TopClass,
    /// The largest value that a mask can have, 1: there is no rank-1 map, or it is empty.
    MaskRange,
    /// The largest magnitude of all maps of the image: there is no rank-1 map, or it is empty, and the method has no natural range.
    AllQueries,
}

impl Scale {
    /// The common scale of `maps`, all of one image: up to the largest magnitude of `top`, the map of the model's
    /// answer. If that is missing or empty: up to 1 for masks (`mask`), else up to the largest magnitude of all maps.
    pub fn common(maps: &[&Map], top: Option<&Map>, mask: bool) -> Scale {
        let magnitude = |map: &Map| map.min().abs().max(map.max().abs());
        let signed = maps.iter().any(|map| map.min() < 0.0);
        match top.map(magnitude) {
            Some(max) if max > 0.0 => Scale { max, signed, source: ScaleSource::TopClass },
            _ if mask => Scale { max: 1.0, signed, source: ScaleSource::MaskRange },
            _ => {
                let max = maps.iter().map(|map| magnitude(map)).fold(0.0, f32::max);
                let max = if max > 0.0 { max } else { 1.0 };
                Scale { max, signed, source: ScaleSource::AllQueries }
            }
        }
    }

    /// Position of `value` on the scale: 0..=1, or −1..=1 if signed.
    pub fn position(&self, value: f32) -> f32 {
        (value / self.max).clamp(if self.signed { -1.0 } else { 0.0 }, 1.0)
    }

    /// Index of the colour of `value` in [`Scale::palette`].
    pub fn index(&self, value: f32) -> u8 {
        let position = self.position(value);
        // 255 colours for a signed scale, so that 0 has its own.
        if self.signed { (127.0 + 127.0 * position).round() as u8 } else { (255.0 * position).round() as u8 }
    }

    /// The scale's colours, smallest value first.
    pub fn palette(&self) -> Vec<[u8; 3]> {
        if self.signed {
            // The outermost tenths are too dark to tell purple from brown.
            (0..255)
                .map(|i| colorous::PURPLE_ORANGE.eval_continuous(0.1 + 0.8 * f64::from(i) / 254.0).as_array())
                .collect()
        } else {
            (0..256).map(|i| colorous::INFERNO.eval_rational(i, 256).as_array()).collect()
        }
    }
}

/// The scales of one image: one for its maps, and one for each level of its masks.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    /// For the fused maps of all queries.
    pub map: Scale,
    /// For the channel means of each level's masks, finest first, again one for all queries.
    pub levels: Vec<Scale>,
}

impl Scales {
    /// The scales of an image from the maps and masks of its rank-1 query: see [`Scale::common`]. A rank-1 query
    /// without evidence sets no scale, since its map is practically empty.
    pub fn of(image: &ExplainedImage) -> Scales {
        Scales::of_method(image, None)
    }

    /// The scales of one of several methods for an image; `method` is `None` if there is only one.
    pub fn of_method(image: &ExplainedImage, method: Option<&str>) -> Scales {
        let all = image.result.queries.iter().zip(&image.queries);
        let own: Vec<_> = all.filter(|(query, _)| query.method.as_deref() == method).collect();
        let queries = || own.iter().copied();
        let mask = queries().any(|(query, _)| query.kept.is_some());
        let top = queries()
            .find(|(result, _)| {
                result.rank == 1 && !matches!(result.verdict, Verdict::NoEvidence | Verdict::Weak)
            })
            .map(|(_, arrays)| arrays);
        let depth = queries().map(|(_, query)| query.levels.len()).max().unwrap_or(0);
        let maps: Vec<&Map> = queries().map(|(_, query)| &query.map).collect();
        let level = |i: usize| {
            let means: Vec<&Map> = queries().filter_map(|(_, q)| q.levels.get(i)).map(|l| &l.mean).collect();
            Scale::common(&means, top.and_then(|q| q.levels.get(i)).map(|l| &l.mean), mask)
        };
        Scales {
            map: Scale::common(&maps, top.map(|query| &query.map), mask),
            levels: (0..depth).map(level).collect(),
        }
    }
}

/// The map alone, one palette index per pixel, row-major, on the map's own grid.
pub fn indices(map: &Map, scale: &Scale) -> Vec<u8> {
    map.data.iter().map(|&value| scale.index(value)).collect()
}

/// The map over the photo. The photo is shown in grey, so that all colour is the map's; opacity grows with magnitude and is 0
/// at 0, so that an empty map leaves a grey photo. A thin line marks where the map crosses half of the scale.
pub fn overlay(photo: &RgbImage, map: &Map, scale: &Scale) -> RgbImage {
    let (width, height) = photo.dimensions();
    let palette = scale.palette();
    let map = map.resized(height as usize, width as usize);
    // On a thumbnail a line would cover what it encloses.
    let line = if width.min(height) >= 96 { (width.min(height) as f32 / 300.0).max(1.2) } else { 0.0 };
    RgbImage::from_fn(width, height, |x, y| {
        let value = map.data[y as usize * width as usize + x as usize];
        let grey = backdrop(photo.get_pixel(x, y), scale.signed);
        let color = palette[usize::from(scale.index(value))];
        let painted = blend(grey, color.map(f32::from), opacity(scale.position(value)));
        Rgb(outlined(painted, distance_to_half(&map, x as usize, y as usize, scale), line)
            .map(|v| v.round() as u8))
    })
}

/// The colours of a legend: those of the overlay on a mid-grey photo, in `steps` steps from the scale's smallest value to its
/// largest.
pub fn legend(scale: &Scale, steps: usize) -> Vec<[u8; 3]> {
    let (palette, grey) = (scale.palette(), backdrop(&Rgb([128; 3]), scale.signed));
    (0..steps)
        .map(|i| {
            let t = i as f32 / (steps.max(2) - 1) as f32;
            let value = scale.max * if scale.signed { 2.0 * t - 1.0 } else { t };
            let color = palette[usize::from(scale.index(value))].map(f32::from);
            blend(grey, color, opacity(scale.position(value))).map(|v| v.round() as u8)
        })
        .collect()
}

/// Opacity of the colour over the photo at `position` of a scale: 0 at 0, and rising fast, so that the colours of the
/// overlay are those of the legend.
pub fn opacity(position: f32) -> f32 {
    let absent = 1.0 - position.abs();
    0.8 * (1.0 - absent * absent * absent)
}

/// Grey value of a photo's pixel under the overlay: dimmed under bright colours, lifted under the dark ends of a signed scale.
fn backdrop(pixel: &Rgb<u8>, signed: bool) -> [f32; 3] {
    let [r, g, b] = pixel.0.map(f32::from);
    let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [if signed { 70.0 + 0.7 * luma } else { 24.0 + 0.68 * luma }; 3]
}

/// Approximate distance in pixels to the nearer line |value| = max/2: the difference in value divided by its slope.
fn distance_to_half(map: &Map, x: usize, y: usize, scale: &Scale) -> f32 {
    let at = |x: usize, y: usize| map.data[y * map.width + x];
    let (left, right) = (x.saturating_sub(1), (x + 1).min(map.width - 1));
    let (above, below) = (y.saturating_sub(1), (y + 1).min(map.height - 1));
    let dx = (at(right, y) - at(left, y)) / (right - left).max(1) as f32;
    let dy = (at(x, below) - at(x, above)) / (below - above).max(1) as f32;
    let (value, half) = (at(x, y), scale.max / 2.0);
    let difference = if scale.signed { value.abs() - half } else { value - half };
    difference.abs() / dx.hypot(dy).max(f32::MIN_POSITIVE)
}

/// Draws a white line of width `line` with a dark rim (readable on light and dark) at `distance` 0.
fn outlined(color: [f32; 3], distance: f32, line: f32) -> [f32; 3] {
    if line == 0.0 {
        return color;
    }
    let cover = |half_width: f32| (half_width + 0.5 - distance).clamp(0.0, 1.0);
    let rimmed = blend(color, [0.0; 3], 0.45 * cover(line / 2.0 + 1.0));
    blend(rimmed, [255.0; 3], 0.95 * cover(line / 2.0))
}

fn blend(under: [f32; 3], over: [f32; 3], opacity: f32) -> [f32; 3] {
    std::array::from_fn(|i| under[i] + opacity * (over[i] - under[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(data: &[f32]) -> Map {
        Map { height: 1, width: data.len(), data: data.to_vec() }
    }

    fn luminance(color: [u8; 3]) -> f64 {
        let linear = color.map(|v| (f64::from(v) / 255.0).powf(2.2));
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn the_scale_is_the_top_class_map_for_every_query() {
        let (top, faint, strong) = (map(&[0.0, 0.8]), map(&[0.0, 0.01]), map(&[2.0, 0.0]));
        let scale = Scale::common(&[&top, &faint, &strong], Some(&top), true);
        assert_eq!(scale, Scale { max: 0.8, signed: false, source: ScaleSource::TopClass });
        assert!(scale.index(0.01) < 5, "a nearly empty map must look empty");
        assert_eq!(scale.index(2.0), 255, "values beyond the scale get the last colour");
    }

    #[test]
    fn without_a_top_class_map_a_mask_is_painted_on_its_range() {
        let (faint, empty) = (map(&[0.0, 0.01]), map(&[0.0, 0.0]));
        for top in [None, Some(&empty)] {
            let scale = Scale::common(&[&faint], top, true);
            assert_eq!((scale.max, scale.source), (1.0, ScaleSource::MaskRange));
            let scale = Scale::common(&[&faint], top, false);
            assert_eq!((scale.max, scale.source), (0.01, ScaleSource::AllQueries));
        }
        assert_eq!(Scale::common(&[&empty], None, false).max, 1.0);
    }

    #[test]
    fn a_signed_scale_is_symmetric_and_zero_has_its_own_colour() {
        let m = map(&[-3.0, 1.0]);
        let scale = Scale::common(&[&m], Some(&m), false);
        assert_eq!((scale.max, scale.signed), (3.0, true));
        assert_eq!([-3.0, 0.0, 3.0].map(|v| scale.index(v)), [0, 127, 254]);
        let palette = scale.palette();
        assert!(palette[254][0] > palette[254][2], "for the class: orange");
        assert!(palette[0][2] > palette[0][0], "against it: purple");
    }

    #[test]
    fn lightness_rises_all_along_the_palette() {
        let m = map(&[1.0]);
        let palette = Scale::common(&[&m], Some(&m), true).palette();
        assert_eq!(palette.len(), 256);
        assert!(palette.windows(2).all(|w| luminance(w[1]) >= luminance(w[0]) - 2e-3));
        assert!(luminance(palette[0]) < 1e-3);
    }

    #[test]
    fn an_empty_map_leaves_a_grey_photo() {
        let photo = RgbImage::from_fn(120, 100, |x, y| Rgb([x as u8, y as u8, 200]));
        let empty = Map::zeros(7, 7);
        let scale = Scale::common(&[&empty], Some(&empty), true);
        assert!(overlay(&photo, &empty, &scale).pixels().all(|p| p[0] == p[1] && p[1] == p[2]));
    }

    #[test]
    fn the_line_is_at_half_of_the_scale() {
        let ramp = Map { height: 2, width: 101, data: (0..202).map(|i| (i % 101) as f32 / 100.0).collect() };
        let scale = Scale::common(&[&ramp], Some(&ramp), true);
        let grid = ramp.resized(100, 101);
        assert!(distance_to_half(&grid, 50, 50, &scale) < 0.01);
        assert!((distance_to_half(&grid, 60, 50, &scale) - 10.0).abs() < 0.01);
        let photo = RgbImage::from_pixel(101, 100, Rgb([0, 0, 0]));
        let painted = overlay(&photo, &ramp, &scale);
        assert!(painted.get_pixel(50, 50).0.iter().all(|&v| v > 180));
        assert!(painted.get_pixel(20, 50).0[1] < 60);
    }
}
