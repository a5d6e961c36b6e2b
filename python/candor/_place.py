"""A folder of Parquet files that many workers write and a later run resumes.

Files are written atomically. A file's name is derived from its photos, so that work repeated after a fault gives the same file. All rows of
a photo are in one file, and all rows of a place have one configuration, which is stored beside them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

import numpy as np

from .batch import COLUMNS, key_of
from .errors import FileError, UsageError

try:
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.fs
    import pyarrow.parquet
except ImportError:
    raise UsageError("rows as Parquet need pyarrow: pip install 'candor-xai[ray]'") from None

#: Readers of Parquet folders ignore files with this prefix.
_ASIDE = "_candor"

#: Error codes of a full disk.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_TYPES = {str: pa.string(), float: pa.float64(), int: pa.int64(), bytes: pa.binary()}
SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS.items()])


class Place:
    """The destination of rows.

    Parameters
    ----------
    out : path or URI
        A folder that all workers can reach; ``s3://``, ``gs://`` and anything else that ``pyarrow.fs`` opens.
    """

    def __init__(self, out: str | os.PathLike[str]) -> None:
        self.out = os.fspath(out)
        where = self.out if "://" in self.out else os.path.abspath(self.out)
        try:
            self._files, self._path = pyarrow.fs.FileSystem.from_uri(where)
        except (OSError, ValueError) as error:
            raise FileError(f"{self.out}: cannot be written: {error}; give a folder that all machines reach") from None
        self._lock: BinaryIO | None = None

    @property
    def maps(self) -> str:
        """The folder for maps that are stored as files; only if the place is a local folder."""
        if self._files.type_name != "local":
            raise UsageError(f"{self.out}: maps='npz' needs a folder that all machines reach, not a URI")
        return f"{self._path}/{_ASIDE}_maps"

    def begin(self, configuration: Mapping[str, Any]) -> None:
        """Creates the folder; raises if it has rows with another configuration, or if another run is using it."""
        try:
            self._begin(configuration)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Releases the folder for other runs."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _begin(self, configuration: Mapping[str, Any]) -> None:
        name = f"{_ASIDE}.json"
        try:
            self._files.create_dir(self._path, recursive=True)
            self._take()
            there = self._read(name)
        except OSError as error:
            raise self._unwritable(error) from None
        if there is None:
            if self._parts():
                raise FileError(f"{self.out}: holds Parquet files that Candor did not write; give another folder")
            try:
                self._write(name, lambda sink: sink.write(json.dumps(configuration, indent=1, ensure_ascii=False).encode()))
            except OSError as error:
                raise self._unwritable(error) from None
            return
        try:
            earlier = json.loads(there)
        except ValueError:
            raise FileError(f"{self.out}/{name}: is not as Candor wrote it; give another folder") from None
        if key_of(earlier) != key_of(configuration):
            raise UsageError(f"{self.out}: holds rows of another configuration ({_differences(earlier, configuration)}); give another folder")

    def _take(self) -> None:
        """Locks the folder for this run; the operating system releases the lock however the run ends. A URI cannot be locked."""
        if fcntl is None or self._files.type_name != "local" or self._lock is not None:
            return
        lock = open(f"{self._path}/{_ASIDE}.lock", "wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise UsageError(f"{self.out}: another run writes there; wait until it has ended, or give another folder") from None
        except OSError:
            pass  # A file system without locks.
        self._lock = lock

    def done(self, without_errors: bool = False) -> Done:
        """The existing rows; with ``without_errors``, after rows with an error were removed."""
        if without_errors:
            for part in self._parts():
                self._forget_errors(part)
        keys: list[np.ndarray[Any, Any]] = []
        if parts := self._parts():
            dataset = pyarrow.dataset.dataset(parts, schema=SCHEMA, filesystem=self._files, format="parquet")
            try:
                for batch in dataset.to_batches(columns=["photo", "class"]):
                    keys.append(_keys(batch.column("photo").to_pylist(), batch.column("class").to_pylist()))
            except pa.ArrowException as error:
                words = " ".join(str(error).split())
                raise FileError(f"{self.out}: a Parquet file there cannot be read: {words}; remove it, and run the same again") from None
        return Done(np.unique(np.concatenate(keys)) if keys else np.empty(0, dtype="S16"))

    def name(self, photos: Sequence[str], key: str) -> str:
        """Name of the file for rows of these photos."""
        text = "\0".join([key, *photos])
        return f"part-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.parquet"

    def has(self, name: str) -> bool:
        """Whether that file exists."""
        return bool(self._files.get_file_info(f"{self._path}/{name}").is_file)

    def counts(self, name: str) -> tuple[int, int]:
        """Number of rows of a file, and of those with an error."""
        column = pyarrow.parquet.read_table(f"{self._path}/{name}", columns=["error"], filesystem=self._files)["error"]
        return len(column), len(column) - column.null_count

    def write(self, name: str, rows: Mapping[str, Any]) -> None:
        """Writes a file. If its maps do not fit on the disk, it is written without them, and the rows get that error."""
        try:
            self._write_table(name, table(rows))
        except OSError as error:
            if error.errno not in _FULL:
                raise self._unwritable(error) from None
            said = f"the map could not be written to {self.out}: {error.strerror or error}"
            kept = [said if e is None else e for e in rows["error"]]
            bare = {**rows, "map": [None] * len(kept), "error": kept}
            try:
                self._write_table(name, table(bare))
            except OSError as again:
                raise self._unwritable(again) from None

    def _unwritable(self, error: OSError) -> FileError:
        words = " ".join(str(error.strerror or error).split())
        if error.errno in _FULL:
            words += "; make room, and run the same again: it goes on with what is missing"
        return FileError(f"{self.out}: cannot be written: {words}")

    def _write_table(self, name: str, rows: Any) -> None:
        self._write(name, lambda sink: pyarrow.parquet.write_table(rows, sink, compression="zstd"))

    def _write(self, name: str, fill: Any) -> None:
        path = f"{self._path}/{name}"
        if self._files.type_name != "local":
            # An object becomes visible when it is complete.
            with self._files.open_output_stream(path) as sink:
                fill(sink)
            return
        hidden = f"{self._path}/.{name}.{uuid.uuid4().hex}.tmp"
        try:
            with open(hidden, "wb") as sink:
                fill(sink)
                sink.flush()
                os.fsync(sink.fileno())
            os.replace(hidden, path)
        except BaseException:
            if os.path.exists(hidden):
                os.remove(hidden)
            raise

    def _read(self, name: str) -> bytes | None:
        path = f"{self._path}/{name}"
        if not self._files.get_file_info(path).is_file:
            return None
        with self._files.open_input_stream(path) as source:
            return bytes(source.read())

    def _parts(self) -> list[str]:
        infos = self._files.get_file_info(pyarrow.fs.FileSelector(self._path))
        return sorted(i.path for i in infos if i.is_file and i.base_name.endswith(".parquet") and i.base_name[0] not in "._")

    def _forget_errors(self, part: str) -> None:
        found = pyarrow.parquet.read_table(part, filesystem=self._files)
        failed = set(pa.compute.filter(found["photo"], pa.compute.is_valid(found["error"])).to_pylist())
        if failed:
            kept = found.filter(pa.array([photo not in failed for photo in found["photo"].to_pylist()]))
            if len(kept):
                self._write_table(part.rsplit("/", 1)[1], kept)
            else:
                self._files.delete_file(part)


class Done:
    """The photos that have rows: 16 bytes per row."""

    def __init__(self, keys: np.ndarray[Any, Any]) -> None:
        self.keys = keys

    def missing(self, photos: Iterable[Any], classes: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each photo, whether a row of one of the classes is missing."""
        names = [str(photo) for photo in photos]
        missing = np.zeros(len(names), dtype=bool)
        for asked in classes:
            wanted = _keys(names, [asked] * len(names))
            at = np.searchsorted(self.keys, wanted)
            found = at < len(self.keys)
            found[found] = self.keys[at[found]] == wanted[found]
            missing |= ~found
        return missing


def _keys(photos: Iterable[str], classes: Iterable[str]) -> np.ndarray[Any, Any]:
    pairs = zip(photos, classes)
    digests = [hashlib.blake2b(f"{photo}\0{asked}".encode(), digest_size=16).digest() for photo, asked in pairs]
    return np.array(digests, dtype="S16")


def table(rows: Mapping[str, Any]) -> Any:
    """Rows of a worker as an Arrow table in which every column is nullable."""
    columns = []
    for name, kind in COLUMNS.items():
        values = rows[name]
        absent = (np.asarray(values) < 0) if kind is int else None
        columns.append(pa.array(values, type=SCHEMA.field(name).type, mask=absent, from_pandas=True))
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [key for key in {**earlier, **now} if earlier.get(key) != now.get(key)]
    return "; ".join(f"{key}: {_short(earlier.get(key))}, now {_short(now.get(key))}" for key in keys)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:119] + "…"
