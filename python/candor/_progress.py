"""Progress of long work: True shows a tqdm bar, and any callable is called with (done, total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import UsageError


@contextmanager
def watched(progress: Any, what: str) -> Iterator[Callable[[int, int], object] | None]:
    """The callback for the native part, from the argument ``progress``."""
    if progress is None or progress is False:
        yield None
    elif progress is True:
        yield from _bar(what)
    elif callable(progress):
        yield progress
    else:
        raise UsageError(f"progress is True, or a callable that is told (done, total), not {progress!r}")


def _bar(what: str) -> Iterator[Callable[[int, int], object]]:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise UsageError("progress=True needs tqdm (pip install tqdm), or give a callable") from None
    with tqdm(total=0, desc=what, unit="step") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
