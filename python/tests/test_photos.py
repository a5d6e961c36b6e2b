"""Photos in, explanations out."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import candor
import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def pixels(photo: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))


def test_a_class_that_is_not_there_has_an_empty_map(model: candor.Model, photo: bytes) -> None:
    found = model.explain(photo, ["top1", "lowest"])
    top, absent = found.classes
    assert top.verdict == "evidence" and top.evidence > 1 and top.map.max() > 0.1
    assert absent.verdict == "no-evidence" and absent.map.max() < 1e-3
    assert found["top1"] is top and found[top.class_id] is top and found[top.class_name] is top
    assert [r.class_id for r in found] == [top.class_id, absent.class_id] and len(found) == 2
    assert top.class_name in found and "no such class" not in found
    assert found.answers[0][0] == top.class_name


def test_the_map_is_raw_and_read_only(model: candor.Model, photo: bytes) -> None:
    result = model.explain(photo)["top1"]
    assert result.map.dtype == np.float32 and result.map.shape == model.input_shape[1:]
    with pytest.raises(ValueError, match="read-only"):
        result.map[0, 0] = 1
    assert all(mask.ndim == 3 for mask in result.levels.values()) and result.levels
    assert 0 <= result.normalised().min() and result.normalised().max() <= 1


def test_a_photo_has_many_forms_and_one_map(model: candor.Model, photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    array = pixels(photo)
    rgba = np.dstack([array, np.full(array.shape[:2], 255, np.uint8)])
    forms = [
        photo, bytearray(photo), memoryview(photo), path, str(path), array, Image.open(path), Image.fromarray(rgba, "RGBA"),
        io.BytesIO(photo), open(path, "rb"), np.asfortranarray(array), array[::-1][::-1], np.flip(np.flip(array, 1).copy(), 1),
    ]
    maps = [model.explain(form, method="grad-cam")["top1"].map for form in forms]
    for found in maps[1:]:
        assert np.array_equal(found, maps[0])


def test_a_list_gives_a_list(model: candor.Model) -> None:
    photos = list(candor.scenes.photos().values())[:3]
    found = model.explain(photos, "top1", "grad-cam")
    assert isinstance(found, list) and len(found) == 3
    alone = model.explain(photos[2], "top1", "grad-cam")
    assert np.array_equal(found[2]["top1"].map, alone["top1"].map)


@pytest.mark.parametrize(
    ("photo", "error", "words"),
    [
        ("no such file.png", FileNotFoundError, "check the path"),
        (b"not a picture", candor.ImageError, "photo 0"),
        (b"", candor.ImageError, "photo 0"),
        (np.zeros((4, 4, 3), np.float32), candor.ImageError, "uint8"),
        (np.zeros((3, 40, 40), np.uint8), candor.ImageError, r"transpose\(1, 2, 0\)"),
        (np.zeros((4, 4, 2), np.uint8), candor.ImageError, "H×W×3"),
        (np.zeros((0, 4, 3), np.uint8), candor.ImageError, "each side"),
        (np.zeros((4,), np.uint8), candor.ImageError, "H×W×3"),
        (np.full((4, 4, 3), np.nan), candor.ImageError, "uint8"),
        (12, TypeError, "a photo is a path"),
        (None, TypeError, "a photo is a path"),
        ([], candor.UsageError, "no photo"),
        (io.StringIO("text"), candor.ImageError, "mode 'rb'"),
    ],
)
def test_what_is_no_photo_is_an_exception(model: candor.Model, photo: object, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        model.explain(photo)


def test_a_closed_file_is_an_exception(model: candor.Model, photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(photo)
    with open(path, "rb") as file:
        image = Image.open(file)
    with pytest.raises(candor.ImageError, match="closed"):
        model.explain(image)
    with pytest.raises(candor.ImageError, match="closed"):
        model.explain(file)


def test_what_is_asked_wrongly_is_an_exception(model: candor.Model, photo: bytes) -> None:
    with pytest.raises(KeyError, match="did you mean"):
        model.explain(photo, "fsh")
    with pytest.raises(candor.LabelError, match="12 classes"):
        model.explain(photo, 12)
    with pytest.raises(candor.LabelError):
        model.explain(photo, -1)
    with pytest.raises(candor.MethodError, match="did you mean 'grad-cam'"):
        model.explain(photo, method="gradcam")
    with pytest.raises(ValueError, match="no parameter 'iteratons'"):
        model.explain(photo, iteratons=3)
    with pytest.raises(candor.UsageError, match="no class"):
        model.explain(photo, [])
    for asked in (1.5, b"fish", [None]):
        with pytest.raises(TypeError):
            model.explain(photo, asked)
    with pytest.raises(candor.Error):
        model.explain(photo, method="grad-cam", levels=["no such value"])
    with pytest.raises(candor.UsageError, match="levels is a list"):
        model.explain(photo, method="grad-cam", levels="level14")
    assert str(pytest.raises(candor.LabelError, model.class_id, "zzz").value)[0] != "'"


def test_python_and_the_command_line_give_the_same_bits(files: Path) -> None:
    """The NPZ files of `candor explain` and the arrays in Python, for a mask, its levels, and a method without a null."""
    photo, path = files / "photos/000000.png", files / "model.onnx"
    model = candor.load(path)
    for method, options in [("reliable", {"iterations": 20}), ("grad-cam", {}), ("integrated-gradients", {})]:
        out = files / f"cli-{method}"
        words = [w for key, value in options.items() for w in ("--set", f"{key}={value}")]
        command = ["explain", str(path), str(photo), "--class", "top1", "--class", "fish", "--method", method, "--out", str(out)]
        subprocess.run([sys.executable, "-m", "candor", *command, *words], check=True, capture_output=True)
        said = json.loads((out / "explain.json").read_text())["images"][0]["queries"]
        found = model.explain(photo, ["top1", "fish"], method, **options)
        assert [q["class_id"] for q in said] == [r.class_id for r in found]
        for query, result in zip(said, found):
            with np.load(out / query["map"]["npz"]) as arrays:
                assert np.array_equal(arrays["map"], result.map)
                for i, mask in enumerate(result.levels.values()):
                    assert np.array_equal(arrays[f"level_{i}_mask"], mask)
            for field in ("rank", "score", "probability", "log_odds", "null_log_odds", "verdict", "warnings"):
                assert getattr(result, field) == query[field]


def test_what_is_saved_is_what_the_command_line_writes(files: Path, tmp_path: Path) -> None:
    path = str(files / "model.onnx")
    photos = [str(files / f"photos/00000{i}.png") for i in range(2)]
    subprocess.run(
        [sys.executable, "-m", "candor", "explain", path, *photos, "--method", "grad-cam", "--out", "cli"], check=True, capture_output=True
    )
    found = candor.load(path).explain(photos, "top1", "grad-cam")
    found.save(tmp_path / "python")
    there = sorted(str(f.relative_to("cli")) for f in Path("cli").rglob("*") if f.is_file() and ".candor" not in f.parts)
    assert there == sorted(
        str(f.relative_to("python")) for f in Path("python").rglob("*") if f.is_file() and ".candor" not in f.parts
    )
    said, ours = (json.loads(Path(f, "explain.json").read_text()) for f in ("cli", "python"))
    for document in (said, ours):
        for image in document["images"]:
            for query in image["queries"]:
                del query["cost"]["seconds"]
    assert said == ours
    assert found.to_dict()["model"] == said["model"] and found.to_dict()["method"] == said["method"]
    # Candor's own files are replaced, others are not.
    found.save("python")
    Path("python/report.html").write_text("mine")
    with pytest.raises(candor.FileError, match="not as Candor wrote it"):
        found.save("python")
    with pytest.raises(OSError):
        found[0].save("/proc/nowhere")


def test_pictures(model: candor.Model, photo: bytes) -> None:
    found = model.explain(photo, ["top1", "lowest"], "grad-cam")
    result = found.classes[0]
    assert result.overlay().size == Image.open(io.BytesIO(photo)).size
    assert result._repr_png_().startswith(b"\x89PNG")
    html = found._repr_html_()
    assert html.count("<img") == 2 and not any(word in html for word in ("<script", "<style", " style=", "onclick"))
    assert result.class_name in html and found.photo.shape[2] == 3
    assert "not-judged" in repr(result) and result.evidence is None


def test_plot_needs_no_display(model: candor.Model, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MPLBACKEND", "agg")
    import matplotlib.pyplot as plt

    found = model.explain(photo, ["top1", "lowest"], "grad-cam")
    axes = found.classes[0].plot()
    assert axes.get_title().startswith(found.classes[0].class_name)
    figure, mine = plt.subplots()
    assert found.classes[0].plot(mine, colorbar=False) is mine
    found.plot().savefig("both.png")
    assert os.path.getsize("both.png") > 1000
    plt.close("all")


def test_warnings_of_a_map_are_warnings(model: candor.Model) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.explain(noise, ["top1", "lowest"], "edges")
    texts = [str(w.message) for w in caught if issubclass(w.category, candor.MapWarning)]
    said = [text for result in found for text in result.warnings]
    assert said and len(texts) == len(said) and all(a in b for a, b in zip(said, texts))


def test_an_assumed_preprocessing_is_told_once(files: Path, photo: bytes) -> None:
    content = (files / "model.onnx").read_bytes()
    model = candor.load(content)
    with pytest.warns(candor.PreprocessingWarning, match="imagenet"):
        model.explain(photo, method="grad-cam")
    with warnings.catch_warnings():
        warnings.simplefilter("error", candor.PreprocessingWarning)
        model.explain(photo, method="grad-cam")
        candor.load(content, preset="inception").explain(photo, method="grad-cam")


def dicom(frames: np.ndarray, *, window: tuple[str, str] | None = None) -> bytes:
    """Frames of 12 bits, N×H×W, as a DICOM file: explicit VR, little endian."""

    def element(group: int, number: int, vr: str, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        head = struct.pack("<HH2s", group, number, vr.encode())
        return head + (struct.pack("<HI", 0, len(value)) if vr in ("OB", "OW") else struct.pack("<H", len(value))) + value

    number = lambda n: struct.pack("<H", n)  # noqa: E731
    count, height, width = frames.shape
    meta = element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", b"1.2.840.10008.5.1.4.1.1.2") + element(2, 3, "UI", b"1.2.3\0")
    meta += element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0") + element(2, 0x12, "UI", b"1.2.4\0")
    data = element(0x28, 2, "US", number(1)) + element(0x28, 4, "CS", b"MONOCHROME2") + element(0x28, 8, "IS", str(count).encode())
    data += element(0x28, 0x10, "US", number(height)) + element(0x28, 0x11, "US", number(width))
    for tag, value in [(0x100, 16), (0x101, 12), (0x102, 11), (0x103, 0)]:
        data += element(0x28, tag, "US", number(value))
    if window:
        data += element(0x28, 0x1050, "DS", window[0].encode()) + element(0x28, 0x1051, "DS", window[1].encode())
    data += element(0x7FE0, 0x10, "OW", frames.astype("<u2").tobytes())
    return b"\0" * 128 + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + data


def test_dicom_is_a_photo_by_path_and_as_bytes(model: candor.Model, tmp_path: Path) -> None:
    _, height, width = model.input_shape
    frames = np.random.default_rng(0).integers(0, 4096, (3, height, width))
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom(frames))
    # The embedded model takes (v/255 - 0.5)/0.5.
    expected = (frames / 4095 - 0.5) / 0.5
    for number in (1, 3):
        values = model.preprocess(f"{path}#{number}")
        assert np.abs(values - expected[number - 1]).max() < 1e-6
    assert np.array_equal(model.preprocess(path.read_bytes()), model.preprocess(path))
    found = model.explain(f"{path}#2", method="grad-cam")
    assert found.preparation[0] == "frame 2 of 3" and found.preparation[1].startswith("samples from 0 to 4095")
    with pytest.raises(candor.ImageError, match="no frame 4 in the file; its frames are #1 to #3"):
        model.explain(f"{path}#4")


def test_the_window_of_a_model_is_used(tmp_path: Path) -> None:
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom(np.full((1, 112, 112), 150), window=("2000", "10")))
    windowed = candor.scenes.model(window=[100.0, 200.0])
    for photo in (path, path.read_bytes()):
        assert np.abs(windowed.preprocess(photo) - (0.75 - 0.5) / 0.5).max() < 1e-6
    assert (candor.scenes.model().preprocess(path) == -1).all()
