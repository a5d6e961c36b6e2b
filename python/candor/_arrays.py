"""Float tensors N×C×H×W of NumPy and of torch, and targets."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import InputError

Array = np.ndarray[Any, Any]


def is_torch(value: Any) -> bool:
    """Whether the value is a torch tensor; torch is not imported to find out."""
    return any(c.__module__.split(".")[0] == "torch" and c.__name__ == "Tensor" for c in type(value).__mro__)


def numpy_of(inputs: Any) -> tuple[Array, Callable[[Array], Any]]:
    """Inputs as float32 in C order, copied only if necessary, and a function that converts an array to the inputs' own type."""
    if is_torch(inputs):
        import torch

        device = inputs.device
        array = inputs.detach().cpu()
        if array.dtype in (torch.bfloat16, torch.float16):
            array = array.float()
        return _checked(array.numpy()), lambda a: torch.from_numpy(a).to(device)
    if not hasattr(inputs, "__array__") and not isinstance(inputs, Sequence):
        raise TypeError(f"inputs are an array or a tensor, N×C×H×W, not {type(inputs).__name__}")
    return _checked(np.asarray(inputs)), lambda a: a


def _checked(array: Array) -> Array:
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"inputs of type {array.dtype}; give floats that are preprocessed as the model takes them "
            "(photos go to model.explain, or through model.preprocess)"
        )
    if array.ndim == 3:
        raise InputError(f"inputs of shape {array.shape}; give N×C×H×W: inputs[None] is a batch of one")
    if array.ndim != 4:
        raise InputError(f"inputs of shape {array.shape}; give N×C×H×W")
    if len(array) == 0:
        raise InputError("inputs hold no image")
    return np.ascontiguousarray(array, dtype=np.float32)


def targets_of(target: Any, count: int) -> list[int | None]:
    """A class for each image: an int for all, or a list or an array with one each; None is the model's answer."""
    if target is None:
        return [None] * count
    if is_torch(target):
        target = target.detach().cpu().numpy()
    if isinstance(target, np.ndarray):
        if target.ndim == 2:
            raise InputError(
                f"targets of shape {target.shape}; give the numbers of the classes: one_hot.argmax(axis=1)"
            )
        target = target.tolist()
    if not isinstance(target, (list, tuple)):
        return [_index(target)] * count
    if len(target) != count:
        raise InputError(f"{len(target)} targets for {count} images; give one each, or one for all")
    return [None if t is None else _index(t) for t in target]


def _index(target: Any) -> int:
    # pytorch-grad-cam's ClassifierOutputTarget(281).
    target = getattr(target, "category", target)
    try:
        index = operator.index(target)
    except TypeError:
        raise TypeError(f"a target is the number of a class, not {target!r}") from None
    if index < 0:
        raise InputError(f"target {index}; classes count from 0")
    return index
