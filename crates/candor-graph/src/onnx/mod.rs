//! Load and save ONNX files; nothing else in the crate knows the file format.

mod attribute;
mod functions;
mod load;
mod read;
mod save;
pub(crate) mod tensor;
pub(crate) mod upgrade;
mod weights;
mod wire;

pub use load::{Loaded, external_files, load, load_beside, load_bytes, load_named, read_file};
pub use save::{
    Notes, WEIGHTS, batch_name, save, save_with, to_bytes, to_bytes_sharing, to_bytes_with, to_parts,
};
pub use weights::Weights;
