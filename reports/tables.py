"""Tables of a page: rows of text and numbers under column heads, and the cells that need a word of their own."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports.quantities import Number


@dataclass(frozen=True)
class Table:
    """Rows of text and ``Number`` under column heads; without heads, rows of (name, value, remark)."""

    rows: tuple[tuple[Any, ...], ...]
    columns: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, its tables, and a note where a part is missing."""

    title: str
    tables: tuple[Table, ...] = ()
    note: str = ""


def time(seconds: float) -> Any:
    """A settling time; infinite or nan is never."""
    return Number(seconds, "s", 4) if math.isfinite(seconds) else "never"


def interval(pair: Any, unit: str = "") -> Any:
    """Two ends as one cell."""
    if pair is None:
        return "–"
    return (Number(float(pair[0]), "", 5), Number(float(pair[1]), unit, 5))


def cell(value: Any) -> Any:
    """Whatever an option holds, as a cell: a number, the first eight of an array, or text."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, int | float):
        return Number(value, "", 6)
    if isinstance(value, np.ndarray | list | tuple):
        flat = np.asarray(value).ravel().tolist()
        return ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in flat[:8]) + (
            ", …" if len(flat) > 8 else ""
        )
    return str(value)
