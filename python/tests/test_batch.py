"""Rows of many photos, without any framework: a worker, its faults, and the folder that several processes write."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import candor
import candor.batch
import numpy as np
import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="pipes with names and signals are POSIX's")


def worker(files: Path, **keys: Any) -> candor.batch.Worker:
    return candor.batch.Worker(str(files / "model.onnx"), **{"classes": ["top1", "fish"], "method": "grad-cam", **keys})


def without_seconds(rows: Any) -> list[dict[str, Any]]:
    """Rows of a worker or a data frame as dictionaries, in a fixed order."""
    names = [name for name in candor.batch.COLUMNS if name != "seconds"]
    made = [{name: _plain(rows[name][i]) for name in names} for i in range(len(rows["photo"]))]
    return sorted(made, key=lambda row: (row["photo"], row["class"]))


def _plain(value: Any) -> Any:
    number = isinstance(value, (int, float, np.number))
    return None if value is None or (number and (math.isnan(value) or value == -1)) else value


def test_rows_are_what_explain_finds(files: Path) -> None:
    photos = [str(files / f"photos/00000{i}.png") for i in range(3)]
    asked = ["top1", "lowest", "fish", 3]
    for method, options in [("grad-cam", {}), ("reliable", {"iterations": 10})]:
        rows = worker(files, classes=asked, method=method, **options)({"photo": photos})
        assert list(rows) == list(candor.batch.COLUMNS) and len(rows["photo"]) == 12
        model = candor.load(files / "model.onnx", threads=1)
        for i, photo in enumerate(photos):
            found = model.explain(photo, asked, method, **options)
            for j, word in enumerate(asked):
                result, row = found[word], 4 * i + j
                assert (rows["photo"][row], rows["class"][row], rows["error"][row]) == (photo, str(word), None)
                assert (rows["class_id"][row], rows["verdict"][row]) == (result.class_id, result.verdict)
                assert rows["log_odds"][row] == result.log_odds
                np.testing.assert_equal(rows["evidence"][row], np.nan if result.evidence is None else result.evidence)
                kept = candor.batch.map_of(rows, row)
                assert np.abs(kept - result.map).max() <= 2**-11 * max(np.abs(result.map).max(), 1e-30)


def test_a_row_depends_on_its_photo_alone(files: Path) -> None:
    photos = [str(files / f"photos/00000{i}.png") for i in range(4)]
    one, two = worker(files, method="reliable", iterations=5), worker(files, method="reliable", iterations=5, threads=2)
    together = one({"photo": photos})
    alone = [two({"path": [photo]}) for photo in reversed(photos)]
    assert one.key == two.key
    assert without_seconds(together) == sorted((r for rows in alone for r in without_seconds(rows)), key=lambda r: (r["photo"], r["class"]))


def test_paths_and_uris(files: Path, tmp_path: Path) -> None:
    photo = files / "photos/000000.png"
    strange = tmp_path / "ein Foto ü.png"
    strange.write_bytes(photo.read_bytes())
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(photo, "a.png")
    given = [str(photo), photo, strange.as_uri(), "file://elsewhere/a.png", f"zip://a.png::file://{tmp_path}/photos.zip", "nothing://a.png"]
    rows = worker(files, classes="top1")({"photo": given})
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    assert fsspec and [error is None for error in rows["error"]] == [True, True, True, False, True, False]
    assert len({bytes(m) for m in rows["map"] if m is not None}) == 1
    assert "another machine" in rows["error"][3] and "nothing://a.png" in rows["error"][5]


def test_a_photo_that_fails_is_a_row(files: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no photo")
    good = str(files / "photos/000000.png")
    rows = worker(files)({"photo": ["missing.png", good, str(tmp_path / "text.png"), None, tmp_path, b"bytes"]})
    assert [error is None for error in rows["error"]] == [False, False, True, True] + [False] * 8
    assert all("\n" not in error for error in rows["error"] if error)
    assert "missing.png" in rows["error"][0] and "text.png" in rows["error"][4] and "NoneType" in rows["error"][6]
    assert np.isnan(rows["log_odds"][0]) and rows["class_id"][0] == -1 and rows["map"][0] is None


def test_what_is_asked_wrongly_is_said_at_once(files: Path) -> None:
    for keys, error, words in [
        ({"method": "gradcam"}, candor.MethodError, "did you mean 'grad-cam'"),
        ({"classes": ["top1", "fsh"]}, candor.LabelError, "did you mean"),
        ({"classes": []}, candor.UsageError, "no class"),
        ({"iteratons": 3}, candor.UsageError, "no parameter 'iteratons'"),
        ({"maps": "jpeg"}, candor.UsageError, "float16, png"),
        ({"maps": "npz"}, candor.UsageError, "folder="),
        ({"timeout": 0}, candor.UsageError, "timeout"),
        ({"engine": "tensorflow"}, candor.UsageError, "engine"),
    ]:
        with pytest.raises(error, match=words):
            worker(files, **keys)
    with pytest.raises(TypeError, match="candor.load returns, not bytes"):
        candor.batch.Worker(candor.scenes.model_bytes())
    with pytest.raises(FileNotFoundError, match="no such.onnx"):
        candor.batch.Worker("no such.onnx")
    one = worker(files)
    with pytest.raises(candor.UsageError, match="pixels"):
        one({"photo": np.zeros((2, 8, 8, 3), np.uint8)})
    with pytest.raises(candor.UsageError, match="there are: image"):
        one({"image": ["a.png"]})


def test_maps_have_several_forms(files: Path, tmp_path: Path) -> None:
    photo = str(files / "photos/000000.png")
    result = candor.load(files / "model.onnx", threads=1).explain(photo, "top1", "reliable", iterations=5).classes[0]
    keys: dict[str, Any] = {"classes": "top1", "method": "reliable", "iterations": 5}
    png = worker(files, maps="png", **keys)({"photo": [photo]})
    assert png["map"][0].startswith(b"\x89PNG")
    with pytest.raises(candor.UsageError, match="PNG"):
        candor.batch.map_of(png, 0)
    npz = worker(files, maps="npz", folder=tmp_path / "maps", **keys)({"photo": [photo]})
    with np.load(npz["map_file"][0]) as arrays:
        assert np.array_equal(arrays["map"], result.map) and sum(n.startswith("level_") for n in arrays) == len(result.levels)
    none = worker(files, maps="none", **keys)({"photo": [photo]})
    assert none["map"][0] is None and none["log_odds"][0] == result.log_odds
    # Values without bounds are stored as exactly as those of a mask.
    rows = worker(files, classes="top1", method="gradient")({"photo": [photo]})
    wanted = candor.load(files / "model.onnx", threads=1).explain(photo, "top1", "gradient").classes[0].map
    assert np.abs(candor.batch.map_of(rows, 0) - wanted).max() <= 2**-11 * np.abs(wanted).max()


class Pipe:
    """A photo that blocks whoever opens it until something is written."""

    def __init__(self, faulty: str, path: Path) -> None:
        os.mkfifo(path)
        self.path, self.uri = path, f"{faulty}pipe{path}"

    def opened(self) -> int:
        """A descriptor to write to, once a reader is waiting."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                return os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.02)
        raise TimeoutError("nobody opened the photo")


