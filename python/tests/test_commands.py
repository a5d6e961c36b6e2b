"""Evaluation and security: commands of the command line, called from Python."""

from __future__ import annotations

import threading
from pathlib import Path

import candor
import numpy as np
import pytest


def test_check(model: candor.Model, tmp_path: Path) -> None:
    photos = list(candor.scenes.photos().values())[:2]
    found = candor.check(model, photos, ["evidence-scaled", "gradient"], out=tmp_path / "check")
    assert set(found.passed) == {"evidence-scaled", "gradient"} and not found.passed["gradient"]
    assert list(found.table["method"]) == ["evidence-scaled", "gradient"]
    assert found.table["top1_ratio_median"].dtype == np.float64
    assert len(found.rows["mass"]) == 2 * 2 * 5 and set(found.rows["kind"]) == {"top1", "top2", "median", "random", "lowest"}
    assert (tmp_path / "check/check.html").is_file() and "gradient failed" in repr(found)
    with pytest.raises(candor.FileError, match="--force"):
        (tmp_path / "check/check.html").write_text("mine")
        candor.check(model, photos, ["gradient"], out=tmp_path / "check")
    with pytest.raises(candor.MethodError, match="no method"):
        candor.check(model, photos, ["no such"])
    with pytest.raises(candor.Error):
        candor.check(model, ["no such.png"], ["gradient"])


def test_bench(files: Path) -> None:
    found = candor.bench.wsol(files / "model.onnx", files / "photos", ["grad-cam", "gradient"], limit=6, no_examples=True)
    table = next(iter(found.tables.values()))
    assert list(table["method"]) == ["grad-cam", "gradient", "centre"] and len(table) > 5
    assert found.document["benchmark"] == "wsol" and len(found.samples) > 2
    assert found.samples["method"].dtype == object
    told: list[int] = []
    model = candor.load((files / "model.onnx").read_bytes(), preset="inception", labels=str(files / "photos/classes.txt"))
    candor.bench.faithfulness(
        model, files / "photos", ["gradient"], limit=1, steps=2, no_examples=True, progress=lambda done, total: told.append(done)
    )
    assert told
    with pytest.raises(FileNotFoundError, match="nowhere"):
        candor.bench.wsol(model, "nowhere")
    with pytest.raises(candor.UsageError, match="limit"):
        candor.bench.wsol(model, files / "photos", limit="many")
    speed = candor.bench.speed(model, ["gradient"], repeats=2)
    assert list(speed["methods"]["method"]) == ["gradient"] and (speed["parts"]["median"] > 0).all()


def test_a_table_becomes_a_data_frame(files: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    found = candor.bench.speed(files / "model.onnx", ["gradient"], repeats=2)
    assert isinstance(found["parts"].to_pandas(), pandas.DataFrame)


def test_attack(model: candor.Model) -> None:
    photos = list(candor.scenes.photos().values())[:2]
    found = candor.attack(model, photos, "pgd", eps="16/255", seed=1)
    assert len(found) == 2 and found.document["attack"]["name"] == "pgd"
    for one in found:
        assert one.adversarial.shape == (3, 112, 112)
        assert np.abs(one.adversarial - one.original).max() < 16.01 / 255
        # The arrays are those that the model was given.
        answer = model.logits((one.adversarial[None] - 0.5) / 0.5)[0].argmax()
        assert answer == one.after["class_id"] and one.success == (answer != one.before["class_id"])
    with pytest.raises(candor.UsageError, match="magic"):
        candor.attack(model, photos, "magic")


def test_detector(files: Path, tmp_path: Path) -> None:
    detector = candor.Detector.train(
        files / "model.onnx", files / "photos", tmp_path / "detector", attacks=["fgsm+eps=8/255"], epochs=1
    )
    scores = detector.score(files / "model.onnx", [files / "photos/000000.png", files / "photos/000001.png"])
    assert len(scores["score"]) == 2 and ((scores["score"] >= 0) & (scores["score"] <= 1)).all()
    with pytest.raises(FileNotFoundError):
        candor.Detector(tmp_path)


def test_commands_end_when_the_caller_wants_it(model: candor.Model) -> None:
    photos = list(candor.scenes.photos().values())

    def enough(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        candor.check(model, photos, ["reliable"], progress=enough)


def test_commands_run_in_threads(files: Path) -> None:
    found: list[object] = []

    def run() -> None:
        found.append(candor.bench.speed(files / "model.onnx", ["gradient"], repeats=2))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
