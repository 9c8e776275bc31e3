"""Parquet, HDF5 and npz logs: named columns without text to parse. Parquet and HDF5 are imported when a file asks for it.

HDF5: datasets ``(N,)`` at the root, or one group of them per trajectory; a unit is an attribute ``unit`` of its dataset.
npz: arrays ``(N,)``, or ``(K, N)`` with a row per trajectory and ``lengths (K,)``; ``units`` is JSON.
Parquet: columns; the index of a DataFrame counts as one; a unit is ``unit`` in the metadata of a field.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from systems.base.atomic_files import atomic_path, read_arrays
from systems.base.errors import InputError
from systems.recordings.tables import EXTRA, LogTable, time_column

Columns = Mapping[str, np.ndarray]


def _needed(path: Path, kind: str, *modules: str) -> list[Any]:
    try:
        return [import_module(module) for module in modules]
    except ImportError as error:
        raise InputError(f"{path}: {kind} needs {error.name}; {EXTRA} installs it") from None


def check_installed(path: Path, kind: str) -> None:
    """Raise :class:`InputError`, which names the extra, when ``kind`` (parquet, hdf5, ...) cannot be written here."""
    modules = {"parquet": ("Parquet", "pyarrow.parquet", "pandas"), "hdf5": ("HDF5", "h5py")}.get(kind)
    if modules:
        _needed(path, *modules)


def _refuse(path: Path, kind: str, error: Exception) -> NoReturn:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise InputError(f"{path} is no {kind} file ({reason}); export the log again") from None


# npz -----------------------------------------------------------------------------------------------------------------


def open_npz(path: Path, time: str | None) -> list[LogTable]:
    """One table, or one per row of two-dimensional arrays."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no npz file; export the log again with numpy.savez")
    try:
        arrays = read_arrays(path)
    except Exception as error:  # a damaged zip alone fails in a dozen ways
        _refuse(path, "npz", error)
    if {"t", "x", "u", "y", "lengths"} <= set(arrays):
        raise InputError(
            f"{path} holds the trajectories of a run without names; `observer export RUN` writes them with names"
        )
    try:
        units = json.loads(str(arrays.pop("units"))) if "units" in arrays else {}
        units = {str(name): str(unit) for name, unit in units.items()}
    except (ValueError, AttributeError):
        raise InputError(
            f'{path}: units is no JSON object; expected units such as {{"speed": "m/s"}}, or none'
        ) from None
    lengths = arrays.pop("lengths", None)
    columns = {name: array for name, array in arrays.items() if array.ndim in (1, 2)}
    name = time_column(str(path), tuple(columns), time)
    count = max((len(array) for array in columns.values() if array.ndim == 2), default=0)
    if not count:
        return [_in_memory(str(path), name, columns, units)]
    for column, array in columns.items():
        if array.ndim == 2 and len(array) != count:
            raise InputError(f"{path}, column '{column}': {len(array)} trajectories; expected {count}, like the others")
    if lengths is not None and lengths.shape != (count,):
        raise InputError(f"{path}: lengths has shape {lengths.shape}; expected ({count},), one for each trajectory")
    tables = []
    for k in range(count):
        end = int(lengths[k]) if lengths is not None else None
        rows = {column: (array[k] if array.ndim == 2 else array)[:end] for column, array in columns.items()}
        tables.append(_in_memory(f"{path}, trajectory {k}", name, rows, units))
    return tables


def _in_memory(label: str, time: str, columns: Columns, units: Mapping[str, str]) -> LogTable:
    expected = len(columns[time])

    def read(wanted: Sequence[str]) -> dict[str, np.ndarray]:
        for name in wanted:
            if len(columns[name]) != expected:
                raise InputError(
                    f"{label}, column '{name}': {len(columns[name])} values; expected {expected}, as many as '{time}' has"
                )
        return {name: columns[name] for name in wanted}

    return LogTable(label, tuple(columns), time, read, units)


