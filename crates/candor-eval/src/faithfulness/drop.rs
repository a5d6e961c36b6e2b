//! The model's scores for the image times its map, for the map's region alone, and for the image without that region.

use serde::{Deserialize, Serialize};

use super::substrate::Substrate;
use super::{Case, Ranking, Scores, each};
use crate::error::Result;
use candor::noise::Noise;

/// Scores before and after the image is multiplied by its map (Chattopadhay et al. 2018).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Y: for the image.
    pub whole: f64,
    /// O: for the image times the map divided by its maximum.
    pub explained: f64,
}

impl Confidence {
    /// max(0, Y − O) / Y, 0..1 for probabilities; its mean over images, in percent, is the average drop. `None` unless Y is
    /// positive.
    pub fn drop(&self) -> Option<f64> {
        (self.whole > 0.0).then(|| (self.whole - self.explained).max(0.0) / self.whole)
    }

    /// O > Y: the fraction of images for which this holds is the increase in confidence.
    pub fn increases(&self) -> bool {
        self.explained > self.whole
    }
}

/// The scores for the image, and for the image times the positive part of the map over the map's maximum: where the map is 0
/// the model sees 0, in its own units. Two forward passes. `None`, after none, for a map without a positive value: it has
/// no maximum to divide by.
///
/// # Errors
/// If the model fails.
pub fn confidence(scores: &mut Scores<'_>, case: Case<'_>) -> Result<Option<Confidence>> {
    let most = case.map.max();
    if most <= 0.0 {
        return Ok(None);
    }
    let share = case.map.data.iter().map(|v| v.max(0.0) / most).cycle();
    let explained = case.image.iter().zip(share).map(|(x, m)| x * m).collect();
    let found = each(scores, case.batch, [case.image.to_vec(), explained].into_iter())?;
    Ok(Some(Confidence { whole: found[0], explained: found[1] }))
}

/// Scores for an image with only a region, and without it; the regions of all maps have the same size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// For the image.
    pub whole: f64,
    /// For the region alone; the rest is the substrate.
    pub kept: f64,
    /// For the image without the region.
    pub removed: f64,
    /// The fraction of the region that the map itself determines ([`Ranking::decided`]).
    pub decided: f64,
}

impl Region {
    /// Kept − whole: near 0, or above, if the region suffices.
    pub fn sufficiency(&self) -> f64 {
        self.kept - self.whole
    }

    /// Whole − removed: large if the region is needed.
    pub fn necessity(&self) -> f64 {
        self.whole - self.removed
    }
}

/// The scores for the pixels with the highest map values, a fraction `share` (0..=1) of the image. Three forward passes. `None`, after
/// none, for a constant map: it has no such pixels.
///
/// # Errors
/// If the model fails.
pub fn region(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    substrate: &Substrate,
    share: f64,
) -> Result<Option<Region>> {
    let ranking = Ranking::of(case.map);
    if ranking.uninformative {
        return Ok(None);
    }
    let count = ranking.count(share);
    let top = ranking.top(count);
    let rest: Vec<bool> = top.iter().map(|t| !t).collect();
    let nothing = vec![false; top.len()];
    let image = |removed: &Vec<bool>| substrate.without(case.image, case.grid(), removed);
    let found = each(scores, case.batch, [&nothing, &rest, &top].into_iter().map(image))?;
    Ok(Some(Region { whole: found[0], kept: found[1], removed: found[2], decided: ranking.decided(count) }))
}

/// How much more a map's region matters than other regions of its area and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// How much the score falls without the map's region.
    pub drop: f64,
    /// The same for each random region.
    pub random: Vec<f64>,
    /// The fraction of the region that the map itself determines ([`Ranking::decided`]).
    pub decided: f64,
}

impl Removal {
    /// The drop minus the mean drop of the random regions: above 0 if the map agrees with what the model uses. `None`
    /// without random regions.
    pub fn excess(&self) -> Option<f64> {
        let mean = self.random.iter().sum::<f64>() / self.random.len() as f64;
        (!self.random.is_empty()).then_some(self.drop - mean)
    }
}

/// The drop of the score (log-odds are recommended) when the fraction `share` (0..=1) of pixels with the highest map values is removed,
/// and when each of `count` other regions is. Those are the map's own region shifted at random, wrapped around the edges: they have its
/// area, shape and scatter, and differ only in position. A shifted region may overlap the original one. `count` + 2 forward passes.
/// `None`, after none, for a constant map: it has no region.
///
/// # Errors
/// If the model fails.
pub fn removal(
    scores: &mut Scores<'_>,
    case: Case<'_>,
    substrate: &Substrate,
    share: f64,
    (count, seed): (usize, u64),
) -> Result<Option<Removal>> {
    let ranking = Ranking::of(case.map);
    if ranking.uninformative {
        return Ok(None);
    }
    let pixels = ranking.count(share);
    let top = ranking.top(pixels);
    let mut noise = Noise::new(seed);
    // Never a shift by zero.
    let shifts: Vec<usize> = (0..count).map(|_| 1 + noise.below(top.len() - 1)).collect();
    let image = |removed: &[bool]| substrate.without(case.image, case.grid(), removed);
    let first = [vec![false; top.len()], top.clone()];
    let others = shifts.into_iter().map(|by| shifted(&top, case.map.width, by));
    let found = each(scores, case.batch, first.into_iter().chain(others).map(|r| image(&r)))?;
    let drops: Vec<f64> = found[1..].iter().map(|v| found[0] - v).collect();
    Ok(Some(Removal { drop: drops[0], random: drops[1..].to_vec(), decided: ranking.decided(pixels) }))
}

