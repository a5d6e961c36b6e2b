"""Fixtures: the embedded model and photos, and files of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import candor
import pytest

# Whatever is installed here: the engine is chosen where a test is about it.
os.environ["CANDOR_ENGINE"] = "rten"


@pytest.fixture(scope="session")
def model() -> candor.Model:
    return candor.scenes.model()


@pytest.fixture(scope="session")
def photo() -> bytes:
    return candor.scenes.photos()["scene1.png"]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, its sidecar and photos, as the command line writes them."""
    folder = tmp_path_factory.mktemp("files")
    code = candor._candor.run(
        ["candor", "scenes", str(folder / "photos"), "--count", "8", "--size", "112", "--model", str(folder / "model.onnx")]
    )
    assert code == 0
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Real models and photos, if available."""
    folder = Path(os.environ.get("CANDOR_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: CANDOR_DATA names the folder of real models and photos")
    return folder


@pytest.fixture(autouse=True)
def no_stray_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


#: A faulty file system for fsspec, found by any process that has its folder on its path.
FAULTY = """
import ctypes, fsspec, os, time

class Faulty(fsspec.AbstractFileSystem):
    protocol = "faulty"

    def _open(self, path, mode="rb", **options):
        kind, _, path = path.partition("/")
        if kind == "crash":
            ctypes.string_at(0)
        if kind == "hang":
            ctypes.PyDLL(None).sleep(1000)  # with the GIL, as native code may
        if kind == "slow":
            time.sleep(2)
        return open("/" + path, mode)  # of a pipe with a name: waits until it is written
"""


@pytest.fixture
def faulty(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The scheme of URIs that crash, hang or wait: ``faulty://crash``, ``faulty://hang``, ``faulty://slow/PHOTO``, ``faulty://pipe/PIPE``."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    if os.name != "posix":
        pytest.skip("signals and pipes with names are POSIX's")
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "candor_faulty.py").write_text(FAULTY)
    (folder / "candor_faulty-1.dist-info").mkdir()
    (folder / "candor_faulty-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: candor-faulty\nVersion: 1\n")
    (folder / "candor_faulty-1.dist-info/entry_points.txt").write_text("[fsspec.specs]\nfaulty = candor_faulty:Faulty\n")
    monkeypatch.syspath_prepend(str(folder))
    return "faulty://"
