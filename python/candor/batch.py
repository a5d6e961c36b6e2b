"""Many photos: a worker that takes a batch of paths and returns rows, for any framework with workers.

It does not depend on a framework. Ray Data uses it through :mod:`candor.ray`; with multiprocessing, Daft or Spark, make one in each process
and call it.

>>> import candor.batch, candor, pathlib
>>> path = pathlib.Path("photo.png")
>>> _ = path.write_bytes(candor.scenes.photos()["scene1.png"])
>>> worker = candor.batch.Worker(candor.scenes.model(), ["top1", "lowest"], "grad-cam")
>>> rows = worker({"photo": [str(path), "missing.png"]})
>>> list(rows["class"]), [error is None for error in rows["error"]]
(['top1', 'lowest', 'top1', 'lowest'], [True, True, False, False])
>>> candor.batch.map_of(rows, 0).shape
(112, 112)
>>> worker.close()
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ._isolated import Died, Isolated, Late
from ._photo_rows import Opening, Question, Row, serve
from .errors import EngineError, UsageError
from .model import Model

__all__ = ["COLUMNS", "Worker", "map_of"]

#: Columns of the rows and their types: ``str``, ``float`` (NaN if missing), ``int`` (-1 if missing) and ``bytes``; text and bytes
#: may be None. Columns that explain.json has, too, have its names.
COLUMNS: dict[str, type] = {
    "photo": str,  # as given
    "class": str,  # as requested
    "class_id": int,
    "class_name": str,
    "rank": int,
    "probability": float,
    "verdict": str,
    "evidence": float,
    "log_odds": float,
    "null_log_odds": float,
    "p_value": float,
    "lambda": float,
    "kept_log_odds": float,
    "mass": float,
    "forward": float,
    "backward": float,
    "seconds": float,
    "warnings": str,  # one per line
    "map": bytes,
    "map_height": int,
    "map_width": int,
    "map_scale": float,
    "map_file": str,
    "error": str,
    "configuration": str,
}

#: How a map is stored.
MAPS = ("float16", "png", "npz", "none")

class Worker:
    """Explains photos given by paths or URIs; keeps the compiled model between calls.

    The model is in its own process: a photo that crashes it or takes too long becomes a row with an ``error``, as does one that cannot be
    read. Each photo is explained alone, so that its rows depend neither on the rest of a batch nor on the worker.

    Parameters
    ----------
    model : path or Model
        A path is opened where the worker runs.
    classes : int, str or a sequence of them
        As for :meth:`Model.explain`.
    method : str
        A name listed by :func:`candor.methods`.
    engine, device, onnxruntime, threads
        As for :func:`candor.load`; a ``Model`` keeps its own engine if none is given.
    timeout : float
        Maximum seconds for a photo, and for opening the model.
    maps : str
        ``float16`` (:func:`map_of` reads them), ``png`` (the map over the photo), ``npz`` (files in ``folder``: map and masks as float32, named in
        ``map_file``) or ``none``.
    levels, seed, probe, **options
        As for :meth:`Model.explain`.

    Attributes
    ----------
    configuration : dict
        Everything that the rows depend on: Candor's version, the model, its preprocessing and labels, engine, method and every parameter, seed,
        classes, maps.
    key : str
        Its hash, the column ``configuration``.
    """

    def __init__(
        self,
        model: Any,
        classes: int | str | Sequence[int | str] = "top1",
        method: str = "reliable",
        *,
        engine: str | None = None,
        device: str | None = None,
        onnxruntime: str | os.PathLike[str] | None = None,
        threads: int = 1,
        timeout: float = 600.0,
        maps: str = "float16",
        folder: str | os.PathLike[str] | None = None,
        levels: Sequence[str] = (),
        seed: int = 0,
        probe: bool = True,
        **options: Any,
    ) -> None:
        if maps not in MAPS:
            raise UsageError(f"maps is one of {', '.join(MAPS)}, not {maps!r}")
        if (maps == "npz") != (folder is not None):
            raise UsageError("maps='npz' needs folder=, where the files go" if maps == "npz" else "folder= goes with maps='npz'")
        if not timeout > 0:
            raise UsageError(f"timeout is a number of seconds above 0, not {timeout!r}")
        one = isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable)
        asked = list(dict.fromkeys(str(c) for c in ([classes] if one else classes)))  # type: ignore[union-attr]
        if not asked:
            raise UsageError("no class was given; 'top1' is the model's answer")
        library = None if onnxruntime is None else os.fspath(onnxruntime)
        place = None if folder is None else os.fspath(folder)
        self._opening = Opening(
            model_of(model),
            (engine, device, library, threads),
            Question(asked, method, list(levels), seed, probe, options, maps, place),
        )
        self.timeout = float(timeout)
        self._process: Isolated | None = None
        self.configuration: dict[str, Any] = self._opened().first
        self.key = key_of(self.configuration)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Rows of a batch.

        Parameters
        ----------
        batch : mapping
            Its column ``photo`` (or ``path`` or ``uri``) contains paths or URIs; schemes other than ``file://`` need fsspec.

        Returns
        -------
        dict of str to array
            One row per photo and class, in the order given. Columns: ``photo`` and ``class`` as given; ``class_id``, ``class_name``, ``rank``,
            ``probability``, ``verdict``, ``evidence``, ``log_odds``, ``null_log_odds``, ``p_value``, ``lambda``, ``kept_log_odds``, ``mass``,
            ``forward``, ``backward``, ``seconds`` and ``warnings`` as in explain.json; ``map``, ``map_height``, ``map_width``, ``map_scale``,
            ``map_file``; ``error``; ``configuration``. Missing values are NaN, -1 or None; in Parquet, null.
        """
        rows = [row for photo in photos_of(batch) for row in self._rows(photo)]
        return {name: _column(name, [row.get(name) for row in rows]) for name in COLUMNS}

    @property
    def name(self) -> str:
        """The model's path, or the name of a model in memory."""
        return self._opening.name

    def close(self) -> None:
        """Ends the model's process; the next call starts it again."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _rows(self, photo: Any) -> list[Row]:
        found, error = self._explained(photo)
        common = {"photo": str(photo), "configuration": self.key, "error": error}
        asked = self._opening.question.classes
        return [{**(found[c] if found else {}), "class": c, **common} for c in asked]

    def _explained(self, photo: Any) -> tuple[dict[str, Row] | None, str | None]:
        """Rows by the requested class, or why there are none."""
        if not isinstance(photo, str):
            return None, f"a photo is a path or a URI, not {type(photo).__name__}"
        # A process may be killed from outside, for example for lack of memory: that counts as the photo's fault only if it happens twice.
        for attempt in (1, 2):
            try:
                return self._opened().ask(photo, self.timeout), None
            except Late:
                self._process = None
                return None, f"{photo}: took more than {self.timeout:g} s; give timeout= more, or leave it out"
            except Died as died:
                self._process = None
                if attempt == 2:
                    return None, f"{photo}: {died}, twice; leave it out"
            except Exception as error:
                words = str(error) or type(error).__name__
                return None, words if photo in words else f"{photo}: {words}"
        raise AssertionError("two attempts end")

    def _opened(self) -> Isolated:
        if self._process is None:
            try:
                self._process = Isolated(serve, (self._opening,), self.timeout)
            except (Died, Late) as error:
                raise EngineError(f"{self.name}: cannot be opened: {error}") from None
        return self._process


def model_of(model: Any) -> Model | str:
    """A model in the form that workers accept."""
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    if isinstance(model, Model):
        return model
    raise TypeError(f"a worker's model is a path or what candor.load returns, not {type(model).__name__}")


def column_of(columns: Iterable[str]) -> str:
    """The column with the photos."""
    there = list(columns)
    for name in ("photo", "path", "uri"):
        if name in there:
            return name
    raise UsageError(f"no column is called 'photo', 'path' or 'uri'; there are: {', '.join(there)}")


def photos_of(batch: Mapping[str, Any]) -> list[Any]:
    """The paths of a batch."""
    name = column_of(batch)
    column = batch[name]
    if getattr(column, "ndim", 1) != 1:
        raise UsageError(f"column {name!r} holds pixels; give paths or URIs, which are read where they are explained")
    return [str(p) if isinstance(p, (str, os.PathLike)) else p for p in column]


def map_of(rows: Mapping[str, Any], row: int) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    """The map of a row, float32 H×W, with 11 significant bits if it was stored as float16; None if there is none.

    Parameters
    ----------
    rows : mapping
        Columns by name: the result of a worker, or a ``pandas.DataFrame``.
    """
    content = rows["map"][row]
    if content is None:
        return None
    shape = int(rows["map_height"][row]), int(rows["map_width"][row])
    if len(content) != 2 * shape[0] * shape[1]:
        raise UsageError("the row's map is a picture; read it as a PNG file")
    values = np.frombuffer(content, dtype="<f2").astype(np.float32).reshape(shape)
    scaled: np.ndarray[Any, np.dtype[np.float32]] = values * np.float32(rows["map_scale"][row])
    return scaled


def key_of(configuration: Mapping[str, Any]) -> str:
    """The hash of a configuration."""
    text = json.dumps(configuration, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _column(name: str, values: list[Any]) -> np.ndarray[Any, Any]:
    kind = COLUMNS[name]
    if kind is float:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if kind is int:
        return np.array([-1 if v is None else v for v in values], dtype=np.int64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
