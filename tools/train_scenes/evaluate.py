"""Measures an ONNX model on held-out scenes with ONNX Runtime.

    python tools/train_scenes/evaluate.py [MODEL] [--cache DIR]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from data import ROOT, Request, Scenes, draw, labels

MODEL = ROOT / "crates/candor-scenes/assets/scenes.onnx"
HELD_OUT = 100_000  # first seed of the measurement; seeds used during development are others


def logits(session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    """N×K logits of N×H×W×3 images, preprocessed as by the preset `inception`: (v / 255 − 0.5) / 0.5."""
    chunks = np.array_split(images, max(1, len(images) // 64))
    ready = (((c.astype(np.float32) / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2) for c in chunks)
    return np.concatenate([session.run(["logits"], {"input": np.ascontiguousarray(c)})[0] for c in ready])


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def ranked_within(scores: np.ndarray, present: np.ndarray) -> float:
    """Fraction of the present classes that are among the n best, n being the number of classes in the scene."""
    rank = (-scores).argsort(1).argsort(1)
    return float((rank < present.sum(1, keepdims=True))[present].mean())


def report(session: onnxruntime.InferenceSession, cache: Path) -> None:
    """Prints all figures."""
    names = labels()
    chance = 1 / len(names)
    for size in (112, 224, 448):
        count = 4000 if size == 112 else 1000
        one = draw(Request(count, HELD_OUT, size, 1, 1), cache)
        scores = logits(session, one.images)
        right = one.present[np.arange(count), scores.argmax(1)]
        print(f"one object, {count} scenes drawn at {size} px: top-1 {right.mean():.2%}")
        if size == 112:
            per_class(names, one, scores)
    for objects in (2, 3, 4):
        many = draw(Request(1000, HELD_OUT + 10_000 * objects, 112, objects, objects), cache)
        scores = logits(session, many.images)
        p = probabilities(scores)
        top = many.present[np.arange(len(p)), scores.argmax(1)].mean()
        above = (p[many.present] > chance).mean(), (p[~many.present] > chance).mean()
        print(
            f"{objects} objects, 1000 scenes: present classes among the top {objects} {ranked_within(scores, many.present):.2%}; "
            f"top-1 present {top:.2%}; odds above chance: present {above[0]:.2%}, absent {above[1]:.2%}"
        )
    none = draw(Request(1000, HELD_OUT + 60_000, 112, 0, 0), cache)
    highest = probabilities(logits(session, none.images)).max(1)
    quantiles = ", ".join(f"{q}% {np.percentile(highest, q):.3f}" for q in (50, 90, 99))
    print(f"no object, 1000 scenes (chance is {chance:.3f}): greatest probability, quantiles: {quantiles}")


def per_class(names: list[str], scenes: Scenes, scores: np.ndarray) -> None:
    """Prints the accuracy of each class."""
    answer = scores.argmax(1)
    shares = [f"{n} {(answer[scenes.present[:, c]] == c).mean():.1%}" for c, n in enumerate(names)]
    print("  by class: " + ", ".join(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("--cache", type=Path, help="folder that keeps the scenes; a temporary one by default")
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(arguments.model), options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as temporary:
        report(session, arguments.cache or Path(temporary))


if __name__ == "__main__":
    main()
