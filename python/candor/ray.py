"""Many machines, with Ray: photos of a list, a folder or a ``ray.data.Dataset`` are explained by workers on any machine of the cluster.

Needs ``pip install 'candor-xai[ray]'``. Only paths or URIs are sent; each worker reads its photos and writes its rows itself.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import pickle
import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from . import _cluster
from . import batch as _batch
from ._commands import run
from ._isolated import portable
from ._progress import watched
from .bench import BenchResult, _samples
from .errors import ModelError, UsageError

__all__ = ["Summary", "Worker", "bench", "explain"]

#: Suffixes of the photos in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".dcm")


class Worker(_batch.Worker):
    """A worker for ``Dataset.map_batches``. Its engine has one thread for each CPU that Ray assigns, and runs on the GPU if Ray assigns one.

    ::

        rows = dataset.map_batches(candor.ray.Worker, compute=ray.data.ActorPoolStrategy(size=8), num_cpus=2, batch_size=16,
                                   fn_constructor_kwargs={"model": "model.onnx", "classes": ["top1", "fish"]})

    Parameters and columns are those of :class:`candor.batch.Worker`. :func:`explain` also writes files, and resumes an interrupted run.
    """

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        super().__init__(*arguments, **{**_given(), **keys})


def _given() -> dict[str, Any]:
    """The resources that Ray assigned to this worker."""
    there = _cluster.imported().get_runtime_context().get_assigned_resources()
    keys: dict[str, Any] = {"threads": max(1, int(there.get("CPU", 1)))}
    if there.get("GPU"):
        keys.update(engine="onnxruntime", device="cuda")
    return keys


@dataclasses.dataclass(frozen=True)
class Summary:
    """Summary of a run.

    Attributes
    ----------
    out : str
        The folder of Parquet files.
    photos, rows, errors : int
        Number of photos explained by this run, of their rows, and of rows with an error.
    skipped : int
        Number of photos that had rows already.
    seconds : float
        Duration of this run.
    configuration : dict
        As in :class:`candor.batch.Worker`.
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
    """Explain photos on a cluster, and write one row per photo and class.

    An interrupted run is resumed when the same call is made again: photos that have rows are not explained again. A photo that fails, hangs
    or crashes its worker gets rows with an ``error``; a lost worker or machine is replaced, and its photos are explained elsewhere.

    Parameters
    ----------
    photos : list of paths or URIs, a folder, or a ray.data.Dataset with a column ``photo``, ``path`` or ``uri``
        Relative paths of a list or folder are made absolute, also in the column ``photo``.
    model : path or Model
        A path is opened by each worker.
    classes, method
        As for :meth:`Model.explain`.
    out : path or URI
        Folder for Parquet files that all workers can reach. It must not have rows with another configuration.
    actors : int or (int, int), optional
        Number of workers, or minimum and maximum; by default as many as the cluster has resources for.
    num_cpus, num_gpus
        For each worker. The engine gets one thread per CPU; with a GPU it is ONNX Runtime on CUDA.
    batch : int
        Photos per file: the maximum that is repeated after a fault.
    retry : bool
        Explain photos with errors again.
    progress : True or callable
        ``True`` shows a tqdm bar; a callable is called with ``(done, total)`` photos.
    **options
        As for :class:`candor.batch.Worker`: ``timeout``, ``maps``, ``engine``, ``levels``, ``seed``, ``probe``, and the method's own.

    Returns
    -------
    Summary

    Raises
    ------
    candor.UsageError
        Ray is not installed; ``out`` has another configuration, or another run writes there (for a folder, not a URI).
    candor.FileError
        ``out`` cannot be written. Files already written are kept.
    """
    start = time.monotonic()
    ray = _cluster.imported()
    from ._place import Place

    if batch < 1 or num_cpus < 1:
        raise UsageError("batch and num_cpus are whole numbers above 0")
    place = Place(_everywhere(out))
    given = _batch.model_of(model)
    keys = {"model": _everywhere(given) if isinstance(given, str) else given, "classes": classes, "method": method, **options}
    if options.get("maps") == "npz":
        keys["folder"] = place.maps
    with closing(place), _cluster.cluster(ray) as alone:
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        _cluster.fits(ray, num_cpus, num_gpus, alone)
        # Opening is short, so no CPU needs to be reserved for it.
        configuration = _cluster.remotely(ray, _configuration, {"num_cpus": 0, "num_gpus": num_gpus}, keys)
        place.begin(configuration)
        done = place.done(without_errors=retry)
        dataset, total, skipped = _missing(ray, photos, done, configuration["classes"], batch)
        if dataset is None:
            return Summary(place.out, 0, 0, 0, skipped, time.monotonic() - start, configuration)
        # A worker returns only a few numbers; Ray would reserve 128 MB for each result, and therefore run few workers.
        dataset.context.target_max_block_size = 1 << 20
        dataset.context.enable_progress_bars = False
        work = dataset.map_batches(
            _Writer,
            fn_constructor_kwargs={"keys": keys, "out": place.out, "key": _batch.key_of(configuration)},
            batch_size=batch,
            batch_format="numpy",
            compute=_pool(ray, actors, num_cpus, num_gpus),
            **resources,
        )
        told = {"photos": 0, "rows": 0, "errors": 0}
        with watched(progress, method) as callback, closing(_results(work)) as results:
            for counts in results:
                for name in told:
                    told[name] += int(counts[name])
                if callback is not None:
                    callback(told["photos"], total)
    return Summary(place.out, **told, skipped=skipped, seconds=time.monotonic() - start, configuration=configuration)


