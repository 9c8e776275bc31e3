"""Logs as trajectories: named columns to the signals of a system, units compared, stamps onto the grid of dt."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from systems.angles import Branches, angles
from systems.base import memory
from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.recordings.clock import Clock, Span, measure
from systems.recordings.opening import open_tables
from systems.recordings.resampling import resample
from systems.recordings.tables import TIME_NAMES, LogTable, matching, missing_column, numbers
from systems.signals import Signal
from systems.system import System
from systems.trajectories import Trajectories

GROUPS = ("states", "inputs", "outputs")
_SECONDS = ("", "s", "sec", "second", "seconds")


@dataclass(frozen=True)
class Recording:
    """A log on the grid, or a piece of it: t ``(N,)`` from 0, x ``(N, nx)``, u ``(N, nu)``, y ``(N, ny)``, nan where missing.

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


@dataclass(frozen=True)
class OpenedLog:
    """A log whose stamps have been read and whose values are still in the file.

    ``samples`` on the grid of ``dt``; ``first`` and ``logged`` as those of the :class:`Recording`.
    """

    label: str
    samples: int
    first: float
    logged: frozenset[str]
    _table: LogTable
    _span: Span
    _where: Mapping[tuple[str, int], str]
    _system: System
    dt: float

    def blocks(self) -> Iterator[Recording]:
        """The log in pieces, one after the other; the last one has the warnings about all of it."""
        system, where = self._system, self._where
        ranges, branches = _Ranges(self.label, system), Branches(system)
        done = 0
        for t, values in resample(
            self._rows(), self.samples, self.dt, self._span.bridge, [group == "inputs" for group, _ in where],
            [getattr(system, group)[k].period for group, k in where],
        ):  # fmt: skip
            parts = {group: np.full((len(t), len(getattr(system, group))), np.nan) for group in GROUPS}
            for column, (group, k) in enumerate(where):
                parts[group][:, k] = values[:, column]
            for group, k, signal in _signals(system):
                if (group, k) not in where and signal.role == "disturbance" and signal.range is not None:
                    parts[group][:, k] = 0.5 * (signal.range[0] + signal.range[1])
            parts["states"], parts["outputs"] = branches.states(parts["states"]), branches.outputs(parts["outputs"])
            ranges.add(parts["states"])
            done += len(t)
            yield Recording(
                self.label, t, parts["states"], parts["inputs"], parts["outputs"], self.first, self.logged,
                () if done < self.samples else (*self._spacing(), *ranges.remarks()),
            )  # fmt: skip

    def _rows(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Stamps and the values of all columns, as they are logged."""
        table, clock = self._table, Clock(self._table)
        for block in table.blocks(_wanted(table, self._where)):
            values = np.empty((len(block.columns[table.time]), len(self._where)))
            for k, ((group, index), column) in enumerate(self._where.items()):
                values[:, k] = numbers(block.columns[column], table.label, column, block.row)
                _not_absurd(table, column, getattr(self._system, group)[index], values[:, k], block.row)
            yield clock.seconds(block), values

    def _spacing(self) -> tuple[str, ...]:
        if self._span.spacing <= 1.5 * self.dt:
            return ()
        return (
            f"{self.label} has a row every {self._span.spacing:.3g} s, fewer than one per sample (dt = {self.dt:g} s): what lies between "
            "is interpolated",
        )


def _wanted(table: LogTable, where: Mapping[tuple[str, int], str]) -> list[str]:
    """The time column and all others that are read, each once."""
    return list(dict.fromkeys([table.time, *where.values()]))


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
    logs = open_logs(source, system, dt, columns=columns, required=required, max_gap=max_gap)
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
) -> list[OpenedLog]:
    """As :func:`read_recordings`, each log of its own length and still in its file: see :meth:`OpenedLog.blocks`."""
    dt = system.dt if dt is None else dt
    if dt is None or not 0 < dt < np.inf:
        raise InputError(f"dt is {dt!r}; expected the sampling time in seconds, a positive number")
    if max_gap < 1:
        raise InputError(f"max_gap is {max_gap!r}; expected 1 sample or more")
    mapping = _checked(columns or {}, system)
    tables = [table for path in log_files(source) for table in open_tables(path, mapping.get("t"))]
    return [_opened(table, system, float(dt), mapping, required, max_gap) for table in tables]


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


def _opened(
    table: LogTable, system: System, dt: float, mapping: Mapping[str, str], required: Sequence[str], max_gap: int
) -> OpenedLog:
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
    span = measure(table, dt, max_gap)
    logged = frozenset(f"{group}.{getattr(system, group)[k].name}" for group, k in where)
    return OpenedLog(table.label, span.samples, span.first, logged, table, span, where, system, dt)


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
        f"{table.label}{row}, column '{column}': unit is {shorten(table.units[column], 40)}; expected '{expected}', "
        "and units are never converted, so convert the column"
    )


def _plain(unit: str) -> str:
    unit = unit.replace(" ", "").replace("*", "").replace("·", "").replace("**", "^")
    return "" if unit in ("-", "1") else unit


def _not_absurd(table: LogTable, column: str, signal: Signal, values: np.ndarray, row: Callable[[int], int]) -> None:
    """Ten ranges away from the range is another unit or a broken cell, not operation."""
    if signal.range is None or signal.period:
        return
    low, high = signal.range
    far = np.abs(values - 0.5 * (low + high)) > 10 * (high - low)
    if far.any():
        index = int(np.argmax(far))
        raise InputError(
            f"{table.label}, row {row(index)}, column '{column}': {values[index]:.6g} is more than ten times the range "
            f"({low:g}, {high:g}) away; is the unit right? Correct or empty the cell, or widen the range"
        )


class _Ranges:
    """Which states left their ranges, in how many samples and how far."""

    def __init__(self, label: str, system: System) -> None:
        self.label, self.system = label, system
        self.known, self.outside = np.zeros(system.nx, int), np.zeros(system.nx, int)
        self.low, self.high = np.full(system.nx, np.inf), np.full(system.nx, -np.inf)

    def add(self, x: np.ndarray) -> None:
        """More samples ``(n, nx)``, nan where missing."""
        known = angles(self.system)
        x, (low, high) = known.states(x), known.region(self.system.state_ranges).T
        self.known += np.isfinite(x).sum(axis=0)
        self.outside += ((x < low) | (x > high)).sum(axis=0)
        self.low, self.high = (
            np.fmin(self.low, np.fmin.reduce(x, axis=0)),
            np.fmax(self.high, np.fmax.reduce(x, axis=0)),
        )

    def remarks(self) -> tuple[str, ...]:
        """A sentence for each state that was outside."""
        return tuple(
            f"{self.label}: state '{name}' is outside its range ({low:g}, {high:g}) in "
            f"{100 * outside / known:.2g} % of the samples, from {least:.4g} to {most:.4g}; widen the range if that is normal operation"
            for name, (low, high), outside, known, least, most in zip(
                self.system.state_names,
                self.system.state_ranges,
                self.outside,
                self.known,
                self.low,
                self.high,
                strict=True,
            )
            if outside
        )
