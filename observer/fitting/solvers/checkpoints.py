"""Checkpoints: the frozen state of a solver as arrays, bound to its problem by a hash, written atomically."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints
from zipfile import BadZipFile

import numpy as np

from systems.base.arrays import read_arrays


def digest(arrays: list[np.ndarray], *values: object) -> str:
    """A hash of everything that decides the course of a solver."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    found.update(repr(values).encode())
    return found.hexdigest()


def flatten(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of everything in ``value``: dataclasses by field, dictionaries by key, tuples of dataclasses by number."""
    if is_dataclass(value):
        for item in fields(value):
            if item.metadata.get("stored", True):
                yield from flatten(getattr(value, item.name), f"{name}.{item.name}")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from flatten(part, f"{name}.{key}")
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for number, part in enumerate(value):
            yield from flatten(part, f"{name}.{number}")
    elif value is not None:
        yield name, np.asarray(value)


def build(kind: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """The inverse of :func:`flatten` for a value of type ``kind``; KeyError where a part is missing."""
    if is_dataclass(kind):
        hints, stored = get_type_hints(kind), [item for item in fields(kind) if item.metadata.get("stored", True)]
        return kind(**{item.name: build(hints[item.name], arrays, f"{name}.{item.name}") for item in stored})  # type: ignore[operator]
    own = [key for key in arrays if key == name or key.startswith(f"{name}.")]
    if get_origin(kind) is UnionType:
        return build(get_args(kind)[0], arrays, name) if own else None
    if get_origin(kind) is dict:
        return {key.removeprefix(f"{name}."): arrays[key] for key in own}
    if get_origin(kind) is tuple and is_dataclass(get_args(kind)[0]):
        count = 1 + max(int(key.removeprefix(f"{name}.").partition(".")[0]) for key in own or [name])
        return tuple(build(get_args(kind)[0], arrays, f"{name}.{number}") for number in range(count))
    if get_origin(kind) is tuple:
        return tuple(arrays[name].tolist())
    return arrays[name] if kind is np.ndarray else kind(arrays[name].item())


def load(path: Path | None, key: str, name: str, kind: type) -> tuple[Any, dict[str, np.ndarray]] | None:
    """(state, all arrays) of an earlier, interrupted solver of the same problem, or None.

    A damaged checkpoint, or that of another solver or problem, costs the time already spent, nothing else.
    """
    if path is None or not path.exists():
        return None
    try:
        arrays = read_arrays(path)
        return (build(kind, arrays, name), arrays) if str(arrays["hash"]) == key else None
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile):
        return None
