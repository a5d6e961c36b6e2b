"""Exceptions and warnings. Every exception has the one line of the command line, which says what and where, and what to do.

::

    Error
    ├── UsageError          (ValueError)     an argument names what does not exist, or contradicts another
    │   └── MethodError                      a method, or one of its parameters
    ├── InputError          (ValueError)     a tensor of a wrong shape or type, or with a value that is not finite
    ├── ImageError          (ValueError)     a photo that cannot be read
    ├── LabelError          (KeyError)       a class that the model does not have
    ├── ModelError          (ValueError)     a file that is no image classifier, or none that can be explained
    │   └── UnsupportedOperator              an operator without a rule: ``.node``, ``.operator``
    ├── EngineError         (RuntimeError)   the engine failed, or its library is missing
    ├── ExportError         (RuntimeError)   a torch module whose exported graph answers differently, or cannot be exported
    ├── FileError           (OSError)        a result that cannot be written
    ├── MissingFile         (FileNotFoundError)
    └── Cancelled                            whoever watched the progress ended the work
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
    """What went wrong, in one line."""


class UsageError(Error, ValueError):
    """An argument names what does not exist, or contradicts another."""


class MethodError(UsageError):
    """An unknown method, or a parameter that it does not have or take."""


class InputError(Error, ValueError):
    """A tensor that is not N×C×H×W of finite floats as the model takes it."""


class ImageError(Error, ValueError):
    """A photo that cannot be read, or pixels that are none."""


class LabelError(Error, KeyError):
    """A class that the model does not have; the nearest names are in the text."""

    def __str__(self) -> str:  # KeyError would print it in quotes.
        return str(self.args[0]) if self.args else ""


class ModelError(Error, ValueError):
    """A file that is no image classifier, or one that cannot be explained."""


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
    """A torch module that cannot be exported, or whose graph answers differently."""


class FileError(Error, OSError):
    """A result that cannot be written, or would replace what Candor did not write."""


class MissingFile(Error, FileNotFoundError):
    """A file that is not there."""


class Cancelled(Error):
    """Whoever watched the progress ended the work."""


class MapWarning(UserWarning):
    """What a reader must know before believing a map."""


class PreprocessingWarning(UserWarning):
    """Nobody said how photos become the model's input, so ``imagenet`` was assumed."""