def bench(
    name: str,
    model: Any,
    dataset: str | os.PathLike[str],
    methods: Sequence[str] | None = None,
    *,
    out: str | os.PathLike[str],
    parts: int | None = None,
    num_cpus: int = 1,
    num_gpus: float = 0,
    progress: bool | Callable[[int, int], object] | None = None,
    **options: Any,
) -> BenchResult:
    """A benchmark of :mod:`candor.bench` in parts on a cluster, with the tables and intervals of one machine.

    The same call resumes an interrupted run.

    Parameters
    ----------
    name : str
        ``wsol``, ``dwsol``, ``adversarial``, ``grid`` or ``faithfulness``.
    model, dataset : path
        All workers must be able to reach them.
    methods, **options
        As for :func:`candor.bench.wsol`.
    out : path
        Folder that all workers can reach: ``parts``, ``joined`` (the result of ``candor merge``) and NAME.parquet, the figures of each sample.
    parts : int, optional
        Number of parts; by default four for each worker that the cluster had resources for at the first call.
    num_cpus, num_gpus, progress
        As for :func:`explain`; progress counts parts.

    Returns
    -------
    BenchResult
    """
    ray = _cluster.imported()
    from ._parts import part, words

    folder = os.path.abspath(out)
    engine = {"threads": num_cpus, **({"engine": "onnxruntime", "device": "cuda"} if num_gpus else {})}
    command = words(name, model, dataset, methods, options, engine)
    with _cluster.cluster(ray) as alone:
        _cluster.fits(ray, num_cpus, num_gpus, alone)
        there = [int(p.split("-of-")[1]) for p in _listed(os.path.join(folder, "parts"))]
        count = parts or max(there, default=4 * _cluster.room(ray, num_cpus, num_gpus))
        folders = [os.path.join(folder, "parts", f"{i + 1}-of-{count}") for i in range(count)]
        task = ray.remote(part).options(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=-1)
        waiting = [task.remote([*command, "--shard", f"{i + 1}/{count}", "--out", f]) for i, f in enumerate(folders)]
        with watched(progress, f"bench {name}") as callback:
            while waiting:
                ready, waiting = ray.wait(waiting)
                try:
                    ray.get(ready)
                except ray.exceptions.RayTaskError as error:
                    for other in waiting:
                        ray.cancel(other, force=True)
                    raise _cluster.cause(error) from None
                if callback is not None:
                    callback(count - len(waiting), count)
    joined = os.path.join(folder, "joined")
    document = run(["merge", *folders, "--out", joined], f"merge {name}", None)
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(os.path.join(joined, f"{name}.csv")), os.path.join(folder, f"{name}.parquet"))
    return BenchResult(document, _samples(Path(joined) / f"{name}.csv"))


def _listed(folder: str) -> list[str]:
    return [p for p in os.listdir(folder) if "-of-" in p] if os.path.isdir(folder) else []


