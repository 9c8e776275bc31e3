"""Parquet, HDF5 and npz logs: named columns without text to parse. Parquet and HDF5 are imported when a file asks for it.

HDF5: datasets ``(N,)`` at the root, or one group of them per trajectory; a unit is an attribute ``unit`` of its dataset.
npz: arrays ``(N,)``, or ``(K, N)`` with a row per trajectory and ``lengths (K,)``; ``units`` is JSON.
Parquet: columns; the index of a DataFrame counts as one; a unit is ``unit`` in the metadata of a field.

A file is opened for what it declares; columns are read when they are asked for, in blocks of rows.
"""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from systems.base import memory
from systems.base.arrays import ArrayFile, one_line, open_arrays
from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.tables import EXTRA, ROWS, WIDEST, Block, LogTable
from systems.recordings.time_columns import ROW_TIME, TimeSource

_LARGEST_UNITS = 1 << 20  # bytes
_SMALLER = "export the log again with fewer rows, or as several files"


def _needed(path: Path, kind: str, *modules: str) -> list[Any]:
    try:
        return [import_module(module) for module in modules]
    except ImportError as error:
        raise InputError(f"{path}: {kind} needs {error.name}; {EXTRA} installs it") from None


def check_installed(path: Path, kind: str) -> None:
    """Raise :class:`InputError`, which names the extra, when ``kind`` (parquet, hdf5, ...) cannot be read or written here."""
    modules = {"parquet": ("Parquet", "pyarrow.parquet"), "hdf5": ("HDF5", "h5py")}.get(kind)
    if modules:
        _needed(path, *modules)


def _refuse(path: Path, kind: str, error: Exception) -> NoReturn:
    """One error for whatever a damaged file makes a library raise; those that name the file already pass."""
    if isinstance(error, InputError) and str(path) in str(error):
        raise error
    raise InputError(f"{path} is no {kind} file ({one_line(error)}); export the log again") from None


def _table(
    label: str,
    names: Sequence[str],
    source: TimeSource,
    units: Mapping[str, str],
    rows: Mapping[str, int],
    blocks: Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]],
) -> LogTable:
    """A table whose columns have these ``rows``; reading one that has others than the time is refused."""
    time = source.find(label, names)
    expected = max(rows.values(), default=0) if time == ROW_TIME else rows[time]

    def read(wanted: Sequence[str]) -> Iterator[Block]:
        for name in wanted:
            if rows[name] != expected:
                raise InputError(
                    f"{label}, column '{name}': {rows[name]} values; expected {expected}, as many as '{time}' has"
                )
        done = 0
        for columns in blocks(wanted):
            start = done + 1
            done += len(columns[wanted[0]])
            yield Block(columns, lambda index, start=start: index + start)

    return LogTable(label, tuple(names), time, read, units, rows=expected)


# npz -----------------------------------------------------------------------------------------------------------------


