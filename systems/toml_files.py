"""A system written as TOML: tables of signals, parameters and text equations, every entry checked where it stands.

    [states] [inputs] [parameters] [definitions] [dynamics] or [difference] [outputs] [sampling]

``[dynamics]`` gives dx/dt, ``[difference]`` the next state of a discrete map. ``[definitions]`` names intermediate
equations, worked out in order, for use in all equations below them. ``t`` is the time in seconds.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from systems.base.errors import InputError
from systems.base.wording import nearest, shorten
from systems.equations import Equation, parse
from systems.signals import Parameter, Signal, check_name
from systems.system import System


def _interval(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if not numbers or not all(-1e300 < end < 1e300 for end in value):
        raise PydanticCustomError(
            "interval", "is {value}; expected [low, high], two finite numbers", {"value": show(value)}
        )
    if not value[0] < value[1]:
        raise PydanticCustomError(
            "interval", "is {value}; expected low < high, so swap or widen the two numbers", {"value": show(value)}
        )
    return float(value[0]), float(value[1])


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


class _Input(_Table):
    range: Interval
    unit: str = ""
    role: str = "known"
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


def _short(key: str, kinds: tuple[type, ...]) -> BeforeValidator:
    """``mu = 1.0`` is short for ``mu = { value = 1.0 }``."""
    return BeforeValidator(lambda value: {key: value} if type(value) in kinds else value)


class _File(_Table):
    name: Annotated[str, AfterValidator(_text)] | None = None
    description: str = ""
    states: dict[str, _State]
    inputs: dict[str, _Input] = {}
    parameters: dict[str, Annotated[_Parameter, _short("value", (int, float))]] = {}
    definitions: dict[str, str] = {}
    dynamics: dict[str, str] | None = None
    difference: dict[str, str] | None = None
    outputs: dict[str, Annotated[_Output, _short("equation", (str,))]]
    sampling: _Sampling | None = None


_TABLES = {"states": _State, "inputs": _Input, "parameters": _Parameter, "outputs": _Output, "sampling": _Sampling}
_EXPECTED = {
    **dict.fromkeys(("range", "initial", "limits"), "[low, high], two finite numbers"),
    **dict.fromkeys(("unit", "description"), 'a text in quotes, such as "m/s"'),
    **dict.fromkeys(("dt", "duration"), "a positive number of seconds"),
    **dict.fromkeys(("role", "excitation", "name"), "a text in quotes"),
    "period": "the period of the angle, a positive number",
    "noise": "the standard deviation of the noise, zero or positive",
    "value": "a finite number",
    "equation": 'an equation in quotes, such as "-2*x1 + u"',
}
_EXPECTED_ENTRY = {
    **dict.fromkeys(("states", "inputs"), 'a table such as { range = [-1, 1], unit = "m" }'),
    "parameters": 'a finite number, or a table such as { value = 1.0, unit = "kg" }',
    "outputs": 'an equation in quotes, or a table such as { equation = "x1", unit = "m" }',
    **dict.fromkeys(("dynamics", "difference", "definitions"), _EXPECTED["equation"]),
}
_EXPECTED_TABLE = {
    "states": "a table [states] with a line such as x1 = { range = [-1, 1] } for each state",
    "outputs": 'a table [outputs] with a line such as y = "x1" for each measured output',
    "sampling": "a table [sampling] with the line dt = 0.01",
}


def system_from_toml(text: str, file: str, name: str = "system", source: str = "") -> System:
    """Read a system from the text of a TOML file.

    ``file`` is named in every message; ``name`` is the name of the system when the file gives none. Raises
    :class:`InputError` with one message, located like ``states.x1.range``.
    """
    tables = _tables(text, file)
    kind, equations = _equations(tables, file)
    for key, output in tables.outputs.items():
        if output.equation is None:
            raise InputError(f"{file}: outputs.{key}.equation is missing; expected {_EXPECTED['equation']}")
    return _build(tables, file, name, source, kind, equations)


def outline_from_toml(
    text: str, file: str, name: str = "system", source: str = ""
) -> tuple[System, tuple[bool, ...]] | None:
    """A plant of which a TOML file gives no equations, as far as it is known; None for a file that has them.

    Returns the system with x[k+1] = x[k] in place of its motion, and whether each output is a plain logged column
    (``y = {}``; zero in place of its equation). Raises :class:`InputError` as :func:`system_from_toml` does.
    """
    tables = _tables(text, file)
    if tables.dynamics is not None or tables.difference is not None:
        return None
    plain = tuple(output.equation is None for output in tables.outputs.values())
    still = {state: state for state in tables.states}
    tables = tables.model_copy(update={"difference": still})
    _equations(tables, file)
    return _build(tables, file, name, source, "difference", still), plain


def _tables(text: str, file: str) -> _File:
    raw = _toml(text, file)
    try:
        return _File.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{file}: {_explain(error, raw)}") from None


def _build(tables: _File, file: str, name: str, source: str, kind: str, equations: Mapping[str, str]) -> System:
    _check_names(tables, file)
    known = ["t", *tables.states, *tables.inputs, *tables.parameters]
    definitions: dict[str, Equation] = {}
    for position, (definition, equation) in enumerate(tables.definitions.items()):
        owner = f"{file}: definitions.{definition}"
        definitions[definition] = _parse(equation, known, owner, list(tables.definitions)[position:])
        known.append(definition)
    derivatives = [parse(equations[state], known, f"{file}: {kind}.{state}") for state in tables.states]
    measured = [parse(item.equation or "0", known, f"{file}: outputs.{key}") for key, item in tables.outputs.items()]

    sampling = tables.sampling
    parameters = {key: Parameter(p.value, p.unit, p.range) for key, p in tables.parameters.items()}
    names = (list(tables.states), list(tables.inputs))
    states, inputs, outputs = (
        _signals(getattr(tables, what), f"{file}: {what}") for what in ("states", "inputs", "outputs")
    )
    try:
        return System(
            name=tables.name or name,
            description=tables.description,
            source=source,
            states=states,
            inputs=inputs,
            outputs=outputs,
            parameters=parameters,
            dynamics=_function(derivatives, definitions, *names),
            output=_function(measured, definitions, *names),
            kind="discrete" if kind == "difference" else "continuous",
            dt=sampling.dt if sampling else None,
            duration=sampling.duration if sampling else None,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def show(value: Any) -> str:
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
        expected = _EXPECTED_TABLE.get(place) or _EXPECTED.get(place) or f"a table [{place}]"
    elif len(path) == 2 and path[0] != "sampling":
        expected = _EXPECTED_ENTRY[path[0]]
    else:
        expected = _EXPECTED[path[-1]]
    got = "missing" if fault["type"] == "missing" else show(value)
    return f"{place} is {got}; expected {expected}{more}"


def _advice(path: Sequence[str]) -> str:
    table = _File if len(path) == 1 else _TABLES[path[0]]
    if len(path) == 1:
        homes = [home for home in ("sampling",) if path[0] in _TABLES[home].model_fields]
        if homes:
            return f"it belongs to the table [{homes[0]}]"
    return nearest(path[-1], table.model_fields)


def _equations(tables: _File, file: str) -> tuple[str, dict[str, str]]:
    """Which of [dynamics] and [difference] the file has, with exactly one equation for each state."""
    if not tables.states:
        raise InputError(f"{file}: states is empty; expected at least one line such as x1 = {{ range = [-1, 1] }}")
    if not tables.outputs:
        raise InputError(f"{file}: outputs is empty; an observer needs at least one measured output")
    if tables.dynamics is not None and tables.difference is not None:
        raise InputError(
            f"{file}: both dynamics and difference are given; keep [dynamics] for an ODE, [difference] for a map"
        )
    kind = "difference" if tables.difference is not None else "dynamics"
    equations = tables.difference if tables.dynamics is None else tables.dynamics
    if equations is None:
        raise InputError(
            f"{file}: dynamics is missing; expected [dynamics] for an ODE or [difference] for a discrete map "
            "(only a plant that is learned from logs, with --data, does without)"
        )
    for state in equations:
        if state not in tables.states:
            raise InputError(f"{file}: {kind}.{state} belongs to no state; {nearest(state, tables.states)}")
    for state in tables.states:
        if state not in equations:
            raise InputError(f'{file}: states.{state} has no equation; add {state} = "..." to [{kind}]')
    return kind, equations


def _check_names(tables: _File, file: str) -> None:
    """One name, one meaning, for what equations refer to; an output may be called like the state that it measures."""
    taken = {"t": "the time"}
    for what in ("states", "inputs", "parameters", "definitions"):
        for name in getattr(tables, what):
            try:
                check_name(what[:-1], name)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
            if name in taken:
                raise InputError(
                    f"{file}: {what}.{name}: the name '{name}' is already {taken[name]}; choose another name"
                )
            taken[name] = f"{'an' if what == 'inputs' else 'a'} {what[:-1]}"


def _parse(text: str, known: Sequence[str], owner: str, later: Iterable[str]) -> Equation:
    """Parse a definition; one that uses a later definition gets the advice to change the order."""
    ahead = set(later)
    equation = parse(text, [*known, *later], owner)
    early = next((name for name in equation.names if name in ahead), None)
    if early is not None and owner.endswith(f".{early}"):
        raise InputError(f"{owner}: the definition uses itself; a state is written in [dynamics] or [difference]")
    if early is not None:
        raise InputError(
            f"{owner}: '{early}' is not yet known here; definitions are worked out in order, so move it up"
        )
    return equation


def _signals(entries: Mapping[str, BaseModel], owner: str) -> list[Signal]:
    signals = []
    for name, entry in entries.items():
        try:
            signals.append(Signal(name, **{key: value for key, value in entry if key != "equation"}))
        except InputError as error:
            raise InputError(f"{owner}.{name}." + str(error).removeprefix(f"signal '{name}': ")) from None
    return signals


def _function(
    equations: Sequence[Equation], definitions: Mapping[str, Equation], states: Sequence[str], inputs: Sequence[str]
) -> Callable[..., list[Any]]:
    """The function of t, x, u, p that these equations define."""

    def evaluate(t: Any, x: Sequence[Any], u: Sequence[Any], p: Mapping[str, Any]) -> list[Any]:
        values = {"t": t, **dict(zip(states, x, strict=True)), **dict(zip(inputs, u, strict=True)), **p}
        for name, equation in definitions.items():
            values[name] = equation.evaluate(values)
        return [equation.evaluate(values) for equation in equations]

    return evaluate
