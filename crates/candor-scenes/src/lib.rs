//! Scenes of textured objects with exact ground truth.
//!
//! A scene is a square picture of 0 to 12 objects of different classes on a textured, cluttered background. It is fully
//! determined by a seed, so that scenes serve as fixtures, as training data of the embedded model
//! ([`embedded`]) and as a benchmark with known ground truth for every pixel. Classes differ in form; colours and
//! textures are drawn independently of the class, and clutter has the same ones.
#![deny(missing_docs)]

/// The examples of README.md, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use std::ops::RangeInclusive;

use image::RgbImage;

mod classes;
pub mod dataset;
pub mod embedded;
mod generate;
mod random;
mod render;
mod shapes;
mod texture;

/// Names of the classes; the position is the class index.
pub const CLASSES: [&str; 12] = {
    let mut names = [""; 12];
    let mut i = 0;
    while i < names.len() {
        names[i] = classes::TABLE[i].name;
        i += 1;
    }
    names
};

/// Smaller seeds are not used for the embedded model's training.
pub const FIRST_TRAINING_SEED: u64 = 1_000_000;

/// A picture and its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The picture, `size`×`size`.
    pub image: RgbImage,
    /// The objects, each of a different class, in the order in which they were drawn.
    pub objects: Vec<SceneObject>,
}

/// One object of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneObject {
    /// Index into [`CLASSES`].
    pub class: usize,
    /// The smallest box around the mask, in pixels: x0, y0, x1, y1 with x1 and y1 excluded.
    pub bbox: [u32; 4],
    /// Row-major, one value per pixel of the picture: whether the object is visible at the pixel.
    pub mask: Vec<bool>,
}

/// How scenes are drawn.
///
/// `size` changes only the resolution: the same seed at another size gives the same scene.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    /// Height and width in pixels, 16 to 4096. The embedded model's input, 112, is the default.
    pub size: u32,
    /// Minimum and maximum number of objects of a scene, at most 12; each number is equally likely. 1 to 4 by default; `0..=0` gives
    /// background and clutter only.
    pub objects: RangeInclusive<usize>,
    /// Minimum and maximum diameter of an object (of the circle around it), as a fraction of the side; 0.2 to 0.55 by
    /// default. Scenes with many objects use smaller ones, so that they do not cover each other.
    pub scale: RangeInclusive<f32>,
}

impl Default for SceneOptions {
    fn default() -> Self {
        SceneOptions { size: 112, objects: 1..=4, scale: 0.2..=0.55 }
    }
}

/// Invalid options.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SceneError {
    /// The size is below 16, where nothing can be recognised, or above 4096, for the sake of memory.
    #[error("scene size {0}: choose 16 to 4096 pixels")]
    Size(u32),
    /// An empty range, or more objects than there are classes.
    #[error("{0}..={1} objects in a scene: choose a range within 0..=12")]
    Objects(usize, usize),
    /// An empty range, or objects without size or larger than the scene.
    #[error("object scale {0}..={1}: choose a range within 0.02..=1")]
    Scale(f32, f32),
}

impl SceneOptions {
    /// Checks whether scenes can be made with these options.
    ///
    /// # Errors
    /// Names the first option that is out of range.
    pub fn check(&self) -> Result<(), SceneError> {
        let (fewest, most) = (*self.objects.start(), *self.objects.end());
        let (small, large) = (*self.scale.start(), *self.scale.end());
        if !(16..=4096).contains(&self.size) {
            Err(SceneError::Size(self.size))
        } else if fewest > most || most > CLASSES.len() {
            Err(SceneError::Objects(fewest, most))
        } else if !(0.02 <= small && small <= large && large <= 1.0) {
            Err(SceneError::Scale(small, large))
        } else {
            Ok(())
        }
    }
}

