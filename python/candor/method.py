"""Tensors in, tensors out: an interface like those of Captum, pytorch-grad-cam and Xplique."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from . import _candor
from ._arrays import Array, numpy_of, targets_of
from ._progress import watched
from .model import Model, chosen


class Method:
    """An explanation method for tensors that are already preprocessed.

    Neither the input nor the map is normalised; no layer and no reshape function has to be named. Unlike :meth:`Model.explain` it
    gives no verdict and no warnings.

    Parameters
    ----------
    name : str
        A name listed by :func:`candor.methods`.
    model : Model, or what :func:`candor.load` takes
    levels : sequence of str
        Names of the values to mask; for CAM methods the last is the layer. Automatic if empty.
    seed : int
        Seed of all random numbers; each image starts a new stream.
    **options
        Parameters of the method, with ``_`` for ``-``.

    Examples
    --------
    >>> import candor, numpy
    >>> method = candor.Method("grad-cam", candor.scenes.model())
    >>> inputs = numpy.zeros([2, 3, 112, 112], dtype="float32")
    >>> method.attribute(inputs, target=3).shape   # Captum's call
    (2, 1, 112, 112)
    >>> method(inputs, [3, 4]).shape               # pytorch-grad-cam's and Xplique's call
    (2, 112, 112)
    """

    def __init__(
        self, name: str, model: Model | Any, *, levels: Sequence[str] = (), seed: int = 0, **options: Any
    ) -> None:
        if not isinstance(model, Model):
            from ._load import load

            model = load(model)
        self.model: Model = model
        self._chosen = chosen(name, options, levels, seed)
        # An unknown name is reported here.
        self._info: dict[str, Any] = json.loads(model._native.method_info(self._chosen))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.model, self._chosen)

    def __repr__(self) -> str:
        return f"<candor.Method {self.name!r} of {self.model.path!r}>"

    @property
    def name(self) -> str:
        return str(self._info["name"])

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value."""
        return dict(self._info["parameters"])

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        *,
        progress: bool | Callable[[int, int], object] | None = None,
    ) -> Any:
        """Attribute a class of each image, as Captum's methods do.

        Parameters
        ----------
        inputs : array or torch tensor of floats, N×C×H×W
            Preprocessed for the model. float64 is rounded to float32; arrays that are not in C order are copied.
        target : int, list of int or None
            A class for all images, or one for each; None is the model's answer.
        progress : True or callable
            ``True`` shows a tqdm bar; a callable is called with ``(done, total)``.

        Returns
        -------
        N×C×H×W, of the inputs' own type, float32
        Raw and signed, for methods that attribute to input channels (gradients and methods based on them). Others (the CAM family,
        masks and perturbations) give N×1×H×W.

        Raises
        ------
        candor.InputError
            Another shape or type, or a value that is not finite.
        candor.LabelError
            A target that is not a class of the model.
        """
        maps, channels, back = self._run(inputs, target, progress)
        return back(maps[:, None] if channels is None else channels)

    def __call__(
        self,
        inputs: Any,
        targets: Any = None,
        *,
        progress: bool | Callable[[int, int], object] | None = None,
    ) -> Any:
        """The maps, N×H×W, of the inputs' own type, raw; otherwise as :meth:`attribute`."""
        maps, _, back = self._run(inputs, targets, progress)
        return back(maps)

    def _run(self, inputs: Any, target: Any, progress: Any) -> tuple[Array, Array | None, Callable[[Array], Any]]:
        array, back = numpy_of(inputs)
        targets = targets_of(target, len(array))
        with watched(progress, self.name) as callback:
            maps, channels, _ = self.model._native.attribute(array, targets, self._chosen, callback)
        return maps, channels, back


def methods() -> list[dict[str, Any]]:
    """All methods: name, summary, source, cost and parameters of each."""
    found: list[dict[str, Any]] = json.loads(_candor.document(["methods"], None)[0])
    return found


def _restore(model: Model, asked: tuple[str, list[tuple[str, str]], list[str], int]) -> Method:
    name, pairs, levels, seed = asked
    return Method(name, model, levels=levels, seed=seed, **dict(pairs))
