"""The time column of a log: numbers, dates or clock times, block by block, to the plant's time since the first stamp.

``measure`` reads that column alone, once, before any other number is read: what is wrong with the stamps, their unit, and how many
samples the log makes, is known before the work begins.
"""

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.base import memory
from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.resampling import longest_bridge, samples_of
from systems.recordings.stamp_units import Axis, unit_of
from systems.recordings.stamps import MISSING, AmbiguousDateError, StampReader
from systems.recordings.tables import Block, LogTable
from systems.recordings.time_columns import ROW_TIME, Timing
from systems.time_units import SECONDS

MOST_MISSING, FEW = 10.0, 1_000_000  # samples in gaps for each sample in the log; so many are never too many
_HOUR, _SLOW = 3600.0, 600.0  # seconds: what daylight saving moves a clock by, and rows too far apart to tell


@dataclass(frozen=True)
class Span:
    """What the stamps of a log say, in the plant's unit of time: the first of them; how much one count of the stamps is; rows;
    samples on the grid; time from row to row (median), and above which what lies between two rows is missing; what to tell."""

    first: float
    scale: float
    rows: int
    samples: int
    spacing: float
    bridge: float
    warnings: tuple[str, ...] = ()


class Clock:
    """Turns the time column of one block after the other into counts since the first stamp: of its own unit, seconds for texts.

    ``first`` : the first stamp, 0 for texts. ``texts`` : whether the stamps are dates or clock times.
    """

    def __init__(self, table: LogTable, timing: Timing) -> None:
        self.table, self.first, self.texts, self.row = table, 0.0, False, 0
        self._reader = StampReader(timing.date_order)
        self._origin: Any = None
        self._before = np.zeros(0)  # up to two stamps before the block, in counts, and as they stand in the file
        self._printed: list[str] = []
        self._rows: list[int] = []
        self._step = 0.0  # between the last two dates

    def counts(self, block: Block) -> np.ndarray:
        """``(n,)``. Raises :class:`InputError`, with the row, for stamps that are missing, are no time, or go back."""
        values = block.columns[self.table.time]
        if not self.row and len(values):
            self.row = block.row(0)
        counts = self._converted(values, block)
        bad = ~np.isfinite(counts)
        if bad.any():
            place = self._place(block.row(int(np.argmax(bad))))
            raise InputError(f"{place}: the time is missing; expected a number, a date or a clock time")
        known = np.concatenate([self._before, counts])
        late = np.diff(known) < 0
        if late.any():
            self._refuse_order(known, int(np.argmax(late)) + 1, block)
        count = len(self._before)
        recent = range(max(0, len(known) - 2), len(known))
        self._printed, self._rows, self._before = (
            [self._as_written(values, k - count) for k in recent],
            [self._row(block, k - count) for k in recent],
            known[-2:],
        )
        return counts

    def _saves_daylight(self, step: float, before: float) -> bool:
        """Whether a step of the clock, in seconds, after the one ``before`` looks like the hour of daylight saving."""
        moment = self._reader.moment
        if not self._reader.naive or moment is None or not 0 < before < _SLOW:
            return False
        return abs(step - _HOUR) <= 2 * before + 1 and 60 * moment.minute + moment.second <= 2 * before + 1

    def _converted(self, values: np.ndarray, block: Block) -> np.ndarray:
        if values.dtype.kind in "fiubM" and self._origin is None and len(values):
            self._origin = values[0]
            self.first = 0.0 if values.dtype.kind == "M" else float(values[0])
        if values.dtype.kind == "M":
            self.texts = True
            seconds = (values - self._origin) / np.timedelta64(1, "ns") * 1e-9
            seconds[np.isnat(values)] = np.nan
            return seconds
        if values.dtype.kind in "fiub":
            with np.errstate(over="ignore", invalid="ignore"):
                return values.astype(float) - self.first
        return self._read(values, block)

    def _read(self, values: np.ndarray, block: Block) -> np.ndarray:
        self.texts = True
        seconds, last = np.full(len(values), np.nan), self._before[-1] if len(self._before) else np.nan
        for index, value in enumerate(values.tolist()):
            text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
            if text.casefold() in MISSING:
                continue
            try:
                seconds[index] = self._reader.seconds(text)
            except AmbiguousDateError:
                raise InputError(
                    f"{self._place(block.row(index))}: {shorten(text, 40)} may be either day and month or month and day; say which with "
                    "--date-order dmy or mdy"
                ) from None
            except (TypeError, ValueError, OverflowError):
                raise InputError(
                    f"{self._place(block.row(index))}: {shorten(text, 40)} is no time like the ones before it; expected a number, a date "
                    "such as 2024-03-31 00:59:50.5, or a clock time such as 0:00:10.5"
                ) from None
            step = seconds[index] - last
            if self._saves_daylight(step, self._step):
                raise InputError(
                    f"{self._place(block.row(index))}: the clock jumps ahead by {step:g} s, an hour; if that is daylight saving, write the "
                    "times in UTC or with their zone (2024-03-31T03:00:00+02:00), else cut the log there into two files"
                )
            last, self._step = seconds[index], step
        return seconds

    def _refuse_order(self, known: np.ndarray, index: int, block: Block) -> None:
        """The row that breaks the order: the later one, or the one before it where the clock jumped ahead for one row."""
        count, values = len(self._before), block.columns[self.table.time]
        now, before = (self._as_written(values, k - count) for k in (index, index - 1))
        way = "expected times that increase, so sort the rows or remove this one"
        if (
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
            back = known[index - 1] - known[index]
            if self._reader.naive and abs(back - _HOUR) < _SLOW:
                way = "if clocks went back an hour there, write the times in UTC or with their zone (2024-10-27T02:00:00+01:00)"
        raise InputError(f"{place}: {what}; {way}")

    def _as_written(self, values: np.ndarray, k: int) -> str:
        """The stamp of row ``k`` of the block for a message; of a row before it where ``k`` is negative."""
        return self._printed[k] if k < 0 else shown(values[k])

    def _row(self, block: Block, k: int) -> int:
        return self._rows[k] if k < 0 else block.row(k)

    def _place(self, row: int) -> str:
        return f"{self.table.label}, row {row}, column '{self.table.time}'"


def measure(table: LogTable, axis: Axis, max_gap: int, timing: Timing) -> Span:
    """Read the time column once. Raises :class:`InputError` for stamps that make no log: see :class:`Clock`, and gaps without end."""
    if table.rows is not None:
        memory.require(16.0 * table.rows, f"{table.label}: {table.rows} rows", "cut the log into several files")
    clock, steps = Clock(table, timing), array("d")
    last, longest, place, whole = np.zeros(0), 0.0, "", True
    for block in table.blocks([table.time]):
        counts = clock.counts(block)
        step = np.diff(np.concatenate([last, counts]))
        steps.frombytes(step.tobytes())
        whole = whole and bool((step == np.rint(step)).all())
        if len(step) and step.max() > longest:
            index = int(np.argmax(step)) + 1 - len(last)
            longest, place = float(step.max()), _named(table, block, index)
        last = counts[-1:] if len(counts) else last
    rows = len(steps) + len(last)
    if rows < 2:
        raise InputError(f"{table.label} holds {rows} rows of numbers; expected at least two")
    found, end = np.frombuffer(steps), float(last[0])
    moved = found[found > 0]
    if not len(moved):
        raise InputError(
            f"{table.label}, column '{table.time}': all {rows} rows have the same time; give --sample-time instead"
        )
    spacing = float(np.median(moved, overwrite_input=True))
    del moved
    scale, warnings = 1 / SECONDS[axis.unit], ()
    if table.time == ROW_TIME:
        scale = 1.0
    elif not clock.texts:
        scale, warnings = unit_of(table, axis, timing.unit, clock.first, spacing, end, rows, whole, clock.row)
    spacing, end, longest = spacing * scale, end * scale, longest * scale
    bridge, dt, unit = longest_bridge(spacing, axis.dt, max_gap), axis.dt, axis.unit
    missing = float(found[found > bridge / scale].sum()) * scale
    if missing / dt > max(FEW, MOST_MISSING * (end - missing) / dt):
        raise InputError(
            f"{place} is {longest:.6g} {unit} after the row before it, which makes {longest / dt:.3g} samples of dt = {dt:g} {unit} "
            "without a number; correct the stamp, or cut the log there into two files"
        )
    samples = samples_of(end, dt)
    if samples < 2:
        raise InputError(
            f"{table.label} lasts {end:g} {unit}; expected more than one sampling time (dt = {dt:g} {unit}); are its stamps in another "
            "unit? Say it with --time-unit"
        )
    return Span(clock.first * scale, scale, rows, samples, spacing, bridge, warnings)


def _named(table: LogTable, block: Block, index: int) -> str:
    stamp = shown(block.columns[table.time][index])
    return f"{table.label}, row {block.row(index)}, column '{table.time}': time {stamp}"


def shown(stamp: Any) -> str:
    """A stamp for a message."""
    return f"{stamp:.12g}" if isinstance(stamp, np.number) else shorten(str(stamp), 40)