def test_photos_that_hang_or_crash_are_rows(files: Path, faulty: str) -> None:
    good = str(files / "photos/000000.png")
    one = worker(files, classes="top1")
    first = one._process.pid
    assert one({"photo": [good]})["error"][0] is None and one._process.pid == first, "the model is kept"
    one.timeout = 3.0
    rows = one({"photo": [faulty + "hang", good, faulty + "crash", good]})
    assert [error is None for error in rows["error"]] == [False, True, False, True]
    assert rows["error"][0] == "faulty://hang: took more than 3 s; give timeout= more, or leave it out"
    assert rows["error"][2] == "faulty://crash: its process was ended by SIGSEGV, twice; leave it out"
    assert rows["map"][1] == rows["map"][3]


def test_a_photo_whose_process_is_killed_once_has_its_rows(files: Path, faulty: str, tmp_path: Path) -> None:
    pipe, good = Pipe(faulty, tmp_path / "pipe.png"), files / "photos/000000.png"
    one = worker(files, classes="top1")
    wanted = one({"photo": [str(good)]})

    def disturb() -> None:
        descriptor, pid = pipe.opened(), one._process.pid
        os.kill(pid, signal.SIGKILL)
        while one._process is None or one._process.pid == pid:
            time.sleep(0.01)
        os.close(descriptor)
        os.set_blocking(descriptor := pipe.opened(), True)
        with open(descriptor, "wb") as photo:
            photo.write(good.read_bytes())

    thread = threading.Thread(target=disturb)
    thread.start()
    rows = one({"photo": [pipe.uri]})
    thread.join()
    assert rows["error"][0] is None and rows["map"][0] == wanted["map"][0]


