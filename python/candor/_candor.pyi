# This file is generated: python tools/python/stubs.py
"""
The native part of Candor, not a public interface: use the package `candor`.
"""

from _typeshed import Incomplete, SupportsGetItem
from os import PathLike
from typing import Any, Final, SupportsFloat, SupportsIndex, final

__all__ = ["__version__", "Model", "PhotoExplanation", "demo_model", "demo_photos", "document", "gradient", "png", "run", "scene"]

__version__: Final[str]
"""
The version that `candor --version` prints.
"""

@final
class Model:
    """
    A classifier with its engine, preprocessing and labels, and the methods that were compiled for it.
    """
    def attribute(self, /, inputs: Incomplete, targets: SupportsGetItem[int, SupportsIndex | None], chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex], progress: Any | None) -> tuple[Incomplete, Incomplete | None, Incomplete]:
        """
        Explains one class of each image of a preprocessed N×C×H×W float32 batch; a target of None is the class with the highest score. Returns
        maps (N×H×W), attributions per channel (N×C×H×W, None if the method has none) and logits (N×K).
        """
    def class_id(self, /, query: str) -> int:
        """
        The index of the class with this name, or with this index given as text. LabelError if there is none.
        """
    @staticmethod
    def embedded(keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        Opens the embedded model of scenes.
        """
    def explain(self, /, photos: SupportsGetItem[int, tuple[str, Any]], classes: SupportsGetItem[int, str], chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex], probe: bool, progress: Any | None) -> list[PhotoExplanation]:
        """
        Explains photos, given as (name, photo) pairs, for classes given by index, by name, or as `top1`, `lowest` and the like. `chosen` is a
        method's (name, parameters, levels, seed); `probe` also explains the class with the lowest score; `progress` is called with (done, total).
        """
    def export(self, /, chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex]) -> bytes:
        """
        The bytes of an ONNX model that computes the method: image and class in, logits and map out.
        """
    @staticmethod
    def from_bytes(name: str, bytes: bytes | bytearray, keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        Opens the bytes of an ONNX file; results and errors use `name` as its path.
        """
    def info(self, /) -> str:
        """
        A JSON object that describes the model: identity, number of classes, input shape (C, H, W), head, preprocessing and engine.
        """
    def labels(self, /) -> list[str]:
        """
        Names of the classes, by class index.
        """
    def logits(self, /, inputs: Incomplete) -> Incomplete:
        """
        Logits of a preprocessed N×C×H×W float32 batch, as N×K float32. InputError for a wrong shape, an order
        other than C, or values that are not finite.
        """
    def method_info(self, /, chosen: tuple[str, SupportsGetItem[int, tuple[str, str]], SupportsGetItem[int, str], SupportsIndex]) -> str:
        """
        A JSON object with the method's name and every parameter it uses, defaults included. The method is compiled for it.
        """
    @staticmethod
    def open(path: str | PathLike[str], sidecar: str | PathLike[str] | None, keys: str, engine: tuple[str, str, str | PathLike[str] | None, SupportsIndex]) -> Model:
        """
        Opens an ONNX file, a folder that contains one, or `hf://OWNER/NAME` from the local cache. `sidecar` replaces the sidecar beside the
        model; `keys`, a JSON object, replaces single keys of it; `engine` is (name, device, path of ONNX Runtime's library, number of threads).
        """
    def preprocess(self, /, photo: tuple[str, Any]) -> Incomplete:
        """
        A (name, photo) pair as the model's preprocessed input, C×H×W float32. The photo is a path, the bytes of a
        file, or H×W×3 uint8 pixels; ImageError if it cannot be read.
        """
    def shifted(self, /, constant: SupportsFloat | SupportsIndex) -> Model:
        """
        A copy of the model that subtracts a constant from its preprocessed input first.
        """
    def sidecar(self, /) -> str:
        """
        The text of a sidecar with what the model file lacks. The class names are included, so that it works in any folder.
        """
    def value_names(self, /) -> list[str]:
        """
        Names of the intermediate float values, in the order of the nodes that compute them.
        """
    def values(self, /, inputs: Incomplete, names: SupportsGetItem[int, str]) -> list[Incomplete]:
        """
        The named intermediate values for a preprocessed N×C×H×W float32 batch; each begins with the batch axis.
        """
    def weights(self, /) -> list[tuple[str, Incomplete]]:
        """
        Names and float32 values of the weights of Conv, Gemm and MatMul, in the order of the layers.
        """
    def with_weights(self, /, weights: dict[str, Incomplete]) -> Model:
        """
        A copy of the model with other values for the named weights; InputError for an unknown name or another shape.
        """

@final
class PhotoExplanation:
    """
    The explanations of one photo: numbers as JSON, maps as arrays, and pictures. `number` is the position of a class among those requested;
    IndexError if there is none.
    """
    def evidence(self, /) -> list[float | None]:
        """
        Evidence of each requested class, in log-odds; None for methods without a null.
        """
    def figures(self, /) -> str:
        """
        A JSON object with the photo's numbers: an entry of `images` in explain.json, without names of files.
        """
    def levels(self, /, number: SupportsIndex) -> list[tuple[str, Incomplete]]:
        """
        Name and mask (C×H×W float32, 0 to 1) of each level for a class, finest level first; empty for methods without masks.
        """
    def map(self, /, number: SupportsIndex) -> Incomplete:
        """
        The map of a class, H×W float32, on the grid of the model's input.
        """
    def overlay(self, /, number: SupportsIndex) -> Incomplete:
        """
        The map of a class painted over the photo, H×W×3 uint8 RGB.
        """
    def overlay_png(self, /, number: SupportsIndex) -> bytes:
        """
        The bytes of a PNG file of the map painted over the photo.
        """
    def path(self, /, number: SupportsIndex) -> list[Incomplete]:
        """
        The maps of a class at increasing λ, each H×W float32; empty without `lambda-path`.
        """
    def photo(self, /) -> Incomplete:
        """
        The part of the photo that the model sees, in the photo's own aspect ratio, H×W×3 uint8 RGB.
        """
    def run(self, /) -> str:
        """
        A JSON object with model, preprocessing, engine, method and seed, as in explain.json.
        """
    @staticmethod
    def save(photos: SupportsGetItem[int, PhotoExplanation], folder: str | PathLike[str], force: bool) -> None:
        """
        Writes what `candor explain --out` writes for photos of one run: explain.json, report.html and one folder per photo. `force` also replaces
        files that Candor did not write, or that were changed since.
        """
    def scale(self, /) -> tuple[float, bool, list[tuple[int, int, int]]]:
        """
        The colour scale of the photo's maps: its maximum, whether it is signed (from −maximum instead of 0), and its RGB colours
        from the lowest value to the highest.
        """
    def seconds(self, /) -> float:
        """
        Seconds from the decoded photo to its maps and numbers; photos explained in one batch share them equally.
        """

def demo_model() -> bytes:
    """
    The bytes of the ONNX file of the embedded model of scenes.
    """

def demo_photos() -> list[tuple[str, bytes, list[int]]]:
    """
    Each demo photo as (name, bytes of a PNG file, indices of the classes in it).
    """

def document(arguments: SupportsGetItem[int, str], progress: Any | None) -> tuple[str, list[str], int]:
    """
    Runs a command that has `--json`. Returns its JSON document, its warnings, and its exit code. `progress` is called with (done, total).
    """

def gradient(model: bytes | bytearray | str | PathLike[str], of: str | None, wrt: SupportsGetItem[int, str], seed: str | None, shapes: dict[str, SupportsGetItem[int, SupportsIndex]]) -> bytes:
    """
    Adds gradients to a model (bytes or a path): one output `grad_NAME` for each value of `wrt`. Returns the bytes of an ONNX file.
    `of` is differentiated (None: the first output) with respect to `wrt` (empty: the float inputs); `seed` names a new input for ∂L/∂of
    (None: ones); `shapes` fixes sizes of inputs, −1 for a free one.
    """

def png(pixels: Incomplete) -> bytes:
    """
    The bytes of a PNG file of H×W×3 uint8 RGB pixels; ImageError for another shape or an order other than C.
    """

def run(arguments: SupportsGetItem[int, str]) -> int:
    """
    Runs the program `candor`; the first argument is the program's name. Returns the exit code.
    """

def scene(seed: SupportsIndex, size: SupportsIndex) -> tuple[Incomplete, list[tuple[int, list[int], Incomplete]]]:
    """
    The scene of a seed: its picture (size×size×3 uint8 RGB) and its objects, each as (class, box, mask): x0, y0, x1, y1 in
    pixels, x1 and y1 excluded, and size·size booleans, row by row.
    """
