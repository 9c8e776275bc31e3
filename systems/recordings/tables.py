"""A log as a table of named columns, whatever file it stands in; every error names its file, row and column.

A file holds one table, or several (HDF5 groups, npz arrays with a row per trajectory). Columns are read when asked for, in blocks
of rows, so that a log may be larger than the memory.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.recordings.stamps import MISSING

EXTRA = "pip install ren-observer[files]"
ROWS = 1 << 16  # of a block
WIDEST = 4096  # bytes of a cell; more is no number and no date


@dataclass(frozen=True)
class Block:
    """Neighbouring rows: columns ``(n,)`` as they stand in the file, and the number under which a person finds row ``index``."""

    columns: dict[str, np.ndarray]
    row: Callable[[int], int]


@dataclass(frozen=True)
class LogTable:
    """Named columns of one trajectory.

    label : the file, and the part of it, as messages name it. names : of all columns. time : the name of the time column.
    blocks : the named columns, block by block, as often as they are asked for. units : column -> unit, where the file states
    one. rows : how many there are, where the file says so.
    """

    label: str
    names: tuple[str, ...]
    time: str
    blocks: Callable[[Sequence[str]], Iterator[Block]]
    units: Mapping[str, str] = field(default_factory=dict)
    unit_row: int | None = None
    rows: int | None = None

    def read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The named columns ``(N,)`` in one piece."""
        blocks = [block.columns for block in self.blocks(names)]
        return {name: np.concatenate([block[name] for block in blocks]) if blocks else np.zeros(0) for name in names}


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
