"""Exceptions and warnings. Every exception has the same one-line text as on the command line: what is wrong, where, and what to do.

::

    Error
    ├── UsageError          (ValueError)     an argument names something that does not exist, or contradicts another
    │   └── MethodError                      an unknown method, or an invalid parameter of a method
    ├── InputError          (ValueError)     a tensor with a wrong shape or type, or with a value that is not finite
    ├── ImageError          (ValueError)     a photo that cannot be read
    ├── LabelError          (KeyError)       a class that the model does not have
    ├── ModelError          (ValueError)     a file that is not an image classifier, or cannot be explained
    │   └── UnsupportedOperator              an operator without a rule: ``.node``, ``.operator``
    ├── EngineError         (RuntimeError)   the engine failed, or its library is missing
    ├── ExportError         (RuntimeError)   a torch module that cannot be exported, or whose graph gives different logits
    ├── FileError           (OSError)        a result that cannot be written
    ├── MissingFile         (FileNotFoundError)
    └── Cancelled                            the progress callback cancelled the work
"""

from __future__ import annotations

__all__ = [
    "Cancelled",
    "EngineError",
    "Error",
    "ExportError",
    "FileError",
    "ImageError",
    "InputError",
    "LabelError",
    "MapWarning",
    "MethodError",
    "MissingFile",
    "ModelError",
    "PreprocessingWarning",
    "UnsupportedOperator",
    "UsageError",
]


class Error(Exception):
    """Base class: what went wrong, in one line."""


class UsageError(Error, ValueError):
    """An argument names something that does not exist, or contradicts another."""


class MethodError(UsageError):
    """An unknown method, a parameter that the method does not have, or an invalid value."""


class InputError(Error, ValueError):
    """A tensor that is not N×C×H×W of finite floats in the model's input shape."""


class ImageError(Error, ValueError):
    """A photo that cannot be read, or an array that does not contain pixels."""


class LabelError(Error, KeyError):
    """A class that the model does not have; the text suggests similar names."""

    def __str__(self) -> str:  # KeyError would print it in quotes.
        return str(self.args[0]) if self.args else ""


class ModelError(Error, ValueError):
    """A file that is not an image classifier, or one that cannot be explained."""


class UnsupportedOperator(ModelError):
    """A node whose operator is not known, or has no gradient rule.

    Attributes
    ----------
    node : str
        Name of the node in the file.
    operator : str
        Its operator, e.g. ``Conv``.
    """

    def __init__(self, text: str, node: str = "", operator: str = "") -> None:
        super().__init__(text)
        self.node = node
        self.operator = operator

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (str(self), self.node, self.operator)


class EngineError(Error, RuntimeError):
    """The engine could not run the graph, or its library is missing."""


class ExportError(Error, RuntimeError):
    """A torch module that cannot be exported, or whose graph gives different logits."""


class FileError(Error, OSError):
    """A result that cannot be written, or would replace a file that Candor did not write."""


class MissingFile(Error, FileNotFoundError):
    """A file that does not exist."""


class Cancelled(Error):
    """The progress callback cancelled the work."""


class MapWarning(UserWarning):
    """What a reader must know before trusting a map."""


class PreprocessingWarning(UserWarning):
    """The preprocessing was not stated, so ``imagenet`` was assumed."""
