//! How large a photo may be.

/// Most pixels a side.
pub const MAX_SIDE: u32 = 16_384;
/// Most pixels in all.
pub const MAX_PIXELS: u64 = 160_000_000;
/// Most bytes of a file.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
