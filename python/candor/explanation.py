"""The results for a photo: a map, a verdict and figures for each class."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _candor
from .errors import LabelError, MapWarning, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

Floats = np.ndarray[Any, np.dtype[np.float32]]


class ClassExplanation:
    """The explanation of one class of one photo.

    Every field of ``queries`` in explain.json is also an attribute: ``rank``, ``score``, ``probability``, ``cost`` and so on.

    Attributes
    ----------
    map : array of float32, H×W on the model's input grid
        Raw values, read-only; all classes of a photo share their scale. 0 means that nothing there supports the class.
    verdict : str
        ``evidence``, ``weak``, ``no-evidence`` or, if the method has no null or the mask lost the class, ``not-judged``.
    evidence : float or None
        Log-odds above the null, at least 0; None for methods without a null.
    log_odds : float
        Log-odds of the class against all others.
    levels : dict of str to array of float32, C×H×W
        The mask of each level by the name of the masked value, finest first; empty for methods without masks.
    warnings : list of str
        What to know before trusting the map.
    """

    def __init__(self, photo: Explanation, number: int, figures: dict[str, Any], evidence: float | None) -> None:
        self._photo = photo
        self._number = number
        self._figures = figures
        self.evidence = evidence
        self.map: Floats = _read_only(photo._native.map(number))
        self._levels: dict[str, Floats] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._figures[name]
        except KeyError:
            there = ", ".join(sorted(self._figures))
            raise AttributeError(f"a result has no {name!r}; its figures are: {there}") from None

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._figures})

    @property
    def class_id(self) -> int:
        """Index of the class."""
        return int(self._figures["class_id"])

    @property
    def class_name(self) -> str:
        """Its label, or ``class N``."""
        return str(self._figures["class_name"])

    @property
    def verdict(self) -> str:
        return str(self._figures["verdict"])

    @property
    def log_odds(self) -> float:
        return float(self._figures["log_odds"])

    @property
    def warnings(self) -> list[str]:
        return list(self._figures["warnings"])

    @property
    def levels(self) -> dict[str, Floats]:
        if self._levels is None:
            found = self._photo._native.levels(self._number)
            self._levels = {name: _read_only(mask) for name, mask in found}
        return self._levels

    @property
    def lambda_path(self) -> list[tuple[float, Floats]]:
        """λ and map of each point of the path, smallest λ first; empty without ``lambda_path=True``."""
        maps = self._photo._native.path(self._number)
        return [(p["lambda"], _read_only(m)) for p, m in zip(self._figures.get("lambda_path", []), maps)]

    def normalised(self) -> Floats:
        """The map divided by the largest magnitude of the photo's scale: 0..1, or -1..1 for signed methods.

        The scale is that of all classes of the photo, so that an empty map stays empty.
        """
        largest, signed, _ = self._photo._native.scale()
        low = -1.0 if signed else 0.0
        scaled: Floats = np.clip(self.map / np.float32(largest), np.float32(low), np.float32(1.0))
        return scaled

    def overlay(self) -> Image:
        """The map over the photo, as a PIL image (needs Pillow)."""
        from PIL import Image

        return Image.fromarray(self._photo._native.overlay(self._number))

    def plot(self, ax: Axes | None = None, *, colorbar: bool = True, title: bool = True) -> Axes:
        """Draw the map over the photo on matplotlib axes, which are created if None; needs no display."""
        from ._plot import plot

        return plot(self, ax, colorbar=colorbar, title=title)

    def to_dict(self) -> dict[str, Any]:
        """The figures as in explain.json."""
        return {"evidence": self.evidence, **self._figures}

    def _repr_png_(self) -> bytes:
        return self._photo._native.overlay_png(self._number)

    def __repr__(self) -> str:
        evidence = "" if self.evidence is None else f", evidence {self.evidence:+.2f}"
        return f"<{self.class_name!r} (class {self.class_id}): {self.verdict}{evidence}, log-odds {self.log_odds:+.2f}>"


class Explanation:
    """The explanations of one photo, by class.

    ``explanation["fish"]``, ``explanation[5]`` (the class's index) and ``explanation["top1"]`` are its results; iteration is in
    the order requested.

    Attributes
    ----------
    path : str
        The photo's path, or its name if it has no path.
    classes : list of ClassExplanation
        In the order requested.
    """

    def __init__(self, native: _candor.PhotoExplanation, count: int) -> None:
        self._native = native
        #: Words for ranks among the model's classes.
        self._words = {"lowest": count, "median": count // 2 + 1}
        self._figures: dict[str, Any] = json.loads(native.figures())
        pairs = zip(self._figures["queries"], native.evidence())
        self.classes = [ClassExplanation(self, i, figures, e) for i, (figures, e) in enumerate(pairs)]

    @property
    def path(self) -> str:
        return str(self._figures["path"])

    @property
    def answers(self) -> list[tuple[str, float]]:
        """Names and probabilities of the five top classes."""
        return [(c["name"], c["probability"]) for c in self._figures["top"]]

    @property
    def preparation(self) -> list[str]:
        """How the photo was prepared for the model, one clause per step."""
        return list(self._figures["preparation"])

    @property
    def photo(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The part of the photo that the model sees, in its own aspect ratio: RGB, H×W×3."""
        found: np.ndarray[Any, np.dtype[np.uint8]] = self._native.photo()
        return found

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[ClassExplanation]:
        return iter(self.classes)

    def __getitem__(self, asked: int | str) -> ClassExplanation:
        """The result for a class, by index or name, or by ``top1`` … ``topN``, ``median`` and ``lowest``, if it was requested."""
        for result in self.classes:
            if isinstance(asked, str):
                names = [name.strip().lower() for name in result.class_name.split(",")]
                word = asked.strip().lower()
                found = word in names or word == result.class_name.lower() or word == f"top{result.rank}"
                found = found or self._words.get(word) == result.rank
            else:
                found = result.class_id == asked
            if found:
                return result
        there = ", ".join(f"{r.class_name!r} ({r.class_id})" for r in self.classes)
        raise LabelError(f"{asked!r} was not explained; these were: {there}")

    def __contains__(self, asked: object) -> bool:
        try:
            return isinstance(asked, (int, str)) and self[asked] is not None
        except LabelError:
            return False

    def save(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the files of the command line: explain.json, report.html, and pictures and NPZ arrays of each class.

        Files that Candor did not write are neither replaced nor removed, unless ``force`` is set.
        """
        Explanations([self]).save(folder, force=force)

    def plot(self, *, colorbar: bool = True) -> Any:
        """Draw all classes side by side; returns matplotlib's figure."""
        from ._plot import side_by_side

        return side_by_side(self, colorbar=colorbar)

    def to_dict(self) -> dict[str, Any]:
        """The whole result as in explain.json: model, preprocessing, engine, method, seed, and the figures of this photo."""
        queries = [result.to_dict() for result in self.classes]
        return {**json.loads(self._native.run()), "images": [{**self._figures, "queries": queries}]}

    def _repr_html_(self) -> str:
        from ._html import html

        return html(self)

    def _repr_png_(self) -> bytes:
        return self.classes[0]._repr_png_()

    def __repr__(self) -> str:
        lines = "\n".join(f"  {result!r}" for result in self.classes)
        return f"<candor.Explanation of {self.path!r}\n{lines}>"

    def _warn(self) -> None:
        for result in self.classes:
            for text in result.warnings:
                warnings.warn(f"{self.path}, {result.class_name}: {text}", MapWarning, stacklevel=3)


class Explanations(list[Explanation]):
    """The explanations of several photos of one run."""

    def save(self, folder: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write one report for all photos: see :meth:`Explanation.save`."""
        if not os.fspath(folder):
            raise UsageError("the folder has no name")
        _candor.PhotoExplanation.save([e._native for e in self], os.fspath(folder), force)

    def to_dict(self) -> dict[str, Any]:
        """The whole result as in explain.json."""
        all_of_them = [e.to_dict() for e in self]
        images = [image for one in all_of_them for image in one["images"]]
        return {**(all_of_them[0] if all_of_them else {}), "images": images}

    def _repr_html_(self) -> str:
        return "\n".join(e._repr_html_() for e in self)


def _read_only(array: Floats) -> Floats:
    array.flags.writeable = False
    return array
