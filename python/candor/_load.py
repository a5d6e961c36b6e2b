"""Opens a model in any of its forms."""

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
    """Everything needed to open a model again, also in another process: the content of a pickled model."""

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
        An ONNX file, its content, or a torch module, which is exported in memory and compared with its graph. For a folder, its
        ``onnx/model.onnx``, ``model.onnx`` or only ONNX file. ``hf://OWNER/NAME[@REVISION][/FILE]`` is a folder of the Hugging Face hub in
        the local cache.
    example : torch tensor, optional
        For a torch module: one preprocessed input, 1×C×H×W.
    labels : list of str or path, optional
        Names of the classes in order, or a file with them.
    preset : str, optional
        How photos become input: ``imagenet``, ``inception``, ``unit``, ``caffe`` or ``raw``. If neither this nor the sidecar states it,
        ``imagenet`` is assumed, with a warning.
    preprocess : optional
        A torchvision transform (``weights.transforms()``) or a timm configuration, from which mean, standard deviation and resizing are read.
    sidecar : path, optional
        A file to use instead of ``MODEL.candor.toml`` beside the model.
    engine : str
        ``auto``: ``onnxruntime``, which is faster, if the package of that name is installed, else ``rten``, part of this package. The
        environment variable ``CANDOR_ENGINE`` replaces ``auto``. ``model.info["engine"]`` names the engine in use.
    device : str
        Device for ONNX Runtime: ``cpu``, ``cuda``, ``tensorrt``, ``coreml`` or ``directml``.
    onnxruntime : path, optional
        Path of its library; by default that of the installed package.
    threads : int
        Number of threads of the engine; 0 means one per core.
    name : str, optional
        Name in place of the path for a model in memory.
    download : bool
        Download what ``hf://…`` names if the cache does not have its newest version; needs ``pip install 'candor-xai[hub]'``.
    **keys
        Any other key of the sidecar: ``size=[224, 224]``, ``mean``, ``std``, ``scale``, ``color``, ``resize``, ``filter``, ``layout``,
        ``logits``, ``levels``. They replace those of the sidecar.

    Returns
    -------
    Model

    Raises
    ------
    candor.MissingFile, candor.ModelError, candor.UnsupportedOperator
        A file that is missing, not an ONNX model, or not an image classifier.
    candor.FileError
        A download that fails.
    candor.ExportError
        A torch module that cannot be exported, or whose graph gives different logits.
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
    """Arrays and tuples as lists, for JSON."""
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in keys.items()}


def resolved(engine: tuple[str, str, str | None, int]) -> tuple[str, str, str | None, int]:
    """The engine with the path of ONNX Runtime's library; ``auto`` becomes ``rten`` where there is no library."""
    name, device, library, threads = engine
    if name != "rten" and library is None and not os.environ.get("ORT_DYLIB_PATH"):
        library = _installed()
        if library is None and (name, device) == ("auto", "cpu") and os.environ.get("CANDOR_ENGINE", "") in ("", "auto"):
            name = "rten"
    return name, device, library, threads


def _installed() -> str | None:
    """ONNX Runtime's library in the package that this interpreter would import."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = os.path.join(spec.submodule_search_locations[0], "capi")
    return folder if os.path.isdir(folder) else None