impl Scene {
    /// The scene for a seed: the same bytes on every platform.
    ///
    /// # Panics
    /// If [`SceneOptions::check`] fails.
    pub fn generate(seed: u64, options: &SceneOptions) -> Scene {
        if let Err(error) = options.check() {
            panic!("{error}");
        }
        let (image, objects) = render::render(&generate::Composition::draw(seed, options), options.size);
        Scene { image, objects }
    }

    /// The classes of the objects, ascending.
    pub fn classes(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = self.objects.iter().map(|object| object.class).collect();
        classes.sort_unstable();
        classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(size: u32, objects: RangeInclusive<usize>) -> SceneOptions {
        SceneOptions { size, objects, ..Default::default() }
    }

    /// FNV-1a of all bytes of the pictures and masks.
    fn fingerprint(scenes: impl Iterator<Item = Scene>) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        for scene in scenes {
            scene.image.as_raw().iter().for_each(|&byte| add(byte));
            for object in &scene.objects {
                add(object.class as u8);
                object.mask.iter().for_each(|&inside| add(u8::from(inside)));
            }
        }
        hash
    }

    #[test]
    fn the_bytes_of_a_seed_are_pinned() {
        let scenes = (0..24).map(|seed| Scene::generate(seed, &options(64, 0..=4)));
        assert_eq!(fingerprint(scenes), 6_122_467_062_948_101_085);
    }

    #[test]
    fn boxes_are_the_bounds_of_masks_and_masks_do_not_overlap() {
        for seed in 0..40 {
            let scene = Scene::generate(seed, &options(96, 1..=4));
            let mut covered = vec![0; 96 * 96];
            for object in &scene.objects {
                let [x0, y0, x1, y1] = object.bbox.map(|v| v as usize);
                let inside: Vec<(usize, usize)> =
                    (0..96 * 96).filter(|&i| object.mask[i]).map(|i| (i % 96, i / 96)).collect();
                assert!(inside.len() > 60, "seed {seed}: {} pixels", inside.len());
                assert_eq!(inside.iter().map(|p| p.0).min(), Some(x0));
                assert_eq!(inside.iter().map(|p| p.1).min(), Some(y0));
                assert_eq!(inside.iter().map(|p| p.0 + 1).max(), Some(x1));
                assert_eq!(inside.iter().map(|p| p.1 + 1).max(), Some(y1));
                inside.iter().for_each(|(x, y)| covered[y * 96 + x] += 1);
            }
            assert!(covered.into_iter().all(|n| n <= 1), "seed {seed}");
        }
    }

    #[test]
    fn size_changes_only_the_resolution() {
        for seed in 0..10 {
            let small = Scene::generate(seed, &options(80, 1..=4));
            let large = Scene::generate(seed, &options(240, 1..=4));
            assert_eq!(small.classes(), large.classes());
            for (s, l) in small.objects.iter().zip(&large.objects) {
                for (a, b) in s.bbox.iter().zip(l.bbox) {
                    assert!(
                        (*a as f32 * 3.0 - b as f32).abs() <= 6.0,
                        "seed {seed}: {:?} {:?}",
                        s.bbox,
                        l.bbox
                    );
                }
            }
        }
    }

    #[test]
    fn a_scene_may_be_empty_or_show_every_class() {
        assert!(Scene::generate(1, &options(64, 0..=0)).objects.is_empty());
        let full = Scene::generate(1, &options(128, 12..=12));
        assert_eq!(full.classes(), (0..12).collect::<Vec<usize>>());
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn options_out_of_range_are_named() {
        assert_eq!(options(8, 1..=1).check(), Err(SceneError::Size(8)));
        assert_eq!(options(64, 1..=13).check(), Err(SceneError::Objects(1, 13)));
        assert_eq!(options(64, 3..=2).check(), Err(SceneError::Objects(3, 2)));
        let scaled = |scale| SceneOptions { scale, ..Default::default() }.check();
        assert_eq!(scaled(0.5..=0.2), Err(SceneError::Scale(0.5, 0.2)));
        assert!(scaled(f32::NAN..=0.5).is_err());
        assert_eq!(scaled(0.1..=1.0), Ok(()));
    }
}
