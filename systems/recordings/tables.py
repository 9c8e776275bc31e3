"""A log as a table of named columns, whatever file it stands in; every error names its file, row and column.

A file holds one table, or several (HDF5 groups, npz arrays with a row per trajectory). Columns are read when asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten

TIME_NAMES = ("t", "time", "timestamp")
MISSING = ("", "nan", "na", "n/a", "null", "none", "-", "--")
EXTRA = "pip install ren-observer[files]"


@dataclass(frozen=True)
class LogTable:
    """Named columns of one trajectory.

    label : the file, and the part of it, as messages name it. names : of all columns. time : the name of the time column.
    units : column -> unit, where the file states one. read : the named columns as arrays ``(N,)`` of floats, the time
    column as it stands. row : the number under which a person finds the row with this index in the file.
    """

    label: str
    names: tuple[str, ...]
    time: str
    read: Callable[[Sequence[str]], dict[str, np.ndarray]]
    units: Mapping[str, str] = field(default_factory=dict)
    unit_row: int | None = None
    row: Callable[[int], int] = field(default=lambda index: index + 1)


def time_column(label: str, names: Sequence[str], asked: str | None) -> str:
    """The column that holds the time: the one asked for, or one called t, time or timestamp in any case."""
    if asked is not None:
        return matching(label, names, asked) or _no_time(label, names, f"'{asked}'")
    for name in TIME_NAMES:
        found = matching(label, names, name)
        if found is not None:
            return found
    return _no_time(label, names, "one of " + ", ".join(f"'{name}'" for name in TIME_NAMES))


def _no_time(label: str, names: Sequence[str], expected: str) -> str:
    columns = ", ".join(shorten(name, 24) for name in names[:12]) + (", ..." if len(names) > 12 else "")
    raise InputError(
        f"{label} has no time column; expected {expected} among its columns ({columns}), or name it with t=COLUMN"
    )


def matching(label: str, names: Sequence[str], wanted: str) -> str | None:
    """The column called ``wanted``, exactly or but for capitals; None when there is none. Two of them are refused."""
    for fold in (lambda name: name, str.casefold):
        found = [name for name in names if fold(name) == fold(wanted)]
        if len(found) > 1:
            raise InputError(f"{label} has {len(found)} columns called '{wanted}'; rename all but one")
        if found:
            return found[0]
    return None


def missing_column(table: LogTable, kind: str, name: str) -> InputError:
    """The error for a signal that no column holds."""
    others = [column for column in table.names if column != table.time]
    return InputError(
        f"{table.label} has no column for the {kind} '{name}'; {nearest(name, others)} "
        f"(rename the column, or map it with {name}=COLUMN)"
    )


def numbers(values: Any, label: str, column: str, row: Callable[[int], int]) -> np.ndarray:
    """A column ``(N,)`` as floats with nan for what is missing. Raises :class:`InputError` with row and column."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        result = array.astype(float)
    else:
        result = np.empty(len(array))
        for index, value in enumerate(array.tolist()):
            result[index] = number(value, f"{label}, row {row(index)}, column '{column}'")
    result[~np.isfinite(result)] = np.nan
    return result


def number(value: Any, place: str) -> float:
    """One cell as a number; nan when it is empty."""
    if value is None:
        return float("nan")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        return float(value)
    except (TypeError, ValueError):
        if isinstance(value, str) and value.strip().casefold() in MISSING:
            return float("nan")
    raise InputError(
        f"{place}: {shorten(value, 40)} is not a number; correct the cell, or leave it empty if it is missing"
    )


def is_date(text: str) -> bool:
    """Whether a text is an ISO date."""
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


def stamps(table: LogTable, values: np.ndarray) -> tuple[np.ndarray, float]:
    """(seconds since the first stamp ``(N,)``, the first stamp in seconds; 0 for dates).

    Numbers are seconds, texts ISO dates. Raises :class:`InputError`, with the row, for stamps that are missing, that are
    neither, or that do not increase.
    """

    def place(index: int) -> str:
        return f"{table.label}, row {table.row(index)}, column '{table.time}'"

    if values.dtype.kind == "M":
        seconds = (values - values[0]) / np.timedelta64(1, "ns") * 1e-9
        seconds[np.isnat(values)] = np.nan
        first = 0.0
    elif values.dtype.kind in "fiub":
        first = float(values[0])
        seconds = values.astype(float) - first
    else:
        seconds, first = _dates(values, place), 0.0
    bad = ~np.isfinite(seconds)
    if bad.any():
        raise InputError(
            f"{place(int(np.argmax(bad)))}: the time is missing; expected a number of seconds or an ISO date"
        )
    late = np.diff(seconds) <= 0
    if late.any():
        index = int(np.argmax(late)) + 1
        now, before = (shorten(_printed(values[k]), 40) for k in (index, index - 1))
        what = "repeats the one before it" if seconds[index] == seconds[index - 1] else f"comes after {before}"
        raise InputError(
            f"{place(index)}: time {now} {what}; expected times that increase, so sort the rows or remove this one"
        )
    return seconds, first


def _printed(value: Any) -> Any:
    return float(f"{value:.12g}") if isinstance(value, np.number) else str(value)


def _dates(values: np.ndarray, place: Callable[[int], str]) -> np.ndarray:
    seconds = np.empty(len(values))
    origin: datetime | None = None
    for index, value in enumerate(values.tolist()):
        text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
        if text.casefold() in MISSING:
            seconds[index] = np.nan
            continue
        try:
            stamp = datetime.fromisoformat(text)
            origin = stamp if origin is None else origin
            seconds[index] = (stamp - origin).total_seconds()
        except (TypeError, ValueError):
            raise InputError(
                f"{place(index)}: {shorten(text, 40)} is no time; expected a number of seconds, or an ISO date like the others"
            ) from None
    return seconds
