"""Runs commands of the command line inside this process and returns their documents, with columns as arrays."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import _candor
from ._load import Recipe, load
from ._photos import named
from ._progress import watched
from .errors import MissingFile, UsageError
from .model import Model, _word


def run(arguments: Sequence[str], what: str, progress: Any) -> dict[str, Any]:
    """The document of a command; its notes become warnings."""
    with watched(progress, what) as callback:
        text, notes, _ = _candor.document(list(arguments), callback)
    for note in notes:
        warnings.warn(note, stacklevel=3)
    found: dict[str, Any] = json.loads(text)
    return found


@contextlib.contextmanager
def model_arguments(model: Any) -> Iterator[list[str]]:
    """A model as arguments of the command line; a model in memory, or with keys that replace its sidecar's, is written to a temporary folder."""
    if not isinstance(model, Model):
        model = load(model)
    recipe = model._recipe
    if recipe is None:
        raise UsageError("a model that was changed (its weights, its input) has no file that a command could read")
    import tempfile  # slower to import than all the rest

    with tempfile.TemporaryDirectory(prefix="candor-") as folder:
        path, sidecar = _files(model, recipe, Path(folder))
        from ._load import resolved

        _, device, library, threads = resolved(recipe.engine)
        name = model.info["engine"]["name"]  # what "auto" was for the model that is open
        arguments = [path, "--engine", name, "--device", device, "--threads", str(threads)]
        if sidecar is not None:
            arguments += ["--sidecar", sidecar]
        if library is not None and name == "onnxruntime":
            arguments += ["--onnxruntime", library]
        yield arguments


def _files(model: Model, recipe: Recipe, folder: Path) -> tuple[str, str | None]:
    if isinstance(recipe.source, str) and not recipe.keys:
        return recipe.source, recipe.sidecar
    if isinstance(recipe.source, str):
        path = recipe.source
    else:
        name = Path(recipe.name).stem.split(" ")[0] or "model"
        path = str(folder / f"{name}.onnx")
        content = _candor.demo_model() if recipe.source is None else recipe.source
        Path(path).write_bytes(content)
    sidecar = folder / "model.candor.toml"
    sidecar.write_text(model._native.sidecar(), encoding="utf-8")
    return path, str(sidecar)


@contextlib.contextmanager
def photo_arguments(photos: Any) -> Iterator[list[str]]:
    """Photos as paths; photos in memory are written to a temporary folder."""
    if not isinstance(photos, (list, tuple)):
        photos = [photos]
    if not photos:
        raise UsageError("no photo was given")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="candor-") as folder:
        yield [_path(photo, i, Path(folder)) for i, photo in enumerate(photos)]


def _path(photo: Any, number: int, folder: Path) -> str:
    name, content = named(photo, number)
    if isinstance(content, str):
        return content
    file = folder / f"{number:05}.png"
    file.write_bytes(content if isinstance(content, bytes) else _candor.png(content))
    return str(file)


@contextlib.contextmanager
def out_argument(out: str | os.PathLike[str] | None) -> Iterator[str]:
    """The folder of the result; a temporary one if None."""
    if out is not None:
        yield os.fspath(out)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="candor-") as folder:
        yield os.path.join(folder, "out")


def there(path: str | os.PathLike[str]) -> None:
    """Raises if a path that a command reads does not exist."""
    if not os.path.exists(path):
        raise MissingFile(f"{os.fspath(path)}: there is no such file or folder")


def options(values: Mapping[str, Any]) -> list[str]:
    """``--name value`` for each value that is not None; True is a flag, and a list is joined with commas."""
    words: list[str] = []
    for key, value in values.items():
        flag = "--" + key.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, (list, tuple)):
            words += [flag, ",".join(str(v) for v in value)] if value else []
        elif value is not None and value is not False:
            words += [flag, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]
    return words


def settings(values: Mapping[str, Any] | None) -> list[str]:
    """``--set KEY=VALUE`` for each item."""
    pairs = (f"{key}={_word(value)}" for key, value in (values or {}).items())
    return [word for pair in pairs for word in ("--set", pair)]


class Table(dict[str, "np.ndarray[Any, Any]"]):
    """Columns by name, each an array; missing numbers are NaN."""

    def to_pandas(self) -> Any:
        """The table as a ``pandas.DataFrame`` (needs pandas)."""
        import pandas

        return pandas.DataFrame(dict(self))


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as columns."""
    names: list[str] = []
    for row in rows:
        names += [name for name in row if name not in names]
    return Table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    numbers = all(v is None or (isinstance(v, (int, float)) and not isinstance(v, bool)) for v in values)
    if numbers and any(v is not None for v in values):
        if all(isinstance(v, int) for v in values):
            return np.array(values, dtype=np.int64)
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if all(isinstance(v, bool) for v in values):
        return np.array(values, dtype=bool)
    return np.array(values, dtype=object)

