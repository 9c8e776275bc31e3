"""Logs as trajectories: named columns to the signals of a system, units compared, stamps onto the grid of dt."""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.recordings.opening import open_tables
from systems.recordings.resampling import grid, hold, join, longest_bridge
from systems.recordings.tables import TIME_NAMES, LogTable, matching, missing_column, numbers, stamps
from systems.signals import Signal
from systems.system import System
from systems.trajectories import Trajectories

GROUPS = ("states", "inputs", "outputs")
_SECONDS = ("", "s", "sec", "second", "seconds")


@dataclass(frozen=True)
class Recording:
    """One log on the grid: t ``(N,)`` from 0, x ``(N, nx)``, u ``(N, nu)``, y ``(N, ny)``, nan where missing.

    ``first`` is the stamp of t = 0 in the log's own seconds (0 where it has dates). ``logged`` names the signals that have a
    column, as ``states.speed``. ``warnings`` are sentences for a person.
    """

    label: str
    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    y: np.ndarray
    first: float
    logged: frozenset[str]
    warnings: tuple[str, ...] = ()


def read_recordings(
    source: Any,
    system: System,
    dt: float | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = GROUPS,
    max_gap: int = 3,
) -> Trajectories:
    """Logs of ``system`` as trajectories; every file (group of an HDF5 file, row of an npz array) is one of them.

    Parameters
    ----------
    source : path, pattern, or several paths
        A pattern is such as ``"logs/*.csv"``. CSV, Parquet, HDF5 or npz, by their endings.
    system : System
        Its signals name the columns.
    dt : float, optional
        Sampling time [s] of the result; the system's own when left out.
    columns : mapping of str to str, optional
        Signal to column where the names differ: ``{"speed": "v_wheel", "t": "stamp"}``. ``outputs.speed`` is the output where a
        state has the same name.
    required : sequence of {"states", "inputs", "outputs"}
        The groups that must all have columns; what has none is nan. A disturbance never needs one: it is set to the middle of
        its range.
    max_gap : int
        Gaps of more samples than this stay missing (nan).

    Returns
    -------
    Trajectories

    Raises
    ------
    InputError
        With file, row and column, for what cannot be used.
    """
    logs = read_logs(source, system, dt, columns=columns, required=required, max_gap=max_gap)
    lengths = np.array([len(log.t) for log in logs])
    longest = int(lengths.max())

    def padded(name: str) -> np.ndarray:
        parts = [getattr(log, name) for log in logs]
        result = np.full((len(logs), longest, parts[0].shape[1]), np.nan)
        for k, part in enumerate(parts):
            result[k, : len(part)] = part
        return result

    t = logs[int(lengths.argmax())].t
    names = shorten(str(source), 80).strip("'\"")
    warnings = tuple(text for log in logs for text in log.warnings)
    return Trajectories(t, padded("x"), padded("u"), padded("y"), lengths, f"logged, {names}", warnings)


def read_logs(
    source: Any,
    system: System,
    dt: float | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = GROUPS,
    max_gap: int = 3,
) -> list[Recording]:
    """As :func:`read_recordings`, one :class:`Recording` each, of its own length."""
    dt = system.dt if dt is None else dt
    if dt is None or not 0 < dt < np.inf:
        raise InputError(f"dt is {dt!r}; expected the sampling time in seconds, a positive number")
    if max_gap < 1:
        raise InputError(f"max_gap is {max_gap!r}; expected 1 sample or more")
    mapping = _checked(columns or {}, system)
    tables = [table for path in log_files(source) for table in open_tables(path, mapping.get("t"))]
    return [_recording(table, system, float(dt), mapping, required, max_gap) for table in tables]


def parse_columns(text: str) -> dict[str, str]:
    """``"speed=v_wheel,t=stamp"`` as a mapping of signals to columns."""
    result = {}
    for part in text.split(","):
        signal, sign, column = (item.strip() for item in part.partition("="))
        if not (signal and sign and column):
            raise InputError(f"columns is {shorten(text)}; expected signal=column, as in speed=v_wheel,t=stamp")
        result[signal] = column
    return result


def log_files(source: Any) -> list[Path]:
    """The files of a path, a pattern, or several of them, in the order in which they are read."""
    sources = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(sources, Iterable):
        raise InputError(
            f"the log is {shorten(source)}; expected a path, a pattern such as 'logs/*.csv', or several paths"
        )
    result = []
    for item in sources:
        text = os.fspath(item)
        if not Path(text).exists() and glob.has_magic(text):
            found = sorted(glob.glob(text))
            if not found:
                raise InputError(f"no file matches {shorten(text)}; expected at least one log")
            result += [Path(name) for name in found]
        else:
            result.append(Path(text))
    if not result:
        raise InputError("no log is given; expected at least one file")
    return result


def _signals(system: System) -> list[tuple[str, int, Signal]]:
    return [(group, k, signal) for group in GROUPS for k, signal in enumerate(getattr(system, group))]


def _checked(columns: Mapping[str, str], system: System) -> dict[str, str]:
    """The mapping with the time under ``t``; a signal that the system does not have is refused."""
    known = {signal.name for _, _, signal in _signals(system)}
    known |= {f"{group}.{signal.name}" for group, _, signal in _signals(system)}
    result = {}
    for name, column in columns.items():
        key = "t" if name in TIME_NAMES and name not in known else name
        if key != "t" and name not in known:
            simple = [item for item in known if "." not in item]
            raise InputError(f"columns names '{name}', which is no signal of '{system.name}'; {nearest(name, simple)}")
        result[key] = column
    return result


