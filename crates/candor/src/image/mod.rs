//! Images: decoding, resizing as Pillow does, preprocessing presets.
