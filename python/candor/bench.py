"""Benchmarks, as ``candor bench`` runs them: localisation, grids, faithfulness, speed.

Each takes a dataset in the formats of the command line: a CSV table, a folder with one folder per class, VOC, COCO, CUB, wsolevaluation,
CIFAR, or what ``candor scenes`` writes. With ``out``, an interrupted run is resumed there when the same call is made again.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._commands import Table, model_arguments, options, out_argument, run, settings, table, there

__all__ = ["BenchResult", "adversarial", "dwsol", "faithfulness", "grid", "speed", "wsol"]


class BenchResult:
    """The result of a benchmark.

    Attributes
    ----------
    document : dict
        The whole result, as in NAME.json.
    samples : Table
        The figures of each sample, as in NAME.csv.
    """

    def __init__(self, document: dict[str, Any], samples: Table) -> None:
        self.document = document
        self.samples = samples

    @property
    def tables(self) -> dict[str, Table]:
        """The tables by title: one row per method; for each figure its mean, the ends of its 95 % interval, and the number of items."""
        return {t["title"]: _figures(t) for t in self.document["tables"]}

    def __repr__(self) -> str:
        return f"<candor.BenchResult of {self.document['benchmark']}: {', '.join(self.tables)}>"


def _figures(found: Mapping[str, Any]) -> Table:
    names = [column["name"] for column in found["columns"]]
    rows = []
    for row in found["rows"]:
        figures: dict[str, Any] = {"method": row["method"]}
        for name, cell in zip(names, row["cells"]):
            interval = (cell or {}).get("interval") or [None, None]
            figures[name] = None if cell is None else cell["mean"]
            figures[f"{name}_low"], figures[f"{name}_high"] = interval
            figures[f"{name}_count"] = 0 if cell is None else cell["count"]
        rows.append(figures)
    return table(rows)


def _run(
    name: str, model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None, keys: dict[str, Any]
) -> BenchResult:
    there(dataset)
    progress, out, values = keys.pop("progress", None), keys.pop("out", None), keys.pop("set", None)
    with model_arguments(model) as chosen, out_argument(out) as folder:
        words = ["bench", name, chosen[0], os.fspath(dataset), *chosen[1:], *settings(values)]
        words += options({"methods": methods, **keys, "out": folder})
        document = run(words, f"bench {name}", progress)
        return BenchResult(document, _samples(Path(folder) / f"{name}.csv"))


def _samples(path: Path) -> Table:
    with open(path, newline="", encoding="utf-8") as file:
        return table([{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)])


def _number(text: str | None) -> Any:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def wsol(
    model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None = None, **options: Any
) -> BenchResult:
    """Localisation: boxes from maps, pointing game, mass inside the box.

    Parameters
    ----------
    model : Model, or what :func:`candor.load` takes
    dataset : path
    methods : sequence of str, optional
        Each ``NAME`` or ``NAME+KEY=VALUE+…``; the others are compared with the first. By default those with at most 200 passes per map.
    **options
        Those of the command line, with ``_`` for ``-``: ``limit``, ``tuning``, ``images``, ``class_map``, ``format``, ``levels``, ``seed``,
        ``no_examples``, ``force``; ``set={"reliable.iterations": 30}``; ``out``, the folder for journal, page and tables; ``progress``.
    """
    return _run("wsol", model, dataset, methods, options)


def dwsol(
    model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None = None, **options: Any
) -> BenchResult:
    """Disturbed localisation: is an absent class found, too? Parameters as for :func:`wsol`."""
    return _run("dwsol", model, dataset, methods, options)


def adversarial(
    model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None = None, **options: Any
) -> BenchResult:
    """Disturbed localisation on attacked photos. Parameters as for :func:`wsol`, and ``attack``."""
    return _run("adversarial", model, dataset, methods, options)


def grid(
    model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None = None, **options: Any
) -> BenchResult:
    """Pictures composed of several photos: does each class's map stay in its own part? Parameters as for :func:`wsol`, and ``grids``."""
    return _run("grid", model, dataset, methods, options)


def faithfulness(
    model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None = None, **options: Any
) -> BenchResult:
    """How the model's output changes when the parts that a map highlights are removed. Parameters as for :func:`wsol`, and ``steps`` and ``area``."""
    return _run("faithfulness", model, dataset, methods, options)


def speed(
    model: Any, methods: Sequence[str] | None = None, *, repeats: int | None = None, progress: Any = None
) -> dict[str, Table]:
    """How fast the model is explained on this machine: ``parts``, single passes, and ``methods``, whole explanations of one class, in seconds."""
    with model_arguments(model) as chosen:
        words = ["bench", "speed", *chosen, *options({"methods": methods, "repeats": repeats})]
        found = run(words, "bench speed", progress)
    parts = [{**part, **part["seconds"]} for part in found["parts"]]
    timed = [{**m, "method": m["method"]["name"], **m["seconds"]} for m in found["methods"]]
    for row in [*parts, *timed]:
        del row["seconds"]
    return {"parts": table(parts), "methods": table(timed)}
