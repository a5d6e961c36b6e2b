"""Gradients of ONNX models as ONNX models, for any graph, not only classifiers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from . import _candor


def gradient(
    model: Any,
    of: str | None = None,
    wrt: str | Sequence[str] | None = None,
    *,
    seed: str | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """A model with gradients as additional outputs.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    of : str, optional
        Name of the value to differentiate; by default the first output.
    wrt : str or sequence of str, optional
        Names of the values with respect to which it is differentiated, inputs or inner values; by default all float inputs.
    seed : str, optional
        Name of a new input that holds ∂L/∂of, in the shape of ``of``: the model becomes a vector-Jacobian product. By default the
        gradient is that of the sum of all elements of ``of``.
    shapes : mapping of str to sequence of int, optional
        Sizes of inputs that the file leaves free; -1 as the first size is a free batch.

    Returns
    -------
    bytes
        An ONNX file of standard operators: the outputs of the model, then ``grad_NAME`` for each value of ``wrt``, in its shape.

    Raises
    ------
    candor.UnsupportedOperator
        A node without a gradient rule; no gradient is silently zero.
    candor.ModelError
        Not an ONNX model, a value that does not exist, or a size that is not known.

    Examples
    --------
    >>> import candor
    >>> made = candor.graph.gradient(candor.scenes.model_bytes())
    """
    if hasattr(model, "SerializeToString"):
        source: bytes | str = model.SerializeToString()
    elif isinstance(model, (bytes, bytearray, memoryview)):
        source = bytes(model)
    else:
        source = os.fspath(model)
    names = [wrt] if isinstance(wrt, str) else list(wrt or ())
    sizes: dict[str, Any] = {name: [int(n) for n in shape] for name, shape in (shapes or {}).items()}
    return _candor.gradient(source, of, names, seed, sizes)
