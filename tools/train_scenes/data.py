"""Scenes as arrays: drawn by the Rust generator, read back, resized to the network's input."""

import csv
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SIDE = 112  # height and width of the network's input in pixels
FIRST_TRAINING_SEED = 1_000_000  # as in crates/candor-scenes/src/lib.rs; seeds below are held out


@dataclass
class Request:
    """A run of scenes with consecutive seeds."""

    count: int
    seed: int
    size: int = SIDE
    fewest: int = 1
    most: int = 4
    smallest: float = 0.2
    largest: float = 0.55


@dataclass
class Scenes:
    """`images` N×H×W×3 in 0..255 and `present` N×K: whether the class is in the scene."""

    images: np.ndarray
    present: np.ndarray


def labels() -> list[str]:
    """Names of the classes in the order of their indices."""
    return (ROOT / "crates/candor-scenes/assets/scenes_labels.txt").read_text().split()


def draw(request: Request, cache: Path, side: int = SIDE) -> Scenes:
    """Scenes of the request, resized to `side`; cached below `cache`."""
    r = request
    numbers = (r.count, r.seed, r.size, r.fewest, r.most, r.smallest, r.largest)
    folder = cache / "_".join(str(v) for v in numbers)
    if not (folder / "scenes.csv").exists():
        command = ["cargo", "run", "--quiet", "--release", "-p", "candor-scenes", "--example", "write_scenes", "--"]
        command += [str(folder.resolve())] + [str(v) for v in numbers]
        subprocess.run(command, check=True, cwd=ROOT)
    images = np.empty((r.count, side, side, 3), np.uint8)
    for i in range(r.count):
        image = Image.open(folder / f"{i:06}.png")
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BILINEAR)
        images[i] = np.asarray(image)
    present = np.zeros((r.count, len(labels())), bool)
    with open(folder / "scenes.csv", newline="") as table:
        for row in csv.DictReader(table):
            if row["class_index"]:
                present[int(row["file"].removesuffix(".png")), int(row["class_index"])] = True
    return Scenes(images, present)


def join(parts: list[Scenes]) -> Scenes:
    """All scenes of the parts."""
    return Scenes(np.concatenate([p.images for p in parts]), np.concatenate([p.present for p in parts]))
