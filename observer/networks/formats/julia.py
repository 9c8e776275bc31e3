"""Files of Julia's BSON package: arrays, numbers, tuples and structs, raised from the documents that pymongo's bson reads.

A struct becomes ``Struct(name, fields)`` with the last part of its type's name and its fields in order. Types and
functions are kept as names and never looked up: nothing is executed. Nesting, references and the number of values are
checked: a malformed file is an InputError, whatever is in it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from observer.networks.formats.extra import library
from systems.base import memory
from systems.base.arrays import one_line
from systems.base.errors import InputError
from systems.base.wording import shorten

_DEEPEST = 64
_GROWTH = 20  # bytes of memory for one of the file
_MOST = 1_000_000  # values, counted as often as they are referred to
_BYTES = 4096  # of an array, that count as one value
_TOO_LARGE = f"nested more than {_DEEPEST} deep, or more than {_MOST} values"
_KINDS = {"Float64": "<f8", "Float32": "<f4", "Int64": "<i8", "Int32": "<i4", "UInt8": "u1", "Bool": "?"}


@dataclass(frozen=True)
class Struct:
    """A Julia struct: the last part of the name of its type, and its fields in the order of their declaration."""

    name: str
    fields: tuple[Any, ...]


def read_julia(path: str | Path) -> dict[str, Any]:
    """The top-level dictionary of a file.

    Raises
    ------
    InputError
        Where it is not BSON, or not of Julia's kind; and where the package bson (of pymongo) is missing.
    """
    bson = library("bson", "BSON files")
    memory.require(
        _GROWTH * Path(path).stat().st_size, f"{path}", "save the arrays of the model with numpy.savez instead"
    )
    try:
        tree = _raise_all(bson.decode(Path(path).read_bytes()))
        _check_size(tree)
        return tree
    except (
        bson.errors.BSONError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise InputError(
            f"{path} is malformed: {one_line(error)}; expected a BSON file written by Julia's BSON package"
        ) from error


def _check_size(tree: Any) -> None:
    """ValueError where the tree is deeper or larger than a model: values that refer to one another multiply."""
    left, count = [(tree, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST:
            raise ValueError(_TOO_LARGE)
        inside = value.values() if isinstance(value, dict) else value.fields if isinstance(value, Struct) else value
        if isinstance(value, dict | Struct | list):
            left += [(item, depth + 1) for item in inside]


def _raise_all(document: dict[str, Any]) -> dict[str, Any]:
    return _Raising(document.pop("_backrefs", [])).inside(document, 0)


class _Raising:
    """Julia's values from documents that refer to one another; ``left`` values may still be made.

    A reference is raised once and shared. One that stands for the raw content of another value cannot be, and what it multiplies is
    what ``left`` limits, as ``_check_size`` limits what is shared.
    """

    def __init__(self, references: list[Any]) -> None:
        if not isinstance(references, list):
            raise ValueError("its references are no list")
        self.references, self.left = references, _MOST
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()

    def value(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise ValueError(_TOO_LARGE)
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        tag = value.get("tag")
        if tag == "backref":
            return self.referred(value["ref"], depth)
        if tag == "tuple":
            return [self.value(item, depth + 1) for item in _list(self.raw(value["data"]), "a tuple")]
        if tag == "symbol":
            return str(value["name"])
        if tag == "array":
            return self.array(self.kind(value["type"]), self.raw(value["size"]), self.raw(value["data"]), depth)
        if tag == "struct":
            return self.struct(self.kind(value["type"]), self.raw(value["data"]), depth)
        return (
            None if "tag" in value else self.inside(value, depth)
        )  # a type, a function, a module: names, not looked up

    def inside(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        return {key: self.value(item, depth + 1) for key, item in value.items()}

    def referred(self, index: Any, depth: int) -> Any:
        place = self.place(index)
        if place in self.open:
            raise ValueError("a value refers to itself")
        if place not in self.done:
            self.open.add(place)
            self.done[place] = self.value(self.references[place], depth + 1)
            self.open.discard(place)
        return self.done[place]

    def place(self, index: Any) -> int:
        if not isinstance(index, int) or not 1 <= index <= len(self.references):
            raise ValueError(f"reference {shorten(index)} of {len(self.references)}")
        return index - 1

    def kind(self, kind: Any) -> str:
        """The last part of the name of a type."""
        kind = self.raw(kind)
        if not (isinstance(kind, dict) and kind.get("tag") == "datatype"):
            return "?"
        return str(_list(self.raw(kind["name"]), "the name of a type")[-1])

    def raw(self, value: Any) -> Any:
        """What a chain of references ends at, as it stands in the document."""
        for _ in range(_DEEPEST):
            if not (isinstance(value, dict) and value.get("tag") == "backref"):
                return value
            value = self.references[self.place(value["ref"])]
        raise ValueError("a value refers to itself")

    def array(self, name: str, size: Any, data: Any, depth: int) -> Any:
        if isinstance(data, list):
            return [self.value(item, depth + 1) for item in data]
        if name not in _KINDS:
            raise ValueError(f"an array of {shorten(name)}; expected one of {', '.join(_KINDS)}")
        if not all(isinstance(n, int) and n >= 0 for n in _list(size, "the size of an array")):
            raise ValueError(f"an array of the size {shorten(size)}")
        self.left -= len(data) // _BYTES  # a copy for each time that it is referred to
        return np.frombuffer(data, _KINDS[name]).reshape(size, order="F").copy()  # Julia stores columns

    def struct(self, name: str, data: Any, depth: int) -> Any:
        if isinstance(data, bytes):  # a number, as its bytes
            if name not in _KINDS or len(data) != np.dtype(_KINDS[name]).itemsize:
                return None
            return np.frombuffer(data, _KINDS[name])[0].item()
        fields = tuple(self.value(item, depth + 1) for item in _list(data, f"a struct {shorten(name)}"))
        if name == "Dict" and len(fields) == 2 and isinstance(fields[0], list):
            return dict(zip(map(str, fields[0]), _list(fields[1], "a Dict"), strict=True))
        return Struct(name, fields)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} holds a {type(value).__name__}; expected a list")
    return value
