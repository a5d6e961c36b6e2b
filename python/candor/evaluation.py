"""Evaluates methods: are their maps empty for absent classes?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ._commands import Table, model_arguments, options, out_argument, photo_arguments, run, settings, table


class CheckResult:
    """The result of :func:`check`.

    Attributes
    ----------
    document : dict
        The whole result, as in check.json.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    @property
    def table(self) -> Table:
        """One row per method: whether it passed, why not, and its figures."""
        return table([_row(m) for m in self.document["methods"]])

    @property
    def rows(self) -> Table:
        """One row per map: image, kind of class, and its figures compared with the map of the answer."""
        all_rows = ({"method": m["method"]["name"], **row} for m in self.document["methods"] for row in m["rows"])
        return table(list(all_rows))

    @property
    def passed(self) -> dict[str, bool]:
        """Whether each method passed, by its name."""
        return {m["method"]["name"]: bool(m["passed"]) for m in self.document["methods"]}

    def __repr__(self) -> str:
        words = ", ".join(f"{name} {'passed' if passed else 'failed'}" for name, passed in self.passed.items())
        return f"<candor.CheckResult of {self.document['images']} photos: {words}>"


def _row(method: Mapping[str, Any]) -> dict[str, Any]:
    row = {"method": method["method"]["name"], "passed": method["passed"], "reasons": "; ".join(method["reasons"])}
    row["auroc_mass"] = method["existence_auroc_mass"]
    row["auroc_max"] = method["existence_auroc_max"]
    for kind, figures in method["queries"].items():
        ratio = figures["ratio"]
        row[f"{kind}_ratio_median"] = None if ratio is None else ratio["median"]
    return {**row, "forward": method["forward"], "backward": method["backward"], "seconds": method["seconds"]}


def check(
    model: Any,
    photos: Any,
    methods: Sequence[str] | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    levels: Sequence[str] = (),
    randomization: bool = False,
    smooth: int = 0,
    input_shift: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: bool | Callable[[int, int], object] | None = None,
) -> CheckResult:
    """Check which methods give empty maps for absent classes.

    Parameters
    ----------
    model : Model, or what :func:`candor.load` takes
    photos : a photo or a list of them
        At least twenty for a meaningful verdict.
    methods : sequence of str, optional
        All by default, of which some take thousands of passes per map.
    set : mapping, optional
        Parameters, for one method (``{"reliable.iterations": 30}``) or for all that have them.
    randomization, smooth, input_shift
        Also shuffle the weights; compare maps averaged over noisy copies; shift the input.
    out : path, optional
        Folder for check.html, check.csv and check.json.

    Returns
    -------
    CheckResult
    """
    with model_arguments(model) as chosen, photo_arguments(photos) as files, out_argument(out) as folder:
        words = ["check", *chosen, *files, *settings(set)]
        words += options({"methods": methods, "levels": list(levels), "randomization": randomization, "smooth": smooth or None})
        words += options({"input_shift": input_shift, "seed": seed, "out": folder, "force": force})
        return CheckResult(run(words, "check", progress))
