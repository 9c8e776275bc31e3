"""A small reader of BSON files as Julia's package writes them: arrays, numbers, tuples and structs; nothing is executed.

A struct becomes ``Struct(name, fields)`` with the last part of its type's name and its fields in order. Types and
functions are kept as names and never looked up. Lengths, nesting and references are checked: a malformed file is an
InputError, whatever is in it.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from systems.base.errors import InputError

_DEEPEST = 64
_KINDS = {"Float64": "<f8", "Float32": "<f4", "Int64": "<i8", "Int32": "<i4", "UInt8": "u1", "Bool": "?"}


@dataclass(frozen=True)
class Struct:
    """A Julia struct: the last part of the name of its type, and its fields in the order of their declaration."""

    name: str
    fields: tuple[Any, ...]


def read_bson(path: str | Path) -> dict[str, Any]:
    """The top-level dictionary of a file; InputError where it is not BSON, or not of Julia's kind."""
    data = Path(path).read_bytes()
    try:
        document, end = _document(data, 0, 0)
        if end != len(data):
            raise ValueError(f"{len(data) - end} bytes follow the document")
        return _raise_all(document)
    except (ValueError, KeyError, IndexError, TypeError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path} is malformed: {error}; expected a BSON file written by Julia's BSON package"
        ) from error


def _document(data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    (length,) = struct.unpack_from("<i", data, at)
    end = at + length
    if length < 5 or end > len(data) or data[end - 1] != 0:
        raise ValueError(f"a document of {length} bytes at byte {at} does not end where it should")
    at, found = at + 4, {}
    while at < end - 1:
        tag, stop = data[at], data.index(0, at + 1, end)
        key, at = data[at + 1 : stop].decode(), stop + 1
        found[key], at = _value(data, tag, at, end, depth)
    if at != end - 1:
        raise ValueError(f"an element crosses the end of its document at byte {end}")
    return found, end


def _value(data: bytes, tag: int, at: int, end: int, depth: int) -> tuple[Any, int]:
    if tag in (0x03, 0x04):
        found, at = _document(data, at, depth + 1)
        return (list(found.values()) if tag == 0x04 else found), at
    if tag == 0x0A:
        return None, at
    if tag in (0x01, 0x08, 0x10, 0x12):
        kind = {0x01: "<d", 0x08: "<?", 0x10: "<i", 0x12: "<q"}[tag]
        return struct.unpack_from(kind, data, at)[0], at + struct.calcsize(kind)
    if tag in (0x02, 0x05):
        (length,) = struct.unpack_from("<i", data, at)
        start = at + 4 + (tag == 0x05)
        if length < (tag == 0x02) or start + length > end:
            raise ValueError(f"a string or binary of {length} bytes at byte {at} is longer than the file")
        content = data[start : start + length]
        return (content[:-1].decode() if tag == 0x02 else content), start + length
    raise ValueError(f"element type {tag:#04x} at byte {at} is not used by Julia's package")


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
