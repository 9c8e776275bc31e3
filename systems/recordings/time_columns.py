"""Which column of a log holds its time, in which unit, and what a person may say of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.stamps import ORDERS
from systems.recordings.tables import Block, LogTable, matching
from systems.time_units import checked_unit, duration, known_unit

TIME_NAMES = ("time", "t", "timestamp")
ROW_TIME = "(row)"  # the time column of a log that has none
_WORDS = (
    *("time", "t", "timestamp", "datetime", "timedate", "elapsed", "elapsedtime", "relativetime", "reltime", "testtime"),
    *("totaltime", "simtime", "logtime", "systemtime", "sampletime", "zeit", "zeitstempel", "uhrzeit", "epoch", "epochtime"),
    *("unix", "unixtime", "unixtimestamp", "clock", "stamp", "abstime", "absolutetime", "xvalue", "date", "datum", ""),
)  # fmt: skip
_ZONES = ("utc", "gmt", "local", "cet", "cest")


@dataclass(frozen=True)
class Timing:
    """What a person says of the time of logs, where the logs do not.

    Parameters
    ----------
    sample_time : float or str, optional
        Time from row to row of a log without a time column: a number in the plant's unit of time, or as ``"50ms"``.
    unit : str, optional
        Unit of stamps that are numbers: ns, us, ms, s, min, h or d.
    date_order : {"dmy", "mdy"}, optional
        How dates such as 03/04/2024 are read.
    """

    sample_time: float | str | None = None
    unit: str | None = None
    date_order: str | None = None

    def __post_init__(self) -> None:
        if self.unit is not None:
            object.__setattr__(self, "unit", checked_unit(self.unit, "time_unit"))
        if self.sample_time is not None:
            duration(self.sample_time, "s", "sample_time")
        if self.date_order not in (None, *ORDERS):
            raise InputError(f"date_order is {shorten(self.date_order)}; expected {' or '.join(ORDERS)}")


@dataclass(frozen=True)
class TimeSource:
    """Where a reader looks for the time: the ``column`` asked for, never one of ``taken`` (the signals'), or no column at all."""

    column: str | None = None
    taken: frozenset[str] = frozenset()
    numbered: bool = False

    def find(self, label: str, names: Sequence[str]) -> str:
        """The time column among ``names``. Raises :class:`InputError`, with the way out, where there is none."""
        if self.numbered:
            return ROW_TIME
        if self.column is not None:
            return matching(label, names, self.column) or _no_time(label, names, f"'{self.column}'")
        free = [name for name in names if name not in self.taken]
        for wanted in TIME_NAMES:
            if wanted in free:
                return str(matching(label, free, wanted))
        ranked = [(rank, name) for name in free if (rank := _rank(name)) is not None]
        if ranked:
            return str(matching(label, free, min(ranked, key=lambda item: item[0])[1]))
        return _no_time(label, names, "one called 'time', 't' or 'timestamp'")


def _no_time(label: str, names: Sequence[str], expected: str) -> NoReturn:
    columns = ", ".join(shorten(name, 24) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    raise InputError(
        f"{label} has no time column; expected {expected} among its columns ({columns}): name it with --columns t=COLUMN, or give "
        "the time from row to row with --sample-time"
    )


def _parts(name: str) -> tuple[str, str | None]:
    """``Time_s`` as (time, s): the words of a name without blanks, and the unit at its end."""
    words = [word for word in re.split(r"[\W_]+", name.casefold()) if word and word not in _ZONES]
    unit = known_unit(words[-1]) if len(words) > 1 or (words and len(words[0]) > 3) else None
    return "".join(words[:-1] if unit else words), unit


def _rank(name: str) -> int | None:
    """How much a name looks like that of a time column, 0 the most; None where it does not. ``T_s`` is a temperature."""
    base, unit = _parts(name)
    if base not in _WORDS or (not base and unit is None):
        return None
    return len(_WORDS) if base == "t" and not name.lstrip().startswith("t") else _WORDS.index(base)


def stated_unit(table: LogTable) -> str | None:
    """The unit that a log states for its stamps, in its header, a row of units or the name; None where it states none.

    Raises :class:`InputError` for a unit that is none of time.
    """
    text = table.units.get(table.time, "")
    if not text:
        return _parts(table.time)[1]
    unit = known_unit(text)
    if unit is None:
        row = f", row {table.unit_row}" if table.unit_row else ""
        raise InputError(
            f"{table.label}{row}, column '{table.time}': unit is {shorten(text, 40)}; expected a unit of time, such as s, ms or min, "
            "or say it with --time-unit"
        )
    return unit


def numbered(table: LogTable, column: str, step: float) -> LogTable:
    """The table with a time column of its own: ``step`` from row to row, whose number is that of the values of ``column``."""

    def blocks(wanted: Sequence[str]) -> Iterator[Block]:
        done = 0
        for block in table.blocks([name for name in wanted if name != ROW_TIME] or [column]):
            count = len(next(iter(block.columns.values())))
            yield Block({**block.columns, ROW_TIME: step * np.arange(done, done + count)}, block.row)
            done += count

    units: Mapping[str, str] = {name: unit for name, unit in table.units.items() if name != ROW_TIME}
    return replace(table, blocks=blocks, units=units)
