"""Files of columns that are written block by block: CSV, Parquet, HDF5 and npz. To add one: a class here, its ending in ``SINKS``.

A sink is given the tables that are to come (their names and rows), takes blocks of each, the first table first, and puts all its
files in their places at the end: together, or, when anything fails, none of them.
"""

import io
import json
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from systems.base.atomic_files import atomic_path
from systems.base.errors import InputError
from systems.recordings.columnar import check_installed

_ROWS = 50_000  # of CSV that are text at once


@dataclass(frozen=True)
class Outline:
    """One table that is to be written: the names of its columns, and how many rows will come."""

    names: tuple[str, ...]
    rows: int


class Sink(ABC):
    """Takes tables of columns for the file at ``path``; a context that ends with the files in place, or none of them.

    ``paths``: the files. A format with one table in each file makes ``name_000.csv`` and so on of several tables.
    """

    one_file = False

    def __init__(self, path: Path, tables: Sequence[Outline], units: Mapping[str, str]) -> None:
        self.tables, self.units = tables, units
        self.paths = column_files(path, len(tables))
        self._open = ExitStack()

    def __enter__(self) -> "Sink":
        with ExitStack() as stack:
            partials = [stack.enter_context(atomic_path(path)) for path in self.paths]
            self.begin(stack, partials)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is not None:
            self._open.__exit__(*error)
            return
        with self._open:
            self.end()

    def add(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        """The next rows of table ``k``."""
        self.write(k, {name: np.asarray(values, dtype=float) for name, values in columns.items()})

    @abstractmethod
    def begin(self, stack: ExitStack, partials: Sequence[Path]) -> None:
        """Open the files, to be closed with ``stack``."""

    @abstractmethod
    def write(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        """Write rows of table ``k``."""

    def end(self) -> None:  # noqa: B027
        """What is written after the last row."""


class _CsvSink(Sink):
    """Header, row of units, rows. The numbers are the shortest that read back as the same."""

    def begin(self, stack: ExitStack, partials: Sequence[Path]) -> None:
        self._files = [stack.enter_context(p.open("w", encoding="utf-8", newline="")) for p in partials]
        for file, table in zip(self._files, self.tables, strict=True):
            file.write(",".join(table.names) + "\n")
            if self.units:
                file.write(",".join(_cell(self.units.get(name) or "-") for name in table.names) + "\n")

    def write(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        values = np.stack([columns[name] for name in self.tables[k].names], axis=1)
        row = ",".join(["%r"] * values.shape[1]) + "\n"
        for start in range(0, len(values), _ROWS):
            chunk = values[start : start + _ROWS]
            self._files[k].write(((row * len(chunk)) % tuple(chunk.reshape(-1).tolist())).replace("nan", ""))


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text


class _ParquetSink(Sink):
    """One table in each file; units go into the metadata of the fields."""

    def begin(self, stack: ExitStack, partials: Sequence[Path]) -> None:
        check_installed(self.paths[0], "parquet")
        import pyarrow
        from pyarrow import parquet

        self._writers = []
        for partial, table in zip(partials, self.tables, strict=True):
            stated = [(name, {"unit": self.units[name]} if self.units.get(name) else None) for name in table.names]
            schema = pyarrow.schema([pyarrow.field(name, pyarrow.float64(), metadata=unit) for name, unit in stated])
            self._writers.append(stack.enter_context(parquet.ParquetWriter(partial, schema)))

    def write(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        import pyarrow

        schema = self._writers[k].schema
        self._writers[k].write_table(pyarrow.table([columns[name] for name in schema.names], schema))


class _Hdf5Sink(Sink):
    """Datasets at the root for one table, in groups ``trajectory_000``, ... for several."""

    one_file = True

    def begin(self, stack: ExitStack, partials: Sequence[Path]) -> None:
        check_installed(self.paths[0], "hdf5")
        import h5py

        self._stream = stack.enter_context(_Patient(partials[0], "w+"))
        self._file, self._done = h5py.File(self._stream, "w", track_order=True), [0] * len(self.tables)
        stack.callback(self._close)
        for k, table in enumerate(self.tables):
            group = (
                self._file
                if len(self.tables) == 1
                else self._file.create_group(f"trajectory_{k:03d}", track_order=True)
            )
            for name in table.names:
                group.create_dataset(name, (table.rows,), dtype="f8").attrs["unit"] = self.units.get(name, "")

    def write(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        group: Any = self._file if len(self.tables) == 1 else self._file[f"trajectory_{k:03d}"]
        start = self._done[k]
        for name in self.tables[k].names:
            group[name][start : start + len(columns[name])] = columns[name]
            self._done[k] = start + len(columns[name])
        self._stream.check()

    def end(self) -> None:
        self._close()
        self._stream.check()

    def _close(self) -> None:
        try:
            self._file.close()
        except Exception:
            self._stream.check()
            raise


class _Patient(io.FileIO):
    """A file that keeps the error of a write to raise it later: within a write h5py would print one for every dataset."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while len(view) and self.error is None:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise the error that was kept."""
        if self.error is not None:
            raise self.error


class _NpzSink(Sink):
    """One array per column: ``(N,)`` for one table, ``(K, N)`` padded with nan, and ``lengths``, for several.

    An archive takes one array after the other, so the columns wait in unnamed files beside it.
    """

    one_file = True

    def begin(self, stack: ExitStack, partials: Sequence[Path]) -> None:
        self._partial = partials[0]
        names = dict.fromkeys(name for table in self.tables for name in table.names)
        self._waiting = {name: stack.enter_context(tempfile.TemporaryFile(dir=self._partial.parent)) for name in names}

    def write(self, k: int, columns: Mapping[str, np.ndarray]) -> None:
        for name in self.tables[k].names:
            self._waiting[name].write(columns[name].tobytes())

    def end(self) -> None:
        # Not np.savez: its own arguments would swallow a signal that is called `file`.
        longest = max(table.rows for table in self.tables)
        shape = (longest,) if len(self.tables) == 1 else (len(self.tables), longest)
        rest: dict[str, np.ndarray] = {}
        if len(self.tables) > 1:
            rest["lengths"] = np.array([table.rows for table in self.tables])
        if self.units:
            rest["units"] = np.array(json.dumps(dict(self.units)))
        with zipfile.ZipFile(self._partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, waiting in self._waiting.items():
                waiting.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    head = {"descr": np.dtype(float).str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, head)
                    for table in self.tables:
                        _copy(waiting, stream, table.rows if name in table.names else 0, longest)
            for name, values in rest.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, values, allow_pickle=False)


def _copy(source: IO[bytes], target: IO[bytes], rows: int, longest: int) -> None:
    """``rows`` numbers from one stream to the other, and nan up to the longest."""
    for start in range(0, rows, _ROWS):
        target.write(source.read(8 * min(_ROWS, rows - start)))
    for start in range(rows, longest, _ROWS):
        target.write(np.full(min(_ROWS, longest - start), np.nan).tobytes())


#: ending -> what writes it
SINKS: dict[str, type[Sink]] = {".csv": _CsvSink, ".parquet": _ParquetSink, ".h5": _Hdf5Sink, ".npz": _NpzSink}


def column_files(path: Path, count: int) -> list[Path]:
    """The files that the sink for ``path`` makes of ``count`` tables."""
    sink = SINKS.get(path.suffix.lower())
    if count == 1 or (sink is not None and sink.one_file):
        return [path]
    return [path.with_name(f"{path.stem}_{k:03d}{path.suffix}") for k in range(count)]


def open_sink(path: Path | str, tables: Sequence[Outline], units: Mapping[str, str]) -> Sink:
    """The sink for the ending of ``path``. Raises :class:`InputError` for another ending, a folder, or one that does not exist."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in SINKS:
        raise InputError(f"{path} ends in '{path.suffix}'; expected a file that ends in {', '.join(SINKS)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file")
    return SINKS[ending](path, tables, units)
