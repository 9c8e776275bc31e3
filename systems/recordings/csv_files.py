"""CSV logs: comma, semicolon or tab; a header row; a row of units under it or units in the names, as ``speed [m/s]``.

A clean file goes through NumPy's own reader; whatever that refuses is read cell by cell, which finds the row and the
column of the mistake. Empty cells are missing values; a decimal comma is understood where semicolons separate.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.tables import MISSING, LogTable, is_date, number, numbers, time_column

_DELIMITERS = (",", ";", "\t")
_WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]*)[\])]\Z")
_BINARY = "is no text; expected a CSV file saved as UTF-8"


def open_csv(path: Path, time: str | None) -> list[LogTable]:
    """The one table of a CSV file."""
    return [_Csv(path).table(time)]


class _Csv:
    """The text of a file, and where in it the header, the units and the rows stand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes()
        if b"\0" in content:
            raise InputError(f"{path} {_BINARY}")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            found = content[error.start : error.start + 1]
            raise InputError(
                f"{path}, row {line}: the byte {found!r} is not UTF-8; expected a CSV file saved as UTF-8"
            ) from None
        self.text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        self.first, self.offset = 1, 0
        self.lines = np.zeros(0, dtype=int)
        while self.offset < len(self.text) and re.match(r"\s*(#|\n|\Z)", self._line()):
            self._next()
        if self.offset >= len(self.text):
            raise InputError(
                f"{path} holds no rows; expected a header row with the names of the columns, and rows of numbers"
            )
        header = self._line()
        self.delimiter = max(_DELIMITERS, key=header.count)
        self.names = tuple(cell.strip() for cell in self._cells(header))
        if not any(re.search(r"[^\W\d_]", name) for name in self.names) or _is_number(self.names[0]):
            raise InputError(
                f"{path}, row {self.first}: {shorten(header.strip(), 40)} is no header; expected the names of the columns, such as t,x,u,y"
            )
        self._next()

    def _line(self) -> str:
        end = self.text.find("\n", self.offset)
        return self.text[self.offset :] if end < 0 else self.text[self.offset : end + 1]

    def _next(self) -> None:
        self.offset += len(self._line())
        self.first += 1

    def _cells(self, line: str) -> list[str]:
        return next(csv.reader([line.rstrip("\n")], delimiter=self.delimiter), [])

    def table(self, time: str | None) -> LogTable:
        """The table, with the unit row found."""
        units: dict[str, str] = {}
        stated = [_WITH_UNIT.match(name) for name in self.names]
        renamed = [match.group(1) if match else name for match, name in zip(stated, self.names, strict=True)]
        for name, match in zip(renamed, stated, strict=True):
            if match:
                units[name] = match.group(2).strip()
        self.names = tuple(renamed)
        column = time_column(str(self.path), self.names, time)
        unit_row = None
        cells = [cell.strip() for cell in self._cells(self._line())]
        if len(cells) == len(self.names) and _are_units(cells):
            units |= {name: cell.strip("[]() ") for name, cell in zip(self.names, cells, strict=True) if cell}
            unit_row = self.first
            self._next()
        elif units:
            unit_row = self.first - 1
        if not self.text[self.offset :].strip():
            raise InputError(f"{self.path} holds no rows of numbers under its header; expected at least two")
        return LogTable(str(self.path), self.names, column, self.read, units, unit_row, self.row)

    def row(self, index: int) -> int:
        """The line of the file in which the row with this index stands."""
        return int(self.lines[index]) if len(self.lines) else self.first + index

    def read(self, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """The named columns: floats, or texts where the first cell is a date."""
        columns = {name: self.names.index(name) for name in wanted}
        body = self.text[self.offset :].rstrip("\n")
        if self.delimiter == ";" and "." not in body:
            body = body.replace(",", ".")
        first = self._cells(body[: body.find("\n")] if "\n" in body else body)
        dated = {
            name for name, k in columns.items() if k < len(first) and is_date(first[k]) and not _is_number(first[k])
        }
        rows = body.count("\n") + 1
        if '"' not in body and body.count(self.delimiter) == rows * (len(self.names) - 1):
            fast = self._fast(body, columns, dated)
            if fast is not None and all(len(column) == rows for column in fast.values()):
                return fast
        return self._careful(columns, dated)

    def _fast(self, body: str, columns: dict[str, int], dated: set[str]) -> dict[str, np.ndarray] | None:
        d = self.delimiter
        if d * 2 in body or f"{d}\n" in body or f"\n{d}" in body or body[:1] == d or body[-1:] == d:
            body = f"\n{body}\n".replace(d, f" {d} ")
            body = body.replace(f"{d}  {d}", f"{d} nan {d}").replace(f"{d}  {d}", f"{d} nan {d}")
            body = body.replace(f"{d} \n", f"{d} nan\n").replace(f"\n {d}", f"\nnan {d}").strip("\n")
        kinds = np.dtype([(f"c{k}", "U40" if name in dated else float) for k, name in enumerate(columns)])
        try:
            table = np.loadtxt(
                io.StringIO(body), dtype=kinds, delimiter=d, usecols=list(columns.values()), comments=None, ndmin=1
            )
        except ValueError:
            return None
        result = {}
        for k, name in enumerate(columns):
            values = np.ascontiguousarray(table[f"c{k}"])
            result[name] = values if name in dated else numbers(values, str(self.path), name, self.row)
        return result

    def _careful(self, columns: dict[str, int], dated: set[str]) -> dict[str, np.ndarray]:
        comma, width = self.delimiter == ";", len(self.names)
        reader = csv.reader(io.StringIO(self.text[self.offset :]), delimiter=self.delimiter)
        lists: dict[str, list] = {name: [] for name in columns}
        lines: list[int] = []
        try:
            for cells in reader:
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                line = self.first + reader.line_num - 1
                if len(cells) != width:
                    raise InputError(
                        f"{self.path}, row {line}: {len(cells)} cells; expected {width}, one for each name of the header"
                    )
                lines.append(line)
                for name, k in columns.items():
                    cell = cells[k]
                    if name in dated:
                        lists[name].append(cell)
                        continue
                    try:
                        lists[name].append(float(cell))
                    except ValueError:
                        cell = cell.replace(",", ".") if comma else cell
                        lists[name].append(number(cell, f"{self.path}, row {line}, column '{name}'"))
        except csv.Error as error:
            raise InputError(f"{self.path}, row {self.first + reader.line_num - 1}: {error}") from None
        self.lines = np.array(lines)
        return {
            name: np.array(values) if name in dated else numbers(values, str(self.path), name, self.row)
            for name, values in lists.items()
        }


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _are_units(cells: Sequence[str]) -> bool:
    """Words only, but for the 1 of a dimensionless signal: no number and no date."""
    words = [cell for cell in cells if cell.casefold() not in MISSING and cell != "1"]
    return bool(words) and not any(_is_number(cell) or is_date(cell) for cell in words)
