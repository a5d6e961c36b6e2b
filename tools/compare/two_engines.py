"""Compares the maps of one model by Candor's two engines, for book/src/results/two-engines.md.

    python tools/compare/two_engines.py MODEL.onnx --candor PROGRAM [--set NAME=VALUE]... [OPTION of candor...] -- PHOTO...

Both engines explain each photo's answer and its lowest class by the reliable mask. Prints one line of CSV for the settings: Pearson's r of
the two maps of the answer (median and least), the largest difference of a pixel as a share of the map's maximum (median and
most), the difference of the two masses as a share (median and most), and how many verdicts of both classes differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ENGINES = ("rten", "onnxruntime")


def explained(arguments, engine: str, folder: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Verdict and map of both classes of each photo."""
    words = [arguments.candor, "explain", str(arguments.model), *arguments.photos, "--engine", engine, "--no-probe"]
    words += ["--class", "top1", "--class", "lowest", "--out", str(folder), "--json", *arguments.options]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{engine}: {done.stderr.strip().splitlines()[-1]}")
    return {
        image["path"]: [(q["verdict"], np.load(folder / q["map"]["npz"])["map"].ravel()) for q in image["queries"]]
        for image in json.loads(done.stdout)["images"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--candor", required=True, help="the program")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments, arguments.options = parser.parse_known_args(sys.argv[1:end])
    arguments.photos = sys.argv[end + 1 :]
    if not arguments.photos:
        parser.error("no photos after --")
    with tempfile.TemporaryDirectory() as folder:
        one, other = (explained(arguments, engine, Path(folder) / engine) for engine in ENGINES)
    correlations, pixels, masses, verdicts = [], [], [], 0
    for photo, queries in one.items():
        verdicts += sum(a[0] != b[0] for a, b in zip(queries, other[photo], strict=True))
        (_, a), (_, b) = queries[0], other[photo][0]
        if a.max() == 0 or b.max() == 0:
            continue
        correlations.append(np.corrcoef(a, b)[0, 1])
        pixels.append(np.abs(a - b).max() / a.max())
        masses.append(abs(b.sum() / a.sum() - 1))
    print("maps,r,r least,pixel,pixel most,mass,mass most,verdicts that differ")
    figures = [np.median(correlations), min(correlations), np.median(pixels), max(pixels), np.median(masses), max(masses)]
    print(len(correlations), *(f"{v:.3f}" for v in figures), verdicts, sep=",")


if __name__ == "__main__":
    main()
