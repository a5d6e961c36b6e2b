"""Locations of files: the checkout that contains this package, the shared data, and the models of both."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not (ROOT / "Cargo.toml").is_file():
    raise ImportError("candor_tools has to stay in Candor's checkout: install it with `pip install -e tools`")

SCENES = ROOT / "crates/candor-scenes/assets/scenes.onnx"
"""The embedded model."""


def data_directory() -> Path:
    """The shared data: $CANDOR_DATA, or ../shared/data beside the checkout."""
    if "CANDOR_DATA" in os.environ:
        return Path(os.environ["CANDOR_DATA"])
    return ROOT.parent / "shared" / "data"


def model_file(name: str) -> Path:
    """The ONNX file of a model: `scenes` is the embedded one, any other name is one of the shared data."""
    return SCENES if name == SCENES.stem else data_directory() / "models" / f"{name}.onnx"
