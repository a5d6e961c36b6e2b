"""Exported methods: the ONNX checker, and ONNX Runtime against `candor explain`.

    cargo build --release
    python tools/check_export.py --candor target/release/candor [--photos N] [--methods A,B,...] MODEL.onnx...

For each model and method: `candor export`, then `onnx.checker` with full_check (types and shapes), then ONNX Runtime in
Python on photos, for the top-1 and the lowest class, against the map in the .npz file of `candor explain`. Prints one line
each: nodes, size, and the largest difference of a map in units of its largest value. The exit code is 1 if one is above
TOLERANCE. The photos are those of CANDOR_DATA/imagenet/samples.

The photos are first brought to the model's size and saved as PNG, because two JPEG decoders may differ by a level. What
ONNX Runtime gets is preprocessed here, by what the file's metadata says.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

DATA = Path(os.environ.get("CANDOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
METHODS = (
    "gradient gradient-times-input deconvnet guided-backprop grad-cam grad-cam++ xgrad-cam hires-cam layer-cam lrp "
    "excitation-backprop deeplift integrated-gradients reliable"
).split()
SETTINGS = {"integrated-gradients": ["--set", "steps=10"], "reliable": ["--set", "iterations=20"]}
TOLERANCE = 1e-4


def preprocess(picture: Path, how: dict) -> np.ndarray:
    """C×H×W of a picture of the model's size, as the metadata's candor.preprocessing says."""
    pixels = np.asarray(Image.open(picture), np.float32)
    if how["color"] == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels * how["scale"] - np.asarray(how["mean"])) / np.asarray(how["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)


def photos_of_samples(count: int) -> list[Path]:
    """So many of the shared data, spread over all."""
    photos = sorted(p for p in (DATA / "imagenet" / "samples").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not photos:
        sys.exit(f"no photos in {DATA}/imagenet/samples; set CANDOR_DATA")
    return photos[:: max(1, len(photos) // count)][:count]


def candor(arguments: argparse.Namespace, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([arguments.candor, *map(str, words)], capture_output=True, text=True)


def check(arguments: argparse.Namespace, model: Path, method: str, photos: list[Path], folder: Path) -> tuple[bool, str]:
    """Whether all is well, and the line to print."""
    extra = [*SETTINGS.get(method, []), *arguments.model_options]
    target = folder / f"{model.stem}.{method}.onnx"
    done = candor(arguments, "export", model, "--method", method, *extra, "-o", target)
    if done.returncode:
        return False, f"not exported: {done.stderr.strip().splitlines()[-1]}"
    written = onnx.load(target)
    onnx.checker.check_model(written, full_check=True)
    notes = {p.key: p.value for p in written.metadata_props}
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in image.shape]
    how = json.loads(notes["candor.preprocessing"])
    pictures = []
    for photo in photos:
        pictures.append(folder / f"{photo.stem}.png")
        Image.open(photo).convert("RGB").resize((shape[3], shape[2]), Image.Resampling.BILINEAR).save(pictures[-1])
    out = folder / f"{model.stem}.{method}"
    words = ["--class", "top1", "--class", "lowest", "--method", method, *extra, "--out", out, "--json"]
    done = candor(arguments, "explain", model, *pictures, *words)
    if done.returncode:
        return False, f"not explained: {done.stderr.strip().splitlines()[-1]}"
    worst = worst_logit = 0.0
    for result, picture in zip(json.loads(done.stdout)["images"], pictures):
        pixels = preprocess(picture, how)
        for query in result["queries"]:
            own = np.load(out / query["map"]["npz"])["map"]
            given = {image.name: np.stack([pixels] * shape[0]), "class": np.full(shape[0], query["class_id"], np.int64)}
            logits, map_ = session.run(["logits", "map"], given)
            scale = max(np.abs(own).max(), 1e-6)
            worst = max(worst, float(np.abs(map_[0, 0] - own).max() / scale))
            worst_logit = max(worst_logit, abs(float(logits[0, query["class_id"]]) - query["score"]))
    size = target.stat().st_size / 1e6
    line = (
        f"checker passed, {len(written.graph.node)} nodes, {size:.1f} MB; map off by {worst:.1e} of its largest value, "
        f"logit by {worst_logit:.1e}"
    )
    return worst <= TOLERANCE, line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--candor", required=True, help="the program")
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--engine", help="engine of candor explain [default: its own]")
    arguments = parser.parse_args()
    arguments.model_options = ["--engine", arguments.engine] if arguments.engine else []
    photos = photos_of_samples(arguments.photos)
    failed = 0
    for model in arguments.models:
        for method in arguments.methods.split(","):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    good, line = check(arguments, model, method, photos, Path(folder))
                except Exception as error:
                    good, line = False, " ".join(f"{type(error).__name__}: {error}".split())[:300]
            failed += not good
            print(f"{model.stem} {method}: {'' if good else 'FAILS: '}{line}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
