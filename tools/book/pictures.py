"""Draws the pictures of the book with Candor: overlays of `candor explain` on scenes, side by side.

    python tools/book/pictures.py PROGRAM

PROGRAM is the `candor` binary. The files are written to book/src/images:

- scenes.webp, fish.webp: the demo scenes; a scene of the tutorial and the maps of three classes;
- methods/NAME.webp: the second demo scene and the maps of "star", "house" and "mushroom" (which is absent), all on one scale, for each method
  that is defined for the embedded model;
- compare.webp: "house" and "mushroom" by Grad-CAM, integrated gradients and Candor. The first two are painted as pytorch-grad-cam
  and Captum do, each map on its own scale (Captum leaves out the highest values, which contain 2 % of the sum); Candor's on the photo's scale.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "crates/candor-scenes/assets"
IMAGES = ROOT / "book/src/images"
SIDE, GAP = 200, 6


def beside(pictures, path, columns=None):
    """Puts pictures of one size side by side, `columns` in a row."""
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    size = [n * SIDE + (n - 1) * GAP for n in (columns, rows)]
    sheet = Image.new("RGB", size, "white")
    for i, picture in enumerate(pictures):
        place = [n * (SIDE + GAP) for n in (i % columns, i // columns)]
        sheet.paste(Image.open(picture).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), place)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88, method=6)


def overlays(program, photo, classes, out, *arguments):
    """The overlays of `classes`, or an empty list if the method is not defined for the model."""
    asked = [word for name in classes for word in ("--class", name)]
    command = [program, "explain", ASSETS / "scenes.onnx", photo, *asked, *arguments, "--no-probe", "--out", out]
    if subprocess.run(command, capture_output=True).returncode:
        return []
    queries = json.loads((Path(out) / "explain.json").read_text())["images"][0]["queries"]
    return [Path(out) / q["map"]["overlay"] for q in queries]


def heat(values):
    """Black, purple, orange, pale yellow for 0..1."""
    stops = numpy.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=float)
    at = numpy.clip(values, 0, 1) * (len(stops) - 1)
    low = numpy.minimum(at.astype(int), len(stops) - 2)
    return stops[low] + (stops[low + 1] - stops[low]) * (at - low)[..., None]


def painted(photo, values, scale):
    """The map over the photo in grey."""
    values = numpy.maximum(values, 0) / scale
    values = numpy.asarray(Image.fromarray(values.astype("float32")).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    grey = numpy.asarray(photo.convert("L").resize((SIDE, SIDE)), dtype=float)[..., None] * 0.6 + 60
    share = numpy.clip(values * 1.5, 0, 0.85)[..., None]
    return Image.fromarray((grey * (1 - share) + heat(values) * share).astype("uint8"))


def own_scale(values, method):
    """The value that a map is divided by if it is painted on its own scale."""
    values = numpy.sort(numpy.maximum(values, 0), axis=None)
    share = 0.98 if method == "integrated-gradients" else 1
    return max(values[numpy.searchsorted(values.cumsum(), share * values.sum()).clip(0, values.size - 1)], 1e-12)


def compare(program, photo, folder, path):
    """Two classes by three methods, with captions."""
    classes = {"house": "house, which is there", "mushroom": "mushroom, which is not"}
    columns = {"grad-cam": "Grad-CAM", "integrated-gradients": "integrated gradients", "reliable": "Candor"}
    top, left = 24, 24
    sheet = Image.new("RGB", (left + 4 * (SIDE + GAP), top + 2 * (SIDE + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    picture = Image.open(photo).convert("RGB")
    sheet.paste(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
    draw.text((left + SIDE / 2, top / 2), "the scene", "black", font, anchor="mm")
    for c, (method, title) in enumerate(columns.items(), 1):
        x = left + c * (SIDE + GAP)
        draw.text((x + SIDE / 2, top / 2), title, "black", font, anchor="mm")
        out = folder / f"compare-{method}"
        files = overlays(program, photo, classes, out, "--class", "top1", "--method", method)
        maps = [numpy.load(f.with_name(f.name.replace(".overlay.png", ".npz")))["map"] for f in files]
        for r, values in enumerate(maps[: len(classes)]):
            scale = maps[-1].max() if method == "reliable" else own_scale(values, method)
            sheet.paste(painted(picture, values, scale), (x, top + r * (SIDE + GAP)))
    for r, title in enumerate(classes.values()):
        label = Image.new("RGB", (SIDE, left), "white")
        ImageDraw.Draw(label).text((SIDE / 2, left / 2), title, "black", font, anchor="mm")
        sheet.paste(label.rotate(90, expand=True), (0, top + r * (SIDE + GAP)))
    sheet.save(path, quality=90, method=6)


def main():
    program = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run([program, "scenes", folder / "photos", "--count", "8"], check=True, capture_output=True)
        photo = folder / "photos/000007.png"
        beside([photo, *overlays(program, photo, ["ball", "leaf", "fish"], folder / "fish")], IMAGES / "fish.webp")
        beside([ASSETS / f"scene{n}.png" for n in range(1, 7)], IMAGES / "scenes.webp", columns=3)
        scene = ASSETS / "scene2.png"
        compare(program, scene, folder, IMAGES / "compare.webp")
        methods = json.loads(subprocess.run([program, "methods", "--json"], check=True, capture_output=True).stdout)
        for name in (m["name"] for m in methods):
            maps = overlays(program, scene, ["star", "house", "mushroom"], folder / name, "--method", name)
            if maps:
                beside([scene, *maps], IMAGES / "methods" / f"{name}.webp")


if __name__ == "__main__":
    main()
