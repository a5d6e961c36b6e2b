"""Access to Ray: the import, resources of the cluster, calls on its machines, and exceptions raised there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .errors import Error, UsageError


def imported() -> Any:
    """Ray, imported on first use."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError("many machines need Ray: pip install 'candor-xai[ray]'") from None
    return ray


@contextmanager
def cluster(ray: Any) -> Iterator[bool]:
    """Ray as the caller started it; else, for the duration of the call, the cluster that ``RAY_ADDRESS`` names, or this machine alone (True)."""
    if ray.is_initialized():
        yield False
        return
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield "RAY_ADDRESS" not in os.environ
    finally:
        ray.shutdown()


def fits(ray: Any, num_cpus: int, num_gpus: float, alone: bool) -> None:
    """Raises if no machine has the resources for a worker: Ray would wait for ever. ``alone``: the cluster is this machine."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(m.get("CPU", 0) >= num_cpus and m.get("GPU", 0) >= num_gpus for m in machines):
        return
    gpus = f" and {num_gpus:g} GPUs" if num_gpus else ""
    said = f"no machine of the cluster has {num_cpus} CPUs{gpus} for a worker"
    if alone:
        raise UsageError(f"{said}; give less, or start Ray where one has")
    # An autoscaling cluster may start one on demand.
    warnings.warn(f"{said} now; Ray waits for one", stacklevel=3)


def room(ray: Any, num_cpus: int, num_gpus: float) -> int:
    """Number of workers for which the cluster has resources."""
    there = ray.cluster_resources()
    room = there.get("CPU", 1) / num_cpus
    return max(1, int(min(room, there.get("GPU", 0) / num_gpus) if num_gpus else room))


def remotely(ray: Any, function: Callable[..., Any], resources: Mapping[str, Any], *arguments: Any) -> Any:
    """Result of a function on a machine of the cluster; its exceptions are raised here."""
    try:
        return ray.get(ray.remote(function).options(**resources).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        raise cause(error) from None


def cause(error: BaseException) -> BaseException:
    """The exception raised in a worker, if it is one of Candor's own; else the error itself."""
    waiting, known = [error], []
    while waiting:
        seen = waiting.pop()
        known.append(seen)
        # Ray wraps an exception in an instance of a subclass of its class, with a long text.
        if isinstance(seen, Error) and not hasattr(seen, "cause"):
            return seen
        below = (getattr(seen, "cause", None), seen.__cause__, seen.__context__)
        waiting += [e for e in below if isinstance(e, BaseException) and not any(e is k for k in known)]
    return error
