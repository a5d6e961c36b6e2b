"""``hf://``: the local cache, and downloads from a server on this machine with the hub's HTTP protocol. Nothing else is contacted."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import candor
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def config() -> str:
    return json.dumps({"id2label": {str(i): name for i, name in enumerate(candor.scenes.model().labels)}})


PREPROCESSOR = json.dumps(
    {"do_resize": True, "size": {"height": 112, "width": 112}, "do_rescale": True, "do_normalize": True}
    | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255, "image_processor_type": "ViTImageProcessor"}
)


class Hub(ThreadingHTTPServer):
    """One repository, ``me/dogs``, whose files are in a dictionary."""

    def __init__(self, content: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = content
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        content = self.server.content
        entries = [
            {"type": "file", "path": name, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}
            for name, body in content.items()
        ]
        answers = {
            f"/api/models/me/dogs{revision}": {"id": "me/dogs", "sha": COMMIT, "siblings": [{"rfilename": n} for n in content]}
            for revision in ("", "/revision/main", f"/revision/{COMMIT}")
        }
        answers |= {f"/api/models/me/dogs/tree/{COMMIT}": entries}  # type: ignore[dict-item]
        name = next((n for n in content for r in ("main", COMMIT) if path == f"/me/dogs/resolve/{r}/{n}"), None)
        if path in answers:
            self._send(200, json.dumps(answers[path]).encode(), {"Content-Type": "application/json"})
        elif name is not None:
            tag = hashlib.sha1(content[name]).hexdigest()
            self._send(200, content[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET


@pytest.fixture
def hub(files: Path) -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    content = {
        "README.md": b"not asked for",
        "config.json": config().encode(),
        "preprocessor_config.json": PREPROCESSOR.encode(),
        "onnx/model.onnx": (files / "model.onnx").read_bytes(),
        "onnx/model_int8.onnx": b"not asked for",
        "model.safetensors": b"not asked for",
    }
    server = Hub(content)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def run(program: str, home: Path, endpoint: str = "http://127.0.0.1:9") -> subprocess.CompletedProcess[str]:
    """Runs a program in a separate process, since the endpoint is read when the library is imported."""
    environment = {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


LOAD = """
import candor, sys
try:
    model = candor.load({name!r}, download={download})
    print(model.classes, model.labels[0], model.preprocessing, model.path, sep="|")
except candor.Error as error:
    print(type(error).__name__, error, sep="|")
"""


def test_a_folder_is_downloaded_only_where_that_is_asked_for(hub: Hub, tmp_path: Path, model: candor.Model) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    load = lambda name, download: run(LOAD.format(name=name, download=download), tmp_path, endpoint)  # noqa: E731
    refused = load("hf://me/dogs", False)
    assert refused.stdout.startswith("MissingFile|hf://me/dogs is not in the local cache"), refused
    assert hub.asked == []
    done = load("hf://me/dogs", True)
    classes, label, preprocessing, path = done.stdout.strip().split("|")
    assert (classes, label) == ("12", model.labels[0]), done
    assert "0.5" in preprocessing and path.endswith("onnx/model.onnx")
    fetched = {p.name for p in (tmp_path / "hub/models--me--dogs/snapshots" / COMMIT).rglob("*") if p.is_file()}
    assert fetched == {"config.json", "preprocessor_config.json", "model.onnx"}
    # From then on it is in the cache, also for the command line.
    count = len(hub.asked)
    assert load("hf://me/dogs", False).stdout == done.stdout and len(hub.asked) == count
    one = load("hf://me/dogs@main/onnx/model.onnx", True)
    assert one.stdout.strip().split("|")[:2] == ["12", model.labels[0]], one


def test_what_cannot_be_downloaded_is_one_line(hub: Hub, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    for name, at, words in [
        ("hf://me/cats", endpoint, "FileError|hf://me/cats: cannot be downloaded: "),
        ("hf://me/dogs/onnx/other.onnx", endpoint, "FileError|hf://me/dogs/onnx/other.onnx: the repository has no such file"),
        ("hf://me/dogs", "http://127.0.0.1:9", "FileError|hf://me/dogs: cannot be downloaded: "),
        ("hf://dogs", endpoint, "UsageError|'hf://dogs' is not hf://OWNER/NAME"),
    ]:
        said = run(LOAD.format(name=name, download=True), tmp_path / name.replace("/", "_") / str(at == endpoint), at)
        assert said.stdout.startswith(words), said
        assert said.stdout.count("\n") == 1, said


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(candor.UsageError, match=r"candor-xai\[hub\]"):
        candor.load("hf://me/dogs", download=True)
    with pytest.raises(candor.UsageError, match="hf://OWNER/NAME"):
        candor.load("model.onnx", download=True)
