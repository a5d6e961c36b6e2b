"""Behaviour of the package inside a program: threads, signals, processes, pickles, memory."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import candor
import numpy as np
import pytest


def test_threads_give_the_maps_that_one_gives(model: candor.Model) -> None:
    photos = list(candor.scenes.photos().values())
    alone = [model.explain(photo, method="integrated-gradients").classes[0].map for photo in photos]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda photo: model.explain(photo, method="integrated-gradients").classes[0].map, photos * 2))
    for i, wanted in enumerate(alone * 2):
        assert np.array_equal(found[i], wanted)


def test_other_threads_run_while_a_map_is_made(model: candor.Model, photo: bytes) -> None:
    turns, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            turns[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    model.explain(photo, iterations=100)
    seconds = time.monotonic() - start
    stop.set()
    thread.join()
    # If the GIL were held, there would be calls only at the start and the end.
    assert turns[0] > 20 * seconds


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_ctrl_c_ends_a_search(photo: bytes) -> None:
    program = (
        "import candor, sys, time\n"
        "model, photo = candor.scenes.model(), candor.scenes.photos()['scene1.png']\n"
        "def told(done, total): print('step', flush=True)\n"
        "try: model.explain(photo, iterations=100000, progress=told)\n"
        "except KeyboardInterrupt: print('stopped', flush=True)\n"
        "print(model.explain(photo, method='grad-cam').classes[0].class_name)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    lines = iter(process.stdout.readline, "")
    assert any(line == "stopped\n" for line in lines)
    waited = time.monotonic() - start
    assert waited < 10, "far more than the second it takes, for machines that are busy"
    assert process.wait() == 0


def test_progress_is_told_and_may_end_the_work(model: candor.Model, photo: bytes) -> None:
    told: list[tuple[int, int]] = []
    model.explain(photo, iterations=50, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0 and all(a <= b for (a, _), (b, _) in zip(told, told[1:]))

    def enough(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        model.explain(photo, iterations=5000, progress=enough)
    with pytest.raises(candor.UsageError, match="progress"):
        model.explain(photo, progress="yes")


def test_progress_is_a_bar(model: candor.Model, photo: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    model.explain(photo, iterations=50, progress=True)
    assert "reliable" in capfd.readouterr().err


def test_models_and_methods_pickle(files: Path, photo: bytes) -> None:
    for model in (
        candor.scenes.model(),
        candor.load(files / "model.onnx", threads=1),
        candor.load((files / "model.onnx").read_bytes(), preset="inception", labels=list("abcdefghijkl")),
    ):
        again = pickle.loads(pickle.dumps(model))
        assert again.labels == model.labels and again.preprocessing == model.preprocessing
        wanted = model.explain(photo, method="grad-cam").classes[0]
        assert np.array_equal(again.explain(photo, method="grad-cam").classes[0].map, wanted.map)
    method = pickle.loads(pickle.dumps(candor.Method("reliable", model, iterations=5)))
    assert method.parameters["iterations"] == 5
    for error in (candor.UnsupportedOperator("text", "node", "Op"), candor.LabelError("text")):
        assert str(pickle.loads(pickle.dumps(error))) == "text"


def _largest(model: candor.Model, photo: bytes) -> float:
    return float(model.explain(photo, method="grad-cam").classes[0].map.max())


def test_processes_that_are_spawned(model: candor.Model, photo: bytes) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(_largest, [(model, photo)] * 2)
    assert found == [_largest(model, photo)] * 2


@pytest.mark.parametrize("first", ["candor", "onnxruntime"])
def test_onnxruntime_in_one_process(first: str, files: Path) -> None:
    """Both orders of importing; both engines; the user's own session, before and after."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    second = {"candor": "onnxruntime", "onnxruntime": "candor"}[first]
    program = (
        f"import {first}\nimport {second}\nimport numpy\n"
        f"path, photo = {str(files / 'model.onnx')!r}, {str(files / 'photos/000000.png')!r}\n"
        "session = onnxruntime.InferenceSession(path)\n"
        "zeros = {session.get_inputs()[0].name: numpy.zeros([1, 3, 112, 112], 'float32')}\n"
        "before = session.run(None, zeros)[0]\n"
        "maps = [candor.load(path, engine=e).explain(photo, iterations=10).classes[0].map for e in ('rten', 'onnxruntime')]\n"
        "print(abs(maps[0] - maps[1]).max() < 1e-2, numpy.array_equal(session.run(None, zeros)[0], before))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DYLIB_PATH"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, "True True"), done.stderr


