"""Frozen results to plain data and back, by the types of their fields: what certificate.json is written with."""

import math
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from systems.base.errors import InputError

Result = TypeVar("Result")


def to_plain(value: Any) -> Any:
    """Dataclasses as dicts, arrays and tuples as lists; a number that is not finite becomes None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def from_plain(cls: type[Result], data: Any, **parts: type) -> Result:
    """The inverse of ``to_plain`` for a dataclass ``cls``; ``parts`` are the classes of its fields that are results too.

    A field of type np.ndarray, float or int is read as such (None is nan in numbers); a part that is a list becomes a
    tuple of parts. Raises InputError that names what is missing; keys that are not known are left alone.
    """
    if not isinstance(data, dict):
        raise InputError(f"certificate: {cls.__name__} is a {type(data).__name__}; expected an object")
    known = fields(cls)  # type: ignore[arg-type]
    missing = [field.name for field in known if field.name not in data]
    if missing:
        raise InputError(
            f"certificate: {', '.join(missing)} missing in {cls.__name__}; expected what to_data writes: delete certificate.json, and "
            "`observer certify RUN` makes it anew"
        )
    values: dict[str, Any] = {}
    for field in known:
        value = data[field.name]
        part = parts.get(field.name)
        if part is not None and value is not None:
            read = getattr(part, "from_data", lambda item, part=part: from_plain(part, item))
            values[field.name] = tuple(read(item) for item in value) if isinstance(value, list) else read(value)
        elif field.type is np.ndarray:
            values[field.name] = np.array(value, dtype=float)
        elif field.type is float:
            values[field.name] = math.nan if value is None else float(value)
        else:
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return cls(**values)
