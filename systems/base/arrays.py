"""Files of arrays (``.npz``), read as what they declare: names, shapes and types first, numbers when they are asked for.

An archive is checked before a number of it is in memory: no Python objects, which would run code, and no array that says another
size than its entry has. What is then read is compared with the memory there is.
"""

import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from systems.base import memory
from systems.base.errors import InputError
from systems.base.wording import shorten

_PIECE = 1 << 20  # bytes read at once
_PLAIN = "biufcUSMm"  # kinds of types that are numbers, texts or dates
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}  # of a header, by the version of the format
_LONGEST_HEADER = 10_000
_HEADER = re.compile(
    r"\{(?=.*'descr': *'(?P<type>[^']{1,40})')(?=.*'fortran_order': *(?P<fortran>True|False))"
    r"(?=.*'shape': *\((?P<shape>[0-9, ]*)\)).*\}\s*"
)


@dataclass(frozen=True)
class Declared:
    """What an archive says of one array: its shape, its type, and whether columns are stored one after another."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


class ArrayFile:
    """An open archive; ``declared`` has its arrays by name. Made by :func:`open_arrays`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.declared: dict[str, Declared] = {}
        for item in archive.infolist():
            name = item.filename.removesuffix(".npy")
            if name == item.filename or name in self.declared:
                raise InputError(f"the entry {shorten(item.filename)} is no array, or occurs twice")
            with archive.open(item) as stream:
                self.declared[name] = self._header(name, item.file_size, stream)

    def _header(self, name: str, size: int, stream: IO[bytes]) -> Declared:
        text = _header_text(stream)
        stated = _HEADER.fullmatch(text)
        dtype = np.dtype(stated["type"]) if stated else None
        if stated is None or dtype is None or dtype.kind not in _PLAIN:
            raise InputError(
                f"the array {shorten(name)} holds Python objects or records, which are never read, because objects can "
                "run code; save plain numbers or texts"
            )
        shape = tuple(int(size) for size in stated["shape"].replace(",", " ").split())
        found = Declared(shape, dtype, stated["fortran"] == "True")
        if found.size != size - stream.tell():
            raise InputError(
                f"the array {shorten(name)} says shape {shape}, which is {found.size} bytes, and its entry has "
                f"{size - stream.tell()}"
            )
        return found

    def read(self, name: str) -> np.ndarray:
        """The whole array."""
        (block,) = self._pieces(name, max(1, prod(self.declared[name].shape)))
        found = self.declared[name]
        return block.reshape(found.shape, order="F" if found.fortran else "C")

    def blocks(self, name: str, rows: int) -> Iterator[np.ndarray]:
        """An array ``(N,)`` in blocks of at most so many rows."""
        return self._pieces(name, rows)

    def _pieces(self, name: str, count: int) -> Iterator[np.ndarray]:
        """The numbers of an array as they are stored, ``count`` at a time."""
        found, done = self.declared[name], 0
        total = prod(found.shape)
        with _refusing(), self._archive.open(f"{name}.npy") as stream:
            _header_text(stream)
            while done < total or not done:
                number = min(count, total - done)
                raw = np.empty(number * found.dtype.itemsize, np.uint8)
                view = raw.data
                for start in range(0, len(raw), _PIECE):
                    view[start : start + _PIECE] = stream.read(min(_PIECE, len(raw) - start))
                done += max(number, 1)
                yield raw.view(found.dtype) if len(raw) else np.zeros(number, found.dtype)


def _header_text(stream: IO[bytes]) -> str:
    """The head of an entry: a dictionary of Python as text, which is searched and not evaluated."""
    length = _LENGTHS[np.lib.format.read_magic(stream)]
    size = struct.unpack(length, stream.read(struct.calcsize(length)))[0]
    if size > _LONGEST_HEADER:
        raise InputError(f"an array has a header of {size} bytes; expected at most {_LONGEST_HEADER}")
    return stream.read(size).decode("latin-1")


@contextmanager
def open_arrays(path: Path | str) -> Iterator[ArrayFile]:
    """An archive of arrays to read from.

    Raises :class:`InputError` for what is none, without the name of the file: the caller knows what it should have been. OSError for
    what cannot be opened.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # to open a pipe is to wait for its writer
        raise InputError("it is no file")
    with path.open("rb") as file:
        with _refusing():
            archive = zipfile.ZipFile(file)
        with archive:
            with _refusing():
                opened = ArrayFile(archive)
            yield opened


@contextmanager
def _refusing() -> Iterator[None]:
    """A damaged archive fails in a dozen ways: one error that says what it should be."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"no archive of arrays, or a damaged one: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The reason that an error gives, as one short line; its kind where it gives none."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of an archive, such as :func:`systems.base.atomic_files.write_arrays` writes.

    Raises as :func:`open_arrays` does, and :class:`InputError`, which names the file, for one that does not fit into the memory.
    """
    with open_arrays(path) as file:
        total = sum(item.size for item in file.declared.values())
        memory.require(
            total, f"{path}: {len(file.declared)} arrays", "free some memory, or make the file with fewer numbers"
        )
        return {name: file.read(name) for name in file.declared}


def check_shapes(
    arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[str | int, ...]], kinds: str = "biuf"
) -> dict[str, int]:
    """The sizes that the letters of ``shapes`` stand for, where every array has its shape.

    Parameters
    ----------
    arrays : mapping of str to ndarray
    shapes : mapping of str to tuple
        Expected shapes, as ``{"t": ("N",), "x": ("K", "N", 2)}``; the first array that has a letter sets its size.
    kinds : str
        Kinds of types (``dtype.kind``) that are accepted.

    Raises
    ------
    InputError
        Names the array that is missing, of another kind or of another shape.

    Examples
    --------
    >>> check_shapes({"t": np.zeros(3), "x": np.zeros((2, 3))}, {"t": ("N",), "x": ("K", "N")})
    {'N': 3, 'K': 2}
    """
    sizes: dict[str, int] = {}
    for name, expected in shapes.items():
        if name not in arrays:
            raise InputError(f"it has no {name}")
        array: Any = arrays[name]
        if array.dtype.kind not in kinds:
            raise InputError(f"{name} is of type {array.dtype}; expected numbers")
        fits = array.ndim == len(expected) and all(
            size == (sizes.setdefault(axis, size) if isinstance(axis, str) else axis)
            for axis, size in zip(expected, array.shape, strict=True)
        )
        if not fits:
            meant = ", ".join(f"{axis} = {sizes[axis]}" if axis in sizes else f"{axis}" for axis in expected)
            raise InputError(f"{name} has shape {array.shape}; expected ({meant})")
    return sizes
