"""CSV logs: comma, semicolon, tab or blanks; a header row; a row of units under it or units in the names, as ``speed [m/s]``.

A file is read in blocks of whole lines. A clean block goes through NumPy's own reader; whatever that refuses is read cell by cell,
which finds the row and the column of the mistake. Empty cells are missing values; a decimal comma is understood where semicolons
or tabs separate. Lines before the header, and lines that begin with #, are passed over.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.recordings.headers import are_units, cells_of, find_header, is_number, single_blanks
from systems.recordings.stamps import is_stamp
from systems.recordings.tables import ROWS, Block, LogTable, number, numbers
from systems.recordings.time_columns import ROW_TIME, TimeSource

_WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]()]*)[\])]\Z")
_BINARY = "is no text; expected a CSV file saved as UTF-8"
_CHARACTERS = 1 << 21  # of a block
_LONGEST = 1 << 20  # characters of a line


def open_csv(path: Path, time: TimeSource) -> list[LogTable]:
    """The one table of a CSV file."""
    return [_Csv(path).table(time)]


class _Csv:
    """A file, and where in it the header, the units and the rows stand. ``first`` is the line of the first row."""

    def __init__(self, path: Path) -> None:
        self.path, self.first = path, 1
        with _opened(path) as file:
            start, self.delimiter = find_header(iter(lambda: self._line(file), ""))
        with _opened(path) as file:
            for _ in range(start):
                self._line(file)
            header = self._line(file)
            if not header.strip():
                raise InputError(
                    f"{path} holds no rows; expected a header row with the names of the columns, and rows of numbers"
                )
            self.first += start
            self.under = self._line(file)  # units, or the first row of numbers
            self.empty = not self.under.strip() and not any(map(str.strip, self._lines(file)))
            self.alone = not any(map(str.strip, self._lines(file)))
        self.names = tuple(cell.strip() for cell in self._cells(header.lstrip("# ")))
        if not any(re.search(r"[^\W\d_]", name) for name in self.names) or is_number(self.names[0]):
            raise InputError(
                f"{path}, row {self.first}: {shorten(header.strip(), 40)} is no header; expected the names of the columns, such as t,x,u,y"
            )
        self.first += 1

    def _line(self, file: TextIO) -> str:
        """The next line, with its end; raises InputError for one that is no text or has no end."""
        line = file.readline(_LONGEST)
        if "\0" in line:
            raise InputError(f"{self.path} {_BINARY}")
        if len(line) == _LONGEST and not line.endswith("\n"):
            raise InputError(
                f"{self.path} has a line of more than {_LONGEST} characters; expected a row of cells on each line"
            )
        return line

    def _lines(self, file: TextIO) -> Iterator[str]:
        return iter(lambda: self._line(file), "")

    def _cells(self, line: str) -> list[str]:
        try:
            return cells_of(line, self.delimiter)
        except csv.Error as error:
            raise InputError(f"{self.path}, row {self.first}: {error}") from None

    def table(self, time: TimeSource) -> LogTable:
        """The table, with the unit row found."""
        units: dict[str, str] = {}
        stated = [_WITH_UNIT.match(name) for name in self.names]
        renamed = [match.group(1) if match else name for match, name in zip(stated, self.names, strict=True)]
        for name, match in zip(renamed, stated, strict=True):
            if match:
                units[name] = match.group(2).strip()
        self.names = tuple(renamed)
        column = time.find(str(self.path), self.names)
        unit_row = None
        cells = [cell.strip() for cell in self._cells(self.under)]
        if len(cells) == len(self.names) and are_units(cells):
            units |= {name: cell.strip("[]() ") for name, cell in zip(self.names, cells, strict=True) if cell}
            unit_row = self.first
            self.first += 1
            self.empty = self.alone
        elif units:
            unit_row = self.first - 1
        if self.empty:
            raise InputError(f"{self.path} holds no rows of numbers under its header; expected at least two")
        return LogTable(str(self.path), self.names, column, self.blocks, units, unit_row)

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """The named columns: floats, or texts where the first cell is a date."""
        columns = {name: self.names.index(name) for name in wanted if name != ROW_TIME}
        dated: set[str] | None = None
        line = self.first
        with _opened(self.path) as file:
            for _ in range(line - 1):
                file.readline()
            while text := file.read(_CHARACTERS):
                if not text.endswith("\n"):
                    text += self._line(file)
                if "\0" in text:
                    raise InputError(f"{self.path} {_BINARY}")
                if self.delimiter == " ":
                    text = single_blanks(text)
                body = text.strip("\n")
                if body and dated is None:
                    first = self._cells(body[: body.find("\n")] if "\n" in body else body)
                    dated = {
                        name
                        for name, k in columns.items()
                        if k < len(first) and is_stamp(first[k]) and not is_number(first[k])
                    }
                if '"' in text:  # a cell may hold the end of a line
                    yield from self._careful(chain(io.StringIO(text), self._lines(file)), line, columns, dated or set())
                    return
                if body:
                    found = self._clean(text, line, columns, dated or set())
                    yield from (
                        [found]
                        if found is not None
                        else self._careful(io.StringIO(text), line, columns, dated or set())
                    )
                line += text.count("\n")

    def _clean(self, text: str, line: int, columns: dict[str, int], dated: set[str]) -> Block | None:
        """The rows of a block by NumPy's reader; None where it may not be one row on each line."""
        body = text.rstrip("\n")
        if self.delimiter != ",":
            body = body.replace(",", ".")  # a number with both fails below
        rows = body.count("\n") + 1
        if body.count(self.delimiter) != rows * (len(self.names) - 1):
            return None
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
        if len(table) != rows:
            return None
        found = {name: np.ascontiguousarray(table[f"c{k}"]) for k, name in enumerate(columns)}
        return self._block(found, dated, range(line, line + rows))

    def _careful(self, lines: Iterable[str], start: int, columns: dict[str, int], dated: set[str]) -> Iterator[Block]:
        """Rows cell by cell, from lines of which the first is line ``start`` of the file."""
        reader = csv.reader(lines, delimiter=self.delimiter)
        lists: dict[str, list] = {name: [] for name in columns}
        places: list[int] = []
        try:
            for cells in reader:
                if not cells or cells[0].lstrip().startswith("#") or (len(cells) == 1 and not cells[0].strip()):
                    continue
                places.append(start + reader.line_num - 1)
                self._add(cells, places[-1], columns, dated, lists)
                if len(places) == ROWS:
                    yield self._block({name: np.array(values) for name, values in lists.items()}, dated, places)
                    lists, places = {name: [] for name in columns}, []
        except csv.Error as error:
            raise InputError(f"{self.path}, row {start + reader.line_num - 1}: {error}") from None
        if places:
            yield self._block({name: np.array(values) for name, values in lists.items()}, dated, places)

    def _add(
        self, cells: list[str], line: int, columns: dict[str, int], dated: set[str], lists: dict[str, list]
    ) -> None:
        """The wanted cells of one row to the ends of ``lists``."""
        if len(cells) != len(self.names):
            raise InputError(
                f"{self.path}, row {line}: {len(cells)} cells; expected {len(self.names)}, one for each name of the header"
            )
        for name, k in columns.items():
            cell = cells[k]
            if name in dated:
                lists[name].append(cell[:40])
                continue
            try:
                lists[name].append(float(cell))
            except ValueError:
                cell = cell.replace(",", ".") if self.delimiter != "," else cell
                lists[name].append(number(cell, f"{self.path}, row {line}, column '{name}'"))

    def _block(self, found: dict[str, np.ndarray], dated: set[str], places: Sequence[int]) -> Block:
        columns = {
            name: values if name in dated else numbers(values, str(self.path), name, places.__getitem__)
            for name, values in found.items()
        }
        return Block(columns, places.__getitem__)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError:
        raise InputError(_not_text(path)) from None


def _not_text(path: Path) -> str:
    """What to say of a file that is no UTF-8: the row of the first byte that cannot be read."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with path.open("rb") as file:
        while piece := file.readline(_LONGEST):
            if b"\0" in piece:
                return f"{path} {_BINARY}"
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                found = error.object[error.start : error.start + 1]
                return f"{path}, row {line}: the byte {found!r} is not UTF-8; expected a CSV file saved as UTF-8"
            line += piece.endswith(b"\n")
    return f"{path} ends within a character; expected a CSV file saved as UTF-8"
