"""Torch modules as ONNX models in memory, and the preprocessing that belongs to published weights."""

from __future__ import annotations

import io
import warnings
from typing import Any

from .errors import ExportError, UsageError

#: Largest difference of logits between the module and its exported graph, relative to the largest logit.
TOLERANCE = 1e-4


def exported(module: Any, example: Any) -> bytes:
    """The module in evaluation mode as an ONNX file with a free batch size; its logits on the example were compared."""
    import torch

    name = type(module).__name__
    if example is None:
        raise UsageError(f"{name} is a torch module: give example=, one preprocessed input of it, 1×C×H×W")
    if not isinstance(example, torch.Tensor) or example.ndim != 4:
        raise UsageError("example is a torch tensor, N×C×H×W")
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            wanted = module(example)
        if not isinstance(wanted, torch.Tensor):
            raise ExportError(
                f"{name} answers with {type(wanted).__name__}, not a tensor of logits; wrap it in a module that returns them"
            )
        return _compared(_export(module, example, name), example, wanted, name)
    finally:
        for part, training in modes.items():
            part.training = training


def _export(module: Any, example: Any, name: str) -> bytes:
    import torch

    missing = [package for package in ("onnx", "onnxscript") if not _installed(package)]
    if missing:
        raise ExportError(f"exporting {name} needs {' and '.join(missing)}: pip install candor-xai[torch]")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            batch = torch.export.Dim("batch")
            program = torch.onnx.export(
                module, (_two(example),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False, optimize=True
            )
            return bytes(program.model_proto.SerializeToString())
    except Exception as first:
        return _export_traced(module, example, name, first)


def _two(example: Any) -> Any:
    """A batch of two: torch.export treats a size of one as a constant."""
    return example if len(example) > 1 else example.repeat(2, 1, 1, 1)


def _export_traced(module: Any, example: Any, name: str, first: Exception) -> bytes:
    """The older exporter, for modules that the newer one does not support."""
    import torch

    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (example,), file, dynamo=False, input_names=["input"], dynamic_axes={"input": {0: "batch"}}
            )
    except Exception as second:
        raise ExportError(
            f"{name} cannot be exported to ONNX: {_line(first)}; nor by the older exporter: {_line(second)}"
        ) from first
    warnings.warn(
        f"{name}: torch.onnx.export(dynamo=True) failed ({_line(first)}); the older exporter was used", stacklevel=5
    )
    return file.getvalue()


def _compared(graph: bytes, example: Any, wanted: Any, name: str) -> bytes:
    """The graph, if its logits are those of the module."""
    import numpy as np

    from ._load import load

    found = load(graph, name=name, preset="raw").logits(example.detach().cpu().numpy())
    expected = wanted.detach().cpu().float().flatten(1).numpy()
    if found.shape != expected.shape:
        raise ExportError(f"{name}: the module answers {expected.shape}, its exported graph {found.shape}")
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{name}: the logits of the exported graph differ from the module's by {difference:.2g} of the largest "
            f"(at most {TOLERANCE:g}); export it yourself, compare with onnxruntime, and give candor.load the file"
        )
    return graph


def preprocessing_of(transform: Any) -> dict[str, Any]:
    """Keys of a sidecar for the transform of torchvision weights, or for a timm configuration."""
    get = transform.get if isinstance(transform, dict) else lambda key, default=None: getattr(transform, key, default)
    mean, std = get("mean"), get("std")
    if mean is None or std is None:
        raise UsageError(
            "preprocess has no mean and std; give weights.transforms() of torchvision, model.pretrained_cfg of timm, or "
            "mean=, std= and scale= themselves"
        )
    crop = get("crop_size") or get("input_size") or (224,)
    size = list(crop) if isinstance(crop, (list, tuple)) else [crop]
    interpolation = get("interpolation", "bilinear")
    interpolation = str(getattr(interpolation, "value", interpolation))
    return {
        "scale": 1 / 255,
        "mean": [float(v) for v in mean],
        "std": [float(v) for v in std],
        "color": "rgb",
        "resize": "crop",
        "filter": interpolation if interpolation in ("nearest", "bilinear", "bicubic", "lanczos") else "bilinear",
        "size": [int(size[-1]), int(size[-1])] if len(size) == 1 else [int(n) for n in size[-2:]],
    }


def _installed(package: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(package) is not None


def _line(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 300 else words[:300] + "…"
