//! Boxes and pixel precision against the published code of `wsolevaluation` (tools/goldens/localization.py makes the goldens).
#![allow(clippy::unwrap_used, reason = "a test")]

use candor::map::Map;
use candor_eval::localization::boxes::{Box4, Levels};
use candor_eval::localization::pixels::{BINS, Histogram};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    thresholds: Vec<f64>,
    maps: Vec<GoldenMap>,
    max_box_acc: f64,
    max_box_acc_v2: f64,
    pxap: f64,
    pxap_thresholds: usize,
}

#[derive(Deserialize)]
struct GoldenMap {
    name: String,
    height: usize,
    width: usize,
    data: Vec<f32>,
    boxes: Vec<Box4>,
    mask: Vec<u8>,
    single: Vec<f64>,
    multi: Vec<f64>,
    largest: Vec<Box4>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/localization.json")).unwrap()
}

impl GoldenMap {
    fn map(&self) -> Map {
        Map { height: self.height, width: self.width, data: self.data.clone() }
    }

    /// The level of a threshold as in the published code: a fraction of the largest level.
    fn level(&self, threshold: f64) -> u8 {
        (threshold * f64::from((255.0 * f64::from(self.map().max())) as u8)) as u8
    }
}

#[test]
fn boxes_and_overlaps_are_those_of_the_published_code() {
    let golden = golden();
    let mut compared = 0;
    for m in &golden.maps {
        // The goldens' maps are in 0..=1 and not divided by their maxima.
        let levels = Levels::of(&m.map(), 1.0);
        for (i, &threshold) in golden.thresholds.iter().enumerate() {
            let boxes = levels.boxes(m.level(threshold));
            let what = format!("{} at {threshold}", m.name);
            assert!(
                (boxes.multi(&m.boxes) - m.multi[i]).abs() < 1e-6 || boxes.all.is_empty(),
                "{what}: {} not {}; {:?}",
                boxes.multi(&m.boxes),
                m.multi[i],
                boxes.all
            );
            if boxes.all.is_empty() {
                // Without foreground, the published code gives a box at the corner pixel; here there is no box.
                assert_eq!(m.largest[i], [0, 0, 0, 0], "{what}");
                assert!(m.single[i] < 0.05 && boxes.single(&m.boxes) == 0.0, "{what}");
                continue;
            }
            assert_eq!(boxes.largest(), Some(m.largest[i]), "{what}");
            assert!((boxes.single(&m.boxes) - m.single[i]).abs() < 1e-6, "{what}");
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}

#[test]
fn the_scores_of_all_maps_are_those_of_the_published_code() {
    let golden = golden();
    let hits = |right: f64, multi: bool| -> f64 {
        let at = |threshold: f64| {
            let hit = |m: &&GoldenMap| {
                let boxes = Levels::of(&m.map(), 1.0).boxes(m.level(threshold));
                right <= if multi { boxes.multi(&m.boxes) } else { boxes.single(&m.boxes) }
            };
            golden.maps.iter().filter(hit).count()
        };
        let most = golden.thresholds.iter().map(|&t| at(t)).max().unwrap();
        100.0 * most as f64 / golden.maps.len() as f64
    };
    assert!((hits(0.5, false) - golden.max_box_acc).abs() < 1e-6, "{}", hits(0.5, false));
    let v2 = [0.3, 0.5, 0.7].map(|right| hits(right, true)).iter().sum::<f64>() / 3.0;
    assert!((v2 - golden.max_box_acc_v2).abs() < 1e-6, "{v2}");
}

#[test]
fn pixel_precision_is_that_of_the_published_code() {
    let golden = golden();
    assert_eq!(golden.pxap_thresholds + 1, BINS);
    let mut sum = Histogram::default();
    for m in &golden.maps {
        let mask: Vec<bool> = m.mask.iter().map(|&v| v == 1).collect();
        sum.add(&Histogram::of(&m.map(), &mask, 1.0));
    }
    let found = 100.0 * sum.average_precision().unwrap();
    assert!((found - golden.pxap).abs() < 1e-6, "{found}, not {}", golden.pxap);
}
