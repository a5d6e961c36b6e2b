"""Many machines, with Ray: photos of a list, a folder or a ``ray.data.Dataset`` explained by workers wherever the cluster has room.

Needs ``pip install 'candor-xai[ray]'``. Only paths or URIs travel; each worker reads its photos, and writes its rows itself.
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
    there = _cluster.imported().get_runtime_context().get_assigned_resources()
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
        Photos whose rows were there already.
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
        Relative paths of a list or folder are made absolute, which is how the column ``photo`` has them.
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
        ``True`` shows tqdm's bar; a callable is told ``(done, total)`` photos.
    **options
        As :class:`candor.batch.Worker` takes them: ``timeout``, ``maps``, ``engine``, ``levels``, ``seed``, ``probe``, and the method's own.

    Returns
    -------
    Summary

    Raises
    ------
    candor.UsageError
        Ray is not installed; another configuration in ``out``, or another run that writes there (a folder, not a URI).
    candor.FileError
        ``out`` cannot be written. What was written stays.
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
        # Opening takes a moment, and no CPU needs to be kept for it.
        configuration = _cluster.remotely(ray, _configuration, {"num_cpus": 0, "num_gpus": num_gpus}, keys)
        place.begin(configuration)
        done = place.done(without_errors=retry)
        dataset, total, skipped = _missing(ray, photos, done, configuration["classes"], batch)
        if dataset is None:
            return Summary(place.out, 0, 0, 0, skipped, time.monotonic() - start, configuration)
        # What comes back from a worker is a few numbers; Ray would keep room for 128 MB each, and so let few of them work.
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

    The same call goes on where it was stopped.

    Parameters
    ----------
    name : str
        ``wsol``, ``dwsol``, ``adversarial``, ``grid`` or ``faithfulness``.
    model, dataset : path
        All workers reach them.
    methods, **options
        As :func:`candor.bench.wsol` takes them.
    out : path
        Folder that all workers reach: ``parts``, ``joined`` (what ``candor merge`` makes of them) and NAME.parquet, the figures of each sample.
    parts : int, optional
        Into how many the work is divided; four for each worker that the cluster has room for if not given, of the first call.
    num_cpus, num_gpus, progress
        As :func:`explain` takes them; progress counts parts.

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

    It raises nothing, which would leave it in its place with the CPUs it has: what went wrong is returned, too, and raised by :func:`_results`.
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
    """The photos without rows as a dataset in blocks of ``size``, how many there are, and how many have their rows."""
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
    # A block is what a worker is given, and what is given to another where a worker is lost.
    blocks = [pa.table({"photo": pa.array(wanted[i : i + size], pa.string())}) for i in range(0, len(wanted), size)]
    return ray.data.from_arrow(blocks), len(wanted), len(names) - len(wanted)


def _everywhere(path: str | os.PathLike[str]) -> str:
    """A path that means the same wherever a worker runs."""
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
    """What each call of a worker returned, as it comes."""
    try:
        yield from _told(work)
    finally:
        # Ray ends workers when nothing refers to them, and what does is in cycles: they would keep their CPUs from the next call.
        gc.collect()


def _told(work: Any) -> Generator[dict[str, Any], None, None]:
    with closing(iter(work.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0))) as batches:
        for batch in batches:
            for i, failure in enumerate(batch["failure"]):
                if failure:
                    raise pickle.loads(failure)
                yield {name: column[i] for name, column in batch.items()}
