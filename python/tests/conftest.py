"""Fixtures: the model and the photos that are inside the package, and files of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import candor
import pytest


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
    """Real models and photos, where there are any."""
    folder = Path(os.environ.get("CANDOR_DATA", Path(__file__).parents[2] / "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: CANDOR_DATA names the folder of real models and photos")
    return folder


@pytest.fixture(autouse=True)
def no_stray_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