def write_npz(path: Path, tables: Sequence[Columns], units: Mapping[str, str]) -> None:
    """One array per column: ``(N,)`` for one table, ``(K, N)`` padded with nan, and ``lengths``, for several."""
    if len(tables) == 1:
        arrays: dict[str, np.ndarray] = dict(tables[0])
    else:
        lengths = np.array([len(next(iter(table.values()))) for table in tables])
        arrays = {name: np.full((len(tables), int(lengths.max())), np.nan) for name in tables[0]}
        for k, table in enumerate(tables):
            for name, values in table.items():
                arrays[name][k, : lengths[k]] = values
        arrays["lengths"] = lengths
    if units:
        arrays["units"] = np.array(json.dumps(dict(units)))
    # Not np.savez: its own arguments would swallow a signal that is called `file`.
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(values), allow_pickle=False)


# Parquet -------------------------------------------------------------------------------------------------------------


def open_parquet(path: Path, time: str | None) -> list[LogTable]:
    """The one table of a Parquet file."""
    parquet, _ = _needed(path, "Parquet", "pyarrow.parquet", "pandas")
    try:
        stored = parquet.read_table(path)
        frame = stored.to_pandas()
    except Exception as error:
        _refuse(path, "Parquet", error)
    if frame.index.name is not None or frame.index.dtype.kind == "M":
        frame = frame.reset_index(names=frame.index.name or "timestamp")
    names = [str(name) for name in frame.columns]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"{path} has two columns called '{repeated[0]}'; rename one")
    units = {item.name: item.metadata[b"unit"].decode() for item in stored.schema if b"unit" in (item.metadata or {})}
    columns = {}
    for k, name in enumerate(names):
        column = frame.iloc[:, k]
        if getattr(column.dtype, "tz", None) is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        columns[name] = column.to_numpy() if column.dtype.kind in "fiubM" else column.to_numpy(object, na_value=None)
    return [_in_memory(str(path), time_column(str(path), tuple(columns), time), columns, units)]


def write_parquet(path: Path, table: Columns, units: Mapping[str, str]) -> None:
    """One table; units go into the metadata of the fields."""
    arrow, parquet = _needed(path, "Parquet", "pyarrow", "pyarrow.parquet")
    fields = [
        arrow.field(name, arrow.float64(), metadata={"unit": units[name]} if units.get(name) else None)
        for name in table
    ]
    with atomic_path(path) as partial:
        parquet.write_table(
            arrow.table([arrow.array(values) for values in table.values()], arrow.schema(fields)), partial
        )


# HDF5 ----------------------------------------------------------------------------------------------------------------


def open_hdf5(path: Path, time: str | None) -> list[LogTable]:
    """The table at the root, or one per group."""
    (h5py,) = _needed(path, "HDF5", "h5py")
    try:
        with h5py.File(path, "r") as file:
            places = {"": file} if any(isinstance(item, h5py.Dataset) for item in file.values()) else dict(file.items())
            found = []
            for name, group in places.items():
                if not isinstance(group, h5py.Group):
                    continue
                sets = {key: item for key, item in group.items() if isinstance(item, h5py.Dataset) and item.ndim == 1}
                stated = {key: item.attrs.get("unit", item.attrs.get("units")) for key, item in sets.items()}
                units = {
                    key: unit.decode() if isinstance(unit, bytes) else str(unit)
                    for key, unit in stated.items()
                    if unit is not None
                }
                found.append((name, {key: item[()] for key, item in sets.items()}, units))
    except Exception as error:
        _refuse(path, "HDF5", error)
    if not found:
        raise InputError(
            f"{path} holds no datasets; expected one for each column, at the root or in a group per trajectory"
        )
    tables = []
    for name, columns, units in found:
        label = f"{path}, group '{name}'" if name else str(path)
        tables.append(_in_memory(label, time_column(label, tuple(columns), time), columns, units))
    return tables


def write_hdf5(path: Path, tables: Sequence[Columns], units: Mapping[str, str]) -> None:
    """Datasets at the root for one table, in groups ``trajectory_000``, ... for several."""
    (h5py,) = _needed(path, "HDF5", "h5py")
    content = io.BytesIO()  # on a full disk h5py would print a traceback for every dataset that it cannot close
    with h5py.File(content, "w", track_order=True) as file:
        for k, table in enumerate(tables):
            group = file if len(tables) == 1 else file.create_group(f"trajectory_{k:03d}", track_order=True)
            for name, values in table.items():
                group.create_dataset(name, data=values).attrs["unit"] = units.get(name, "")
    with atomic_path(path) as partial, partial.open("wb") as stream:
        stream.write(content.getbuffer())
