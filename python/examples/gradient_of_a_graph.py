"""The gradient of an ONNX model as an ONNX model: python gradient_of_a_graph.py [MODEL.onnx [GRADIENT.onnx]]"""

from __future__ import annotations

import sys
from pathlib import Path

import candor


def main(arguments: list[str]) -> None:
    model = Path(arguments[0]).read_bytes() if arguments else candor.scenes.model_bytes()
    try:
        made = candor.graph.gradient(model, seed="dy")
    except candor.UnsupportedOperator as error:
        sys.exit(f"no gradient: {error}")
    print(f"{len(model):,} bytes → {len(made):,} bytes; its input dy is ∂L/∂output")
    if arguments[1:]:
        Path(arguments[1]).write_bytes(made)


if __name__ == "__main__":
    main(sys.argv[1:])
