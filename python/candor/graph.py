"""Gradients of ONNX models as ONNX models: any graph, not only classifiers."""

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
    """A model with gradients as further outputs.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
    of : str, optional
        Name of the value to differentiate; the first output if not given.
    wrt : str or sequence of str, optional
        Names of the values with respect to which, inputs or inner values; all float inputs if not given.
    seed : str, optional
        Name of a new input that holds ∂L/∂of, in the shape of ``of``: the model becomes a vector-Jacobian product. If not given, the
        gradient is of the sum of all elements of ``of``.
    shapes : mapping of str to sequence of int, optional
        Sizes of inputs that the file leaves free; -1 in front is a free batch.

    Returns
    -------
    bytes
        An ONNX file of standard operators: the outputs of the model, then ``grad_NAME`` for each value of ``wrt``, in its shape.

    Raises
    ------
    candor.UnsupportedOperator
        A node without a gradient rule; nothing is silently zero.
    candor.ModelError
        No ONNX model, a value that does not exist, or a size that is not known.

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
