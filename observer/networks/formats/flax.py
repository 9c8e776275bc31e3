"""MessagePack as Flax writes it: nested dictionaries with arrays. Read as data; nothing is executed.

Flax adds two extensions to MessagePack: 1 (array) and 3 (number of NumPy). Their content is again MessagePack, the triple
(shape, name of the type, bytes).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from observer.networks.formats.extra import library
from systems.base.arrays import one_line
from systems.base.errors import InputError
from systems.base.wording import shorten

_DEPTH = 64
_MOST = 1_000_000  # values in a file, arrays counted as one
_SCALARS = (dict, list, str, bytes, int, float, type(None), np.ndarray, np.generic)
_KINDS = ("float16", "float32", "float64", "bool", *(f"{u}int{size}" for u in ("", "u") for size in (8, 16, 32, 64)))


def read_flax(content: bytes) -> Any:
    """The value in ``content``: dictionaries, lists, text, numbers, None, and NumPy arrays.

    Raises
    ------
    InputError
        Where the content is malformed, ends early or goes on, holds more values than a model has, or an extension that is
        no array; and where the package msgpack is missing.
    """
    value = _unpack(content, _array)
    _check(value, 0)
    return value


def _unpack(content: bytes, extension: Callable[[int, bytes], Any]) -> Any:
    unpack = library("msgpack", "MessagePack files").unpackb
    count = 0

    def counted(values: Any) -> Any:
        nonlocal count
        count += 1 + len(values)
        if count > _MOST:
            raise InputError(f"malformed MessagePack: more than {_MOST} values")
        return values

    limits = dict.fromkeys(("max_array_len", "max_map_len"), min(_MOST, len(content)))
    try:
        return unpack(
            content, strict_map_key=False, object_pairs_hook=lambda pairs: _map(counted(pairs)), list_hook=counted,
            ext_hook=extension, **limits,
        )  # fmt: skip
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:  # all that msgpack raises is among them
        raise InputError(f"malformed MessagePack of {len(content)} bytes: {one_line(error)}") from error


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str | int) or str(key) in found:
            raise InputError(f"malformed MessagePack: key {shorten(key)} is not text, or occurs twice")
        found[str(key)] = value
    if "__msgpack_chunked_array__" in found:
        raise InputError("an array of more than a gigabyte, in chunks, is not supported; save it with numpy.savez")
    return found


def _check(value: Any, depth: int) -> None:
    if depth > _DEPTH:
        raise InputError(f"malformed MessagePack: nested more than {_DEPTH} deep")
    if not isinstance(value, _SCALARS):
        raise InputError(f"a {type(value).__name__} in MessagePack is not supported; expected arrays, numbers and text")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check(item, depth + 1)


def _array(code: int, content: bytes) -> Any:
    if code not in (1, 3):
        raise InputError(f"MessagePack extension {code} is not supported; expected the arrays of Flax, 1 or 3")
    triple = _unpack(content, _nothing_inside)
    if not (
        isinstance(triple, list) and len(triple) == 3 and isinstance(triple[0], list) and isinstance(triple[2], bytes)
    ):
        raise InputError("malformed array in MessagePack; expected (shape, type, bytes)")
    shape, kind, data = triple
    name = kind.decode("utf-8", "replace") if isinstance(kind, bytes) else kind
    if name not in _KINDS:
        raise InputError(
            f"an array of type {shorten(name)} is not supported; expected float32, float64 or integers: convert it first"
        )
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise InputError(f"malformed array in MessagePack: its shape is {shorten(shape)}")
    array = np.frombuffer(data, np.dtype(name).newbyteorder("<")).reshape(shape)
    return array.astype(name) if code == 1 else array.astype(name)[()]


def _nothing_inside(code: int, _: bytes) -> Any:
    raise InputError(f"malformed array in MessagePack: an extension {code} inside of it")
