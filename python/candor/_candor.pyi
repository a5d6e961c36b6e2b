# This file is generated: python tools/python/stubs.py
"""
The native part of Candor. Use the package `candor`.
"""

from _typeshed import Incomplete, SupportsGetItem
from os import PathLike
from typing import Any, Final, SupportsFloat, SupportsIndex, final

__all__ = ["__version__", "Model", "PhotoExplanation", "demo_model", "demo_photos", "document", "gradient", "png", "run", "scene"]

__version__: Final[str]
"""
The version, as `candor --version` prints it.
"""

@final
class Model:
    """
    A classifier with its engine, preprocessing and labels, and the methods that were compiled for it.
    """
    def attribute(self, /, inputs: Incomplete, targets: SupportsGetItem[int, SupportsIndex | None], chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex], progress: Any | None) -> tuple[Incomplete, Incomplete | None, Incomplete]:
        """
        Attributes classes of N×C×H×W preprocessed values; a target that is None is the answer.
        """
    def class_id(self, /, query: str) -> int:
        """
        The number of the class that a name or a number in words means.
        """
    @staticmethod
    def embedded(keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        The model of scenes that is inside.
        """
    def explain(self, /, photos: SupportsGetItem[int, tuple[str, Any]], classes: SupportsGetItem[int, str], chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex], probe: bool, progress: Any | None) -> list[PhotoExplanation]:
        """
        Explains photos, each with its name, for classes given by number or in words.
        """
    def export(self, /, chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex]) -> bytes:
        """
        The method as an ONNX file.
        """
    @staticmethod
    def from_bytes(name: str, bytes: bytes | bytearray, keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        A model in memory; `name` stands for its path.
        """
    def info(self, /) -> str:
        """
        What the model is, as JSON: identity, classes, input shape, head, preprocessing and engine.
        """
    def labels(self, /) -> list[str]:
        """
        Names of the classes, in their order.
        """
    def logits(self, /, inputs: Incomplete) -> Incomplete:
        """
        Logits of N×C×H×W preprocessed values, N×K.
        """
    def method_info(self, /, chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex]) -> str:
        """
        The method and every parameter it uses, as JSON; compiles it.
        """
    @staticmethod
    def open(path: str | PathLike[str], sidecar: str | PathLike[str] | None, keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        Opens a file, the model of a folder, or what hf:// names in the local cache. `sidecar` is a file that replaces the one beside the
        model; `keys`, JSON, replaces some of its keys; `engine` is name, device, library and threads.
        """
    def preprocess(self, /, photo: tuple[str, Any]) -> Incomplete:
        """
        A photo as the model's input, C×H×W.
        """
    def shifted(self, /, constant: SupportsFloat | SupportsIndex) -> Model:
        """
        The model that takes a constant off its input first.
        """
    def sidecar(self, /) -> str:
        """
        What the model file does not say, as the text of a sidecar that may lie anywhere.
        """
    def value_names(self, /) -> list[str]:
        """
        Names of the values that nodes make, in their order.
        """
    def values(self, /, inputs: Incomplete, names: SupportsGetItem[int, str]) -> list[Incomplete]:
        """
        Values inside the model, by name, for N×C×H×W preprocessed values.
        """
    def weights(self, /) -> list[tuple[str, Incomplete]]:
        """
        Names and values of the weights of convolutions and matrix products, in the order of the layers.
        """
    def with_weights(self, /, weights: dict[str, Incomplete]) -> Model:
        """
        The model with other values of some weights, by name.
        """

@final
class PhotoExplanation:
    """
    The explanations of one photo: figures as JSON, maps as arrays, pictures.
    """
    def evidence(self, /) -> list[float | None]:
        """
        Evidence of each class in log-odds; None for methods without a null.
        """
    def figures(self, /) -> str:
        """
        The figures of the photo, as `images` of explain.json has them, without files.
        """
    def levels(self, /, number: SupportsIndex) -> list[tuple[str, Incomplete]]:
        """
        Name and mask, C×H×W, of each level of a class, finest first.
        """
    def map(self, /, number: SupportsIndex) -> Incomplete:
        """
        The map of a class, H×W.
        """
    def overlay(self, /, number: SupportsIndex) -> Incomplete:
        """
        The map of a class over the photo, as RGB, H×W×3.
        """
    def overlay_png(self, /, number: SupportsIndex) -> bytes:
        """
        The same as a PNG file.
        """
    def path(self, /, number: SupportsIndex) -> list[Incomplete]:
        """
        The maps of a class at other λ, from the smallest.
        """
    def photo(self, /) -> Incomplete:
        """
        The photo as the model sees it, in its own aspect, as RGB, H×W×3.
        """
    def run(self, /) -> str:
        """
        Model, preprocessing, engine, method and seed, as explain.json has them.
        """
    @staticmethod
    def save(photos: SupportsGetItem[int, PhotoExplanation], folder: str | PathLike[str], force: bool) -> None:
        """
        Writes the files of the command line for photos of one run: explain.json, report.html and a folder a photo.
        """
    def scale(self, /) -> tuple[float, bool, list[tuple[int, int, int]]]:
        """
        The colour scale of all maps: its largest value, whether it is signed, and its colours from the lowest value to the highest.
        """
    def seconds(self, /) -> float:
        """
        Seconds that the library took for the photo, from its pixels to maps and figures.
        """

def demo_model() -> bytes:
    """
    The ONNX file of the model of scenes.
    """

def demo_photos() -> list[tuple[str, bytes, list[int]]]:
    """
    Name, PNG file and the classes in it, by number, of each demo photo.
    """

def document(arguments: SupportsGetItem[int, str], progress: Any | None) -> tuple[str, list[str], int]:
    """
    Runs a command that has `--json`, and returns its document, its remarks and its exit code.
    """

def gradient(model: bytes | bytearray | str | PathLike[str], of: str | None, wrt: SupportsGetItem[int, str], seed: str | None, shapes: dict[str, SupportsGetItem[int, SupportsIndex]]) -> bytes:
    """
    The model with gradients as further outputs, `grad_NAME` of each value of `wrt`.
    """

def png(pixels: Incomplete) -> bytes:
    """
    Pixels, H×W×3, as a PNG file.
    """

def run(arguments: SupportsGetItem[int, str]) -> int:
    """
    Runs the program `candor` with these arguments, the first being its name; returns the exit code.
    """

def scene(seed: SupportsIndex, size: SupportsIndex) -> tuple[Incomplete, list[tuple[int, list[int], Incomplete]]]:
    """
    The scene of a seed: its picture, size×size×3, and its objects.
    """
