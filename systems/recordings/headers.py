"""Where the table of a CSV file begins: the header row may stand below lines that a program wrote about the measurement."""

import csv
import re
from collections.abc import Iterable, Sequence
from itertools import islice

from systems.recordings.stamps import MISSING, is_stamp

DELIMITERS = (",", ";", "\t")
_LINES, _CHARACTERS = 200, 1 << 21  # of the beginning of a file, that are looked at
_BELOW = 4  # lines below a header among which the first numbers stand


def single_blanks(text: str) -> str:
    """Lines whose cells stand between any number of blanks, with one blank between them."""
    return re.sub(r"(?m)^ +| +$", "", re.sub(" +", " ", text.replace("\r", "")))


def delimiter_of(header: str) -> str:
    """Comma, semicolon or tab; blanks only where the line has none of these."""
    found = max(DELIMITERS, key=header.count)
    return found if header.count(found) or " " not in header.strip() else " "


def cells_of(line: str, delimiter: str) -> list[str]:
    """The cells of one line. Raises csv.Error."""
    line = single_blanks(line) if delimiter == " " else line
    return next(csv.reader([line.rstrip("\n")], delimiter=delimiter), [])


def is_number(text: str) -> bool:
    """Whether a cell is a number, also with a decimal comma."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def are_units(cells: Sequence[str]) -> bool:
    """Words only, but for the 1 of a dimensionless signal: no number and no date."""
    words = [cell for cell in cells if cell.casefold() not in MISSING and cell != "1"]
    return bool(words) and not any(is_number(cell) or is_stamp(cell) for cell in words)


def find_header(lines: Iterable[str]) -> tuple[int, str]:
    """(how many lines stand above the header, the delimiter).

    It is the widest row of words with as many cells as the rows of numbers below it; where no row is like that, the first that is no
    comment. A header may be commented out (``# t u y``) where no other is found.
    """
    head: list[str] = []
    size = 0
    for line in islice(lines, _LINES):
        head.append(line)
        size += len(line)
        if size > _CHARACTERS:
            break
    for commented in (False, True):
        best: tuple[int, int, str] | None = None
        for place, line in enumerate(head):
            if not line.strip() or line.lstrip().startswith("#") is not commented:
                continue
            text = line.lstrip("# \t") if commented else line
            delimiter = delimiter_of(text)
            width = _width(text, head[place + 1 :], delimiter)
            if width > (best[0] if best else 1):
                best = (width, place, delimiter)
        if best:
            return best[1:]
    first = next((k for k, line in enumerate(head) if line.strip() and not line.lstrip().startswith("#")), len(head))
    return first, delimiter_of(head[first]) if first < len(head) else ","


def _width(header: str, below: Sequence[str], delimiter: str) -> int:
    """Cells of a header with numbers below it; 0 for what is none."""
    try:
        names = [cell.strip() for cell in cells_of(header, delimiter)]
        if any(is_number(name) or is_stamp(name) for name in names if name) or not any(names):
            return 0
        rows = (line for line in below if line.strip() and not line.lstrip().startswith("#"))
        for line in islice(rows, _BELOW):
            cells = [cell.strip() for cell in cells_of(line, delimiter)]
            if len(cells) != len(names):
                return 0
            filled = [cell for cell in cells if cell]
            numbers = sum(is_number(cell) or is_stamp(cell) or cell.casefold() in MISSING for cell in filled)
            if 2 * numbers > len(filled):
                return len(names)
    except csv.Error:
        return 0
    return 0
