"""Writes goldens: compact JSON, with float32 values as the shortest decimals."""

import json
from pathlib import Path

import numpy as np


def float32_list(values) -> list[float]:
    """The nearest float32 values, each as the shortest decimal that reads back as that float32."""
    return [float(str(v)) for v in np.asarray(values, np.float64).astype(np.float32).reshape(-1)]


def write_json(path: Path, document: dict) -> None:
    """Compact JSON, one trailing newline; NaN is an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")
