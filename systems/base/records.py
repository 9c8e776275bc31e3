"""Records as JSON: frozen dataclasses of numbers, arrays, texts and other records to plain data and back.

``to_plain`` writes what JSON can hold: arrays and tuples become lists, enums their values, and numbers that are not finite
become null. ``from_plain`` reads it by the types of the fields (through pydantic, which is imported when the first record is
read): null is nan in a ``float`` and in an array, lists are tuples or arrays again, and nested objects are records.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Record = TypeVar("Record")

NOT_STORED = {"stored": False}  # metadata of a dataclass field that stays in memory


def to_plain(value: Any) -> Any:
    """``value`` in the types of JSON.

    Parameters
    ----------
    value : a dataclass (fields with the metadata ``NOT_STORED`` are left out), mapping, array, sequence, enum, path or scalar, nested
        to any depth. What is none of these is returned as it is.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value) if _stored(item)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def from_plain(
    record: type[Record], data: Any, *, name: str = "record", types: Mapping[str, Any] | None = None
) -> Record:
    """The inverse of :func:`to_plain` for the dataclass ``record``.

    Parameters
    ----------
    record : a dataclass of bool, int, float, str, enums, ``np.ndarray`` (of floats), tuples, lists, dicts, other such dataclasses,
        and unions of these with None. Fields with a default may be missing in ``data``.
    data : what JSON gives. Keys that the record does not have are ignored.
    name : of the record in messages.
    types : classes that the annotations name and that their module imports for type checkers only.

    Raises
    ------
    InputError
        Names the entries that are missing, or the first one of another type, by their path.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Gain:
    ...     state: str
    ...     values: np.ndarray
    ...     bound: float
    >>> from_plain(Gain, to_plain(Gain("x1", np.array([1.0, np.inf]), 2.0)))
    Gain(state='x1', values=array([ 1., nan]), bound=2.0)
    """
    from pydantic import ValidationError

    try:
        return _adapter(record, tuple((types or {}).items())).validate_python(data)
    except ValidationError as error:
        raise InputError(f"{name}: {_fault(error)}") from None


@cache
def _adapter(record: type, types: tuple[tuple[str, Any], ...]) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(_readable(record, dict(types)))


def _readable(hint: Any, types: dict[str, Any]) -> Any:
    """``hint`` as pydantic is to read it: null as nan where a number is expected, arrays from lists, records from objects."""
    from pydantic import AfterValidator, BeforeValidator, PlainValidator

    if hint is float:  # within a union with None, pydantic takes null as None before it comes here
        return Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
    if hint is np.ndarray:
        return Annotated[Any, PlainValidator(_array)]
    if is_dataclass(hint):
        return Annotated[_object(hint, types), AfterValidator(lambda values: hint(**values))]  # type: ignore[operator]
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_readable(part, types) for part in parts)]  # noqa: UP007
    if get_origin(hint) in (tuple, list, dict):
        return get_origin(hint)[tuple(_readable(part, types) for part in parts)]
    return hint


def _stored(item: "Field[Any]") -> bool:
    return item.metadata.get("stored", True)


def _object(record: Any, types: dict[str, Any]) -> Any:
    """The JSON object that becomes the keyword arguments of ``record``."""
    import typing_extensions  # pydantic reads those of the standard library from Python 3.12 on

    make: Any = typing_extensions.TypedDict
    hints, entries = get_type_hints(record, localns=types), {}
    for item in fields(record):
        if _stored(item):
            required = item.default is MISSING and item.default_factory is MISSING
            hint = _readable(hints[item.name], types)
            entries[item.name] = hint if required else NotRequired[hint]
    return make(record.__name__, entries)


def _array(value: Any) -> np.ndarray:
    try:
        return np.array(value, dtype=float)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _fault(error: "ValidationError") -> str:
    faults = [(".".join(str(part) for part in fault["loc"]), fault) for fault in error.errors()]
    missing = [path for path, fault in faults if fault["type"] == "missing"]
    if missing:
        return f"{', '.join(missing)} missing"
    path, fault = faults[0]
    reason = str(fault.get("ctx", {}).get("error") or fault["msg"])
    return f"{path or 'content'} is {shorten(fault['input'])}: {reason[0].lower()}{reason[1:]}"
