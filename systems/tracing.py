"""Equations in any form that a person writes, read once: function, CasADi function or expressions -> graph of t, x, u, p."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import casadi as ca
import numpy as np

from systems.base.errors import InputError
from systems.evaluation import from_expression
from systems.graph import Graph
from systems.symbolic import SymbolicParameters, SymbolicScalar, expression_of, objects, symbolic_array

ARGUMENTS = ("t", "x", "u", "p")
MANY = 1_000  # values that a function returned, which are counted before each becomes an expression


def read_equations(
    source: Any,
    sizes: Mapping[str, int],
    parameters: list[str],
    given: Mapping[str, Any] | None,
    owner: str,
    check: Callable[[int], None],
) -> Graph:
    """The graph of equations with inputs of ``sizes`` elements (t, x, u, p, in order).

    ``source`` : a function, a ``casadi.Function``, or CasADi expressions of the ``given`` symbols; ``parameters``: names of the
    elements of p. ``owner`` begins every message. Raises :class:`InputError` for what cannot be read; ``check`` raises it for a
    number of values that is not the wanted one, and sees that of a function before millions of them become expressions.
    """
    symbols = {name: ca.SX.sym(name, size) for name, size in sizes.items()}
    if isinstance(source, ca.Function):
        expression = _call(source, symbols, owner)
    elif isinstance(source, ca.SX | ca.MX) or (isinstance(source, list | tuple) and given is not None):
        expression = _substitute(source, dict(given or {}), symbols, owner)
    elif isinstance(source, Callable):
        expression = trace(source, symbols, parameters, owner, check)
    else:
        raise InputError(f"{owner} is {source!r}; expected a function of t, x, u, p or a CasADi function")
    check(expression.numel())
    return from_expression(expression, symbols)


_ORDERS = ("x", "xu", "xup", "xp", "tx", "txu", "txup", "txp")  # of arguments that have no names


def _names(function: ca.Function, symbols: Mapping[str, ca.SX], owner: str) -> list[str]:
    """What the inputs of a CasADi function are; without names of their own they are taken by position and size, x, u, p."""
    names = [function.name_in(k) for k in range(function.n_in())]
    if names != [f"i{k}" for k in range(len(names))]:
        return names
    sizes = [function.numel_in(k) for k in range(len(names))]
    for order in _ORDERS:
        if sizes == [symbols[name].numel() for name in order]:
            return list(order)
    expected = ", ".join(f"{name} of {symbols[name].numel()}" for name in "xup")
    raise InputError(
        f"{owner}: the CasADi function has inputs without names, of {', '.join(map(str, sizes))} elements; expected x, u, p in this order "
        f"({expected}), or name them among t, x, u, p"
    )


def _call(function: ca.Function, symbols: Mapping[str, ca.SX], owner: str) -> ca.SX:
    arguments = []
    for k, name in enumerate(_names(function, symbols, owner)):
        size = function.numel_in(k)
        if name not in symbols:
            raise InputError(
                f"{owner}: the CasADi function's input '{name}' is unknown; name its inputs among {', '.join(symbols)}"
            )
        if size != symbols[name].numel():
            raise InputError(
                f"{owner}: the CasADi function's input '{name}' has {size} elements; expected {symbols[name].numel()}"
            )
        arguments.append(symbols[name])
    if function.n_out() != 1:
        raise InputError(f"{owner}: the CasADi function has {function.n_out()} outputs; expected one column")
    return ca.SX(ca.vec(function.expand().call(arguments)[0]))


def _substitute(source: Any, given: dict[str, Any], symbols: Mapping[str, ca.SX], owner: str) -> ca.SX:
    if not given:
        raise InputError(
            f'{owner} is a CasADi expression; give its symbols too, for instance symbols={{"x": x, "u": u}}'
        )
    unknown = set(given) - set(ARGUMENTS)
    if unknown:
        raise InputError(f"{owner}: symbols for {', '.join(sorted(unknown))}; expected names among t, x, u, p")
    column = ca.vertcat(*source) if isinstance(source, list | tuple) else source
    try:
        function = ca.Function("expression", list(given.values()), [ca.vec(column)], list(given), ["value"])
    except RuntimeError as error:
        free = ", ".join(sorted(str(s) for s in ca.symvar(column)))
        raise InputError(f"{owner}: the expression depends on {free}, of which some are not in symbols=") from error
    return _call(function, symbols, owner)


def _count(value: Any) -> int:
    """How many values a function returned."""
    if isinstance(value, list | tuple):
        return sum(map(_count, value))
    return value.size if isinstance(value, np.ndarray) else 1


def _column(value: Any, owner: str) -> ca.SX:
    """Whatever the function returned as a CasADi column."""
    if isinstance(value, ca.MX):
        raise InputError(f"{owner} returned a CasADi MX expression; use SX symbols, or pass a casadi.Function")
    if isinstance(value, ca.SX | ca.DM):
        return ca.SX(ca.densify(ca.vec(value)))
    if isinstance(value, Mapping):
        raise InputError(f"{owner} returned a dict; expected a list in the order of the signals")
    if value is None:
        raise InputError(f"{owner} returned nothing; is a `return` missing?")
    items = list(value) if isinstance(value, list | tuple) else list(np.atleast_1d(objects(value)))
    parts = []
    for item in items:
        if isinstance(item, ca.SX | ca.DM):
            parts.append(ca.SX(ca.densify(ca.vec(item))))
        elif isinstance(item, list | tuple | np.ndarray) and np.ndim(item) > 0:
            parts.append(_column(item, owner))
        elif isinstance(item, np.ndarray):
            parts.append(expression_of(item[()]))
        else:
            try:
                parts.append(expression_of(item))
            except (TypeError, ValueError) as error:
                raise InputError(f"{owner} returned {item!r}; expected numbers or expressions of x, u and p") from error
    return ca.vertcat(*parts) if parts else ca.SX(0, 1)


def _interpolator(error: BaseException) -> str | None:
    """The class of SciPy's interpolators in which an error was raised, if it was."""
    place = error.__traceback__
    while place is not None:
        if str(place.tb_frame.f_globals.get("__name__", "")).startswith("scipy.interpolate"):
            return type(place.tb_frame.f_locals.get("self")).__name__.replace("NoneType", "scipy.interpolate")
        place = place.tb_next
    return None


