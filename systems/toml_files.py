"""A system written as TOML: tables of signals, parameters and text equations.

    [states] [inputs] [parameters] [tables] [definitions] [dynamics], [difference] or [linear] [outputs] [region] [feedback]
    [references] [sampling]

``[feedback]`` gives inputs in terms of states, outputs and ``[references]``, for simulated data.
``[dynamics]`` gives dx/dt, ``[difference]`` the next state of a discrete map. ``[definitions]`` names intermediate
equations, worked out in order, for use in all equations below them. ``[tables]`` names tables of points, used as ``table(name, x)``.
Entries of ``[region]`` are conditions, or lists of them, under any names: ``constraints = ["abs(beta) <= 0.1", "s^2 + c^2 = 1"]``.
``t`` is the time in the plant's unit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from systems.base.errors import InputError
from systems.base.wording import nearest
from systems.constraints import Conditions, read_comparisons
from systems.equations import Equation, parse
from systems.expressions import TABLE
from systems.feedback import EXCITATION, Feedback
from systems.linear import linear_equations
from systems.lookup import LookupTable
from systems.signals import Parameter, Signal, check_name
from systems.system import System
from systems.toml_tables import EXPECTED, SystemTables, read_tables


@dataclass(frozen=True)
class _Scope:
    """What equations may refer to: the names, and what definitions and tables among them are."""

    known: Mapping[str, str | None]
    definitions: Mapping[str, Equation] = field(default_factory=dict)
    lookups: Mapping[str, LookupTable] = field(default_factory=dict)


def system_from_toml(text: str, file: str, name: str = "system", source: str = "") -> System:
    """Read a system from the text of a TOML file.

    ``file`` is named in every message; ``name`` is the name of the system when the file gives none. Raises
    :class:`InputError` with one message, located like ``states.x1.range``.
    """
    tables = read_tables(text, file)
    _check_names(tables, file)
    if tables.linear is not None:
        return _linear(tables, file, name, source)
    kind, equations = _equations(tables, file)
    for key, output in tables.outputs.items():
        if output.equation is None:
            raise InputError(f"{file}: outputs.{key}.equation is missing; expected {EXPECTED['equation']}")
    return _build(tables, file, name, source, kind, equations)


def outline_from_toml(
    text: str, file: str, name: str = "system", source: str = ""
) -> tuple[System, tuple[bool, ...]] | None:
    """A plant of which a TOML file gives no equations, as far as it is known; None for a file that has them.

    Returns the system with x[k+1] = x[k] in place of its motion, and whether each output is a plain logged column
    (``y = {}``; zero in place of its equation). Raises :class:`InputError` as :func:`system_from_toml` does.
    """
    tables = read_tables(text, file)
    if tables.dynamics is not None or tables.difference is not None or tables.linear is not None:
        return None
    plain = tuple(output.equation is None for output in tables.outputs.values())
    still = {state: state for state in tables.states}
    tables = tables.model_copy(update={"difference": still})
    _check_names(tables, file)
    _equations(tables, file)
    return _build(tables, file, name, source, "difference", still), plain


def _build(tables: SystemTables, file: str, name: str, source: str, kind: str, equations: Mapping[str, str]) -> System:
    order = {name: place for place, name in enumerate(tables.definitions)}
    known = _known(tables)
    lookups = {key: _lookup(f"{file}: tables.{key}", entry) for key, entry in tables.tables.items()}
    definitions = {
        name: _definition(equation, known, order, f"{file}: definitions.{name}", order[name])
        for name, equation in tables.definitions.items()
    }
    derivatives = [parse(equations[state], known, f"{file}: {kind}.{state}") for state in tables.states]
    measured = [parse(item.equation or "0", known, f"{file}: outputs.{key}") for key, item in tables.outputs.items()]

    names = (list(tables.states), list(tables.inputs))
    return _system(
        tables,
        file,
        tables.name or name,
        source,
        _Scope(known, definitions, lookups),
        dynamics=_function(derivatives, definitions, *names, lookups),
        output=_function(measured, definitions, *names, lookups),
        kind="discrete" if kind == "difference" else "continuous",
    )


def _known(tables: SystemTables) -> dict[str, str | None]:
    """The names that equations may use; those of tables lead to ``TABLE``."""
    names = ["t", *tables.states, *tables.inputs, *tables.parameters, *tables.definitions]
    return dict.fromkeys(names) | dict.fromkeys(tables.tables, TABLE)


def _linear(tables: SystemTables, file: str, name: str, source: str) -> System:
    """The plant of a table [linear]: the matrices A, B, C, D in the order of the signals."""
    for what in ("dynamics", "difference", "definitions", "tables"):
        if getattr(tables, what):
            raise InputError(f"{file}: both linear and {what} are given; keep one of them")
    given = next((key for key, output in tables.outputs.items() if output.equation is not None), None)
    if given is not None:
        raise InputError(f"{file}: outputs.{given} has an equation beside the matrix C of linear; write {given} = {{}}")
    matrices = tables.linear.model_dump() if tables.linear else {}
    discrete = matrices.pop("discrete", False)
    try:
        dynamics, output = linear_equations(
            **matrices, nx=len(tables.states), nu=len(tables.inputs), ny=len(tables.outputs)
        )
    except InputError as error:
        raise InputError(f"{file}: linear: {error}") from None
    return _system(
        tables,
        file,
        tables.name or name,
        source,
        _Scope(_known(tables)),
        dynamics=dynamics,
        output=output,
        kind="discrete" if discrete else "continuous",
    )


def _system(tables: SystemTables, file: str, name: str, source: str, scope: _Scope, **equations: Any) -> System:
    sampling = tables.sampling
    parameters = {key: _parameter(f"{file}: parameters.{key}", entry) for key, entry in tables.parameters.items()}
    states, inputs, outputs = (
        _signals(getattr(tables, what), f"{file}: {what}") for what in ("states", "inputs", "outputs")
    )
    region, feedback = _region(tables, scope, file), _feedback(tables, scope, file)
    try:
        return System(
            name=name,
            description=tables.description,
            source=source,
            states=states,
            inputs=inputs,
            outputs=outputs,
            parameters=parameters,
            dt=sampling.dt if sampling else None,
            duration=sampling.duration if sampling else None,
            time_unit=sampling.unit if sampling else "",
            region=region,
            feedback=feedback,
            **equations,
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _region(tables: SystemTables, scope: _Scope, file: str) -> Conditions | None:
    """The conditions of [region]; None where there are none."""
    rows = [
        comparison
        for name, texts in tables.region.items()
        for text in texts
        for comparison in read_comparisons(text, scope.known, f"{file}: region.{name}")
    ]
    return (
        Conditions(rows, list(tables.states), list(tables.inputs), scope.definitions, scope.lookups) if rows else None
    )


def _feedback(tables: SystemTables, scope: _Scope, file: str) -> Feedback | None:
    """The law of [feedback] with its [references]; ``excitation`` there is the share of the usual one that is added."""
    if tables.feedback is None:
        if tables.references:
            raise InputError(
                f"{file}: [references] belong to a law; add [feedback] with an equation for each driven input"
            )
        return None
    law = dict(tables.feedback)
    share = law.pop("excitation", EXCITATION) if "excitation" not in tables.inputs else EXCITATION
    if isinstance(share, str):
        raise InputError(f"{file}: feedback.excitation is {share!r}; expected a share from 0 to 1")
    names = {**scope.known, **dict.fromkeys([*tables.references, *tables.outputs])}
    equations = [parse(str(text), names, f"{file}: feedback.{name}") for name, text in law.items()]
    signals = (list(tables.states), list(tables.inputs), list(tables.outputs), list(tables.references))

    def evaluate(t: Any, x: Any, u: Any, p: Any, y: Any, r: Any) -> list[Any]:
        measured = dict(zip(signals[2], y, strict=True))  # a state of the same name goes before it
        values = measured | dict(zip(signals[3], r, strict=True))
        values |= {
            "t": t,
            **dict(zip(signals[0], x, strict=True)),
            **dict(zip(signals[1], u, strict=True)),
            **p,
            **scope.lookups,
        }
        for name, equation in scope.definitions.items():
            values[name] = equation.evaluate(values)
        return [equation.evaluate(values) for equation in equations]

    references = _signals(tables.references, f"{file}: references")
    return Feedback(law=evaluate, inputs=tuple(law), references=references, excitation=float(share))


def _equations(tables: SystemTables, file: str) -> tuple[str, dict[str, str]]:
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
            f"{file}: dynamics is missing; expected [dynamics] for an ODE, [difference] for a discrete map, or [linear] for matrices "
            "A, B, C, D (only a plant that is learned from logs, with --data, does without)"
        )
    for state in equations:
        if state not in tables.states:
            raise InputError(f"{file}: {kind}.{state} belongs to no state; {nearest(state, tables.states)}")
    for state in tables.states:
        if state not in equations:
            raise InputError(f'{file}: states.{state} has no equation; add {state} = "..." to [{kind}]')
    return kind, equations


def _check_names(tables: SystemTables, file: str) -> None:
    """One name, one meaning, for what equations refer to; an output may be called like the state that it measures."""
    taken = {"t": "the time"}
    for what in ("states", "inputs", "parameters", "tables", "definitions", "references", "outputs"):
        for name in getattr(tables, what):
            try:
                check_name(what[:-1], name)
            except InputError as error:
                raise InputError(f"{file}: {error}") from None
            if what == "outputs":
                continue
            if name in taken:
                raise InputError(
                    f"{file}: {what}.{name}: the name '{name}' is already {taken[name]}; choose another name"
                )
            taken[name] = f"{'an' if what == 'inputs' else 'a'} {what[:-1]}"


def _definition(
    text: str, known: Mapping[str, str | None], order: Mapping[str, int], owner: str, place: int
) -> Equation:
    """Parse the definition at ``place`` of ``order``; one that uses a later definition gets the advice to change the order."""
    equation = parse(text, known, owner)
    early = next((name for name in equation.names if order.get(name, -1) >= place), None)
    if early is not None and order[early] == place:
        raise InputError(f"{owner}: the definition uses itself; a state is written in [dynamics] or [difference]")
    if early is not None:
        raise InputError(
            f"{owner}: '{early}' is not yet known here; definitions are worked out in order, so move it up"
        )
    return equation


def _parameter(owner: str, entry: Any) -> Parameter:
    try:
        return Parameter(entry.value, entry.unit, entry.range)
    except InputError as error:
        raise InputError(f"{owner}." + str(error).removeprefix("parameter: ")) from None


def _lookup(owner: str, entry: Any) -> LookupTable:
    try:
        return LookupTable(entry.x, entry.y, entry.kind)
    except InputError as error:
        raise InputError(f"{owner}: " + str(error).removeprefix("table: ")) from None


def _signals(entries: Mapping[str, BaseModel], owner: str) -> list[Signal]:
    signals = []
    for name, entry in entries.items():
        try:
            signals.append(Signal(name, **{key: value for key, value in entry if key != "equation"}))
        except InputError as error:
            raise InputError(f"{owner}.{name}." + str(error).removeprefix(f"signal '{name}': ")) from None
    return signals


def _function(
    equations: Sequence[Equation],
    definitions: Mapping[str, Equation],
    states: Sequence[str],
    inputs: Sequence[str],
    lookups: Mapping[str, LookupTable],
) -> Callable[..., list[Any]]:
    """The function of t, x, u, p that these equations define."""

    def evaluate(t: Any, x: Sequence[Any], u: Sequence[Any], p: Mapping[str, Any]) -> list[Any]:
        values = {"t": t, **dict(zip(states, x, strict=True)), **dict(zip(inputs, u, strict=True)), **p, **lookups}
        for name, equation in definitions.items():
            values[name] = equation.evaluate(values)
        return [equation.evaluate(values) for equation in equations]

    return evaluate
