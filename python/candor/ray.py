"""Many machines, with Ray: photos of a list, a folder or a ``ray.data.Dataset`` explained by workers wherever the cluster has room.

Needs ``pip install 'candor-xai[ray]'``. Only paths or URIs travel; each worker reads its photos, and writes its rows itself.
"""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import batch as _batch
from ._progress import watched
from .errors import Error, FileError, ModelError, UsageError

__all__ = ["Summary", "Worker", "explain"]

#: Suffixes of the photos in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class Worker(_batch.Worker):
    """A worker for ``Dataset.map_batches``, whose engine has as many threads as Ray gives it CPUs, and runs on the GPU if Ray gives it one.

    ::

        rows = dataset.map_batches(candor.ray.Worker, compute=ray.data.ActorPoolStrategy(size=8), num_cpus=2, batch_size=16,
                                   fn_constructor_kwargs={"model": "model.onnx", "classes": ["top1", "fish"]})

    Parameters and columns are those of :class:`candor.batch.Worker`. :func:`explain` adds the files, and goes on where it was stopped.
    """

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        super().__init__(*arguments, **{**_given(), **keys})


def _given() -> dict[str, Any]:
    """What Ray gives this worker."""
    there = _ray().get_runtime_context().get_assigned_resources()
    keys: dict[str, Any] = {"threads": max(1, int(there.get("CPU", 1)))}
    if there.get("GPU"):
        keys.update(engine="onnxruntime", device="cuda")
    return keys


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    out : str
        The folder of Parquet files.
    photos, rows, errors : int
        Photos explained by this run, their rows, and how many of those have an error.
    skipped : int
        Photos whose rows were there already; -1 if they were not counted, as of a ``Dataset``.
    seconds : float
        Of this run.
    configuration : dict
        As :class:`candor.batch.Worker` has it.
    """

    out: str
    photos: int
    rows: int
    errors: int
    skipped: int
    seconds: float
    configuration: dict[str, Any]


def explain(
    photos: Any,
    model: Any,
    classes: int | str | Sequence[int | str] = "top1",
    method: str = "reliable",
    *,
    out: str | os.PathLike[str],
    actors: int | tuple[int, int] | None = None,
    num_cpus: int = 1,
    num_gpus: float = 0,
    batch: int = 16,
    retry: bool = False,
    progress: bool | Callable[[int, int], object] | None = None,
    **options: Any,
) -> Summary:
    """Explain photos on a cluster, and write a row for each photo and class.

    A run that was stopped goes on when the same call is made again: photos whose rows are there are not explained again. A photo that fails, hangs
    or crashes its worker has rows with an ``error``; a worker or a machine that is lost is replaced, and its photos are explained elsewhere.

    Parameters
    ----------
    photos : list of paths or URIs, a folder, or a ray.data.Dataset with a column ``photo``, ``path`` or ``uri``
    model : path or Model
        A path is opened by each worker.
    classes, method
        As :meth:`Model.explain` takes them.
    out : path or URI
        Folder that all workers reach, for Parquet files. Rows of another configuration there are an error.
    actors : int or (int, int), optional
        Number of workers, or the least and the most; as many as the cluster has room for if not given.
    num_cpus, num_gpus
        Of each worker. The engine gets a thread for each CPU; with a GPU it is ONNX Runtime on CUDA.
    batch : int
        Photos in a file, and so the most that a fault repeats.
    retry : bool
        Also explain again what has an error.
    progress : True or callable
        ``True`` shows tqdm's bar; a callable is told ``(done, total)`` photos; the total of a ``Dataset`` is 0.
    **options
        As :class:`candor.batch.Worker` takes them: ``timeout``, ``maps``, ``engine``, ``levels``, ``seed``, ``probe``, and the method's own.

    Returns
    -------
    Summary

    Raises
    ------
    candor.UsageError
        Ray is not installed; another configuration in ``out``.
    candor.FileError
        ``out`` cannot be written. What was written stays.
    """
    start = time.monotonic()
    ray = _ray()
    from ._place import Place

    if batch < 1 or num_cpus < 1:
        raise UsageError("batch and num_cpus are whole numbers above 0")
    place = Place(out)
    keys = {"model": model, "classes": classes, "method": method, **options}
    if options.get("maps") == "npz":
        keys["folder"] = place.maps
    with _cluster(ray):
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        configuration = _remotely(ray, _configuration, resources, keys)
        place.begin(configuration)
        done = place.done(without_errors=retry)
        dataset, total, skipped = _missing(ray, photos, done, configuration["classes"], batch)
        if total == 0 and skipped >= 0:
            return Summary(place.out, 0, 0, 0, skipped, time.monotonic() - start, configuration)
        work = dataset.map_batches(
            _Writer,
            fn_constructor_kwargs={"keys": keys, "out": place.out, "key": _batch.key_of(configuration)},
            batch_size=batch,
            batch_format="numpy",
            compute=_pool(ray, actors, num_cpus, num_gpus),
            zero_copy_batch=True,
            **resources,
        )
        told = {"photos": 0, "rows": 0, "errors": 0}
        with watched(progress, method) as callback:
            for counts in _results(work):
                for name in told:
                    told[name] += int(counts[name].sum())
                if callback is not None:
                    callback(told["photos"], total)
    return Summary(place.out, **told, skipped=skipped, seconds=time.monotonic() - start, configuration=configuration)


class _Writer:
    """A worker that writes its rows, and returns how many there were."""

    def __init__(self, keys: Mapping[str, Any], out: str, key: str) -> None:
        from ._place import Place

        self._worker = Worker(**keys)
        self._place = Place(out)
        if self._worker.key != key:
            raise ModelError(
                f"{self._worker.configuration['model'][:16]}, Candor {self._worker.configuration['candor']}: the model, its sidecar, Candor or the "
                f"engine on {platform.node()} is not the one that the run began with; give all machines the same"
            )

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        photos = [str(photo) for photo in batch["photo"]]
        name = self._place.name(photos, self._worker.key)
        if not self._place.has(name):
            self._place.write(name, self._worker(batch))
        rows, errors = self._place.counts(name)
        return {"photos": np.array([len(photos)]), "rows": np.array([rows]), "errors": np.array([errors])}


def _configuration(keys: Mapping[str, Any]) -> dict[str, Any]:
    worker = Worker(**keys)
    worker.close()
    return worker.configuration


def _remotely(ray: Any, function: Callable[..., Any], resources: Mapping[str, Any], *arguments: Any) -> Any:
    """What a function returns on a machine of the cluster; its exceptions are raised here."""
    try:
        return ray.get(ray.remote(function).options(**resources).remote(*arguments))
    except ray.exceptions.RayTaskError as error:
        raise _cause(error) from None


def _missing(ray: Any, photos: Any, done: Any, classes: list[str], size: int) -> tuple[Any, int, int]:
    """The photos without rows as a dataset in blocks of ``size``, how many there are (0: not known), and how many have theirs (-1: not known)."""
    if isinstance(photos, ray.data.Dataset):
        keys = ray.put(done.keys)

        def missing(batch: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
            from ._place import Done

            given = np.array(_batch.photos_of(batch), dtype=object)
            return {"photo": given[Done(ray.get(keys)).missing(given, classes)]}

        blocks = photos.map_batches(missing, batch_format="numpy", num_cpus=0)
        return blocks.repartition(target_num_rows_per_block=size), 0, -1
    import pyarrow as pa

    given = np.array(list(dict.fromkeys(_paths(photos))), dtype=object)
    wanted = given[done.missing(given, classes)]
    if not len(wanted):
        return None, 0, len(given)
    # A block is what a worker is given, and what is given to another where a worker is lost.
    blocks = [pa.table({"photo": pa.array(wanted[i : i + size], pa.string())}) for i in range(0, len(wanted), size)]
    return ray.data.from_arrow(blocks), len(wanted), len(given) - len(wanted)


def _paths(photos: Any) -> Iterator[str]:
    if isinstance(photos, (str, os.PathLike)):
        folder = os.fspath(photos)
        if not os.path.isdir(folder):
            raise UsageError(f"{folder}: is not a folder; give a folder, a list of paths or URIs, or a ray.data.Dataset")
        for where, folders, files in os.walk(folder):
            folders.sort()
            yield from (os.path.join(where, file) for file in sorted(files) if file.lower().endswith(SUFFIXES))
        return
    for photo in photos:
        if not isinstance(photo, (str, os.PathLike)):
            raise TypeError(f"a photo is a path or a URI, not {type(photo).__name__}")
        yield os.fspath(photo)


def _pool(ray: Any, actors: int | tuple[int, int] | None, num_cpus: int, num_gpus: float) -> Any:
    if actors is None:
        there = ray.cluster_resources()
        room = there.get("CPU", 1) / num_cpus
        if num_gpus:
            room = min(room, there.get("GPU", 0) / num_gpus)
        return ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, int(room)), max_tasks_in_flight_per_actor=1)
    least, most = actors if isinstance(actors, tuple) else (actors, actors)
    return ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=1)


def _results(work: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from work.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0)
    except Exception as error:
        raise _cause(error) from None


def _cause(error: BaseException) -> BaseException:
    """What was raised in a worker: the first of Candor's own exceptions below what Ray made of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, Error):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return error


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """Ray as the caller started it; else the cluster that ``RAY_ADDRESS`` names, or this machine, for as long as the call takes."""
    if ray.is_initialized():
        yield
        return
    ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise UsageError("many machines need Ray: pip install 'candor-xai[ray]'") from None
    return ray
