"""A classifier that can be explained."""

from __future__ import annotations

import json
import operator
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from . import _candor
from ._arrays import numpy_of
from ._photos import Photo, is_one, named
from ._progress import watched
from .errors import PreprocessingWarning, UsageError
from .explanation import Explanation, Explanations

if TYPE_CHECKING:
    from ._load import Recipe


class Model:
    """An image classifier with its preprocessing, its labels and its engine. :func:`candor.load` makes it.

    It may be used from several threads at once, and pickles as its path or its bytes.

    Attributes
    ----------
    path : str
        Path of the file, or the name of a model in memory.
    classes : int
        Number of classes, K.
    labels : list of str
        Names of the classes; ``class N`` if they have none.
    input_shape : tuple of int
        Channels, height and width of the input.
    preprocessing : str
        How a photo becomes the input, in words.
    """

    def __init__(self, native: _candor.Model, recipe: Recipe | None) -> None:
        self._native = native
        self._recipe = recipe
        self._info: dict[str, Any] = json.loads(native.info())
        self._told = False

    def __reduce__(self) -> tuple[Callable[[Recipe], Model], tuple[Recipe]]:
        from ._load import restore

        if self._recipe is None:
            raise TypeError("a model that was changed (its weights, its input) does not pickle")
        return restore, (self._recipe,)

    def __repr__(self) -> str:
        c, h, w = self.input_shape
        return f"<candor.Model {self.path!r}: N×{c}×{h}×{w} → {self.classes} classes, {self.preprocessing}, {self._info['engine']['name']}>"

    @property
    def path(self) -> str:
        return str(self._info["model"]["path"])

    @property
    def classes(self) -> int:
        return int(self._info["classes"])

    @property
    def labels(self) -> list[str]:
        return self._native.labels()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        c, h, w = self._info["input_shape"]
        return c, h, w

    @property
    def preprocessing(self) -> str:
        return str(self._info["preprocessing_text"])

    @property
    def info(self) -> dict[str, Any]:
        """Identity (path, SHA-256, opset, producer), head, preprocessing and engine, as in results."""
        return dict(self._info)

    def class_id(self, name: str) -> int:
        """The index of the class with that name; :class:`~candor.LabelError` suggests similar names if there is none."""
        return self._native.class_id(name)

    def preprocess(self, photo: Photo) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A photo as the model's input.

        Returns
        -------
        array of float32, C×H×W; ``[None]`` makes a batch of it.
        """
        self._tell()
        found: np.ndarray[Any, np.dtype[np.float32]] = self._native.preprocess(named(photo, 0))
        return found

    def logits(self, inputs: Any) -> Any:
        """Logits of preprocessed tensors.

        Parameters
        ----------
        inputs : array or torch tensor of floats, N×C×H×W
            Preprocessed; nothing is normalised.

        Returns
        -------
        N×K, of the inputs' own type.
        """
        array, back = numpy_of(inputs)
        return back(self._native.logits(array))

    @overload
    def explain(
        self,
        photo: list[Photo] | tuple[Photo, ...],
        classes: int | str | Sequence[int | str] = ...,
        method: str = ...,
        *,
        levels: Sequence[str] = ...,
        seed: int = ...,
        probe: bool = ...,
        progress: bool | Callable[[int, int], object] | None = ...,
        **options: Any,
    ) -> Explanations: ...

    @overload
    def explain(
        self,
        photo: Photo,
        classes: int | str | Sequence[int | str] = ...,
        method: str = ...,
        *,
        levels: Sequence[str] = ...,
        seed: int = ...,
        probe: bool = ...,
        progress: bool | Callable[[int, int], object] | None = ...,
        **options: Any,
    ) -> Explanation: ...

    def explain(
        self,
        photo: Any,
        classes: int | str | Sequence[int | str] = "top1",
        method: str = "reliable",
        *,
        levels: Sequence[str] = (),
        seed: int = 0,
        probe: bool = True,
        progress: bool | Callable[[int, int], object] | None = None,
        **options: Any,
    ) -> Explanation | Explanations:
        """Explain classes of a photo, or of each photo in a list.

        Parameters
        ----------
        photo : path, bytes of an image file, PIL image, pixels H×W×3 of uint8 (RGB), or a list of them
        classes : int, str or a sequence of them
            Indices or names of classes, ``top1`` … ``topN``, ``median``, ``lowest``. Duplicates are explained once.
        method : str
            A name listed by :func:`candor.methods`. The default is the reliable mask.
        levels : sequence of str
            Names of the values to mask, finest first; for CAM methods the last is the layer. Automatic if empty.
        seed : int
            Seed of all random numbers; each photo starts a new stream.
        probe : bool
            Explain the lowest-scoring class, too, and warn if it highlights the same pixels.
        progress : True or callable
            ``True`` shows a tqdm bar; a callable is called with ``(done, total)``.
        **options
            Parameters of the method, with ``_`` for ``-``: ``iterations=30``, ``lambda_path=True``.

        Returns
        -------
        Explanation, or Explanations (a list of them) for a list of photos.

        Raises
        ------
        candor.ImageError, candor.MissingFile
            A photo that cannot be read.
        candor.LabelError
            A class that the model does not have.
        candor.MethodError
            A method or an option that does not exist.
        candor.UnsupportedOperator
            A node that the method cannot differentiate.
        """
        self._tell()
        one = is_one(photo)
        photos = [photo] if one else list(photo)
        if not photos:
            raise UsageError("no photo was given")
        asked = [classes] if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable) else list(classes)
        if not asked:
            raise UsageError("no class was given; 'top1' is the model's answer")
        given = [named(p, i) for i, p in enumerate(photos)]
        with watched(progress, method) as callback:
            found = self._native.explain(
                given, [_query(c) for c in asked], chosen(method, options, levels, seed), probe, callback
            )
        explanations = Explanations(Explanation(native, self.classes) for native in found)
        for explanation in explanations:
            explanation._warn()
        return explanations[0] if one else explanations

    def export(
        self,
        method: str = "grad-cam",
        path: str | os.PathLike[str] | None = None,
        *,
        levels: Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> bytes:
        """A method as an ordinary ONNX model: image and class in, logits and map out.

        Parameters
        ----------
        method : str
            A method that takes no random samples; the error lists those that can be exported.
        path : path, optional
            The model is also written there, replacing an existing file.

        Returns
        -------
        bytes
            Inputs: the image, N×C×H×W, and ``class``, int64 N. Outputs: ``logits``, N×K, and ``map``, N×1×H×W, raw.
        """
        made = self._native.export(chosen(method, options, levels, seed))
        if path is not None:
            with open(path, "wb") as file:
                file.write(made)
        return made

    def _tell(self) -> None:
        """Warns once that the preprocessing was assumed."""
        if self._told or self._info["preprocessing_stated"]:
            return
        self._told = True
        warnings.warn(
            f"{self.path}: preprocessing is assumed to be 'imagenet'; if the answers look wrong give another: "
            f"candor.load(…, preset='inception'), or write preset = \"NAME\" to {self._info['sidecar_path']}",
            PreprocessingWarning,
            stacklevel=3,
        )


def chosen(
    method: str, options: Mapping[str, Any], levels: Sequence[str], seed: int
) -> tuple[str, list[tuple[str, str]], list[str], int]:
    """A method in the form of the native part. The order of options does not matter."""
    if isinstance(levels, str):
        raise UsageError(f"levels is a list of names: [{levels!r}]")
    pairs = sorted((name.replace("_", "-"), _word(value)) for name, value in options.items())
    return method, pairs, list(levels), operator.index(seed)


def _word(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)


def _query(asked: Any) -> str:
    return asked if isinstance(asked, str) else str(operator.index(asked))
