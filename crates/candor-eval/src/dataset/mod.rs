//! Datasets of photos with annotations: classes, boxes, pixel masks. One reader per format.
//!
//! A reader only lists samples; pictures are decoded when they are needed, so memory does not grow with their number.

mod cifar;
mod class_map;
mod coco;
mod cub;
mod folders;
mod mask;
mod table;
mod voc;
mod wsol_metadata;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use class_map::ClassMap;
pub use mask::Mask;

use candor::file;
use candor::image::{ImageError, Photo, Preprocessing, RgbImage};

/// Errors of datasets, each in one line that names the file.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// A file or folder is missing or cannot be read.
    #[error("{path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A class of the dataset that is not among the model's labels.
    #[error(
        "class '{class}' of {path} is not among the model's labels; map it with --class-map FILE, in which {{\"{class}\": []}} leaves it out"
    )]
    Class {
        /// The class as the dataset names it.
        class: String,
        /// The dataset.
        path: String,
    },
    /// A class of the dataset is mapped to a class that the model does not have.
    #[error(
        "class '{class}' of {path} is the model's class {number}, but the model has 0 to {}; correct it with --class-map FILE, in \
         which {{\"{class}\": []}} leaves it out", classes - 1
    )]
    ClassNumber {
        /// The class as the dataset names it.
        class: String,
        /// The dataset.
        path: String,
        /// The model's class.
        number: usize,
        /// Number of classes of the model.
        classes: usize,
    },
    /// A picture cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl DatasetError {
    fn read(path: &Path, reason: impl ToString) -> Self {
        DatasetError::Read { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// Shorthand for results of this module.
pub type Result<T, E = DatasetError> = std::result::Result<T, E>;

/// An object in a photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its class as the dataset names it.
    pub name: String,
    /// The model's classes that count as it; filled in by [`ClassMap::resolve`] if the dataset does not give them.
    pub classes: Vec<usize>,
    /// `[x0, y0, x1, y1]` in the pixels of the photo, x1 and y1 excluded; `None` if only the class is known.
    pub bbox: Option<[f64; 4]>,
    /// The value of its pixels in the sample's mask.
    pub mask_value: Option<u8>,
}

/// Location of a photo.
#[derive(Clone, Debug, PartialEq)]
enum Picture {
    File(PathBuf),
    /// A record in CIFAR's binary layout.
    Cifar {
        file: PathBuf,
        record: usize,
        labels: usize,
    },
}

/// A photo with its annotations.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name within the dataset.
    pub id: String,
    picture: Picture,
    /// Width and height to which boxes refer, if it is not the photo's size.
    frame: Option<[f64; 2]>,
    /// Its objects.
    pub objects: Vec<Object>,
    /// An image of the photo's size with the value of [`Object::mask_value`] at each object's pixels.
    pub mask: Option<PathBuf>,
}

impl Sample {
    fn file(id: String, path: PathBuf, objects: Vec<Object>) -> Self {
        Sample { id, picture: Picture::File(path), frame: None, objects, mask: None }
    }

    /// The files from which it is read.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let (Picture::File(file) | Picture::Cifar { file, .. }) = &self.picture;
        std::iter::once(file).chain(&self.mask)
    }

    /// The photo as `preprocessing` takes it ([`Preprocessing::read`]).
    ///
    /// # Errors
    /// [`DatasetError::Image`], or [`DatasetError::Read`] for a truncated record.
    pub fn photo(&self, preprocessing: &Preprocessing) -> Result<Photo> {
        match &self.picture {
            Picture::File(path) => Ok(preprocessing.read(path)?.photo),
            Picture::Cifar { file, record, labels } => Ok(cifar::picture(file, *record, *labels)?.into()),
        }
    }

    /// Boxes of the objects that count as a class, `[x0, y0, x1, y1]` as fractions of the photo's width and height, 0..=1.
    pub fn boxes(&self, class: usize, photo: &RgbImage) -> Vec<[f64; 4]> {
        let [w, h] = self.frame.unwrap_or([f64::from(photo.width()), f64::from(photo.height())]);
        let of_class = self.objects.iter().filter(|o| o.classes.contains(&class));
        let share = |[x0, y0, x1, y1]: [f64; 4]| [x0 / w, y0 / h, x1 / w, y1 / h].map(|v| v.clamp(0.0, 1.0));
        of_class.filter_map(|o| o.bbox).map(share).collect()
    }

    /// The pixels of the objects that count as a class; `None` if the sample has no masks.
    ///
    /// # Errors
    /// [`DatasetError::Read`] for a mask that is not an indexed or grey PNG.
    pub fn mask_of(&self, class: usize) -> Result<Option<Mask>> {
        let of_class = self.objects.iter().filter(|o| o.classes.contains(&class));
        let values: Vec<u8> = of_class.filter_map(|o| o.mask_value).collect();
        match &self.mask {
            Some(path) if !values.is_empty() => Ok(Some(mask::read(path, &values)?)),
            _ => Ok(None),
        }
    }

    /// The first of the model's classes that count as an object of the sample.
    pub fn class(&self) -> Option<usize> {
        self.objects.iter().find_map(|o| o.classes.first().copied())
    }

    /// All of the model's classes that count as an object of the sample, in ascending order.
    pub fn classes(&self) -> Vec<usize> {
        let all: std::collections::BTreeSet<usize> =
            self.objects.iter().flat_map(|o| o.classes.iter().copied()).collect();
        all.into_iter().collect()
    }
}

