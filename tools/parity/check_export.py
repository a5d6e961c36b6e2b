"""Exported methods: the ONNX checker, and ONNX Runtime against `candor explain`.

    cargo build --release
    python tools/parity/check_export.py --candor target/release/candor [--photos N] [--methods A,B,...] MODEL.onnx...
    python tools/parity/check_export.py --candor target/release/candor --noise [--methods A,B,...] MODEL.onnx...

For each model and method: `candor export`, then `onnx.checker` with full_check (types and shapes), then ONNX Runtime in
Python on photos, for the top-1 and the lowest class, against the map in the .npz file of `candor explain`. Prints one line
each: nodes, size, and the largest difference of a map in units of its largest value. The exit code is 1 if one is above
TOLERANCE. The photos are those of CANDOR_DATA/imagenet/samples.

The photos are first resized to the model's size and saved as PNG, because two JPEG decoders may differ by a level. The input of
ONNX Runtime is preprocessed here, according to the file's metadata.

`--noise` uses one picture away from kinks instead, for a model of tools/parity/export_models.py: of CANDIDATES pictures, its noise
images rounded to 256 levels, the one whose unit nearest to a kink is farthest from it (`margin` of tools/parity/kinks.py; printed in units
of the layer's float32 rounding). The preprocessing is then v / 63.75 - 2, by a sidecar, which is about the range of the
references' images.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image

import candor_tools.more_operators  # noqa: F401  registers them
from candor_tools.checkout import data_directory
from candor_tools.deterministic import INCREMENT, INCREMENT_STEP, noise_image
from candor_tools.onnx_torch import OnnxModule
from kinks import margin, roundings

METHODS = (
    "gradient gradient-times-input deconvnet guided-backprop grad-cam grad-cam++ xgrad-cam hires-cam layer-cam lrp "
    "excitation-backprop deeplift integrated-gradients reliable"
).split()
SETTINGS = {"integrated-gradients": ["--set", "steps=10"], "reliable": ["--set", "iterations=20", "--set", "look=0"]}
TOLERANCE = 1e-4
FAINT = 1e-3
"""A mask's map is 1 where all of the evidence is; one that is nowhere above this is empty, and its shape is rounding."""
CANDIDATES = 24
SIDECAR = "scale = 1.0\nmean = [127.5, 127.5, 127.5]\nstd = [63.75, 63.75, 63.75]\n"


def preprocess(picture: Path, how: dict) -> np.ndarray:
    """C×H×W of a picture of the model's size, as the metadata's candor.preprocessing says."""
    pixels = np.asarray(Image.open(picture), np.float32)
    if how["color"] == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels * how["scale"] - np.asarray(how["mean"])) / np.asarray(how["std"])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)


def photos_of_samples(count: int) -> list[Path]:
    """`count` photos of the shared data, evenly spaced."""
    folder = data_directory() / "imagenet" / "samples"
    photos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not photos:
        sys.exit(f"no photos in {folder}; set CANDOR_DATA")
    return photos[:: max(1, len(photos) // count)][:count]


def noise_picture(model: Path, folder: Path) -> tuple[Path, float]:
    """A PNG of noise, and the distance of its nearest unit from a kink."""
    single, double = (OnnxModule(model, dtype=t) for t in (torch.float32, torch.float64))
    shape = single.input_shape

    def pixels(index: int) -> np.ndarray:
        increment = (INCREMENT + index * INCREMENT_STEP) % 2**32
        return np.round(noise_image(shape, 127.5, 127.5, increment, scrambled=True)).astype(np.uint8)

    def input_of(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((pixels.astype(np.float32) - 127.5) / 63.75)

    rounding = roundings(single, double, input_of(pixels(0)))
    away = [margin(double, input_of(pixels(index)), rounding) for index in range(CANDIDATES)]
    best = int(np.argmax(away))
    target = folder / f"noise_{best}.png"
    Image.fromarray(pixels(best)[0].transpose(1, 2, 0)).save(target)
    return target, away[best]


def candor(arguments: argparse.Namespace, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([arguments.candor, *map(str, words)], capture_output=True, text=True)


def check(arguments: argparse.Namespace, model: Path, method: str, photos: list[Path], folder: Path) -> tuple[bool, str]:
    """Whether the check passes, and the line to print."""
    extra = [*SETTINGS.get(method, []), *arguments.settings, *arguments.model_options]
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
    worst, worst_logit, faintest = 0.0, 0.0, np.inf
    for result, picture in zip(json.loads(done.stdout)["images"], pictures):
        pixels = preprocess(picture, how)
        for query in result["queries"]:
            own = np.load(out / query["map"]["npz"])["map"]
            given = {image.name: np.stack([pixels] * shape[0]), "class": np.full(shape[0], query["class_id"], np.int64)}
            logits, map_ = session.run(["logits", "map"], given)
            scale = max(np.abs(own).max(), 1e-6)
            if own.any():
                faintest = min(faintest, float(np.abs(own).max()))
            worst = max(worst, float(np.abs(map_[0, 0] - own).max() / scale))
            worst_logit = max(worst_logit, abs(float(logits[0, query["class_id"]]) - query["score"]))
    size = target.stat().st_size / 1e6
    line = (
        f"checker passed, {len(written.graph.node)} nodes, {size:.1f} MB; map off by {worst:.1e} of its largest value, "
        f"logit by {worst_logit:.1e}"
    )
    if method == "reliable" and faintest < FAINT:
        line += f"; largest value of a map {faintest:.1e}, no more than rounding of masks that closed"
    return worst <= TOLERANCE, line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--candor", required=True, help="the program")
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--set", action="append", default=[], help="parameter of the methods, KEY=VALUE, after SETTINGS")
    parser.add_argument("--noise", action="store_true", help="a picture away from kinks instead of photos")
    parser.add_argument("--engine", help="engine of candor explain [default: its own]")
    arguments = parser.parse_args()
    engine = ["--engine", arguments.engine] if arguments.engine else []
    arguments.model_options = engine
    arguments.settings = [word for value in arguments.set for word in ("--set", value)]
    photos = [] if arguments.noise else photos_of_samples(arguments.photos)
    failed = 0
    own = tempfile.TemporaryDirectory()
    for model in arguments.models:
        if arguments.noise:
            picture, away = noise_picture(model, Path(own.name))
            sidecar = Path(own.name) / "sidecar.toml"
            sidecar.write_text(SIDECAR)
            photos, arguments.model_options = [picture], [*engine, "--sidecar", str(sidecar)]
            print(f"{model.stem}: {picture.stem}, nearest unit {away:.1f} roundings from its kink", flush=True)
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