def trace(
    function: Callable[..., Any],
    symbols: Mapping[str, ca.SX],
    parameters: list[str],
    owner: str,
    check: Callable[[int], None] = lambda count: None,
) -> ca.SX:
    """Call ``function`` once on symbols and return its result as a CasADi column.

    ``symbols`` maps t, x, u, p (of a feedback law also y and r) to CasADi columns.
    Arguments are matched by name; raises :class:`InputError` where the
    function asks for anything else or does what cannot be traced.
    """
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise InputError(f"{owner}: {function!r} is no Python function with a readable signature") from error
    arguments: dict[str, Any] = {}
    for argument in wanted:
        if argument.name in symbols and argument.kind is not argument.VAR_KEYWORD:
            if argument.name == "p":
                scalars = symbolic_array(symbols["p"])
                arguments["p"] = SymbolicParameters(dict(zip(parameters, scalars, strict=True)))
            elif argument.name == "t":
                arguments["t"] = SymbolicScalar(symbols["t"][0])
            else:
                arguments[argument.name] = symbolic_array(symbols[argument.name])
        elif argument.default is argument.empty and argument.kind not in (
            argument.VAR_POSITIONAL,
            argument.VAR_KEYWORD,
        ):
            raise InputError(
                f"{owner}: argument '{argument.name}' is unknown; arguments are matched by name among {', '.join(symbols)}"
            )
    try:
        value = function(**arguments)
        count = _count(value)
        if count > MANY:
            check(count)
        return _column(value, owner)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a person's function raises what it likes
        scipy = _interpolator(error)
        if scipy:
            raise InputError(
                f"{owner}: the equations are read once, on symbols, and a SciPy interpolator ({scipy}) works on numbers only; use "
                'np.interp(x, points, values), or table(x, points, values, "monotone") of `systems` for a smooth one'
            ) from error
        if isinstance(error, InputError):
            raise InputError(f"{error}" if f"{error}".startswith(owner) else f"{owner}: {error}") from error
        advice = ""
        if "dtype('O')" in str(error) or "object" in str(error):
            advice = "; this NumPy function does not work on symbols - for matrices use np.linalg.solve(matrix, vector of states)"
        raise InputError(f"{owner} cannot be evaluated: {type(error).__name__}: {error}{advice}") from error