class _Writer:
    """A worker that writes its rows, and returns how many there were.

    It raises nothing, since Ray would then keep it and its CPUs: errors are returned, too, and raised by :func:`_results`.
    """

    def __init__(self, keys: Mapping[str, Any], out: str, key: str) -> None:
        self._keys, self._out, self._key = keys, out, key
        self._worker: Worker | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
        photos = [str(photo) for photo in batch["photo"]]
        rows, errors, failure = 0, 0, b""
        try:
            rows, errors = self._written(photos)
        except Exception as error:
            failure = pickle.dumps(portable(error))
        found = {"photos": len(photos), "rows": rows, "errors": errors, "failure": failure}
        return {name: np.array([value], dtype=object if name == "failure" else np.int64) for name, value in found.items()}

    def _written(self, photos: list[str]) -> tuple[int, int]:
        from ._place import Place

        place = Place(self._out)
        name = place.name(photos, self._key)
        if not place.has(name):
            place.write(name, self._opened()({"photo": photos}))
        return place.counts(name)

    def _opened(self) -> Worker:
        if self._worker is None:
            worker = Worker(**self._keys)
            if worker.key != self._key:
                raise ModelError(
                    f"{worker.name}: the model, its sidecar, Candor or the engine on {platform.node()} is another than where the run began; "
                    "give all machines the same"
                )
            self._worker = worker
        return self._worker


def _configuration(keys: Mapping[str, Any]) -> dict[str, Any]:
    worker = Worker(**keys)
    worker.close()
    return worker.configuration


def _missing(ray: Any, photos: Any, done: Any, classes: list[str], size: int) -> tuple[Any, int, int]:
    """The photos without rows as a dataset in blocks of ``size``, their number, and the number of photos with rows."""
    if isinstance(photos, ray.data.Dataset):
        keys = ray.put(done.keys)

        def missing(batch: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
            from ._place import Done

            given = np.array(_batch.photos_of(batch), dtype=object)
            return {"photo": given[Done(ray.get(keys)).missing(given, classes)]}

        _batch.column_of(photos.columns())
        # Read before the workers take the cluster's CPUs, which reading needs, too.
        given = photos.materialize()
        blocks = given.map_batches(missing, batch_format="numpy", batch_size=8 * size).repartition(target_num_rows_per_block=size)
        try:
            blocks = blocks.materialize()
        except ray.exceptions.RayTaskError as error:
            raise _cluster.cause(error) from None
        total = blocks.count()
        return (blocks if total else None), total, given.count() - total
    import pyarrow as pa

    names = np.array(list(dict.fromkeys(_paths(photos))), dtype=object)
    wanted = names[done.missing(names, classes)]
    if not len(wanted):
        return None, 0, len(names)
    # A block is the unit of work of a worker, and is given to another worker if one is lost.
    blocks = [pa.table({"photo": pa.array(wanted[i : i + size], pa.string())}) for i in range(0, len(wanted), size)]
    return ray.data.from_arrow(blocks), len(wanted), len(names) - len(wanted)


def _everywhere(path: str | os.PathLike[str]) -> str:
    """A path that means the same on every machine."""
    text = os.fspath(path)
    return text if "://" in text else os.path.abspath(text)


def _paths(photos: Any) -> Iterator[str]:
    if isinstance(photos, (str, os.PathLike)):
        folder = os.path.abspath(photos)
        if not os.path.isdir(folder):
            raise UsageError(f"{folder}: is not a folder; give a folder, a list of paths or URIs, or a ray.data.Dataset")
        for where, folders, files in os.walk(folder):
            folders.sort()
            yield from (os.path.join(where, file) for file in sorted(files) if file.lower().endswith(SUFFIXES))
        return
    for photo in photos:
        if not isinstance(photo, (str, os.PathLike)):
            raise TypeError(f"a photo is a path or a URI, not {type(photo).__name__}")
        yield _everywhere(photo)


def _pool(ray: Any, actors: int | tuple[int, int] | None, num_cpus: int, num_gpus: float) -> Any:
    least, most = actors if isinstance(actors, tuple) else (actors or 1, actors or _cluster.room(ray, num_cpus, num_gpus))
    return ray.data.ActorPoolStrategy(min_size=least, max_size=most, max_tasks_in_flight_per_actor=1)


def _results(work: Any) -> Generator[dict[str, Any], None, None]:
    """The results of all calls of workers, as they arrive."""
    try:
        yield from _told(work)
    finally:
        # Ray ends a worker when nothing refers to it; the references are in cycles, which would keep CPUs from the next call.
        gc.collect()


def _told(work: Any) -> Generator[dict[str, Any], None, None]:
    with closing(iter(work.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0))) as batches:
        for batch in batches:
            for i, failure in enumerate(batch["failure"]):
                if failure:
                    raise pickle.loads(failure)
                yield {name: column[i] for name, column in batch.items()}
