"""A log on the grid, piece by piece: values from the file, rows of one time joined, sensors resampled, what to tell a person."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from systems.angles import Branches, angles
from systems.base.errors import InputError
from systems.recordings.clock import Clock, Span, shown
from systems.recordings.resampling import resample, rows_of_their_own
from systems.recordings.tables import Block, LogTable, numbers
from systems.recordings.time_columns import Timing
from systems.signals import Signal
from systems.system import System

GROUPS = ("states", "inputs", "outputs")
PARTS = ("sines", "cosines")  # of outputs that are told by both: see :attr:`Signal.pair`
BEGINNING = 500  # rows that tell which sensors have rows of their own


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
    max_gap: int = 3
    timing: Timing = field(default_factory=Timing)

    def blocks(self) -> Iterator[Recording]:
        """The log in pieces, one after the other; the last one has the warnings about all of it.

        Raises :class:`InputError` for cells that cannot be used, and at the end where no output was measured at all.
        """
        system, where = self._system, self._where
        rows = _Rows(self._table, self._span.scale, where, system, self.timing)
        held = [group == "inputs" for group, _ in where]
        begun, later = _begin(rows.read())
        alone = rows_of_their_own(*begun, held, self.dt, self.max_gap)
        del begun
        ranges, branches = _Ranges(self.label, system), Branches(system)
        places = {key: column for column, key in enumerate(where)}
        pairs = {k: (places["sines", k], places["cosines", k]) for group, k in where if group == "sines"}
        done = 0
        for t, values in resample(
            later, self.samples, self.dt, self._span.bridge, held,
            [None if group in PARTS else getattr(system, group)[k].period for group, k in where],
            [None if item is None else item[1] for item in alone],
        ):  # fmt: skip
            parts = {group: np.full((len(t), len(getattr(system, group))), np.nan) for group in GROUPS}
            for column, (group, k) in enumerate(where):
                if group in GROUPS:
                    parts[group][:, k] = values[:, column]
            for k, (s, c) in pairs.items():
                turn = (system.outputs[k].period or np.nan) / (2 * np.pi)
                parts["outputs"][:, k] = turn * np.arctan2(values[:, s], values[:, c])
            for group, k, signal in signals_of(system):
                if (group, k) not in where and signal.role == "disturbance" and signal.range is not None:
                    parts[group][:, k] = 0.5 * (signal.range[0] + signal.range[1])
            parts["states"], parts["outputs"] = branches.states(parts["states"]), branches.outputs(parts["outputs"])
            ranges.add(parts["states"])
            done += len(t)
            if done == self.samples:
                rows.check_measured()
            yield Recording(
                self.label, t, parts["states"], parts["inputs"], parts["outputs"], self.first, self.logged,
                () if done < self.samples
                else (*self._span.warnings, *self._spacing(), *self._slow(alone), *rows.remarks(), *ranges.remarks()),
            )  # fmt: skip

    def _spacing(self) -> tuple[str, ...]:
        if self._span.spacing <= 1.5 * self.dt:
            return ()
        unit = self._system.time_unit
        return (
            f"{self.label} has a row every {self._span.spacing:.3g} {unit}, fewer than one per sample (dt = {self.dt:g} {unit}): what "
            "lies between is interpolated",
        )

    def _slow(self, alone: Sequence[tuple[float, float] | None]) -> tuple[str, ...]:
        unit = self._system.time_unit
        return tuple(
            f"{self.label}, column '{column}' has a value every {item[0]:.3g} {unit} only (dt = {self.dt:g} {unit}): each counts at the "
            "sample nearest to it, and between them it is missing"
            for item, ((group, _), column) in zip(alone, self._where.items(), strict=True)
            if item is not None and not item[1] and group != "inputs" and np.isfinite(item[0])
        )


class _Rows:
    """Stamps and the values of all columns as they are logged, rows of the same time as one."""

    def __init__(
        self, table: LogTable, scale: float, where: Mapping[tuple[str, int], str], system: System, timing: Timing
    ) -> None:
        self.table, self.scale, self.where, self.system, self.timing = table, scale, where, system, timing
        self.joined, self.measured = 0, np.zeros(len(where), int)

    def read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks of (stamps ``(n,)`` that increase, values ``(n, m)``)."""
        table, clock = self.table, Clock(self.table, self.timing)
        kept, kept_values = np.zeros(0), np.zeros((0, len(self.where)))  # the last row: the next may have the same time
        for block in table.blocks(list(dict.fromkeys([table.time, *self.where.values()]))):
            values = np.empty((len(block.columns[table.time]), len(self.where)))
            for k, ((group, index), column) in enumerate(self.where.items()):
                values[:, k] = numbers(block.columns[column], table.label, column, block.row)
                if group not in PARTS:
                    _not_absurd(table, column, getattr(self.system, group)[index], values[:, k], block.row)
            self.measured += np.isfinite(values).sum(axis=0)
            stamps = np.concatenate([kept, clock.counts(block) * self.scale])
            values = np.concatenate([kept_values, values])
            same = np.flatnonzero(np.diff(stamps) == 0) + 1
            if len(same):
                stamps, values = self._join(stamps, values, same, block, len(kept))
            yield stamps[:-1], values[:-1]
            kept, kept_values = stamps[-1:], values[-1:]
        yield kept, kept_values

    def _join(
        self, stamps: np.ndarray, values: np.ndarray, same: np.ndarray, block: Block, before: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the ``same`` time as the one before them put into it; refused where both have another number for a column."""
        keep = np.ones(len(stamps), bool)
        keep[same] = False
        first = np.maximum.accumulate(np.where(keep, np.arange(len(keep)), 0))
        for index in same.tolist():
            into, row = values[first[index]], values[index]
            differs = np.isfinite(into) & np.isfinite(row) & (into != row)
            if differs.any():
                column = list(self.where.values())[int(np.argmax(differs))]
                stamp = shown(block.columns[self.table.time][index - before])
                raise InputError(
                    f"{self.table.label}, row {block.row(index - before)}, column '{self.table.time}': time {stamp} repeats the one before "
                    f"it, with another '{column}'; expected times that increase, so sort the rows or remove this one, or give "
                    "--sample-time where the clock is too coarse"
                )
            into[:] = np.where(np.isfinite(into), into, row)
        self.joined += len(same)
        return stamps[keep], values[keep]

    def check_measured(self) -> None:
        """Raise :class:`InputError` where the outputs have columns and no row has a number in any of them."""
        outputs = {
            column: int(count)
            for ((group, _), column), count in zip(self.where.items(), self.measured, strict=True)
            if group in ("outputs", *PARTS)
        }
        if outputs and not any(outputs.values()):
            raise InputError(
                f"{self.table.label}: no row has a number in {' or '.join(repr(name) for name in outputs)}, so nothing is measured; "
                "map the outputs to the columns that hold them, with SIGNAL=COLUMN"
            )

    def remarks(self) -> tuple[str, ...]:
        """What is told about the rows."""
        label = self.table.label
        empty = [f"'{column}'" for column, count in zip(self.where.values(), self.measured, strict=True) if not count]
        told = (f"{label}: {self.joined} rows repeat the time of the row before them and are joined with it",)
        return (
            *(told if self.joined else ()),
            *((f"{label}: no row has a number in {', '.join(empty)}",) if empty else ()),
        )


def _begin(
    rows: Iterator[tuple[np.ndarray, np.ndarray]],
) -> tuple[tuple[np.ndarray, np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]:
    """The first rows in one piece, however the blocks are cut, and all of them."""
    begun: list[tuple[np.ndarray, np.ndarray]] = []
    while sum(len(stamps) for stamps, _ in begun) < BEGINNING and (block := next(rows, None)) is not None:
        begun.append(block)
    stamps, values = (np.concatenate([block[k] for block in begun]) for k in (0, 1))
    return (stamps[:BEGINNING], values[:BEGINNING]), chain(iter([(stamps, values)]), rows)


def signals_of(system: System) -> list[tuple[str, int, Signal]]:
    """(group, place in it, signal) of all states, inputs and outputs."""
    return [(group, k, signal) for group in GROUPS for k, signal in enumerate(getattr(system, group))]


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
