"""Candor explains image classifiers, and says so when there is no evidence for a class.

>>> import candor
>>> model = candor.scenes.model()          # or candor.load("model.onnx"), or a torch module with an example input
>>> photo = candor.scenes.photos()["scene1.png"]
>>> explanation = model.explain(photo, ["top1", "lowest"])
>>> explanation["top1"].verdict, explanation["lowest"].verdict
('evidence', 'no-evidence')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import _candor as _candor
from . import graph as graph
from . import scenes as scenes
from ._load import load as load
from .errors import (
    Cancelled as Cancelled,
    EngineError as EngineError,
    Error as Error,
    ExportError as ExportError,
    FileError as FileError,
    ImageError as ImageError,
    InputError as InputError,
    LabelError as LabelError,
    MapWarning as MapWarning,
    MethodError as MethodError,
    MissingFile as MissingFile,
    ModelError as ModelError,
    PreprocessingWarning as PreprocessingWarning,
    UnsupportedOperator as UnsupportedOperator,
    UsageError as UsageError,
)
from .evaluation import CheckResult as CheckResult
from .evaluation import check as check
from .explanation import ClassExplanation as ClassExplanation
from .explanation import Explanation as Explanation
from .explanation import Explanations as Explanations
from .method import Method as Method
from .method import methods as methods
from .model import Model as Model
from .security import Attacked as Attacked
from .security import AttackResult as AttackResult
from .security import Detector as Detector
from .security import attack as attack

if TYPE_CHECKING:
    from . import batch as batch
    from . import bench as bench
    from . import quantus as quantus
    from . import ray as ray

__version__: str = _candor.__version__


def export(model: Any, method: str = "grad-cam", path: Any = None, **options: Any) -> bytes:
    """A method of a model as an ONNX model: see :meth:`Model.export`. ``model`` may be anything that :func:`load` accepts."""
    opened = model if isinstance(model, Model) else load(model)
    return opened.export(method, path, **options)


def __getattr__(name: str) -> Any:
    # Submodules that need other packages, or are slow to import, are imported on first use.
    if name in ("batch", "bench", "quantus", "ray"):
        return importlib.import_module(f"candor.{name}")
    raise AttributeError(f"module 'candor' has no attribute {name!r}")
