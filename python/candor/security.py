"""Attacks on a model, and a detector of attacked inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ._commands import Table, model_arguments, options, out_argument, photo_arguments, run, settings, table, there
from .errors import MissingFile, UsageError


class Attacked:
    """One attacked photo. Every field of ``images`` in attack.json is also an attribute.

    Attributes
    ----------
    success : bool
        Whether the attack reached its goal.
    original, adversarial : array of float32, C×H×W in 0..1
        The photo at the model's input size, before and after.
    """

    def __init__(self, figures: dict[str, Any], arrays: Mapping[str, Any]) -> None:
        self._figures = figures
        self.success = bool(figures["success"])
        self.original: np.ndarray[Any, np.dtype[np.float32]] | None = arrays.get("original")
        self.adversarial: np.ndarray[Any, np.dtype[np.float32]] | None = arrays.get("adversarial")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._figures:
            raise AttributeError(name)
        return self._figures[name]

    def __repr__(self) -> str:
        before, after = self._figures["before"]["name"], self._figures["after"]["name"]
        return f"<{self._figures['path']!r}: {before!r} → {after!r}, {'succeeds' if self.success else 'fails'}>"


class AttackResult(list[Attacked]):
    """The photos of one attack. ``document`` is the whole result, as in attack.json."""

    def __init__(self, document: dict[str, Any], photos: Sequence[Attacked]) -> None:
        super().__init__(photos)
        self.document = document


def attack(
    model: Any,
    photos: Any,
    attack: str = "pgd",
    *,
    eps: float | str | None = None,
    target: int | str | None = None,
    set: Mapping[str, Any] | None = None,
    source: str | os.PathLike[str] | None = None,
    source_preset: str | None = None,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: bool | Callable[[int, int], object] | None = None,
) -> AttackResult:
    """Change photos slightly so that the model gives another answer.

    Parameters
    ----------
    model : Model, or what :func:`candor.load` takes
    photos : a photo or a list of them
    attack : str
        ``fgsm``, ``bim``, ``pgd``, ``pgd-l2``, ``apgd``, ``deepfool``, ``cw``, ``jsma``, ``square`` or ``transfer``.
    eps : float or str, optional
        Budget in the attack's norm, with pixels in 0..1: ``8/255``.
    target : int or str, optional
        Target class; by default any class other than the model's answer.
    source : path, optional
        For ``transfer``: the model on which the images are made.
    out : path, optional
        Folder for attack.json, NPZ and PNG files.

    Returns
    -------
    AttackResult
        A list with one :class:`Attacked` per photo. An attack that does not succeed is a result, not an error.
    """
    with model_arguments(model) as chosen, photo_arguments(photos) as files, out_argument(out) as folder:
        words = ["attack", *chosen, *files, "--attack", attack, *settings(set), *options({"eps": eps, "target": target})]
        words += options({"from": source, "from_preset": source_preset, "seed": seed, "out": folder, "force": force})
        document = run(words, f"attack {attack}", progress)
        return AttackResult(document, [Attacked(image, _arrays(Path(folder), image)) for image in document["images"]])


def _arrays(folder: Path, image: Mapping[str, Any]) -> dict[str, Any]:
    if image["npz"] is None:
        return {}
    with np.load(folder / image["npz"]) as arrays:
        return dict(arrays)


class Detector:
    """A detector of adversarial inputs, trained for one model by :meth:`train` or ``candor detect train``.

    An adaptive (white-box) attacker can evade it.

    Parameters
    ----------
    folder : path
        Folder with detector.onnx and detector.json.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        if not os.path.isfile(os.path.join(self.folder, "detector.json")):
            raise MissingFile(f"{self.folder}: holds no detector.json; train one with candor.Detector.train")

    def score(
        self,
        model: Any,
        photos: Any,
        *,
        false_alarms: float = 0.05,
        progress: bool | Callable[[int, int], object] | None = None,
    ) -> Table:
        """Screen photos: one row per photo, with its score, 0..1, and whether it raises an alarm.

        Parameters
        ----------
        false_alarms : float
            Fraction of clean photos that may raise an alarm: 0.01 or 0.05.
        """
        with model_arguments(model) as chosen, photo_arguments(photos) as files:
            words = ["detect", "score", chosen[0], self.folder, *files, *chosen[1:]]
            found = run([*words, *options({"false_alarms": false_alarms})], "detect score", progress)
        return table(found["images"])

    @classmethod
    def train(
        cls,
        model: Any,
        dataset: str | os.PathLike[str],
        out: str | os.PathLike[str],
        *,
        attacks: Sequence[str] | None = None,
        limit: int | None = None,
        epochs: int | None = None,
        seed: int = 0,
        force: bool = False,
        progress: bool | Callable[[int, int], object] | None = None,
    ) -> Detector:
        """Train a detector on photos and on attacked copies of them, which are made and stored in ``out``.

        Parameters
        ----------
        attacks : sequence of str, optional
            Each ``NAME+KEY=VALUE+…``, such as ``pgd+eps=8/255``.
        """
        if out is None:
            raise UsageError("out is the folder for the detector")
        there(dataset)
        with model_arguments(model) as chosen:
            words = ["detect", "train", chosen[0], os.fspath(dataset), *chosen[1:]]
            words += options({"attacks": attacks, "limit": limit, "epochs": epochs, "seed": seed, "out": out, "force": force})
            run(words, "detect train", progress)
        return cls(out)

    def __repr__(self) -> str:
        return f"<candor.Detector {self.folder!r}>"
