"""A plant's graph as a short program for the kernels: constants folded, dead nodes dropped, what is not covered refused.

One instruction is (code, a, b, c): operation, the instructions whose values it takes, and a constant.
"""

from dataclasses import dataclass

import numpy as np

from observer.certification.residual.kernels import OPERATIONS
from systems.base.errors import InputError
from systems.evaluation import evaluate
from systems.graph import Graph

#: operation -> code. STATE and INPUT load element a; SCALE and SHIFT work by the constant c; POWER is v^c.
CODES = {name: code for code, name in enumerate(OPERATIONS)}
_PLAIN = ("exp", "log", "sqrt", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "abs", "sign")


class Unprovable(InputError):
    """No proved bound can be had for this plant: an operation that has no relaxation, or too many dimensions."""


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions ``code, a, b`` (n,) and ``c`` (n,), and which of them are the result, ``outputs`` (m,)."""

    code: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    outputs: np.ndarray


class _Writer:
    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, float]] = []
        self._seen: dict[tuple[int, int, int, float], int] = {}

    def put(self, name: str, a: int = 0, b: int = 0, c: float = 0.0) -> int:
        row = (CODES[name], a, b, c)
        if row not in self._seen:
            self._seen[row] = len(self.rows)
            self.rows.append(row)
        return self._seen[row]


def compile_program(graph: Graph, parameters: np.ndarray, what: str) -> Program:
    """The program of a graph with inputs t, x, u, p; p is put in, t is 0 (a plant that depends on it cannot be fitted).

    Raises :class:`Unprovable`, which names the operation, for what has no relaxation; ``what`` says whose graph it is.
    """
    if graph.used("t"):
        raise Unprovable(f"{what} depends on t explicitly; expected a time-invariant plant")
    writer, live = _Writer(), graph._live
    values: list[float | int | None] = []  # a float: a constant; an int: the instruction that computes it
    for index, (kind, *arguments) in enumerate(graph.nodes):
        if index not in live:
            values.append(None)
        elif kind == "input":
            name, element = arguments
            values.append(
                writer.put("STATE", element) if name == "x" else writer.put("INPUT", element)
                if name == "u" else float(parameters[element])
            )  # fmt: skip
        elif kind == "const":
            values.append(float(arguments[0]))
        else:
            values.append(_translate(writer, kind, [values[a] for a in arguments], what))
    outputs = [writer.put("CONST", c=v) if isinstance(v, float) else v for v in (values[k] for k in graph.outputs)]
    columns = list(zip(*writer.rows, strict=True)) or [(), (), (), ()]
    code, a, b = (np.array(column, dtype=np.int64) for column in columns[:3])
    return Program(code, a, b, np.array(columns[3], dtype=float), np.array(outputs, dtype=np.int64))


def _folded(kind: str, values: list[float]) -> float:
    nodes = tuple(("const", v) for v in values)
    graph = Graph((), (*nodes, (kind, *range(len(values)))), (len(values),), (1,))
    return float(evaluate(graph)[0])


def _translate(writer: _Writer, kind: str, args: list, what: str) -> float | int:
    if all(isinstance(v, float) for v in args):
        return _folded(kind, args)
    put = writer.put
    if kind in _PLAIN:
        return put(kind, args[0])
    if kind == "neg":
        return put("SCALE", args[0], c=-1.0)
    if kind == "sq":
        return put("mul", args[0], args[0])
    if kind in ("add", "sub", "mul", "div", "pow", "min", "max"):
        return _binary(put, kind, *args)
    raise Unprovable(
        f"{what} uses the operation {kind!r}, for which no bound over a region can be proved here; rewrite it with "
        f"+, -, *, /, powers, {', '.join(_PLAIN)}, min or max, or rely on the statistical certificate"
    )


def _binary(put, kind: str, a, b) -> float | int:  # type: ignore[no-untyped-def]
    fixed_a, fixed_b = isinstance(a, float), isinstance(b, float)
    if kind == "add":
        return put("SHIFT", b, c=a) if fixed_a else put("SHIFT", a, c=b) if fixed_b else put("add", a, b)
    if kind == "sub":
        if fixed_a:
            return put("SHIFT", put("SCALE", b, c=-1.0), c=a)
        return put("SHIFT", a, c=-b) if fixed_b else put("sub", a, b)
    if kind == "mul":
        return put("SCALE", b, c=a) if fixed_a else put("SCALE", a, c=b) if fixed_b else put("mul", a, b)
    if kind == "div":
        if fixed_b:
            return put("SCALE", a, c=1 / b if b else np.inf)
        inverse = put("inv", b)
        return put("SCALE", inverse, c=a) if fixed_a else put("mul", a, inverse)
    if kind == "pow":
        if fixed_b:
            return _power(put, a, b)
        logarithm = float(np.log(a)) if fixed_a and a > 0 else put("log", put("CONST", c=a) if fixed_a else a)
        return put("exp", _binary(put, "mul", logarithm, b))
    # min and max: (a + b -+ |a - b|) / 2
    half = _binary(put, "add", a, b)
    apart = put("abs", _binary(put, "sub", a, b))
    return put("SCALE", put("add" if kind == "max" else "sub", half, apart), c=0.5)


def _power(put, a: int, exponent: float) -> float | int:  # type: ignore[no-untyped-def]
    if exponent in (0.0, 1.0):
        return 1.0 if exponent == 0 else a
    if exponent == 2:
        return put("mul", a, a)
    if exponent == 3:
        return put("mul", put("mul", a, a), a)
    return put("inv", a) if exponent == -1 else put("sqrt", a) if exponent == 0.5 else put("POWER", a, c=exponent)
