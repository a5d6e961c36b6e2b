//! Images: decoding, resizing as Pillow does, preprocessing presets.

mod change;
mod decode;
mod error;
mod formula;
mod jpeg;
mod layout;
mod preprocess;
mod preset;
mod region;
mod resize;

pub use ::image::RgbImage;
pub use change::{Change, Decoded};
pub use decode::{
    MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, decode, decode_bytes, decode_bytes_with_changes,
    decode_with_changes,
};
pub use error::ImageError;
pub use layout::Layout;
pub use preprocess::{ColorOrder, Preprocessing, VIEW_SIDE};
pub use preset::{ParsePresetError, Preset};
pub use region::{Region, ResizeMode, Rounding, covering};
pub use resize::{Filter, resize};
