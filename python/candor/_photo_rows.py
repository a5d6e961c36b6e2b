"""Runs in the process of a worker's model: makes rows from the path of a photo."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _candor
from .errors import ImageError, UsageError
from .explanation import ClassExplanation
from .model import Model

#: Figures of a photo and class, by the names in ``candor.batch.COLUMNS``.
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked about each photo."""

    classes: list[str]
    method: str
    levels: list[str]
    seed: int
    probe: bool
    options: dict[str, Any]
    maps: str
    folder: str | None


@dataclasses.dataclass(frozen=True)
class Opening:
    """Everything needed to open the model in another process: a path or a Model; engine, device, library and threads; the question."""

    model: Any
    engine: tuple[str | None, str | None, str | None, int]
    question: Question

    @property
    def name(self) -> str:
        """The model's path, or the name of a model in memory."""
        return self.model.path if isinstance(self.model, Model) else str(self.model)

    def opened(self) -> Model:
        """The opened model."""
        from ._load import load, restore

        engine, device, library, threads = self.engine
        if not isinstance(self.model, Model):
            return load(self.model, engine=engine or "auto", device=device or "cpu", onnxruntime=library, threads=threads)
        recipe = self.model._recipe
        if recipe is None:
            raise UsageError("a model that was changed (its weights, its input) does not go to another process")
        own = recipe.engine if engine is None else (engine, "cpu", None, 0)
        chosen = (own[0], device or own[1], library or own[2], threads)
        return restore(dataclasses.replace(recipe, engine=chosen))


def serve(opening: Opening) -> tuple[Callable[[str], dict[str, Row]], dict[str, Any]]:
    """Opens the model; returns the function that gives a photo's rows by the requested class, and the configuration."""
    warnings.simplefilter("ignore")  # the rows contain them
    model, question = opening.opened(), opening.question
    ranks = [_meant(model, asked) for asked in question.classes]

    def answer(photo: str) -> dict[str, Row]:
        found = model.explain(
            read(photo),
            question.classes,
            question.method,
            levels=question.levels,
            seed=question.seed,
            probe=question.probe,
            **question.options,
        )
        rows: dict[str, Row] = {}
        for asked, (kind, number) in zip(question.classes, ranks):
            result = next(r for r in found if (r.rank if kind == "rank" else r.class_id) == number)
            rows[asked] = {**_figures(result), **_kept(result, photo, question)}
        return rows

    return answer, _configuration(model, question)


def _meant(model: Model, asked: str) -> tuple[str, int]:
    """The kind and the rank or number of a class given in words."""
    rank = re.fullmatch(r"top([0-9]+)", asked)
    if rank and 1 <= int(rank[1]) <= model.classes:
        return "rank", int(rank[1])
    if asked in ("lowest", "median"):
        return "rank", model.classes if asked == "lowest" else model.classes // 2 + 1
    return "id", model.class_id(asked)


def _configuration(model: Model, question: Question) -> dict[str, Any]:
    from .model import chosen

    method = json.loads(model._native.method_info(chosen(question.method, question.options, question.levels, question.seed)))
    info = model.info
    # The number of threads does not change any bit of a map.
    engine = {key: value for key, value in info["engine"].items() if key != "threads"}
    return {
        "candor": _candor.__version__,
        "model": info["model"]["sha256"],
        "head": info["head"],
        "preprocessing": info["preprocessing"],
        "labels": hashlib.sha256("\n".join(model.labels).encode()).hexdigest()[:16],
        "engine": engine,
        "method": method,
        "levels": question.levels,
        "seed": question.seed,
        "classes": question.classes,
        "probe": question.probe,
        "maps": question.maps,
    }


def read(photo: str) -> Any:
    """A photo for :meth:`Model.explain`: a path unchanged, the content of anything else, with its name."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", photo)
    if scheme is None:
        return photo
    if scheme[1].lower() == "file":
        parts = urllib.parse.urlsplit(photo)
        if parts.netloc not in ("", "localhost"):
            raise ImageError(f"{photo}: is on another machine; give a path that is shared")
        return urllib.request.url2pathname(parts.path)
    try:
        import fsspec
    except ImportError:
        raise ImageError(f"{photo}: needs fsspec (pip install fsspec), or give a path") from None
    import io

    try:
        with fsspec.open(photo, "rb") as file:
            content = io.BytesIO(file.read())
    except Exception as error:  # each file system has its own exceptions
        words = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{photo}: cannot be read: {words}") from error
    content.name = photo
    return content


def _figures(result: ClassExplanation) -> Row:
    figures = result.to_dict()
    return {
        "class_id": result.class_id,
        "class_name": result.class_name,
        "rank": figures["rank"],
        "probability": figures["probability"],
        "verdict": result.verdict,
        "evidence": result.evidence,
        "log_odds": result.log_odds,
        "null_log_odds": figures["null_log_odds"],
        "p_value": (figures.get("judged") or {}).get("p_value"),
        "lambda": figures.get("lambda"),
        "kept_log_odds": (figures["kept"] or {}).get("log_odds"),
        "mass": figures["map"]["mass"],
        "forward": figures["cost"]["forward"],
        "backward": figures["cost"]["backward"],
        "seconds": figures["cost"]["seconds"],
        "warnings": "\n".join(result.warnings) or None,
    }


def _kept(result: ClassExplanation, photo: str, question: Question) -> Row:
    """The map in the form in which it is stored."""
    if question.maps == "none":
        return {}
    height, width = result.map.shape
    row: Row = {"map_height": height, "map_width": width}
    if question.maps == "png":
        return {**row, "map": result._repr_png_()}
    if question.folder is not None:
        return {**row, "map_file": _write_npz(result, photo, question.folder)}
    # float16 has 11 significant bits between 2⁻¹⁴ and 2¹⁶; scaling by a power of two brings any map there exactly.
    largest = float(np.abs(result.map).max(initial=0.0))
    scale = 2.0 ** math.ceil(math.log2(largest)) if 0 < largest < math.inf else 1.0
    return {**row, "map": (result.map / np.float32(scale)).astype("<f2").tobytes(), "map_scale": scale}


def _write_npz(result: ClassExplanation, photo: str, folder: str) -> str:
    name = f"{hashlib.blake2b(photo.encode(), digest_size=16).hexdigest()}-{result.class_id}.npz"
    path, hidden = os.path.join(folder, name), os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    masks: dict[str, Any] = {f"level_{i}_mask": mask for i, mask in enumerate(result.levels.values())}
    os.makedirs(folder, exist_ok=True)
    try:
        with open(hidden, "wb") as file:
            np.savez_compressed(file, map=result.map, **masks)
        os.replace(hidden, path)
    except OSError:
        if os.path.exists(hidden):
            os.remove(hidden)
        raise
    return path