def open_npz(path: Path, time: TimeSource) -> list[LogTable]:
    """One table, or one per row of two-dimensional arrays."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no npz file; export the log again with numpy.savez")
    try:
        with open_arrays(path) as file:
            return _npz_tables(path, file, time)
    except (InputError, OSError) as error:
        _refuse(path, "npz", error)


def _npz_tables(path: Path, file: ArrayFile, time: TimeSource) -> list[LogTable]:
    declared = dict(file.declared)
    if {"t", "x", "u", "y", "lengths"} <= set(declared) and len(declared["x"].shape) == 3:
        raise InputError(
            f"{path} holds the trajectories of a run without names; `observer export RUN` writes them with names"
        )
    units = _npz_units(path, file) if declared.pop("units", None) else {}
    lengths = declared.pop("lengths", None)
    columns = {
        name: item for name, item in declared.items() if len(item.shape) in (1, 2) and item.dtype.itemsize <= WIDEST
    }
    several = [item for item in columns.values() if len(item.shape) == 2]
    if not several:
        rows = {name: item.shape[0] for name, item in columns.items()}
        return [_table(str(path), tuple(columns), time, units, rows, _npz_blocks(path))]
    count = max(item.shape[0] for item in several)
    for name, item in columns.items():
        if len(item.shape) == 2 and item.shape[0] != count:
            raise InputError(
                f"{path}, column '{name}': {item.shape[0]} trajectories; expected {count}, like the others"
            )
    longest = max(item.shape[-1] for item in columns.values())
    ends = np.full(count, longest)
    if lengths is not None:
        if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
            raise InputError(
                f"{path}: lengths is of type {lengths.dtype} and shape {lengths.shape}; expected whole numbers ({count},), one for "
                "each trajectory"
            )
        ends = file.read("lengths")
        if ((ends < 0) | (ends > longest)).any():
            k = int(np.argmax((ends < 0) | (ends > longest)))
            raise InputError(f"{path}: lengths[{k}] is {ends[k]}; expected rows of trajectory {k}, from 0 to {longest}")
    kept: dict[str, np.ndarray] = {}
    tables = []
    for k, end in enumerate(ends.tolist()):
        rows = {name: min(end, item.shape[-1]) for name, item in columns.items()}
        tables.append(
            _table(f"{path}, trajectory {k}", tuple(columns), time, units, rows, _npz_rows(path, kept, k, end))
        )
    return tables


def _npz_units(path: Path, file: ArrayFile) -> dict[str, str]:
    try:
        if file.declared["units"].size > _LARGEST_UNITS:
            raise ValueError
        return {str(name): str(unit) for name, unit in json.loads(str(file.read("units"))).items()}
    except (ValueError, AttributeError, RecursionError):
        raise InputError(
            f'{path}: units is no JSON object; expected units such as {{"speed": "m/s"}}, or none'
        ) from None


def _npz_blocks(path: Path) -> Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]]:
    """Columns of their own, unpacked side by side."""

    def blocks(wanted: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        try:
            with open_arrays(path) as file:
                parts = [file.blocks(name, ROWS) for name in wanted]
                for values in zip(*parts, strict=True):
                    yield dict(zip(wanted, values, strict=True))
        except InputError as error:
            _refuse(path, "npz", error)

    return blocks


def _npz_rows(
    path: Path, kept: dict[str, np.ndarray], k: int, end: int
) -> Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]]:
    """Row ``k`` of arrays that hold all trajectories; they are unpacked once, into ``kept``."""

    def blocks(wanted: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        try:
            with open_arrays(path) as file:
                for name in wanted:
                    if name not in kept:
                        memory.require(file.declared[name].size, f"{path}: the array '{name}'", _SMALLER)
                        kept[name] = file.read(name)
        except InputError as error:
            _refuse(path, "npz", error)
        columns = {name: (kept[name][k] if kept[name].ndim == 2 else kept[name])[:end] for name in wanted}
        for start in range(0, len(columns[wanted[0]]), ROWS):
            yield {name: values[start : start + ROWS] for name, values in columns.items()}

    return blocks


# Parquet -------------------------------------------------------------------------------------------------------------


def open_parquet(path: Path, time: TimeSource) -> list[LogTable]:
    """The one table of a Parquet file."""
    (parquet,) = _needed(path, "Parquet", "pyarrow.parquet")
    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            schema, rows = file.schema_arrow, int(file.metadata.num_rows)
            heaviest = max((file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups)), default=0)
            index = _index(schema.pandas_metadata or {})
            units = {item.name: item.metadata[b"unit"].decode() for item in schema if b"unit" in (item.metadata or {})}
    except Exception as error:
        _refuse(path, "Parquet", error)
    memory.require(heaviest, f"{path}: its largest group of rows", _SMALLER)
    shown = [(index.get(name, name), name) for name in schema.names]
    stored = {name: column for name, column in shown if name is not None}
    names = [name for name, _ in shown if name is not None]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path} has two columns called '{repeated[0]}'; rename one")

    def blocks(wanted: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        try:
            with parquet.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(ROWS, columns=[stored[name] for name in wanted]):
                    yield {name: _plain(batch.column(stored[name])) for name in wanted}
        except Exception as error:
            _refuse(path, "Parquet", error)

    return [_table(str(path), names, time, units, dict.fromkeys(names, rows), blocks)]


def _index(pandas: Mapping[str, Any]) -> dict[str, str | None]:
    """Columns that are the index of a DataFrame -> the name that it has; without one, dates are 'timestamp' and the rest is none."""
    found: dict[str, str | None] = {}
    indices = [item for item in pandas.get("index_columns", []) if isinstance(item, str)]
    for item in pandas.get("columns", []):
        column = item.get("field_name")
        if column in indices:
            dates = str(item.get("pandas_type", "")).startswith("datetime")
            found[column] = item.get("name") or ("timestamp" if dates else None)
    return found


def _plain(column: Any) -> np.ndarray:
    """A column of Arrow as floats, dates, or Python's own values."""
    import pyarrow
    from pyarrow import types

    kind = column.type
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind):
        number = pyarrow.int8() if types.is_boolean(kind) else kind
        return column.cast(number).cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    if types.is_timestamp(kind) or types.is_date(kind):
        return column.cast(pyarrow.timestamp("ns")).to_numpy(zero_copy_only=False).astype("datetime64[ns]")
    return np.array([*column.to_pylist(), None], dtype=object)[:-1]


