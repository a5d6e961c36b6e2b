"""A benchmark in parts: each is the command with its own ``--shard`` in its own process; ``candor merge`` joins them to the result of one machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _candor
from ._commands import options, settings
from ._isolated import Died, Isolated
from .errors import EngineError, UsageError
from .model import Model

#: Seconds for which a part may run. A part that was interrupted is resumed, so the limit can be high.
_LONG = 30 * 86400.0


def words(
    name: str, model: Any, dataset: str | os.PathLike[str], methods: Sequence[str] | None, keys: Mapping[str, Any], engine: Mapping[str, Any]
) -> list[str]:
    """The command of the whole run, with paths that mean the same on every machine."""
    values = dict(keys)
    if isinstance(model, Model):
        recipe = model._recipe
        if recipe is None or not isinstance(recipe.source, str) or recipe.keys:
            raise UsageError("parts of a benchmark need a model file, with what it needs in the sidecar beside it; give its path")
        model, values["sidecar"] = recipe.source, recipe.sidecar
    for key in ("images", "class_map", "sidecar"):
        if isinstance(values.get(key), (str, os.PathLike)):
            values[key] = os.path.abspath(values[key])
    chosen = settings(values.pop("set", None))
    return [
        "bench", name, os.path.abspath(model), os.path.abspath(dataset), *chosen, *options({**engine, "methods": methods, **values})
    ]  # fmt: skip


def part(command: Sequence[str]) -> None:
    """Runs a command; if its process dies, resumes it once."""
    for attempt in (1, 2):
        process = Isolated(_commands, (), 600.0)
        try:
            process.ask(list(command), _LONG)
            return
        except Died as died:
            if attempt == 2:
                raise EngineError(f"candor {' '.join(command[:3])}: {died}, twice") from None
        finally:
            process.close()


def _commands() -> tuple[Callable[[list[str]], None], None]:
    def run(command: list[str]) -> None:
        _candor.document(command, None)

    return run, None
