"""MessagePack as Flax writes it: nested dictionaries with arrays. Read as data; nothing is executed, no package needed.

The format (msgpack.org): one byte tells the kind and, for short values, the size. Flax adds two extensions for arrays, of
kind 1 (array) and 3 (number of NumPy): their content is again MessagePack, the triple (shape, name of the type, bytes).
"""

import struct
from typing import Any

import numpy as np

from systems.base.errors import InputError

_DEPTH = 64
_NUMBERS = {
    0xCA: ">f",
    0xCB: ">d",
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}
_SIZED = {0xD9: ("text", ">B"), 0xDA: ("text", ">H"), 0xDB: ("text", ">I"), 0xC4: ("bytes", ">B"), 0xC5: ("bytes", ">H"),
          0xC6: ("bytes", ">I"), 0xDC: ("list", ">H"), 0xDD: ("list", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
          0xC7: ("extension", ">B"), 0xC8: ("extension", ">H"), 0xC9: ("extension", ">I")}  # fmt: skip
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


def read_msgpack(content: bytes) -> Any:
    """The value in ``content``: dictionaries, lists, text, numbers, None, and NumPy arrays.

    Errors: InputError where the content is malformed, ends early or goes on, or holds an extension that is no array.
    """
    reader = _Reader(content)
    try:
        value = reader.value(0)
    except (struct.error, UnicodeDecodeError, ValueError, TypeError, KeyError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"malformed MessagePack at byte {reader.place}: {error}") from error
    if reader.place != len(content):
        raise InputError(f"malformed MessagePack: the value ends at byte {reader.place} of {len(content)}")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, size: int) -> bytes:
        if self.place + size > len(self.content):
            raise InputError(f"malformed MessagePack: ends early, at byte {len(self.content)}")
        self.place += size
        return self.content[self.place - size : self.place]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int) -> Any:
        if depth > _DEPTH:
            raise InputError(f"malformed MessagePack: nested more than {_DEPTH} deep")
        kind = self.number(">B")
        if kind <= 0x7F or kind >= 0xE0:
            return kind if kind <= 0x7F else kind - 0x100
        for low, high, name in ((0x80, 0x8F, "map"), (0x90, 0x9F, "list"), (0xA0, 0xBF, "text")):
            if low <= kind <= high:
                return self.sized(name, kind - low, depth)
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind in _SIZED:
            name, form = _SIZED[kind]
            return self.sized(name, self.number(form), depth)
        if kind in _FIXED_EXTENSIONS:
            return self.sized("extension", _FIXED_EXTENSIONS[kind], depth)
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if kind not in simple:
            raise InputError(f"malformed MessagePack: unknown kind 0x{kind:02X} at byte {self.place - 1}")
        return simple[kind]

    def sized(self, name: str, size: int, depth: int) -> Any:
        if name == "text":
            return self.take(size).decode("utf-8")
        if name == "bytes":
            return self.take(size)
        if name == "list":
            return [self.value(depth + 1) for _ in range(size)]
        if name == "map":
            found: dict[str, Any] = {}
            for _ in range(size):
                key = self.value(depth + 1)
                if not isinstance(key, str | int) or str(key) in found:
                    raise InputError(f"malformed MessagePack: key {key!r} is no text, or is there twice")
                found[str(key)] = self.value(depth + 1)
            if "__msgpack_chunked_array__" in found:
                raise InputError("an array of more than a gigabyte, in chunks, is not read; save it with numpy.savez")
            return found
        code = self.number(">b")
        return _array(code, self.take(size))


def _array(code: int, content: bytes) -> Any:
    if code not in (1, 3):
        raise InputError(f"MessagePack extension {code} is not read; expected the arrays of Flax, 1 or 3")
    triple = read_msgpack(content)
    if not (isinstance(triple, list) and len(triple) == 3 and isinstance(triple[2], bytes)):
        raise InputError("malformed array in MessagePack; expected (shape, type, bytes)")
    shape, kind, data = triple
    name = kind.decode() if isinstance(kind, bytes) else kind
    if name not in (
        "float16",
        "float32",
        "float64",
        "bool",
        *(f"{u}int{size}" for u in ("", "u") for size in (8, 16, 32, 64)),
    ):
        raise InputError(
            f"an array of type {name!r} is not read; expected float32, float64 or integers: convert it first"
        )
    array = np.frombuffer(data, np.dtype(name).newbyteorder("<")).reshape([int(size) for size in shape])
    return array.astype(name) if code == 1 else array.astype(name)[()]
