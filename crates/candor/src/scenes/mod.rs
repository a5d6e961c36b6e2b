//! Scenes of textured objects with perfect ground truth.