# HDF5 ----------------------------------------------------------------------------------------------------------------


def open_hdf5(path: Path, time: TimeSource) -> list[LogTable]:
    """The table at the root, or one per group."""
    (h5py,) = _needed(path, "HDF5", "h5py")
    try:
        with h5py.File(path, "r") as file:
            root = _own(path, file, "")
            flat = any(isinstance(item, h5py.Dataset) for item in root.values())
            groups = {"": root} if flat else {k: _own(path, g, k) for k, g in root.items() if isinstance(g, h5py.Group)}
            found = []
            for group, items in groups.items():
                sets = {k: d for k, d in items.items() if isinstance(d, h5py.Dataset) and d.ndim == 1}
                stated = {key: item.attrs.get("unit", item.attrs.get("units")) for key, item in sets.items()}
                units = {
                    key: unit.decode() if isinstance(unit, bytes) else str(unit)
                    for key, unit in stated.items()
                    if unit is not None
                }
                found.append((group, {key: item.shape[0] for key, item in sets.items()}, units))
    except Exception as error:
        _refuse(path, "HDF5", error)
    if not found:
        raise InputError(
            f"{path} holds no datasets; expected one for each column, at the root or in a group per trajectory"
        )
    tables = []
    for group, rows, units in found:
        label = f"{path}, group {shorten(group)}" if group else str(path)
        tables.append(_table(label, tuple(rows), time, units, rows, _hdf5_blocks(path, label, group)))
    return tables


def _own(path: Path, group: Any, name: str) -> dict[str, Any]:
    """What a group holds itself. A link could lead into another file of this machine, so it is refused."""
    import h5py

    found = {}
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            place = f"{name}/{key}" if name else key
            raise InputError(
                f"{path}: {shorten(place)} is a link to another place; only what the file itself holds is read, so copy it in"
            )
        found[key] = group[key]
    return found


def _hdf5_blocks(path: Path, label: str, group: str) -> Callable[[Sequence[str]], Iterator[dict[str, np.ndarray]]]:
    def blocks(wanted: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
        (h5py,) = _needed(path, "HDF5", "h5py")
        try:
            with h5py.File(path, "r") as file:
                place = file[group] if group else file
                sets = {name: _complete(place[name], f"{label}, column {shorten(name)}") for name in wanted}
                chunks = [item.chunks[0] for item in sets.values() if item.chunks]
                count = max([ROWS, *chunks])  # a chunk is unpacked as a whole, so that it is read once
                memory.require(
                    count * sum(item.dtype.itemsize for item in sets.values()), f"{label}: a chunk", _SMALLER
                )
                for start in range(0, min(len(item) for item in sets.values()), count):
                    yield {name: item[start : start + count] for name, item in sets.items()}
        except Exception as error:
            _refuse(path, "HDF5", error)

    return blocks


def _complete(item: Any, label: str) -> Any:
    """The dataset, where its numbers stand in this file, all of them."""
    if item.is_virtual or item.external:
        raise InputError(
            f"{label} has its numbers in another file; only what the file itself holds is read, so copy them in"
        )
    if item.dtype.itemsize > WIDEST:
        raise InputError(f"{label} has {item.dtype.itemsize} bytes in each row; expected numbers")
    if item.chunks:
        stored = item.id.get_num_chunks() * item.chunks[0]
    else:
        stored = len(item) if item.id.get_storage_size() else 0
    if stored < len(item):
        raise InputError(f"{label} declares {len(item)} rows and holds {stored}; export the log again")
    return item
