"""Compares the maps of an int8 model with those of the float model it was made from, for book/src/results/int8.md.

    python tools/compare/int8_maps.py FLOAT.onnx INT8.onnx --candor PROGRAM --methods A,B,... [OPTION of candor...] -- PHOTO...

Both models explain each photo's top-1 class. Only photos for which both give the same class are compared, by Spearman's correlation
of the two maps and by the overlap (intersection over union) of the 5 % of pixels in which each is largest. Equal pixels
share a rank; among equal pixels at the 5 % mark, the first in reading order are taken. A constant map has no
order and is counted separately. Prints a Markdown row for each method, with the median and the 5th percentile.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SHARE = 0.05


def maps(arguments, model: Path, method: str, photos: list[str], folder: Path) -> dict[str, tuple[int, np.ndarray]]:
    """A map from each photo to its top-1 class and the explanation's map."""
    words = [arguments.candor, "explain", str(model), *photos, "--method", method, "--class", "top1", "--no-probe"]
    words += ["--out", str(folder), "--json", *arguments.options]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{model.name}, {method}: {done.stderr.strip().splitlines()[-1]}")
    found = {}
    for image in json.loads(done.stdout)["images"]:
        (query,) = image["queries"]
        found[image["path"]] = query["class_id"], np.load(folder / query["map"]["npz"])["map"].ravel()
    return found


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    count = max(1, round(SHARE * a.size))
    first, second = (set(np.argsort(-m, kind="stable")[:count].tolist()) for m in (a, b))
    return len(first & second) / len(first | second)


def figures(values: list[float]) -> str:
    return f"{np.median(values):.3f} ({np.percentile(values, 5):.3f})" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs=2)
    parser.add_argument("--candor", required=True, help="the program")
    parser.add_argument("--methods", required=True)
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments, arguments.options = parser.parse_known_args(sys.argv[1:end])
    photos = sys.argv[end + 1 :]
    if not photos:
        parser.error("no photos after --")
    print("| method | photos | same top-1 | flat maps | Spearman | top-5 % IoU |")
    print("|---|---|---|---|---|---|")
    for method in arguments.methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            real, int8 = (
                maps(arguments, m, method, photos, Path(folder) / str(i)) for i, m in enumerate(arguments.models)
            )
        same = [p for p in real if real[p][0] == int8[p][0]]
        pairs = [(real[p][1], int8[p][1]) for p in same]
        ordered = [(a, b) for a, b in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
        correlations, overlaps = ([f(a, b) for a, b in ordered] for f in (spearman, overlap))
        cells = [method, len(real), len(same), len(pairs) - len(ordered), figures(correlations), figures(overlaps)]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
