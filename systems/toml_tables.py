"""The tables of a system's TOML file, every entry checked where it stands: what is allowed, and what is said when it is not."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten


def _interval(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if not numbers or not all(-1e300 < end < 1e300 for end in value):
        raise PydanticCustomError(
            "interval", "is {value}; expected [low, high], two finite numbers", {"value": _show(value)}
        )
    if not value[0] < value[1]:
        raise PydanticCustomError(
            "interval", "is {value}; expected low < high, so swap or widen the two numbers", {"value": _show(value)}
        )
    return float(value[0]), float(value[1])


def _conditions(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        expected = 'a condition in quotes, such as "abs(x1) <= 0.1", or a list of them'
        raise PydanticCustomError(
            "text", "is {value}; expected {expected}", {"value": _show(value), "expected": expected}
        )
    return texts


def _text(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("text", "is an empty text; expected a name")
    return value


Interval = Annotated[tuple[float, float], BeforeValidator(_interval)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _State(_Table):
    range: Interval
    unit: str = ""
    initial: Interval | None = None
    limits: Interval | None = None
    period: Positive | None = None
    process_noise: Annotated[float, Field(allow_inf_nan=False, ge=0)] = 0.0


class _Input(_Table):
    range: Interval
    unit: str = ""
    role: str = "known"
    excitation: str | None = None


class _Reference(_Table):
    range: Interval
    unit: str = ""
    excitation: str | None = None


class _Parameter(_Table):
    value: Number
    unit: str = ""
    range: Interval | None = None


class _Output(_Table):
    equation: str | None = None  # only a plant that is known from its logs does without
    unit: str = ""
    noise: Annotated[float, Field(allow_inf_nan=False, ge=0)] = 0.0
    range: Interval | None = None
    period: Positive | None = None


class _Sampling(_Table):
    dt: Positive
    duration: Positive | None = None
    unit: str = ""


class _Linear(_Table):
    A: list[list[Number]]
    B: list[list[Number]] | None = None
    C: list[list[Number]]
    D: list[list[Number]] | None = None
    discrete: bool = False


def _short(key: str, kinds: tuple[type, ...]) -> BeforeValidator:
    """``mu = 1.0`` is short for ``mu = { value = 1.0 }``."""
    return BeforeValidator(lambda value: {key: value} if type(value) in kinds else value)


class _Lookup(_Table):
    x: list[Number]
    y: list[Number]
    kind: str = "linear"


class SystemTables(_Table):
    """A system as its file gives it; equations are still texts."""

    name: Annotated[str, AfterValidator(_text)] | None = None
    description: str = ""
    states: dict[str, _State]
    inputs: dict[str, _Input] = {}
    parameters: dict[str, Annotated[_Parameter, _short("value", (int, float))]] = {}
    tables: dict[str, _Lookup] = {}
    definitions: dict[str, str] = {}
    dynamics: dict[str, str] | None = None
    difference: dict[str, str] | None = None
    linear: _Linear | None = None
    outputs: dict[str, Annotated[_Output, _short("equation", (str,))]]
    region: dict[str, Annotated[list[str], BeforeValidator(_conditions)]] = {}
    feedback: dict[str, str | Number] | None = None
    references: dict[str, _Reference] = {}
    sampling: _Sampling | None = None


_TABLES = {
    "states": _State, "inputs": _Input, "parameters": _Parameter, "outputs": _Output, "references": _Reference, "sampling": _Sampling,
    "tables": _Lookup, "linear": _Linear,
}  # fmt: skip
EXPECTED = {
    **dict.fromkeys(("range", "initial", "limits"), "[low, high], two finite numbers"),
    **dict.fromkeys(("unit", "description"), 'a text in quotes, such as "m/s"'),
    **dict.fromkeys(("dt", "duration"), "a positive number, in seconds or the unit of [sampling]"),
    **dict.fromkeys(("A", "B", "C", "D"), "a matrix, a list of rows such as [[0, 1], [-2, -3]]"),
    "discrete": "true or false",
    **dict.fromkeys(("role", "excitation", "name"), "a text in quotes"),
    "period": "the period of the angle, a positive number",
    "noise": "the standard deviation of the noise, zero or positive",
    "process_noise": "a standard deviation per square root of a second, zero or positive",
    "value": "a finite number",
    **dict.fromkeys(("x", "y"), "a list of finite numbers, such as [0, 0.5, 1]"),
    "kind": '"linear" or "monotone"',
    "equation": 'an equation in quotes, such as "-2*x1 + u"',
}
_EXPECTED_ENTRY = {
    **dict.fromkeys(("states", "inputs", "references"), 'a table such as { range = [-1, 1], unit = "m" }'),
    "parameters": 'a finite number, or a table such as { value = 1.0, unit = "kg" }',
    "outputs": 'an equation in quotes, or a table such as { equation = "x1", unit = "m" }',
    "tables": "a table such as { x = [0, 0.5, 1], y = [3.0, 3.6, 4.2] }",
    **dict.fromkeys(("dynamics", "difference", "definitions", "feedback"), EXPECTED["equation"]),
}
_EXPECTED_TABLE = {
    "states": "a table [states] with a line such as x1 = { range = [-1, 1] } for each state",
    "outputs": 'a table [outputs] with a line such as y = "x1" for each measured output',
    "sampling": "a table [sampling] with the line dt = 0.01",
    "region": 'a table [region] with a line such as constraints = ["abs(x1) <= 0.1"]',
}


def read_tables(text: str, file: str) -> SystemTables:
    """The checked tables of a TOML text; :class:`InputError` names ``file`` and the first mistake, located like ``states.x1.range``."""
    raw = _toml(text, file)
    try:
        return SystemTables.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{file}: {_explain(error, raw)}") from None


def _show(value: Any) -> str:
    """A value as it stands in the file, cut to the width of a message."""
    return str(value).lower() if isinstance(value, bool) else shorten(value)


def _toml(text: str, file: str) -> dict[str, Any]:
    if not text.strip():
        raise InputError(f"{file}: the file is empty; `observer new NAME.toml` writes one to start from")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: this is no valid TOML: {error}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, thousands of brackets
        raise InputError(
            f"{file}: this is no valid TOML: a number is too long or brackets are nested too deep"
        ) from None


def _explain(error: ValidationError, raw: Mapping[str, Any]) -> str:
    """One sentence for the first mistake; a misspelt key comes before the key that is missing because of it."""
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    path: list[str] = []
    value: Any = raw
    for key in fault["loc"]:
        if not isinstance(value, dict):  # the short form of an entry
            break
        path.append(str(key))
        value = value.get(str(key))
    place = ".".join(path)
    more = f" (faults after this one: {len(faults) - 1})" if len(faults) > 1 else ""
    if fault["type"] == "extra_forbidden":
        return f"key {place} is unknown; {_advice(path)}{more}"
    if fault["type"] in ("interval", "text"):
        return f"{place} {fault['msg']}{more}"
    if len(path) == 1:
        expected = _EXPECTED_TABLE.get(place) or EXPECTED.get(place) or f"a table [{place}]"
    elif len(path) == 2 and path[0] not in ("sampling", "linear"):
        expected = _EXPECTED_ENTRY[path[0]]
    else:
        expected = EXPECTED[path[-1]]
    got = "missing" if fault["type"] == "missing" else _show(value)
    return f"{place} is {got}; expected {expected}{more}"


def _advice(path: Sequence[str]) -> str:
    table = SystemTables if len(path) == 1 else _TABLES[path[0]]
    if len(path) == 1:
        homes = [home for home in ("sampling",) if path[0] in _TABLES[home].model_fields]
        if homes:
            return f"it belongs to the table [{homes[0]}]"
    return nearest(path[-1], table.model_fields)
