//! Errors of image files, each in one line that names the file and says what to do.

use std::path::PathBuf;

/// Why a file is not a photo that can be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file does not exist.
    #[error("{}: no such file; check the path", path.display())]
    NotFound {
        /// The file as given.
        path: PathBuf,
    },
    /// A directory was given.
    #[error("{}: is a directory; give the images in it, for instance {}", path.display(), path.join("*.jpg").display())]
    IsDirectory {
        /// The file as given.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file as given.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error("{}: is empty (0 bytes); copy or download it again", path.display())]
    Empty {
        /// The file as given.
        path: PathBuf,
    },
    /// The content is not that of a known image format.
    #[error("{}: is not an image{hint}; give a JPEG, PNG, WebP, BMP, GIF, TIFF or DICOM", path.display())]
    NotAnImage {
        /// The file as given.
        path: PathBuf,
        /// What it seems to be, as ` but …`, or empty.
        hint: &'static str,
    },
    /// An image format, or a feature of one, that is not supported.
    #[error("{}: {what} is not supported; convert it to PNG or JPEG", path.display())]
    Unsupported {
        /// The file as given.
        path: PathBuf,
        /// The format or the feature.
        what: String,
    },
    /// A frame that the file does not have.
    #[error("{}: there is no frame {frame} in the file; {}", path.display(),
        if *frames == 1 { "it is one picture: give it without a number".to_string() } else { format!("its frames are #1 to #{frames}") })]
    NoFrame {
        /// The file as given, with the number.
        path: PathBuf,
        /// The number.
        frame: u32,
        /// Frames of the file.
        frames: u32,
    },
    /// DICOM, in a build without the feature.
    #[error("{}: is DICOM, which this build does not read; install one that does (`cargo install candor-cli --features dicom`, or `pip install candor-xai`), or convert it to PNG", path.display())]
    WithoutDicom {
        /// The file as given.
        path: PathBuf,
    },
    /// DICOM with an unsupported compression.
    #[error("{}: its samples are compressed as {syntax}, which is not read; unpack them first, for instance with `gdcmconv --raw`", path.display())]
    Compressed {
        /// The file as given.
        path: PathBuf,
        /// The transfer syntax.
        syntax: String,
    },
    /// DICOM without an image: a report, a structure set, a plan.
    #[error("{}: is DICOM without pixel data ({what}); give a file that holds an image", path.display())]
    NoPixelData {
        /// The file as given.
        path: PathBuf,
        /// What it is instead, if it says so.
        what: String,
    },
    /// The file ends before the image data does.
    #[error("{}: the {format} data is truncated after {bytes} bytes; copy or download it again", path.display())]
    Truncated {
        /// The file as given.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
        /// Length of the file.
        bytes: usize,
    },
    /// The content is invalid.
    #[error("{}: the {format} data is damaged ({detail}); copy or export it again", path.display())]
    Damaged {
        /// The file as given.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
        /// The decoder's message.
        detail: String,
    },
    /// More pixels than [`MAX_SIDE`](super::MAX_SIDE) or [`MAX_PIXELS`](super::MAX_PIXELS) allow.
    #[error(
        "{}: {width}x{height} pixels are too many (at most {} a side and {} million in all); make it smaller",
        path.display(), super::MAX_SIDE, super::MAX_PIXELS / 1_000_000
    )]
    TooManyPixels {
        /// The file as given.
        path: PathBuf,
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The decoder would need more memory than the largest allowed picture does.
    #[error("{}: decoding it needs too much memory; make it smaller", path.display())]
    TooMuchMemory {
        /// The file as given.
        path: PathBuf,
    },
    /// More bytes than [`MAX_FILE_BYTES`](super::MAX_FILE_BYTES).
    #[error("{}: is larger than {} MiB; export it with compression", path.display(), super::MAX_FILE_BYTES >> 20)]
    FileTooLarge {
        /// The file as given.
        path: PathBuf,
    },
}
