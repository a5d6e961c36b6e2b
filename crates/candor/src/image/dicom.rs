//! DICOM (feature `dicom`): grey frames as numbers, mapped through a window, never rounded to 8 bits.
//!
//! stored value → rescale slope and intercept → window (PS3.3, C.11.2.1.2) or table (C.11.2.1.1) → 0..=255; MONOCHROME1 is 255 minus that.

use std::path::Path;

use super::change::Decoded;
use super::error::ImageError;

/// Whether a file begins as DICOM does (PS3.10, 7.1): 128 bytes of anything, then `DICM`.
pub(super) fn announced(head: &[u8]) -> bool {
    head.get(128..132) == Some(b"DICM")
}

/// Decodes a frame of a file's content, counted from 1; the first if none is named. `window` is centre and width, in rescaled samples;
/// `None`: the file's own.
///
/// # Errors
/// In a build without DICOM always; otherwise for missing pixel data, colour, an unsupported transfer syntax, a missing frame, or damage.
pub(super) fn decode(
    bytes: &[u8],
    path: &Path,
    window: Option<[f64; 2]>,
    frame: Option<u32>,
) -> Result<Decoded, ImageError> {
    #[cfg(feature = "dicom")]
    return read::decode(bytes, path, window, frame);
    #[cfg(not(feature = "dicom"))]
    {
        let _ = (bytes, window, frame);
        Err(ImageError::WithoutDicom { path: path.into() })
    }
}

#[cfg(feature = "dicom")]
mod read;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_it_names_the_feature() {
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        assert!(announced(&bytes) && !announced(&bytes[..131]));
        let error = decode(&bytes, "scan.dcm".as_ref(), None, None).unwrap_err().to_string();
        assert!(error.starts_with("scan.dcm: "), "{error}");
        assert_eq!(error.contains("--features dicom"), !cfg!(feature = "dicom"), "{error}");
    }
}
