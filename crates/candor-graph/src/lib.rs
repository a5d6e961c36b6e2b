//! Load, rewrite and differentiate ONNX graphs.
