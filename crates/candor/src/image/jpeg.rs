//! Reads from a JPEG's segments what its decoder does not report: whether the file is complete (the decoder fills a truncated photo with
//! grey), and how many channels and pixels it has.

/// Start of a scan: entropy-coded data follows its header.
const SOS: u8 = 0xDA;
/// End of image.
const EOI: u8 = 0xD9;

/// Whether the JPEG's segments reach an end-of-image marker.
///
/// Segments are followed one by one, so that the end of a thumbnail inside an EXIF segment does not count. Anything after the end (a
/// second image, a phone's video) is ignored.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2; // past the start-of-image marker
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = match marker {
            EOI => return true,
            0x01 | 0xD0..=0xD8 => after, // markers without content
            _ => match bytes.get(after..after + 2) {
                Some(length) => after + usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        };
        if marker == SOS {
            at = end_of_scan(bytes, at);
        }
    }
    false
}

/// Channels of the frame: 1 for grey, 3 for colour, 4 for CMYK. `None` for a file without a frame.
pub(super) fn channels(bytes: &[u8]) -> Option<u8> {
    frame(bytes)?.get(7).copied()
}

/// Width and height of the frame.
#[cfg(feature = "dicom")]
pub(super) fn size(bytes: &[u8]) -> Option<(u16, u16)> {
    let &[_, _, _, tall, high, wide, broad] = frame(bytes)?.first_chunk()?;
    Some((u16::from_be_bytes([wide, broad]), u16::from_be_bytes([tall, high])))
}

/// The content of the frame header (ITU-T T.81, B.2.2): its length, the bits of a sample, height, width and channels.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 2;
    loop {
        let (marker, after) = next_marker(bytes, at)?;
        let length = usize::from(u16::from_be_bytes([*bytes.get(after)?, *bytes.get(after + 1)?]));
        match marker {
            0xC4 | 0xC8 | 0xCC => at = after + length, // tables, not frames
            0xC0..=0xCF => return bytes.get(after..),
            0x01 | 0xD0..=0xD8 => at = after,
            SOS | EOI => return None,
            _ => at = after + length,
        }
    }
}

/// The marker at or after `at` (damaged files have bytes between segments) and the offset of its content.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        let (&first, &second) = (bytes.get(at)?, bytes.get(at + 1)?);
        if first == 0xFF && second != 0 && second != 0xFF {
            return Some((second, at + 2));
        }
        at += 1;
    }
}

/// Offset of the end of the entropy-coded data from `at` on: the first marker that is neither a stuffed FF 00 nor a
/// restart marker. Beyond the file if there is none.
fn end_of_scan(bytes: &[u8], mut at: usize) -> usize {
    while let Some((marker, after)) = next_marker(bytes, at) {
        if !(0xD0..=0xD7).contains(&marker) {
            return after - 2;
        }
        at = after;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: [u8; 12] = [0xFF, 0xD8, 0xFF, 0xE1, 0, 4, 0xFF, EOI, 0xFF, SOS, 0, 2];

    #[test]
    fn an_end_counts_outside_of_segments_only() {
        assert!(!is_complete(&HEAD));
        let scan = [1, 0xFF, 0, 0xFF, 0xD0, 7, 0xFF, 0xFF];
        assert!(!is_complete(&[&HEAD[..], &scan].concat()));
        assert!(is_complete(&[&HEAD[..], &scan, &[EOI, 1, 2, 3]].concat()));
    }

    #[test]
    fn a_frame_has_its_channels_and_tables_have_none() {
        let frame = |channels: u8| {
            [&HEAD[..8], &[0xFF, 0xC4, 0, 3, 9, 0xFF, 0xC2, 0, 20, 8, 0, 1, 0, 1, channels]].concat()
        };
        assert_eq!((channels(&frame(4)), channels(&frame(1))), (Some(4), Some(1)));
        assert_eq!(channels(&HEAD), None);
        assert!((0..frame(4).len()).all(|n| channels(&frame(4)[..n]).is_none()));
    }

    #[test]
    fn no_prefix_panics_or_is_complete() {
        let whole = [&HEAD[..], &[1, 2, 0xFF, EOI]].concat();
        assert!(is_complete(&whole));
        assert!((0..whole.len()).all(|n| !is_complete(&whole[..n])));
    }
}
