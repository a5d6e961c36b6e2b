"""Quantus (https://github.com/understandable-machine-intelligence-lab/Quantus) on ONNX files.

::

    import candor, quantus
    model = candor.quantus.Model(candor.load("model.onnx"))
    metric = quantus.PixelFlipping(features_in_step=1024, perturb_baseline="mean")
    metric(model=model, x_batch=x, y_batch=y, explain_func=candor.quantus.explain_func, explain_func_kwargs={"method": "grad-cam"})

Quantus wraps each model that a metric is given, and refuses those that are neither torch nor TensorFlow models, even its own
``ModelInterface``. Importing this module makes that function (``quantus.helpers.utils.get_wrapped_model``) return Candor's models
unchanged; it is not changed for other models.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import quantus.helpers.utils as _utils
from quantus.helpers.model.model_interface import ModelInterface

from . import model as _model
from .errors import UsageError
from .method import Method

__all__ = ["Model", "explain_func"]

Array = np.ndarray[Any, Any]


class Model(ModelInterface[_model.Model]):  # type: ignore[misc]
    """A model of Candor with the interface of Quantus.

    Layers are the convolutions and matrix products that hold weights. Randomising one shuffles its weights, which keeps their distribution.
    """

    def __init__(self, model: _model.Model, softmax: bool = False) -> None:
        super().__init__(model, channel_first=True, softmax=softmax)

    def get_softmax_arg_model(self) -> Model:
        """This model: :meth:`predict` applies softmax if ``softmax`` is set, and the logits are available."""
        return self

    def predict(self, x: Array, **_: Any) -> Array:
        """Probabilities if ``softmax`` is set, else logits: N×K."""
        logits: Array = self.model.logits(np.asarray(x, dtype=np.float32))
        if not self.softmax:
            return logits
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def shape_input(
        self, x: Array, shape: tuple[int, ...], channel_first: bool | None = None, batched: bool = False
    ) -> Array:
        """The input as N×C×H×W."""
        if not batched:
            shape = (1, *shape)
        x = np.asarray(x).reshape(shape)
        first = _utils.infer_channel_first(x) if channel_first is None else channel_first
        return np.asarray(_utils.make_channel_first(x, first))

    def get_model(self) -> _model.Model:
        """Candor's model."""
        found: _model.Model = self.model
        return found

    def state_dict(self) -> dict[str, Array]:
        """The weights by name."""
        return dict(self.model._native.weights())

    @property
    def random_layer_generator_length(self) -> int:
        """Number of layers that can be randomised."""
        return len(self.model._native.weights())

    def get_random_layer_generator(self, order: str = "top_down", seed: int = 42) -> Iterator[tuple[str, _model.Model]]:
        """The model with one more layer shuffled at each step, from the last (``top_down``), from the first (``bottom_up``), or with a single one
        (``independent``)."""
        if order not in ("top_down", "bottom_up", "independent"):
            raise UsageError(f"the order is top_down, bottom_up or independent, not {order!r}")
        layers = self.model._native.weights()
        shuffled: dict[str, Array] = {}
        for name, weights in layers[::-1] if order == "top_down" else layers:
            if order == "independent":
                shuffled = {}
            values = np.random.default_rng(seed).permutation(weights.ravel()).reshape(weights.shape)
            shuffled[name] = values
            yield name, _model.Model(self.model._native.with_weights(shuffled), None)

    def add_mean_shift_to_first_layer(self, input_shift: int | float, shape: tuple[int, ...]) -> Model:
        """The model that gives for ``x + input_shift`` what this one gives for ``x``."""
        return Model(_model.Model(self.model._native.shifted(float(input_shift)), None), self.softmax)

    def get_hidden_representations(
        self, x: Array, layer_names: list[str] | None = None, layer_indices: list[int] | None = None, **_: Any
    ) -> Array:
        """Values inside the model, N×(all of them): of nodes by name or index; by default of the last value before the logits."""
        there = self.model._native.value_names()
        names = list(layer_names or []) + [there[i] for i in layer_indices or []]
        names = names or [there[-2] if len(there) > 1 else there[-1]]
        inputs = np.ascontiguousarray(x, dtype=np.float32)
        found = self.model._native.values(inputs, names)
        return np.concatenate([value.reshape(len(inputs), -1) for value in found], axis=1)


def explain_func(model: Any, inputs: Any, targets: Any, *, method: str = "gradient", channels: bool = False, **options: Any) -> Array:
    """Quantus' ``explain_func``.

    Parameters
    ----------
    model : candor.Model, or candor.quantus.Model
    inputs : array of floats, N×C×H×W
    targets : array of int, N
    method : str
        A name listed by :func:`candor.methods`.
    channels : bool
        Return a value for each channel, as some metrics (ROAD) need: the method's own, or its map for every channel. Else one map per photo, N×1×H×W.
    **options
        ``levels``, ``seed`` and parameters of the method. Arguments that Quantus adds (``device`` and the like) are ignored.

    Returns
    -------
    array of float32, N×C×H×W or N×1×H×W
    """
    if isinstance(model, Model):
        model = model.model
    options = {key: value for key, value in options.items() if key not in _INJECTED}
    found = Method(method, model, **options)
    if not channels:
        return np.asarray(found(inputs, targets)[:, None])
    return np.broadcast_to(found.attribute(inputs, targets), np.shape(inputs)).copy()


#: Arguments that Quantus passes to every explain_func.
_INJECTED = {"device", "softmax", "channel_first", "model_predict_kwargs", "batch_size", "custom_batch"}


def _wrapping(original: Any) -> Any:
    @functools.wraps(original)
    def get_wrapped_model(model: Any, channel_first: bool, softmax: bool, *rest: Any, **keys: Any) -> Any:
        if isinstance(model, _model.Model):
            return Model(model, bool(softmax))
        if isinstance(model, Model):
            wrapped = copy.copy(model)
            wrapped.softmax = bool(softmax)
            return wrapped
        return original(model, channel_first, softmax, *rest, **keys)

    get_wrapped_model.candor = True  # type: ignore[attr-defined]
    return get_wrapped_model


if not getattr(_utils.get_wrapped_model, "candor", False):
    _utils.get_wrapped_model = _wrapping(_utils.get_wrapped_model)