def test_memory_stays_flat(model: candor.Model, photo: bytes) -> None:
    """A few hundred calls; the memory measurement in tools/python/overhead.py makes more."""
    resource = pytest.importorskip("resource", reason="the system does not say how much memory is used")

    def run(count: int) -> int:
        for _ in range(count):
            model.explain(photo, ["top1", "lowest"], "grad-cam", probe=False)
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    run(60)
    before = run(60)
    assert run(240) - before < 8 * 1024, "kilobytes"


def test_files_that_are_missing_or_no_models(tmp_path: Path, files: Path) -> None:
    for path in ("no such.onnx", tmp_path / "no such.onnx"):
        with pytest.raises(FileNotFoundError, match="no such.onnx"):
            candor.load(path)
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(candor.ModelError, match="text.onnx.*not an ONNX model"):
        candor.load(tmp_path / "text.onnx")
    for content in (b"", b"not a model"):
        with pytest.raises(candor.ModelError, match="not an ONNX model"):
            candor.load(content)
    with pytest.raises(candor.ModelError, match="not an ONNX model"):
        candor.load((files / "model.onnx").read_bytes()[:1000])
    (tmp_path / "folder").mkdir()
    with pytest.raises(candor.ModelError, match="holds no .onnx file"):
        candor.load(tmp_path / "folder")
    with pytest.raises(TypeError, match="a model is a path"):
        candor.load(12)


def test_folders_and_keys(files: Path, photo: bytes) -> None:
    assert candor.load(files).classes == 12
    path = files / "model.onnx"
    with pytest.raises(candor.UsageError, match="key `presett`: unknown field"):
        candor.load(path, presett="inception")
    with pytest.raises(candor.UsageError, match="key `preset`: unknown variant `inceptoin`"):
        candor.load(path, preset="inceptoin")
    with pytest.raises(candor.UsageError, match="std.*finite and not 0"):
        candor.load(path, std=[0, 1, 1])
    with pytest.raises(candor.ModelError, match="size"):
        candor.load(path, size=[64, 64])
    with pytest.raises(candor.ModelError, match="labels"):
        candor.load(path, labels=["a", "b"])
    with pytest.raises(FileNotFoundError):
        candor.load(path, labels="no such file")
    with pytest.raises(candor.UsageError, match="engine"):
        candor.load(path, engine="tensorflow")
    with pytest.raises(candor.UsageError, match="device"):
        candor.load(path, engine="rten", device="cuda")
    own = candor.load(path, scale=1 / 255, mean=np.full(3, 0.5), std=(0.5, 0.5, 0.5))
    assert np.array_equal(
        own.explain(photo, method="grad-cam").classes[0].map,
        candor.load(path, preset="inception").explain(photo, method="grad-cam").classes[0].map,
    )


def test_the_command_line_is_inside(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "candor"]
    assert subprocess.run([*command, "--version"], capture_output=True, text=True).stdout == f"candor {candor.__version__}\n"
    done = subprocess.run([*command, "explain", "no such.onnx", "x.png"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no such.onnx" in done.stderr
    assert subprocess.run([*command, "explian"], capture_output=True).returncode == 2
    done = subprocess.run([*command, "demo", "--method", "grad-cam", "--out", str(tmp_path / "demo")], capture_output=True)
    assert done.returncode == 0
    assert "candor demo --method grad-cam" in (tmp_path / "demo/report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "demo/explain.json").read_text(encoding="utf-8"))["images"]


def test_it_is_imported_fast_and_alone() -> None:
    """It imports no package except NumPy; the import time is measured elsewhere."""
    program = "import sys, candor; print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'PIL', 'matplotlib', 'onnx', 'pandas', 'tqdm'}))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_bytes_of_a_photo_are_not_copied_into_errors(model: candor.Model) -> None:
    with pytest.raises(candor.ImageError) as caught:
        model.explain(io.BytesIO(b"\x00" * 100_000))
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