/// A list of samples.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Path from which it was read.
    pub path: PathBuf,
    /// Its samples, in the order of the files.
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// SHA-256 over the samples' names and annotations, not over their pictures.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for s in &self.samples {
            hash.update(format!("{}\n{:?}\n{:?}\n", s.id, s.frame, s.objects));
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Formats of datasets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A CSV table: `file`, a class, and a box or a mask per row.
    Table,
    /// A folder for each class, which contains photos.
    Folders,
    /// A folder of VOC's XML files, as ImageNet's validation boxes and Pascal VOC have them.
    Voc,
    /// COCO's JSON.
    Coco,
    /// The folder of CUB-200-2011.
    Cub,
    /// The metadata folder of `wsolevaluation`.
    WsolMetadata,
    /// CIFAR's binary layout: 3072 bytes of red, green and blue after one label (CIFAR-10) or two (CIFAR-100).
    Cifar,
}

impl Format {
    /// All formats by name.
    pub const ALL: [(&'static str, Format); 7] = [
        ("csv", Format::Table),
        ("folders", Format::Folders),
        ("voc", Format::Voc),
        ("coco", Format::Coco),
        ("cub", Format::Cub),
        ("wsolevaluation", Format::WsolMetadata),
        ("cifar", Format::Cifar),
    ];

    /// Guesses the format of a path.
    fn guess(path: &Path) -> Result<Format> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let has = |name: &str| path.join(name).exists();
        match extension.as_str() {
            _ if path.is_dir() && has("image_class_labels.txt") => Ok(Format::Cub),
            _ if path.is_dir() && has("image_ids.txt") => Ok(Format::WsolMetadata),
            _ if path.is_dir() && (has("Annotations") || voc::is_folder_of_xml(path)) => Ok(Format::Voc),
            _ if path.is_dir() && has("scenes.csv") => Ok(Format::Table),
            _ if path.is_dir() => Ok(Format::Folders),
            "csv" => Ok(Format::Table),
            "json" => Ok(Format::Coco),
            "bin" => Ok(Format::Cifar),
            _ if !path.exists() => Err(DatasetError::read(path, "there is no such file or folder")),
            _ => {
                let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                let reason =
                    format!("not a known form of dataset; name it with --format ({})", names.join(", "));
                Err(DatasetError::read(path, reason))
            }
        }
    }
}

/// Reads the list of a dataset's samples. `format`: recognised from the path if `None`. `images`: the folder of the photos,
/// if they are not beside the list.
///
/// # Errors
/// [`DatasetError::Read`] naming the file and what was expected; also for a dataset without samples.
pub fn open(path: &Path, format: Option<Format>, images: Option<&Path>) -> Result<Dataset> {
    let format = format.map_or_else(|| Format::guess(path), Ok)?;
    let samples = match format {
        Format::Table => table::read(path, images)?,
        Format::Folders => folders::read(path)?,
        Format::Voc => voc::read(path, images)?,
        Format::Coco => coco::read(path, images)?,
        Format::Cub => cub::read(path)?,
        Format::WsolMetadata => wsol_metadata::read(path, images)?,
        Format::Cifar => cifar::read(path)?,
    };
    if samples.is_empty() {
        return Err(DatasetError::read(path, "the dataset has no samples"));
    }
    Ok(Dataset { path: path.to_path_buf(), samples })
}

/// Maximum bytes of a list of samples.
const MOST_BYTES: u64 = 1 << 30;

fn text(path: &Path) -> Result<String> {
    file::read_text(path, MOST_BYTES).map_err(|e| DatasetError::read(path, e))
}

/// Parses each line of `text` (the content of `path`) except empty ones; `expected` describes a valid line in errors.
fn lines<T>(path: &Path, text: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    let wrong = |i: usize| DatasetError::read(path, format!("line {}: expected {expected}", i + 1));
    let full = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    full.map(|(i, line)| parse(line).ok_or_else(|| wrong(i))).collect()
}

/// The path of `name` in the first of the folders that contains it; in the first folder if none does.
fn find_file(name: &str, folders: &[&Path]) -> PathBuf {
    let all = || folders.iter().map(|f| f.join(name));
    all().find(|p| p.is_file()).or_else(|| all().next()).unwrap_or_else(|| PathBuf::from(name))
}
