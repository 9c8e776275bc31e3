"""Trajectories as files for other programs: CSV, Parquet, HDF5 or npz, one column per signal, each file in one step."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from systems.recordings.sinks import Outline, open_sink
from systems.system import System
from systems.trajectories import Trajectories

#: format -> ending of its files
FORMATS = {"csv": ".csv", "parquet": ".parquet", "hdf5": ".h5", "npz": ".npz"}


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
    outlines = [Outline(tuple(table), len(next(iter(table.values())))) for table in tables]
    with open_sink(path, outlines, units) as sink:
        for k, table in enumerate(tables):
            sink.add(k, table)
    return sink.paths
