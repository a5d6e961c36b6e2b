//! Changes that decoding makes and users may not expect: the photo becomes upright, opaque, 8-bit RGB, and a single image.

use std::fmt;
use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{AnimationDecoder, ExtendedColorType, ImageFormat};

use super::jpeg;
use super::photo::Photo;

/// A photo, and what was done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The photo.
    pub photo: Photo,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// One change made to an image. `Display` gives it as a clause about the photo.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// One frame of several.
    Frame {
        /// Its number, from 1.
        number: u32,
        /// Number of frames.
        of: u32,
    },
    /// Of several frames only the first is used.
    FirstFrame,
    /// Of several pages only the first is used.
    FirstPage,
    /// Rounded from 16 to 8 bits per sample.
    EightBits,
    /// Samples mapped through a window (contrast window).
    Windowed {
        /// Its centre and width, in sample values.
        window: [f64; 2],
        /// Where it comes from.
        by: Window,
    },
    /// Mapped through a table of grey levels in the file, DICOM's VOI LUT.
    Table,
    /// Inverted, as DICOM's MONOCHROME1 demands.
    Inverted,
    /// Grey, copied to red, green and blue.
    FromGrey,
    /// Converted from CMYK.
    FromCmyk,
    /// Rotated or mirrored according to its EXIF orientation.
    Upright,
    /// Transparent pixels composited over white.
    OnWhite,
}

/// Where a window of the samples comes from, and which function maps samples to grey levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Stated for the model: black is centre − width/2, white is centre + width/2.
    Stated,
    /// The file's own, DICOM's LINEAR: black is centre − width/2, white is centre + width/2 − 1.
    Linear,
    /// The file's own, DICOM's LINEAR_EXACT: as [`Window::Stated`].
    LinearExact,
    /// The file's own, DICOM's SIGMOID.
    Sigmoid,
    /// Neither stated nor in the file: the range of values that the file's samples can have.
    Range,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Change::Frame { number, of } => return write!(f, "frame {number} of {of}"),
            Change::Windowed { window: [centre, width], by } => {
                let black = centre - width / 2.0;
                return match by {
                    Window::Stated => {
                        write!(f, "samples through the stated window of centre {centre}, width {width}")
                    }
                    Window::Linear | Window::LinearExact => {
                        write!(f, "samples through the file's window of centre {centre}, width {width}")
                    }
                    Window::Sigmoid => {
                        write!(
                            f,
                            "samples through the file's sigmoid window of centre {centre}, width {width}"
                        )
                    }
                    Window::Range => write!(
                        f,
                        "samples from {black} to {}, all that the file can hold, as no window is stated",
                        black + width
                    ),
                };
            }
            Change::FirstFrame => "the first frame of an animation",
            Change::FirstPage => "the first of several pages",
            Change::EightBits => "rounded from 16 to 8 bits",
            Change::Table => "samples through the file's table of grey levels",
            Change::Inverted => "inverted, as its samples are black where they are high",
            Change::FromGrey => "grey, copied to red, green and blue",
            Change::FromCmyk => "converted from CMYK",
            Change::Upright => "turned upright as its EXIF says",
            Change::OnWhite => "transparent pixels laid on white",
        };
        f.write_str(words)
    }
}

/// Changes that follow from a file's format, before its pixels are decoded.
pub(super) fn changes(
    format: ImageFormat,
    bytes: &[u8],
    color: ExtendedColorType,
    orientation: Orientation,
) -> Vec<Change> {
    use ExtendedColorType::{Cmyk8, Cmyk16, L1, L2, L4, L8, L16, La1, La2, La4, La8, La16, Rgb16, Rgba16};
    let one = match format {
        ImageFormat::Tiff => has_second_page(bytes).then_some(Change::FirstPage),
        _ => is_animation(format, bytes).then_some(Change::FirstFrame),
    };
    let deep = matches!(color, L16 | La16 | Rgb16 | Rgba16 | Cmyk16).then_some(Change::EightBits);
    let grey =
        matches!(color, L1 | L2 | L4 | L8 | L16 | La1 | La2 | La4 | La8 | La16).then_some(Change::FromGrey);
    // The JPEG decoder converts CMYK without saying so.
    let print = format == ImageFormat::Jpeg && jpeg::channels(bytes) == Some(4);
    let cmyk = (print || matches!(color, Cmyk8 | Cmyk16)).then_some(Change::FromCmyk);
    let turned = (orientation != Orientation::NoTransforms).then_some(Change::Upright);
    [one, deep, grey, cmyk, turned].into_iter().flatten().collect()
}

/// Whether a file has more than one frame. If that cannot be determined, it counts as one.
fn is_animation(format: ImageFormat, bytes: &[u8]) -> bool {
    let reader = || Cursor::new(bytes);
    match format {
        ImageFormat::Gif => GifDecoder::new(reader()).is_ok_and(|d| d.into_frames().nth(1).is_some()),
        ImageFormat::WebP => WebPDecoder::new(reader()).is_ok_and(|d| d.has_animation()),
        ImageFormat::Png => PngDecoder::new(reader()).is_ok_and(|d| d.is_apng().unwrap_or(false)),
        _ => false,
    }
}

/// Whether the first directory of a TIFF file points to a second one (TIFF 6.0, section 2).
fn has_second_page(bytes: &[u8]) -> bool {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, size: usize| -> Option<usize> {
        let mut digits = bytes.get(at..at.checked_add(size)?)?.to_vec();
        if little {
            digits.reverse();
        }
        Some(digits.iter().fold(0, |n, &d| n << 8 | usize::from(d)))
    };
    let next = || {
        let directory = number(4, 4)?;
        let entries = number(directory, 2)?;
        number(directory.checked_add(2 + 12 * entries)?, 4)
    };
    next().is_some_and(|offset| offset != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_page_is_one_that_the_first_points_to() {
        let with_next = |next: u8| {
            let mut file = b"II*\0\x08\0\0\0\x01\0".to_vec();
            file.extend([0; 12]);
            file.extend([next, 0, 0, 0]);
            file
        };
        assert!(!has_second_page(&with_next(0)) && has_second_page(&with_next(90)));
        assert!(!has_second_page(b"II*\0") && !has_second_page(b"MM\0*\xff\xff\xff\xff"));
    }
}
