"""Ray, on clusters of this machine: the same rows as from one process, whatever fails on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import candor
import candor.batch
import numpy as np
import pytest
from test_batch import there, without_seconds

ray = pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("ray.data", reason="ray[data] is not installed")

import candor.ray  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = {"include_dashboard": False, "object_store_memory": 200 << 20}


@pytest.fixture(scope="module")
def local() -> Iterator[None]:
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # no token is written to the home folder
    ray.shutdown()  # the examples of the documents start one
    ray.init(num_cpus=2, log_to_driver=False, configure_logging=False, **SMALL)
    yield
    ray.shutdown()


@pytest.fixture
def photos(files: Path, tmp_path: Path) -> list[str]:
    """Forty photos, and one that does not exist."""
    for i in range(40):
        (tmp_path / f"photos/{i % 2}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"photos/{i % 2}/{i}.png").write_bytes((files / f"photos/00000{i % 8}.png").read_bytes())
    return [str(tmp_path / f"photos/{i % 2}/{i}.png") for i in range(40)] + [str(tmp_path / "missing.png")]


def explain(files: Path, photos: Any, out: Path, **keys: Any) -> candor.ray.Summary:
    asked = {"classes": ["top1", "fish"], "method": "reliable", "iterations": 5, "actors": 2, "batch": 2, **keys}
    return candor.ray.explain(photos, str(files / "model.onnx"), out=out, **asked)


def of_one_process(files: Path, photos: list[str], **keys: Any) -> list[dict[str, Any]]:
    asked = {"classes": ["top1", "fish"], "method": "reliable", "iterations": 5, **keys}
    return without_seconds(candor.batch.Worker(str(files / "model.onnx"), **asked)({"photo": photos}))


def test_rows_are_those_of_one_process(local: None, files: Path, photos: list[str], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = explain(files, photos[:30] + photos[-1:], tmp_path / "rows", progress=lambda *counts: told.append(counts))
    assert (found.photos, found.rows, found.errors, found.skipped) == (31, 62, 2, 0) and told[-1] == (31, 31)
    wanted = of_one_process(files, photos)
    # A list, a folder, a dataset: existing rows are not computed again.
    found = explain(files, tmp_path / "photos", tmp_path / "rows")
    assert (found.photos, found.skipped) == (10, 30)
    found = explain(files, ray.data.from_items([{"path": photo} for photo in photos]), tmp_path / "rows")
    assert (found.photos, found.skipped) == (0, 41)
    assert without_seconds(there(tmp_path / "rows")) == wanted
    # A dataset into an empty place, by workers that each use all CPUs.
    found = explain(files, ray.data.from_items([{"uri": photo} for photo in photos]), tmp_path / "again")
    assert (found.photos, found.rows, found.errors) == (41, 82, 2)
    assert without_seconds(there(tmp_path / "again")) == wanted
    # Errors are retried if requested.
    found = explain(files, photos, tmp_path / "again", retry=True)
    assert (found.photos, found.errors, found.skipped) == (1, 2, 40)
    # Maps as files are beside the rows.
    explain(files, photos[:2], tmp_path / "files", maps="npz")
    for file in there(tmp_path / "files")["map_file"]:
        with np.load(file) as arrays:
            assert arrays["map"].shape == (112, 112)


def test_photos_that_hang_or_crash(local: None, files: Path, photos: list[str], tmp_path: Path, faulty: str) -> None:
    # Existing workers do not have the folder of the faulty file system.
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}}
    given = [*photos[:6], faulty + "hang", *photos[6:9], faulty + "crash"]
    worker = ray.data.from_items([{"photo": photo} for photo in given], override_num_blocks=4).map_batches(
        candor.ray.Worker,
        fn_constructor_kwargs={"model": str(files / "model.onnx"), "classes": "top1", "method": "grad-cam", "timeout": 5},
        compute=ray.data.ActorPoolStrategy(size=2),
        num_cpus=1,
        runtime_env=environment,
    )
    rows = worker.to_pandas()
    errors = {photo: error for photo, error in zip(rows["photo"], rows["error"]) if isinstance(error, str)}
    assert len(rows) == len(given) and set(errors) == {faulty + "hang", faulty + "crash"}
    assert "took more than 5 s" in errors[faulty + "hang"] and "SIGSEGV" in errors[faulty + "crash"]


def test_what_is_asked_wrongly_is_said_in_one_line(local: None, files: Path, photos: list[str], tmp_path: Path) -> None:
    explain(files, photos[:2], tmp_path / "rows")
    for keys, error, words in [
        ({"iterations": 6}, candor.UsageError, "another configuration .*method"),
        ({"method": "relable"}, candor.MethodError, "did you mean"),
        ({"classes": "fsh"}, candor.LabelError, "did you mean"),
        ({"maps": "jpeg"}, candor.UsageError, "float16"),
        ({"batch": 0}, candor.UsageError, "batch"),
    ]:
        with pytest.raises(error, match=words) as caught:
            explain(files, photos, tmp_path / "rows", **keys)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such.onnx"):
        candor.ray.explain(photos, "no such.onnx", out=tmp_path / "other")
    with pytest.raises(candor.UsageError, match="not a folder"):
        explain(files, "no such folder", tmp_path / "rows")
    with pytest.raises(candor.UsageError, match="there are: image"):
        explain(files, ray.data.from_items([{"image": "a.png"}]), tmp_path / "rows")
    with pytest.raises(candor.FileError, match="cannot be written"):
        explain(files, photos, Path("/proc/nowhere"))


def test_a_disk_that_is_full(local: None, files: Path, photos: list[str], tmp_path: Path) -> None:
    """Rows that were written are kept, and the run is resumed when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True).returncode != 0:
        pytest.skip("a small disk can only be made by the administrator")
    try:
        with pytest.raises(candor.FileError, match="No space left on device; make room"):
            explain(files, photos, disk / "rows")
        written = there(disk / "rows")
        assert 0 < len(written) < 82 and not list(disk.glob("rows/.*"))
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        explain(files, photos, disk / "rows", retry=True)
        assert without_seconds(there(disk / "rows")) == of_one_process(files, photos)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_benchmark_in_parts_is_that_of_one_machine(local: None, files: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    told: list[tuple[int, int]] = []
    asked: dict[str, Any] = {"methods": ["grad-cam", "gradient"], "limit": 6, "no_examples": True}
    arguments = ("wsol", files / "model.onnx", files / "photos")
    found = candor.ray.bench(*arguments, out=tmp_path / "bench", parts=3, progress=lambda *counts: told.append(counts), **asked)
    wanted = candor.bench.wsol(candor.load(arguments[1], threads=1), arguments[2], **asked)
    assert told[-1] == (3, 3)
    for title, table in wanted.tables.items():
        for column, values in table.items():
            assert column == "seconds" or list(map(str, found.tables[title][column])) == list(map(str, values)), (title, column)
    rows = pyarrow.parquet.read_table(tmp_path / "bench/wsol.parquet")
    assert rows.num_rows == len(wanted.samples["method"]) > 20
    again = candor.ray.bench(*arguments, out=tmp_path / "bench", **asked)
    assert again.document["tables"] == found.document["tables"]
    with pytest.raises(candor.MethodError, match="did you mean"):
        candor.ray.bench(*arguments, ["gradcam"], out=tmp_path / "other", parts=2)
    with pytest.raises(candor.UsageError, match="a model file"):
        candor.ray.bench("wsol", candor.scenes.model(), files / "photos", out=tmp_path / "other")


def test_a_node_and_a_worker_are_killed(files: Path, photos: list[str], tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    ray.shutdown()
    quickly = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": quickly, **SMALL})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(3)]
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    killed: list[str] = []

    def kill(done: int, total: int) -> None:
        if done >= total / 3 and not killed:
            os.kill(nodes[0].all_processes["raylet"][0].process.pid, signal.SIGKILL)
            killed.append("node")
        if done >= 2 * total / 3 and len(killed) == 1:
            os.kill(_pids("ray::MapWorker(MapBatches(_Writer))")[-1], signal.SIGKILL)
            killed.append("worker")

    try:
        found = explain(files, photos, tmp_path / "rows", actors=3, progress=kill)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed == ["node", "worker"] and (found.photos, found.rows) == (41, 82)
    assert without_seconds(there(tmp_path / "rows")) == of_one_process(files, photos)


def _pids(title: str) -> list[int]:
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    return [pid for pid in pids if _read(pid).startswith(title)]


def _read(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_ray_is_started_and_ended_where_it_is_not_running(files: Path, photos: list[str], tmp_path: Path) -> None:
    ray.shutdown()
    found = explain(files, photos[:10], tmp_path / "rows", actors=None)
    assert found.rows == 20 and not ray.is_initialized()
    with pytest.raises(candor.UsageError, match="has 1000 CPUs for a worker; give less"):
        explain(files, photos, tmp_path / "rows", num_cpus=1000)
    with pytest.raises(candor.UsageError, match="has 1 CPUs and 100 GPUs"):
        explain(files, photos, tmp_path / "rows", num_gpus=100)
    assert not ray.is_initialized()


def test_without_ray_the_error_says_what_to_install(files: Path) -> None:
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "import candor, candor.ray\n"
        "try: candor.ray.explain(['a.png'], 'model.onnx', out='rows')\n"
        "except candor.UsageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "many machines need Ray: pip install 'candor-xai[ray]'\n", done.stderr
