"""Downloads a model's folder from a server with Hugging Face's protocol, by ``huggingface_hub``; only if ``download`` is set."""

from __future__ import annotations

import os
import re

from .errors import FileError, UsageError

#: OWNER/NAME, the revision and the file of ``hf://OWNER/NAME[@REVISION][/FILE]``.
NAME = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<file>.+))?")

#: Files that may state the preprocessing or the classes.
BESIDE = ["*.json", "labels.txt", "*.candor.toml"]

#: The model in such a folder, with weights in a separate file.
MODELS = ["model.onnx*", "onnx/model.onnx*"]


def fetched(name: str) -> str:
    """Downloads what ``hf://…`` names into the cache of ``huggingface_hub``; returns the path of the folder, or of the file in it."""
    found = NAME.fullmatch(name)
    if found is None:
        raise UsageError(f"'{name}' is not hf://OWNER/NAME, hf://OWNER/NAME@REVISION or either with /FILE")
    try:
        import huggingface_hub
    except ImportError:
        raise UsageError(f"{name}: downloading needs huggingface_hub: pip install 'candor-xai[hub]'") from None
    file = found["file"]
    patterns = [*BESIDE, *(MODELS if file is None else [f"{file}*"])]
    try:
        folder = huggingface_hub.snapshot_download(
            found["repository"], revision=found["revision"], allow_patterns=patterns
        )
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"{name}: cannot be downloaded: {said}") from error
    path = folder if file is None else os.path.join(folder, *file.split("/"))
    if not os.path.exists(path):
        raise FileError(f"{name}: the repository has no such file; name another, or the folder alone")
    return path