def test_nothing_is_left_where_the_owner_is_killed(files: Path, faulty: str, tmp_path: Path) -> None:
    pipe = Pipe(faulty, tmp_path / "pipe.png")
    program = (
        f"import sys; sys.path = {sys.path!r}\n"
        "import candor.batch\n"
        f"one = candor.batch.Worker({str(files / 'model.onnx')!r}, method='grad-cam')\n"
        "print(one._process.pid, flush=True)\n"
        f"one({{'photo': [{pipe.uri!r}]}})\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    descriptor = pipe.opened()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    end = time.monotonic() + 20
    while time.monotonic() < end and _runs(pid):
        time.sleep(0.05)
    os.close(descriptor)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return b"\nState:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False


def test_memory_of_a_worker_stays_flat(files: Path) -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("the system does not say how much memory another process uses")
    one, photo = worker(files), str(files / "photos/000000.png")

    def resident() -> int:
        return int(Path(f"/proc/{one._process.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    one({"photo": [photo] * 60})
    before = resident()
    one({"photo": [photo] * 200})
    assert resident() - before < 8 * 1024, "kilobytes"


# A folder of rows.


def _explain_some(model: str, out: str, blocks: Any, ready: Any) -> None:
    from candor._place import Place

    one, place = candor.batch.Worker(model, ["top1", "fish"], "grad-cam"), Place(out)
    ready.release()
    for photos in iter(blocks.get, None):
        name = place.name(photos, one.key)
        if not place.has(name):
            place.write(name, one({"photo": photos}))


def run(files: Path, out: Path, photos: list[str], workers: int = 1, disturb: Callable[[list[Any]], None] | None = None) -> int:
    """As in candor.ray, but with multiprocessing; returns the number of photos that were missing."""
    from candor._place import Place

    place, one = Place(out), worker(files)
    place.begin(one.configuration)
    one.close()
    missing = [p for p, absent in zip(photos, place.done().missing(photos, ["top1", "fish"])) if absent]
    context = multiprocessing.get_context("spawn")
    blocks, ready = context.Queue(), context.Semaphore(0)
    # A run that is disturbed gets only a part of the work at a time, so that it cannot finish first.
    for i in range(0, len(missing) if disturb is None else 16, 2):
        blocks.put(missing[i : i + 2])
    for _ in range(workers if disturb is None else 0):
        blocks.put(None)
    arguments = (str(files / "model.onnx"), str(out), blocks, ready)
    processes = [context.Process(target=_explain_some, args=arguments) for _ in range(workers)]
    for process in processes:
        process.start()
    if disturb is not None:
        for _ in range(workers):
            ready.acquire()
        disturb(processes)
    for process in processes:
        process.join()
    blocks.cancel_join_thread()
    return len(missing)


def there(out: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed").read_table(out).to_pandas()


@posix
def test_a_run_of_processes_is_killed_and_goes_on(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for i in range(24):
        source = files / f"photos/00000{i % 8}.png"
        (tmp_path / f"{i}.png").write_bytes(source.read_bytes())
    photos = [str(tmp_path / f"{i}.png") for i in range(24)] + ["missing.png"]
    assert run(files, tmp_path / "one", photos) == 25

    def kill(processes: list[Any]) -> None:
        while len(list((tmp_path / "two").glob("part-*"))) < 4:
            time.sleep(0.01)
        for process in processes:
            process.kill()

    run(files, tmp_path / "two", photos, workers=2, disturb=kill)
    written = len(there(tmp_path / "two"))
    assert 16 <= written <= 32
    assert run(files, tmp_path / "two", photos, workers=2) == 25 - written // 2
    found = without_seconds(there(tmp_path / "two"))
    assert found == without_seconds(there(tmp_path / "one")) and len(found) == 50
    assert run(files, tmp_path / "two", photos) == 0


def test_another_configuration_is_refused_by_name(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from candor._place import Place

    out = tmp_path / "rows"
    Place(out).begin(worker(files).configuration)
    Place(out).begin(worker(files, threads=2).configuration)
    for keys, words in [({"classes": "top1"}, "classes:"), ({"method": "gradient"}, 'method: .*"grad-cam".*now.*"gradient"'), ({"seed": 7}, "seed: 0, now 7")]:
        with pytest.raises(candor.UsageError, match=f"another configuration \\({words}"):
            Place(out).begin(worker(files, **keys).configuration)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(candor.FileError, match="did not write"):
        Place(other).begin(worker(files).configuration)
    with pytest.raises(candor.FileError, match="cannot be written"):
        Place("nowhere://a/b")
    assert sorted(p.name for p in out.iterdir()) == ["_candor.json", "_candor.lock"]


@posix
def test_one_run_at_a_time_writes_to_a_folder(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from candor._place import Place

    configuration, place = worker(files).configuration, Place(tmp_path / "rows")
    place.begin(configuration)
    with pytest.raises(candor.UsageError, match="rows: another run writes there"):
        Place(tmp_path / "rows").begin(configuration)
    place.close()
    Place(tmp_path / "rows").begin(configuration)


def test_a_parquet_file_that_is_damaged_is_named(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from candor._place import Place

    place = Place(tmp_path / "rows")
    place.begin(worker(files).configuration)
    (tmp_path / "rows/part-0.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(candor.FileError, match="part-0.parquet"):
        place.done()


def test_errors_are_tried_again_where_that_is_asked_for(files: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from candor._place import Place

    photos = [str(files / "photos/000000.png"), str(tmp_path / "later.png")]
    assert run(files, tmp_path / "rows", photos) == 2 and run(files, tmp_path / "rows", photos) == 0
    (tmp_path / "later.png").write_bytes((files / "photos/000001.png").read_bytes())
    place = Place(tmp_path / "rows")
    assert list(place.done(without_errors=True).missing(photos, ["top1", "fish"])) == [False, True]
    assert run(files, tmp_path / "rows", photos) == 1
    rows = there(tmp_path / "rows")
    assert len(rows) == 4 and rows["error"].isna().all()


@posix
@pytest.mark.parametrize("room", [20_000, 100])
def test_a_disk_that_is_full(room: int, files: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: with room for figures but not for maps, and for neither."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    from candor._place import Place

    place, photo = Place(tmp_path / "rows"), str(files / "photos/000000.png")
    place.begin(worker(files).configuration)
    program = (
        "import candor.batch, resource, signal\nfrom candor._place import Place\n"
        f"one = candor.batch.Worker({str(files / 'model.onnx')!r}, ['top1', 'fish'], 'grad-cam')\n"
        f"rows = one({{'photo': [{photo!r}]}})\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        f"place = Place({str(tmp_path / 'rows')!r})\n"
        f"place.write(place.name([{photo!r}], one.key), rows)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    left = sorted(p.name for p in (tmp_path / "rows").iterdir())
    if room == 20_000:
        rows = there(tmp_path / "rows")
        assert done.returncode == 0 and len(rows) == 2 and rows["log_odds"].notna().all() and rows["map"].isna().all()
        assert rows["error"].str.contains("the map could not be written").all()
    else:
        assert "FileError" in done.stderr.splitlines()[-1] and "make room" in done.stderr
        assert left == ["_candor.json", "_candor.lock"], "nothing half-written"