/// A region moved down by the rows and right by the columns of pixel `by`, wrapped around the edges.
fn shifted(region: &[bool], width: usize, by: usize) -> Vec<bool> {
    let height = region.len() / width;
    let (down, across) = (by / width, by % width);
    let from = |i: usize| {
        let (row, column) = (i / width + height - down, i % width + width - across);
        row % height * width + column % width
    };
    (0..region.len()).map(|i| region[from(i)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::map::Map;

    const IMAGE: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    fn sum(images: &[Vec<f32>]) -> Result<Vec<f64>> {
        Ok(images.iter().map(|i| i.iter().map(|&v| f64::from(v)).sum()).collect())
    }

    fn map(data: [f32; 6]) -> Map {
        Map { height: 2, width: 3, data: data.to_vec() }
    }

    fn case(map: &Map) -> Case<'_> {
        Case { image: &IMAGE, map, batch: 2 }
    }

    #[test]
    fn the_map_is_divided_by_its_maximum_and_negatives_show_nothing() {
        let signed = map([0.0, 1.0, 4.0, 2.0, 0.0, -3.0]);
        let found = confidence(&mut sum, case(&signed)).unwrap().unwrap();
        assert_eq!(found, Confidence { whole: 21.0, explained: 5.5 });
        assert_eq!((found.drop(), found.increases()), (Some(15.5 / 21.0), false));
        let other = Confidence { whole: 0.25, explained: 0.5 };
        assert_eq!((other.drop(), other.increases()), (Some(0.0), true));
        assert_eq!(Confidence { whole: 0.0, explained: 0.5 }.drop(), None);
    }

    #[test]
    fn a_region_is_kept_and_removed() {
        let (top, zero) = (map([0.0, 0.0, 0.0, 0.0, 7.0, 9.0]), Substrate::zero(&IMAGE));
        let found = region(&mut sum, case(&top), &zero, 1.0 / 3.0).unwrap().unwrap();
        assert_eq!(found, Region { whole: 21.0, kept: 11.0, removed: 10.0, decided: 1.0 });
        assert_eq!((found.sufficiency(), found.necessity()), (-10.0, 11.0));
        // The map has two positive pixels; the third is the first of the others.
        let found = region(&mut sum, case(&top), &zero, 0.5).unwrap().unwrap();
        assert_eq!((found.kept, found.decided), (12.0, 2.0 / 3.0));
    }

    #[test]
    fn random_regions_have_the_area_and_are_elsewhere() {
        let top = [true, true, false, false, false, false];
        for by in 1..6 {
            let other = shifted(&top, 3, by);
            assert_eq!(other.iter().filter(|o| **o).count(), 2);
            assert_ne!(other, top, "{by}");
        }
        assert_eq!(shifted(&top, 3, 4), [false, false, false, false, true, true]);
    }

    #[test]
    fn the_right_region_is_worth_more_than_random_ones() {
        let (top, zero) = (map([0.0, 0.0, 0.0, 0.0, 7.0, 9.0]), Substrate::zero(&IMAGE));
        let mut passes = 0;
        let mut counted = |images: &[Vec<f32>]| {
            passes += images.len();
            sum(images)
        };
        let found = removal(&mut counted, case(&top), &zero, 1.0 / 3.0, (20, 5)).unwrap().unwrap();
        assert_eq!((found.drop, found.random.len(), passes), (11.0, 20, 22));
        assert!(found.random.iter().all(|d| *d < 11.0) && found.excess().is_some_and(|e| e > 0.0));
        let wide = Case { batch: 64, ..case(&top) };
        assert_eq!(found, removal(&mut sum, wide, &zero, 1.0 / 3.0, (20, 5)).unwrap().unwrap());
    }

    #[test]
    fn an_empty_map_has_none_of_them() {
        let (empty, zero) = (Map::zeros(2, 3), Substrate::zero(&IMAGE));
        let mut never = |_: &[Vec<f32>]| panic!("asked");
        assert_eq!(confidence(&mut never, case(&empty)).unwrap(), None);
        assert_eq!(region(&mut never, case(&empty), &zero, 0.5).unwrap(), None);
        assert_eq!(removal(&mut never, case(&empty), &zero, 0.5, (3, 0)).unwrap(), None);
    }
}
