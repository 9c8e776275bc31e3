"""Trajectories as files for other programs: CSV, Parquet, HDF5 or npz, one column per signal, each file in one step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from systems.base.atomic_files import atomic_path
from systems.base.errors import InputError
from systems.recordings.columnar import write_hdf5, write_npz, write_parquet
from systems.system import System
from systems.trajectories import Trajectories

#: format -> ending of its files
FORMATS = {"csv": ".csv", "parquet": ".parquet", "hdf5": ".h5", "npz": ".npz"}
_TOGETHER = (".h5", ".npz")  # endings of files that hold several tables
_CHUNK = 50_000


def write_recordings(
    trajectories: Trajectories,
    path: Path | str,
    system: System,
    *,
    estimates: np.ndarray | None = None,
    units: bool = True,
) -> list[Path]:
    """Write trajectories with one column for each signal of ``system``; :func:`read_recordings` reads them back.

    Parameters
    ----------
    trajectories : Trajectories
    path : path
        Ends in .csv, .parquet, .h5 or .npz. Several trajectories make several CSV or Parquet files, ``name_000.csv`` and so on,
        and one HDF5 or npz file.
    system : System
    estimates : ndarray (K, N, nx), optional
        They become columns ``<state>_hat``.
    units : bool
        Write the row of units of a CSV file, and the unit attributes of the others.

    Returns
    -------
    list of Path
        The files. Missing values are empty cells in CSV, nan elsewhere.

    Raises
    ------
    InputError
        For another ending, or a folder that does not exist.
    """
    names = column_names(system)
    stated = {
        "t": "s",
        **dict(zip(names, (s.unit for s in (*system.states, *system.inputs, *system.outputs)), strict=True)),
    }
    tables = []
    for k in range(len(trajectories)):
        n = int(trajectories.lengths[k])
        values = np.concatenate([trajectories.x[k, :n], trajectories.u[k, :n], trajectories.y[k, :n]], axis=1)
        table = {"t": trajectories.t[:n], **dict(zip(names, values.T, strict=True))}
        if estimates is not None:
            for i, signal in enumerate(system.states):
                table[f"{signal.name}_hat"] = estimates[k, :n, i]
                stated[f"{signal.name}_hat"] = signal.unit
        tables.append(table)
    return write_columns(path, tables, stated if units else {})


def column_names(system: System) -> list[str]:
    """Columns of states, inputs and outputs; an output that is called like a state or an input becomes ``outputs.name``."""
    taken = {*system.state_names, *system.input_names, "t"}
    outputs = [f"outputs.{name}" if name in taken else name for name in system.output_names]
    inputs = list(system.input_names)
    return [*system.state_names, *inputs, *outputs]


def write_columns(path: Path | str, tables: Sequence[Mapping[str, np.ndarray]], units: Mapping[str, str]) -> list[Path]:
    """Write tables of columns ``(N,)`` in the format that the ending of ``path`` names; returns the files."""
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in FORMATS.values():
        raise InputError(f"{path} ends in '{path.suffix}'; expected a file that ends in {', '.join(FORMATS.values())}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected the name of a file")
    if ending in _TOGETHER:
        (write_hdf5 if ending == ".h5" else write_npz)(path, tables, units)
        return [path]
    paths = column_files(path, len(tables))
    for one, table in zip(paths, tables, strict=True):
        (_write_csv if ending == ".csv" else write_parquet)(one, table, units)
    return paths


def column_files(path: Path, count: int) -> list[Path]:
    """The files that :func:`write_columns` makes of ``count`` tables."""
    if count == 1 or path.suffix.lower() in _TOGETHER:
        return [path]
    return [path.with_name(f"{path.stem}_{k:03d}{path.suffix}") for k in range(count)]


def _write_csv(path: Path, table: Mapping[str, np.ndarray], units: Mapping[str, str]) -> None:
    """Header, row of units, rows. The numbers are the shortest that read back as the same."""
    values = np.stack([np.asarray(column, dtype=float) for column in table.values()], axis=1)
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(table) + "\n")
        if units:
            file.write(",".join(_cell(units.get(name) or "-") for name in table) + "\n")
        row = ",".join(["%r"] * values.shape[1]) + "\n"
        for start in range(0, len(values), _CHUNK):
            chunk = values[start : start + _CHUNK]
            file.write(((row * len(chunk)) % tuple(chunk.reshape(-1).tolist())).replace("nan", ""))


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text
