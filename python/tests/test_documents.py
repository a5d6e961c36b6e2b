"""The Python of README.md, of the package's README and of the book runs as written."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shutil
from pathlib import Path

import candor
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "python/README.md",
    "book/src/tutorial/from-python.md",
    "book/src/how-to/from-captum.md",
    "book/src/how-to/from-pytorch-grad-cam.md",
    "book/src/how-to/torchvision.md",
    "book/src/how-to/quantus.md",
    "book/src/how-to/many-machines.md",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, files: Path, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for module in set(re.findall(r"^import ([a-z_]+)", "".join(blocks), re.MULTILINE)):
        pytest.importorskip(module, reason=f"{module} is not installed")
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    names: dict[str, object] = {"candor": candor}
    for block in blocks:
        exec(compile(block, page, "exec"), names)  # noqa: S102 - the page's own code


@pytest.mark.parametrize("name", sorted(m.name for m in pkgutil.iter_modules(candor.__path__) if m.name not in ("_candor", "__main__", "_place", "quantus")))
def test_the_examples_of_a_module_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"candor.{name}"))
    assert not found.failed


def test_the_example_of_the_package_runs() -> None:
    assert doctest.testmod(candor).failed == 0


@pytest.mark.filterwarnings("ignore")
def test_the_tutorial_runs(files: Path, tmp_path: Path) -> None:
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    import nbformat

    notebook = nbformat.read(ROOT / "python/tutorial.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    assert any("text/html" in o.get("data", {}) for o in outputs) and any("image/png" in o.get("data", {}) for o in outputs)


def test_the_reference_lists_all_that_is_public() -> None:
    text = (ROOT / "book/src/reference/python.md").read_text(encoding="utf-8")
    public = [name for name in vars(candor) if not name.startswith("_") and name not in ("annotations", "importlib", "Any", "TYPE_CHECKING")]
    modules = {m.name for m in pkgutil.iter_modules(candor.__path__)}
    missing = [name for name in public if name not in modules and f"`{name}" not in text and f".{name}" not in text]
    assert not missing
