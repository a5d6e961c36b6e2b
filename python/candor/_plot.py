"""Draws maps with matplotlib, which is imported on first use; needs no display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .explanation import ClassExplanation, Explanation


def plot(result: ClassExplanation, ax: Axes | None, *, colorbar: bool, title: bool) -> Axes:
    """One class over the photo."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots()[1]
    native = result._photo._native
    ax.imshow(native.overlay(result._number))
    ax.set_axis_off()
    if title:
        ax.set_title(f"{result.class_name.split(',')[0]}: {result.verdict}")
    if colorbar:
        figure = ax.figure
        figure.colorbar(_mappable(native.scale()), ax=ax, fraction=0.046, label="map (raw, one scale for all classes)")
    return ax


def side_by_side(explanation: Explanation, *, colorbar: bool) -> Any:
    """All classes of a photo in a row."""
    import matplotlib.pyplot as plt

    count = len(explanation.classes)
    figure, axes = plt.subplots(1, count, figsize=(4 * count, 4), squeeze=False, layout="constrained")
    for i, (ax, result) in enumerate(zip(axes[0], explanation.classes)):
        plot(result, ax, colorbar=colorbar and i == count - 1, title=True)
    return figure


def _mappable(scale: tuple[float, bool, list[tuple[int, int, int]]]) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    largest, signed, palette = scale
    colors = ListedColormap(np.asarray(palette, dtype=float) / 255)
    return ScalarMappable(Normalize(-largest if signed else 0.0, largest), colors)
