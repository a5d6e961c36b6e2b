//! Scenes of textured objects with perfect ground truth.
//!
//! A scene is a square picture of 0 to 12 objects of different classes on a textured, cluttered background. Everything
//! about it follows from a seed, so scenes serve as fixtures, as training data of the embedded model
//! ([`embedded`]) and as a benchmark of which every pixel is known. Form tells the classes apart; colours and
//! textures are drawn independently of the class, and clutter shares them.
//!
//! ```
//! use candor::scenes::{CLASSES, Scene, SceneOptions};
//!
//! let scene = Scene::generate(7, &SceneOptions { objects: 2..=2, ..Default::default() });
//! for object in &scene.objects {
//!     println!("{} in {:?}", CLASSES[object.class], object.bbox);
//! }
//! ```

use std::ops::RangeInclusive;

use image::RgbImage;

mod classes;
pub mod dataset;
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

/// Seeds below this are kept out of the embedded model's training.
pub const FIRST_TRAINING_SEED: u64 = 1_000_000;

/// A picture and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// The picture, `size`×`size`.
    pub image: RgbImage,
    /// The objects, each of another class, in the order in which they were drawn.
    pub objects: Vec<SceneObject>,
}

/// One object of a scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneObject {
    /// Index into [`CLASSES`].
    pub class: usize,
    /// The smallest box around the mask, in pixels: x0, y0, x1, y1 with x1 and y1 excluded.
    pub bbox: [u32; 4],
    /// Row-major, one value per pixel of the picture: whether the object is what covers the pixel.
    pub mask: Vec<bool>,
}

/// How scenes are drawn.
///
/// `size` changes the resolution and nothing else: the same seed at another size is the same scene.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    /// Pixels along each side, 16 to 4096. The embedded model's input, 112, is the default.
    pub size: u32,
    /// Least and most objects of a scene, 12 at most; each count is equally likely. 1 to 4 by default; `0..=0` gives
    /// background and clutter only.
    pub objects: RangeInclusive<usize>,
    /// Least and greatest diameter of an object (of the circle around it), as a share of the side; 0.2 to 0.55 by
    /// default. Scenes of many objects use smaller ones, so that they do not cover each other.
    pub scale: RangeInclusive<f32>,
}

impl Default for SceneOptions {
    fn default() -> Self {
        SceneOptions { size: 112, objects: 1..=4, scale: 0.2..=0.55 }
    }
}

/// Options of which no scene can be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SceneError {
    /// The size is too small for anything to be seen, or too large for memory.
    #[error("scene size {0}: choose 16 to 4096 pixels")]
    Size(u32),
    /// An empty range, or more objects than there are classes.
    #[error("{0}..={1} objects in a scene: choose a range within 0..=12")]
    Objects(usize, usize),
    /// An empty range, or objects of no size or larger than the scene.
    #[error("object scale {0}..={1}: choose a range within 0.02..=1")]
    Scale(f32, f32),
}

impl SceneOptions {
    /// Whether scenes can be made with these options.
    ///
    /// # Errors
    /// Names the first option that is out of its range.
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
    /// The scene of a seed: the same bytes on every platform.
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
