//! Limits on the size of a photo.

/// Maximum pixels per side.
pub const MAX_SIDE: u32 = 16_384;
/// Maximum number of pixels.
pub const MAX_PIXELS: u64 = 160_000_000;
/// Maximum bytes of a file.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
