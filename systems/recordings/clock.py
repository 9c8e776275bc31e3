"""The time column of a log: numbers of seconds or ISO dates, block by block, to seconds since the first stamp.

``measure`` reads that column alone, once, before any other number is read: what is wrong with the stamps, and how many samples the
log makes, is known before the work begins.
"""

from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from systems.base import memory
from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.resampling import longest_bridge, samples_of
from systems.recordings.tables import MISSING, Block, LogTable

MOST_MISSING, FEW = 10.0, 1_000_000  # samples in gaps for each sample in the log; so many are never too many


@dataclass(frozen=True)
class Span:
    """What the stamps of a log say: the first, in its own seconds; rows; samples on the grid; seconds from row to row (median), and
    seconds above which what lies between two rows is missing."""

    first: float
    rows: int
    samples: int
    spacing: float
    bridge: float


class Clock:
    """Turns the time column of one block after the other into seconds since the first stamp (``first``; 0 for dates)."""

    def __init__(self, table: LogTable) -> None:
        self.table, self.first = table, 0.0
        self._origin: Any = None
        self._before = np.zeros(0)  # up to two stamps before the block, in seconds, and as they stand in the file
        self._printed: list[str] = []
        self._rows: list[int] = []

    def seconds(self, block: Block) -> np.ndarray:
        """``(n,)``. Raises :class:`InputError`, with the row, for stamps that are missing, are no time, or do not increase."""
        values = block.columns[self.table.time]
        seconds = self._converted(values, block)
        bad = ~np.isfinite(seconds)
        if bad.any():
            place = self._place(block.row(int(np.argmax(bad))))
            raise InputError(f"{place}: the time is missing; expected a number of seconds or an ISO date")
        known = np.concatenate([self._before, seconds])
        late = np.diff(known) <= 0
        if late.any():
            self._refuse_order(known, int(np.argmax(late)) + 1, block)
        count = len(self._before)
        recent = range(max(0, len(known) - 2), len(known))
        self._printed, self._rows, self._before = (
            [self._as_written(values, k - count) for k in recent],
            [self._row(block, k - count) for k in recent],
            known[-2:],
        )
        return seconds

    def _converted(self, values: np.ndarray, block: Block) -> np.ndarray:
        if values.dtype.kind in "fiubM" and self._origin is None and len(values):
            self._origin = values[0]
            self.first = 0.0 if values.dtype.kind == "M" else float(values[0])
        if values.dtype.kind == "M":
            seconds = (values - self._origin) / np.timedelta64(1, "ns") * 1e-9
            seconds[np.isnat(values)] = np.nan
            return seconds
        if values.dtype.kind in "fiub":
            with np.errstate(over="ignore", invalid="ignore"):
                return values.astype(float) - self.first
        return self._dates(values, block)

    def _dates(self, values: np.ndarray, block: Block) -> np.ndarray:
        seconds = np.full(len(values), np.nan)
        for index, value in enumerate(values.tolist()):
            text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
            if text.casefold() in MISSING:
                continue
            try:
                stamp = datetime.fromisoformat(text)
                self._origin = stamp if self._origin is None else self._origin
                seconds[index] = (stamp - self._origin).total_seconds()
            except (TypeError, ValueError, OverflowError):
                raise InputError(
                    f"{self._place(block.row(index))}: {shorten(text, 40)} is no time; expected a number of seconds, or an ISO date "
                    "like the others"
                ) from None
        return seconds

    def _refuse_order(self, known: np.ndarray, index: int, block: Block) -> None:
        """The row that breaks the order: the later one, or the one before it where the clock jumped ahead for one row."""
        count, values = len(self._before), block.columns[self.table.time]
        now, before = (self._as_written(values, k - count) for k in (index, index - 1))
        if known[index] == known[index - 1]:
            place, what = self._place(self._row(block, index - count)), f"time {now} repeats the one before it"
        elif (
            index > 1
            and known[index] > known[index - 2]
            and known[index - 1] - known[index - 2] > 2 * (known[index] - known[index - 2])
        ):
            place, what = (
                self._place(self._row(block, index - 1 - count)),
                f"time {before} is ahead of {now} in the next row",
            )
        else:
            place, what = self._place(self._row(block, index - count)), f"time {now} comes after {before}"
        raise InputError(f"{place}: {what}; expected times that increase, so sort the rows or remove this one")

    def _as_written(self, values: np.ndarray, k: int) -> str:
        """The stamp of row ``k`` of the block for a message; of a row before it where ``k`` is negative."""
        if k < 0:
            return self._printed[k]
        return _shown(values[k])

    def _row(self, block: Block, k: int) -> int:
        return self._rows[k] if k < 0 else block.row(k)

    def _place(self, row: int) -> str:
        return f"{self.table.label}, row {row}, column '{self.table.time}'"


def measure(table: LogTable, dt: float, max_gap: int) -> Span:
    """Read the time column once. Raises :class:`InputError` for stamps that make no log: see :class:`Clock`, and gaps without end."""
    if table.rows is not None:
        memory.require(16.0 * table.rows, f"{table.label}: {table.rows} rows", "cut the log into several files")
    clock, steps = Clock(table), array("d")
    last, longest, place = np.zeros(0), 0.0, ""
    for block in table.blocks([table.time]):
        seconds = clock.seconds(block)
        step = np.diff(np.concatenate([last, seconds]))
        steps.frombytes(step.tobytes())
        if len(step) and step.max() > longest:
            index = int(np.argmax(step)) + 1 - len(last)
            longest, place = float(step.max()), _named(table, block, index)
        last = seconds[-1:] if len(seconds) else last
    rows = len(steps) + len(last)
    if rows < 2:
        raise InputError(f"{table.label} holds {rows} rows of numbers; expected at least two")
    found = np.frombuffer(steps)
    spacing = float(np.median(found, overwrite_input=True))
    bridge = longest_bridge(spacing, dt, max_gap)
    _are_seconds(table, spacing, dt)
    end, missing = float(last[0]), float(found[found > bridge].sum())
    if missing / dt > max(FEW, MOST_MISSING * (end - missing) / dt):
        raise InputError(
            f"{place} is {longest:.6g} s after the row before it, which makes {longest / dt:.3g} samples of dt = {dt:g} s without a "
            "number; correct the stamp, or cut the log there into two files"
        )
    samples = samples_of(end, dt)
    if samples < 2:
        raise InputError(f"{table.label} lasts {end:g} s; expected more than one sampling time (dt = {dt:g} s)")
    return Span(clock.first, rows, samples, spacing, bridge)


def _named(table: LogTable, block: Block, index: int) -> str:
    shown = _shown(block.columns[table.time][index])
    return f"{table.label}, row {block.row(index)}, column '{table.time}': time {shown}"


def _shown(stamp: Any) -> str:
    return f"{stamp:.12g}" if isinstance(stamp, np.number) else shorten(str(stamp), 40)


def _are_seconds(table: LogTable, spacing: float, dt: float) -> None:
    """Rows a hundred samples apart are stamps in another unit, not a slow logger."""
    if spacing >= 100 * dt:
        raise InputError(
            f"{table.label}, column '{table.time}': a row every {spacing:.4g} s, and dt is {dt:g} s; are these stamps "
            "milliseconds? Convert the column to seconds, or ask for a dt of the order of the rows"
        )
