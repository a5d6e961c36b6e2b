"""Whether Candor does everything with the models of a list: loads, scores, levels, default mask, Grad-CAM, doctor.

    python tools/parity/sweep.py --candor PROGRAM [--photos PHOTO...] [--out FILE.csv] MODEL.onnx|FOLDER...

Each model gets a picture of deterministic noise of its own size, as it is (`--preset raw`), so that its input needs no preprocessing; the
five highest scores of `candor explain` are compared with ONNX Runtime's. A model that takes any size gets 224. With --photos, `candor
doctor` is asked as well, and the preprocessing it puts first is listed. One line a model; a failure has the program's own words.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

COLUMNS = ["model", "classes", "head", "loads", "largest difference", "levels", "mask", "grad-cam", "doctor", "failure"]


def run(arguments: list[str], timeout: int = 600) -> tuple[bool, str]:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {timeout} s"
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def difference(explained: dict, outputs: dict[str, np.ndarray], head: str) -> float:
    """Of the answers: scores where the output is the logits, else probabilities. Relative to the largest."""
    answer = outputs[explained["model"]["output"]].reshape(-1).astype(float)
    top = explained["images"][0]["top"]
    if "one logit" in head:
        answer = answer if 0 <= answer[0] <= 1 else sigmoid(answer)
        got, want = {t["class_id"]: t["probability"] for t in top}, {0: 1 - answer[0], 1: answer[0]}
    elif head == "logits":
        got, want = {t["class_id"]: t["score"] for t in top}, dict(enumerate(answer))
    else:
        answer = np.exp(answer) if (answer <= 0).all() else answer
        got, want = {t["class_id"]: t["probability"] for t in top}, dict(enumerate(answer))
    scale = max(1e-6, max(abs(v) for v in want.values()))
    return max(abs(got[c] - want[c]) for c in got) / scale


def sweep(program: str, model: Path, photos: list[str], folder: Path) -> dict:
    row = dict.fromkeys(COLUMNS, "") | {"model": str(model.name)}
    size = []
    fine, said = run([program, "inspect", str(model), "--json"])
    if not fine and "any size" in said:
        size = ["--size", "224"]
        fine, said = run([program, "inspect", str(model), "--json", *size])
    row["loads"] = fine
    if not fine:
        return row | {"failure": said}
    found = json.loads(said)
    channels, height, width = found["input"]["shape"]
    row |= {"classes": found["classes"], "head": found["head"], "levels": len(found["levels"])}
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if channels == 1:
        pixels[:] = pixels[:, :, :1]
    picture = folder / "noise.png"
    Image.fromarray(pixels).save(picture)
    failures = []
    for column, method in [("mask", ["--set", "iterations=3"]), ("grad-cam", ["--method", "grad-cam"])]:
        common = ["explain", str(model), str(picture), "--preset", "raw", "--no-probe", "--force", "--out", str(folder / "out"), "--json"]
        fine, said = run([program, *common, *size, *method])
        row[column] = fine
        if not fine:
            failures.append(f"{column}: {said}")
        elif column == "mask":
            x = pixels.transpose(2, 0, 1)[None, :channels]
            session = onnxruntime.InferenceSession(found["model"]["path"], providers=["CPUExecutionProvider"])
            image = session.get_inputs()[0]
            x = x.transpose(0, 2, 3, 1) if image.shape[-1] in (1, 3) and image.shape[1] not in (1, 3) else x
            x = x if "uint8" in image.type else x.astype(np.float32)
            names = [o.name for o in session.get_outputs()]
            outputs = dict(zip(names, session.run(None, {image.name: x})))
            row["largest difference"] = f"{difference(json.loads(said), outputs, found['head']):.1e}"
    if photos:
        fine, said = run([program, "doctor", str(model), *photos, "--json", *size])
        row["doctor"] = json.loads(said)["candidates"][0]["name"] if fine else False
        if not fine:
            failures.append(f"doctor: {said}")
    return row | {"failure": "; ".join(failures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--candor", required=True)
    parser.add_argument("--photos", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            try:
                rows.append(sweep(arguments.candor, model, arguments.photos, Path(folder)))
            except Exception as e:
                rows.append(dict.fromkeys(COLUMNS, "") | {"model": model.name, "failure": f"{type(e).__name__}: {e}"})
            print(" | ".join(str(rows[-1][c]) for c in COLUMNS), flush=True)
    if arguments.out:
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    done = sum(not r["failure"] for r in rows)
    print(f"{done} of {len(rows)} do everything")
    sys.exit(done < len(rows))


if __name__ == "__main__":
    main()
