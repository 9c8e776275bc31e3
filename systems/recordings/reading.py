"""Logs as trajectories: named columns to the signals of a system, units compared, stamps onto the grid of dt."""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from systems.base import memory
from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.recordings.clock import measure
from systems.recordings.opened import GROUPS, PARTS, OpenedLog, signals_of
from systems.recordings.opening import open_tables
from systems.recordings.stamp_units import Axis
from systems.recordings.tables import LogTable, matching, missing_column
from systems.recordings.time_columns import ROW_TIME, TIME_NAMES, TimeSource, Timing, numbered
from systems.signals import Signal
from systems.system import System
from systems.time_units import duration
from systems.trajectories import Trajectories


def read_recordings(
    source: Any,
    system: System,
    dt: float | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = GROUPS,
    max_gap: int = 3,
    timing: Timing | None = None,
) -> Trajectories:
    """Logs of ``system`` as trajectories; every file (group of an HDF5 file, row of an npz array) is one of them.

    Parameters
    ----------
    source : path, pattern, or several paths
        A pattern is such as ``"logs/*.csv"``. CSV, Parquet, HDF5 or npz, by their endings.
    system : System
        Its signals name the columns.
    dt : float, optional
        Sampling time of the result, in the system's unit of time; the system's own when left out.
    columns : mapping of str to str, optional
        Signal to column where the names differ: ``{"speed": "v_wheel", "t": "stamp"}``. ``outputs.speed`` is the output where a
        state has the same name.
    required : sequence of {"states", "inputs", "outputs"}
        The groups that must all have columns; what has none is nan. A disturbance never needs one: it is set to the middle of
        its range.
    max_gap : int
        Gaps of more samples than this stay missing (nan).
    timing : Timing, optional
        What the logs do not say of their time: ``Timing(sample_time="50ms")`` of a log without a time column, ``Timing(unit="ms")``.

    Returns
    -------
    Trajectories

    Raises
    ------
    InputError
        With file, row and column, for what cannot be used.
    """
    logs = open_logs(source, system, dt, columns=columns, required=required, max_gap=max_gap, timing=timing)
    lengths = np.array([log.samples for log in logs])
    longest = int(lengths.max())
    sizes = [len(getattr(system, group)) for group in GROUPS]
    memory.require(
        memory.arrays((len(logs), longest, sum(sizes))),
        f"{logs[int(lengths.argmax())].label}: {longest} samples, in a batch of {len(logs)}",
        "cut the log into several, or ask for a larger dt",
    )
    x, u, y = (np.full((len(logs), longest, size), np.nan) for size in sizes)
    warnings: list[str] = []
    for k, log in enumerate(logs):
        done = 0
        for part in log.blocks():
            rows = slice(done, done + len(part.t))
            x[k, rows], u[k, rows], y[k, rows] = part.x, part.u, part.y
            done += len(part.t)
            warnings += part.warnings
    t = logs[0].dt * np.arange(longest)
    names = shorten(str(source), 80).strip("'\"")
    return Trajectories(t, x, u, y, lengths, f"logged, {names}", tuple(warnings))


def open_logs(
    source: Any,
    system: System,
    dt: float | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = GROUPS,
    max_gap: int = 3,
    timing: Timing | None = None,
) -> list[OpenedLog]:
    """As :func:`read_recordings`, each log of its own length and still in its file: see :meth:`OpenedLog.blocks`."""
    dt = system.dt if dt is None else dt
    if dt is None or not 0 < dt < np.inf:
        raise InputError(f"dt is {dt!r}; expected the sampling time, a positive number")
    if max_gap < 1:
        raise InputError(f"max_gap is {max_gap!r}; expected 1 sample or more")
    mapping = _checked(columns or {}, system)
    timing = timing or Timing()
    taken = {signal.name for _, _, signal in signals_of(system)} | {mapping[name] for name in mapping if name != "t"}
    time = TimeSource(mapping.get("t"), frozenset(taken), timing.sample_time is not None)
    tables = [table for path in log_files(source) for table in open_tables(path, time)]
    return [_opened(table, system, float(dt), mapping, required, max_gap, timing) for table in tables]


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


def _checked(columns: Mapping[str, str], system: System) -> dict[str, str]:
    """The mapping with the time under ``t``; a signal that the system does not have is refused."""
    known = {signal.name for _, _, signal in signals_of(system)}
    known |= {f"{group}.{signal.name}" for group, _, signal in signals_of(system)}
    known |= {name for signal in system.outputs for name in signal.pair or ()}
    result = {}
    for name, column in columns.items():
        key = "t" if name in TIME_NAMES and name not in known else name
        if key != "t" and name not in known:
            simple = [item for item in known if "." not in item]
            raise InputError(f"columns names '{name}', which is no signal of '{system.name}'; {nearest(name, simple)}")
        result[key] = column
    return result


def _opened(
    table: LogTable,
    system: System,
    dt: float,
    mapping: Mapping[str, str],
    required: Sequence[str],
    max_gap: int,
    timing: Timing,
) -> OpenedLog:
    where: dict[tuple[str, int], str] = {}
    others = {signal.name for _, _, signal in signals_of(system)}
    for group, k, signal in signals_of(system):
        column = _column(table, group, signal, mapping, others)
        if column is not None:
            _compare_units(table, column, signal)
            where[group, k] = column
        elif signal.pair is not None:
            for name, part in zip(signal.pair, PARTS, strict=True):
                column = _column(table, group, Signal(name), mapping, others)
                if column is None:
                    raise missing_column(table, group[:-1], name)
                where[part, k] = column
        elif group in required and signal.role != "disturbance":
            raise missing_column(table, group[:-1], signal.name)
    if table.time == ROW_TIME and timing.sample_time is not None:
        if not where:
            raise InputError(
                f"{table.label} has a column for no signal of '{system.name}'; map them with SIGNAL=COLUMN"
            )
        step = duration(timing.sample_time, system.time_unit, "sample_time")
        table = numbered(table, next(iter(where.values())), step)
    span = measure(table, Axis(system.time_unit, dt, system.duration), max_gap, timing)
    logged = frozenset(f"{group}.{getattr(system, group)[k].name}" for group, k in where if group in GROUPS)
    return OpenedLog(table.label, span.samples, span.first, logged, table, span, where, system, dt, max_gap, timing)


def _column(
    table: LogTable, group: str, signal: Signal, mapping: Mapping[str, str], others: Iterable[str]
) -> str | None:
    """The column of a signal: never that of the time, nor one that is called exactly like another signal."""
    free = [name for name in table.names if name != table.time and (name == signal.name or name not in others)]
    for key in (f"{group}.{signal.name}", signal.name):
        if key in mapping:
            found = matching(table.label, table.names, mapping[key])
            if found is None:
                raise InputError(
                    f"{table.label} has no column '{mapping[key]}' for the {group[:-1]} '{signal.name}'; "
                    f"{nearest(mapping[key], table.names)}"
                )
            return found
        found = matching(table.label, free, key)
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
        f"{table.label}{row}, column '{column}': unit is {shorten(table.units[column], 40)}; expected '{expected}', "
        "and units are never converted, so convert the column"
    )


def _plain(unit: str) -> str:
    unit = unit.replace(" ", "").replace("*", "").replace("·", "").replace("**", "^")
    return "" if unit in ("-", "1") else unit
