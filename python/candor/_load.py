"""Opening a model, whatever form it has."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from typing import Any

from . import _candor
from .errors import UsageError
from .model import Model


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What opens a model again, in another process, too: what a pickled model is."""

    source: str | bytes | None
    name: str
    sidecar: str | None
    keys: dict[str, Any]
    engine: tuple[str, str, str | None, int]


def restore(recipe: Recipe) -> Model:
    """The model of a recipe."""
    keys = json.dumps(recipe.keys)
    engine = resolved(recipe.engine)
    if recipe.source is None:
        native = _candor.Model.embedded(keys, engine)
    elif isinstance(recipe.source, bytes):
        native = _candor.Model.from_bytes(recipe.name, recipe.source, keys, engine)
    else:
        native = _candor.Model.open(recipe.source, recipe.sidecar, keys, engine)
    return Model(native, recipe)


def load(
    model: Any,
    example: Any = None,
    *,
    labels: list[str] | str | os.PathLike[str] | None = None,
    preset: str | None = None,
    preprocess: Any = None,
    sidecar: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    device: str = "cpu",
    onnxruntime: str | os.PathLike[str] | None = None,
    threads: int = 0,
    name: str | None = None,
    download: bool = False,
    **keys: Any,
) -> Model:
    """Open an image classifier.

    Parameters
    ----------
    model : path, bytes, onnx.ModelProto, torch.nn.Module or folder
        An ONNX file, its content, or a torch module, which is exported in memory and checked. Of a folder, its ``onnx/model.onnx``,
        ``model.onnx`` or the one ONNX file in it. ``hf://OWNER/NAME[@REVISION][/FILE]`` is a folder of the Hugging Face hub in the local cache.
    example : torch tensor, optional
        For a torch module: one preprocessed input, 1×C×H×W.
    labels : list of str or path, optional
        Names of the classes in their order, or a file of them.
    preset : str, optional
        How photos become input: ``imagenet``, ``inception``, ``unit``, ``caffe`` or ``raw``. If neither this nor the sidecar says it,
        ``imagenet`` is assumed, with a warning.
    preprocess : optional
        A transform of torchvision (``weights.transforms()``) or a timm configuration from which mean, deviation and resizing are read.
    sidecar : path, optional
        A file to use instead of ``MODEL.candor.toml`` beside the model.
    engine : str
        ``auto``: ``onnxruntime`` where the package of that name is installed, which is faster, else ``rten``, inside this package. The
        environment's ``CANDOR_ENGINE`` says what ``auto`` is. ``model.info["engine"]`` names the one that was taken.
    device : str
        Where ONNX Runtime runs: ``cpu``, ``cuda``, ``tensorrt``, ``coreml`` or ``directml``.
    onnxruntime : path, optional
        Its library; that of the installed package if not given.
    threads : int
        Of the engine; 0 is one for each core.
    name : str, optional
        What stands for the path of a model in memory.
    download : bool
        Download what ``hf://…`` names, if the cache does not have its newest version; needs ``pip install 'candor-xai[hub]'``.
    **keys
        Any other key of the sidecar: ``size=[224, 224]``, ``mean``, ``std``, ``scale``, ``color``, ``resize``, ``filter``, ``layout``,
        ``logits``, ``levels``. They replace what the sidecar says.

    Returns
    -------
    Model

    Raises
    ------
    candor.MissingFile, candor.ModelError, candor.UnsupportedOperator
        A file that is missing, no ONNX model, or not an image classifier.
    candor.FileError
        What cannot be downloaded.
    candor.ExportError
        A torch module that cannot be exported, or whose graph answers differently.
    candor.EngineError
        ONNX Runtime is not installed.
    """
    keys = {key: value for key, value in keys.items() if value is not None}
    if preprocess is not None:
        from ._torch import preprocessing_of

        keys = {**preprocessing_of(preprocess), **keys}
    if preset is not None:
        keys["preset"] = preset
    if labels is not None:
        keys["labels"] = _labels(labels)
    source, name = _source(model, example, name, download)
    if sidecar is not None and not isinstance(source, str):
        raise UsageError("a sidecar goes with a model file; give its keys as arguments instead")
    said = None if sidecar is None else os.fspath(sidecar)
    library = None if onnxruntime is None else os.fspath(onnxruntime)
    return restore(Recipe(source, name, said, _plain(keys), (engine, device, library, threads)))


def _source(model: Any, example: Any, name: str | None, download: bool) -> tuple[str | bytes, str]:
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        if download and path.startswith("hf://"):
            from ._hub import fetched

            return fetched(path), name or path
        if not download:
            return path, name or path
    if download:
        raise UsageError("download=True is for models named hf://OWNER/NAME")
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), name or "model in memory"
    if hasattr(model, "SerializeToString"):
        graph = getattr(getattr(model, "graph", None), "name", "") or "model in memory"
        return model.SerializeToString(), name or graph
    if any(c.__module__.startswith("torch.nn") for c in type(model).__mro__):
        from ._torch import exported

        return exported(model, example), name or type(model).__name__
    raise TypeError(
        f"a model is a path, bytes, an onnx.ModelProto or a torch.nn.Module with example=, not {type(model).__name__}"
    )


def _labels(labels: Any) -> Any:
    if isinstance(labels, (str, os.PathLike)):
        return os.path.abspath(os.fspath(labels))
    return [str(label) for label in labels]


def _plain(keys: dict[str, Any]) -> dict[str, Any]:
    """Arrays and tuples as lists, as JSON has them."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in keys.items()}


def resolved(engine: tuple[str, str, str | None, int]) -> tuple[str, str, str | None, int]:
    """The engine with ONNX Runtime's library, if it may be that; ``auto`` only where there is one to try."""
    name, device, library, threads = engine
    if name != "rten" and library is None and not os.environ.get("ORT_DYLIB_PATH"):
        library = _installed()
        if library is None and (name, device) == ("auto", "cpu") and os.environ.get("CANDOR_ENGINE", "") in ("", "auto"):
            name = "rten"
    return name, device, library, threads


def _installed() -> str | None:
    """The library of the package ``onnxruntime`` that this interpreter would import."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = os.path.join(spec.submodule_search_locations[0], "capi")
    return folder if os.path.isdir(folder) else None