def _recording(
    table: LogTable, system: System, dt: float, mapping: Mapping[str, str], required: Sequence[str], max_gap: int
) -> Recording:
    where: dict[tuple[str, int], str] = {}
    for group, k, signal in _signals(system):
        column = _column(table, group, signal, mapping)
        if column is not None:
            _compare_units(table, column, signal)
            where[group, k] = column
        elif group in required and signal.role != "disturbance":
            raise missing_column(table, group[:-1], signal.name)
    if table.units.get(table.time, "").lower() not in _SECONDS:
        raise _wrong_unit(table, table.time, "s")
    columns = table.read([table.time, *dict.fromkeys(column for column in where.values() if column != table.time)])
    if len(columns[table.time]) < 2:
        raise InputError(f"{table.label} holds {len(columns[table.time])} rows of numbers; expected at least two")
    seconds, first = stamps(table, columns[table.time])
    _are_seconds(table, seconds, dt)
    t, bridge = grid(seconds, dt), longest_bridge(seconds, dt, max_gap)
    if len(t) < 2:
        raise InputError(f"{table.label} lasts {seconds[-1]:g} s; expected more than one sampling time (dt = {dt:g} s)")
    parts = {group: np.full((len(t), len(getattr(system, group))), np.nan) for group in GROUPS}
    for group, k, signal in _signals(system):
        if (group, k) in where:
            column = where[group, k]
            values = numbers(columns[column], table.label, column, table.row)
            _not_absurd(table, column, signal, values)
            held = group == "inputs"
            parts[group][:, k] = (
                hold(seconds, values, t, dt, bridge) if held else join(seconds, values, t, dt, bridge, signal.period)
            )
        elif signal.role == "disturbance" and signal.range is not None:
            parts[group][:, k] = 0.5 * (signal.range[0] + signal.range[1])
    logged = frozenset(f"{group}.{getattr(system, group)[k].name}" for group, k in where)
    return Recording(
        table.label, t, parts["states"], parts["inputs"], parts["outputs"], first, logged,
        _remarks(table.label, system, seconds, dt, parts["states"]),
    )  # fmt: skip


def _column(table: LogTable, group: str, signal: Signal, mapping: Mapping[str, str]) -> str | None:
    for key in (f"{group}.{signal.name}", signal.name):
        if key in mapping:
            found = matching(table.label, table.names, mapping[key])
            if found is None:
                raise InputError(
                    f"{table.label} has no column '{mapping[key]}' for the {group[:-1]} '{signal.name}'; "
                    f"{nearest(mapping[key], table.names)}"
                )
            return found
        found = matching(table.label, table.names, key)
        if found is not None:
            return found
    return None


def _compare_units(table: LogTable, column: str, signal: Signal) -> None:
    stated = table.units.get(column, "")
    if stated and signal.unit and _plain(stated) != _plain(signal.unit):
        raise _wrong_unit(table, column, signal.unit)


def _wrong_unit(table: LogTable, column: str, expected: str) -> InputError:
    row = f", row {table.unit_row}" if table.unit_row else ""
    return InputError(
        f"{table.label}{row}, column '{column}': unit is '{table.units[column]}'; expected '{expected}', "
        "and units are never converted, so convert the column"
    )


def _plain(unit: str) -> str:
    unit = unit.replace(" ", "").replace("*", "").replace("·", "").replace("**", "^")
    return "" if unit in ("-", "1") else unit


def _not_absurd(table: LogTable, column: str, signal: Signal, values: np.ndarray) -> None:
    """Ten ranges away from the range is another unit or a broken cell, not operation."""
    if signal.range is None or signal.period:
        return
    low, high = signal.range
    far = np.abs(values - 0.5 * (low + high)) > 10 * (high - low)
    if far.any():
        index = int(np.argmax(far))
        raise InputError(
            f"{table.label}, row {table.row(index)}, column '{column}': {values[index]:.6g} is more than ten times the range "
            f"({low:g}, {high:g}) away; is the unit right? Correct or empty the cell, or widen the range"
        )


def _are_seconds(table: LogTable, seconds: np.ndarray, dt: float) -> None:
    """Rows a hundred samples apart are stamps in another unit, not a slow logger."""
    spacing = float(np.median(np.diff(seconds)))
    if spacing >= 100 * dt:
        raise InputError(
            f"{table.label}, column '{table.time}': a row every {spacing:.4g} s, and dt is {dt:g} s; are these stamps "
            "milliseconds? Convert the column to seconds, or ask for a dt of the order of the rows"
        )


def _remarks(label: str, system: System, seconds: np.ndarray, dt: float, x: np.ndarray) -> tuple[str, ...]:
    texts = []
    spacing = float(np.median(np.diff(seconds)))
    if spacing > 1.5 * dt:
        texts.append(
            f"{label} has a row every {spacing:.3g} s, fewer than one per sample (dt = {dt:g} s): what lies between is interpolated"
        )
    for k, signal in enumerate(system.states):
        values = x[:, k][np.isfinite(x[:, k])]
        assert signal.range is not None
        outside = (values < signal.range[0]) | (values > signal.range[1])
        if outside.any():
            texts.append(
                f"{label}: state '{signal.name}' is outside its range ({signal.range[0]:g}, {signal.range[1]:g}) in "
                f"{100 * outside.mean():.2g} % of the samples, from {values.min():.4g} to {values.max():.4g}; "
                "widen the range if that is normal operation"
            )
    return tuple(texts)
