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
from systems.base.errors import InputError

_DEEPEST = 64
_MOST = 1_000_000  # values, counted as often as they are referred to
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
            f"{path} is malformed: {error}; expected a BSON file written by Julia's BSON package"
        ) from error


def _check_size(tree: Any) -> None:
    """ValueError where the tree is deeper or larger than a model: values that refer to one another multiply."""
    left, count = [(tree, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST:
            raise ValueError(f"nested more than {_DEEPEST} deep, or more than {_MOST} values")
        inside = value.values() if isinstance(value, dict) else value.fields if isinstance(value, Struct) else value
        if isinstance(value, dict | Struct | list):
            left += [(item, depth + 1) for item in inside]


def _raise_all(document: dict[str, Any]) -> dict[str, Any]:
    references, open_ = document.pop("_backrefs", []), set()
    done: dict[int, Any] = {}

    def refer(index: int) -> Any:
        place = index - 1
        if not 0 <= place < len(references):
            raise ValueError(f"reference {index} of {len(references)}")
        if place in open_:
            raise ValueError("a value refers to itself")
        if place not in done:
            open_.add(place)
            done[place] = interpret(references[place])
            open_.discard(place)
        return done[place]

    def name_of(kind: Any) -> str:
        kind = refer_raw(kind)
        return str(kind["name"][-1]) if isinstance(kind, dict) and kind.get("tag") == "datatype" else "?"

    def refer_raw(value: Any) -> Any:
        for _ in range(_DEEPEST):
            if not (isinstance(value, dict) and value.get("tag") == "backref"):
                return value
            value = references[value["ref"] - 1]
        raise ValueError("a value refers to itself")

    def interpret(value: Any) -> Any:
        if isinstance(value, list):
            return [interpret(item) for item in value]
        if not isinstance(value, dict) or "tag" not in value:
            return {key: interpret(item) for key, item in value.items()} if isinstance(value, dict) else value
        tag = value["tag"]
        if tag == "backref":
            return refer(value["ref"])
        if tag == "tuple":
            return [interpret(item) for item in value["data"]]
        if tag == "symbol":
            return str(value["name"])
        if tag == "array":
            return _array(name_of(value["type"]), value["size"], refer_raw(value["data"]), interpret)
        if tag == "struct":
            return _struct(name_of(value["type"]), refer_raw(value["data"]), interpret)
        return None  # a type, a function, a module: a name that is not looked up

    return {key: interpret(item) for key, item in document.items()}


def _array(name: str, size: list[int], data: Any, interpret: Any) -> Any:
    if isinstance(data, list):
        return [interpret(item) for item in data]
    if name not in _KINDS:
        raise ValueError(f"an array of {name}; expected one of {', '.join(_KINDS)}")
    if not all(isinstance(n, int) and n >= 0 for n in size):
        raise ValueError(f"an array of the size {size}")
    return np.frombuffer(data, _KINDS[name]).reshape(size, order="F").copy()  # Julia stores columns


def _struct(name: str, data: Any, interpret: Any) -> Any:
    if isinstance(data, bytes):  # a number, as its bytes
        if name not in _KINDS or len(data) != np.dtype(_KINDS[name]).itemsize:
            return None
        return np.frombuffer(data, _KINDS[name])[0].item()
    fields = tuple(interpret(item) for item in data)
    if name == "Dict" and len(fields) == 2 and isinstance(fields[0], list):
        return dict(zip(map(str, fields[0]), fields[1], strict=True))
    return Struct(name, fields)
