//! Images: decoding, resizing as Pillow does, preprocessing presets.

mod change;
mod decode;
mod dicom;
mod error;
mod formula;
mod jpeg;
mod layout;
mod limits;
mod photo;
mod planes;
mod preprocess;
mod preset;
mod region;
mod resize;

pub use ::image::RgbImage;
pub use change::{Change, Decoded, Window};
pub use decode::{decode, decode_bytes, decode_bytes_with_changes, decode_with_changes};
pub use error::ImageError;
pub use layout::Layout;
pub use limits::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};
pub use photo::{Photo, Picture, Samples, frame_of};
pub use planes::{picture_of, planes};
pub use preprocess::{ColorOrder, Preprocessing, VIEW_SIDE};
pub use preset::{ParsePresetError, Preset};
pub use region::{Region, ResizeMode, Rounding, covering};
pub use resize::{Filter, resize};
