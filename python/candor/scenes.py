"""Scenes with exact ground truth for every pixel, and a small classifier of them; part of the package, for examples and tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from . import _candor
from ._load import Recipe, restore
from .model import Model


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture and its objects.

    Attributes
    ----------
    image : array of uint8, size×size×3
    masks : dict of int to array of bool, size×size
        Visible pixels of each class, by its index.
    boxes : dict of int to tuple
        x0, y0, x1, y1 in pixels, x1 and y1 excluded.
    """

    image: np.ndarray[Any, np.dtype[np.uint8]]
    masks: dict[int, np.ndarray[Any, np.dtype[np.bool_]]]
    boxes: dict[int, tuple[int, int, int, int]]


def model(*, engine: str = "auto", threads: int = 0, **keys: Any) -> Model:
    """The classifier of scenes: 12 classes, 3×112×112."""
    return restore(Recipe(None, "scenes.onnx (embedded)", None, keys, (engine, "cpu", None, threads)))


def model_bytes() -> bytes:
    """Its ONNX file."""
    return _candor.demo_model()


def photos() -> dict[str, bytes]:
    """The demo photos as PNG files, by name."""
    return {name: png for name, png, _ in _candor.demo_photos()}


def scene(seed: int, size: int = 112) -> Scene:
    """The scene for a seed, the same on every machine. Seeds below 1,000,000 were not used to train the model."""
    image, objects = _candor.scene(seed, size)
    masks = {number: mask.reshape(size, size) for number, _, mask in objects}
    boxes = {number: (box[0], box[1], box[2], box[3]) for number, box, _ in objects}
    return Scene(image, masks, boxes)
