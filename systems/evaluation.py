"""One graph, many evaluators: NumPy over batches, CasADi for derivatives. Each is a table of operations."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import casadi as ca
import numpy as np
from scipy.special import erf

from systems.base.errors import InputError
from systems.graph import Graph

MOST_VALUES = 1 << 24  # values of nodes that are held at once

_NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "pow": np.power,
    "sq": np.square, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh,
    "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "log1p": np.log1p,
    "expm1": np.expm1, "hypot": np.hypot, "erf": erf, "abs": np.abs, "sign": np.sign, "floor": np.floor,
    "ceil": np.ceil, "fmod": np.fmod, "copysign": np.copysign, "min": np.fmin, "max": np.fmax,
    "lt": lambda a, b: np.less(a, b) * 1.0, "le": lambda a, b: np.less_equal(a, b) * 1.0,
    "eq": lambda a, b: np.equal(a, b) * 1.0, "ne": lambda a, b: np.not_equal(a, b) * 1.0,
    "not": lambda a: np.equal(a, 0) * 1.0, "and": lambda a, b: np.logical_and(a, b) * 1.0,
    "or": lambda a, b: np.logical_or(a, b) * 1.0, "if_else_zero": lambda c, a: np.where(np.not_equal(c, 0), a, 0.0),
}  # fmt: skip

_CASADI: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "neg": lambda a: -a, "pow": lambda a, b: a**b, "sq": lambda a: a * a, "sqrt": ca.sqrt, "exp": ca.exp, "log": ca.log,
    "sin": ca.sin, "cos": ca.cos, "tan": ca.tan, "asin": ca.asin, "acos": ca.acos, "atan": ca.atan, "atan2": ca.atan2,
    "sinh": ca.sinh, "cosh": ca.cosh, "tanh": ca.tanh, "asinh": ca.asinh, "acosh": ca.acosh, "atanh": ca.atanh,
    "log1p": ca.log1p, "expm1": ca.expm1, "hypot": ca.hypot, "erf": ca.erf, "abs": ca.fabs, "sign": ca.sign,
    "floor": ca.floor, "ceil": ca.ceil, "fmod": ca.fmod, "copysign": ca.copysign, "min": ca.fmin, "max": ca.fmax,
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "not": ca.logic_not, "and": ca.logic_and, "or": ca.logic_or, "if_else_zero": lambda c, a: ca.if_else(c, a, 0),
}  # fmt: skip

# CasADi's instruction codes -> our names; "assign", "twice" and "inv" are rewritten while reading.
_OPCODES = {
    ca.OP_ADD: "add", ca.OP_SUB: "sub", ca.OP_MUL: "mul", ca.OP_DIV: "div", ca.OP_NEG: "neg", ca.OP_EXP: "exp",
    ca.OP_LOG: "log", ca.OP_POW: "pow", ca.OP_CONSTPOW: "pow", ca.OP_SQRT: "sqrt", ca.OP_SQ: "sq", ca.OP_SIN: "sin",
    ca.OP_COS: "cos", ca.OP_TAN: "tan", ca.OP_ASIN: "asin", ca.OP_ACOS: "acos", ca.OP_ATAN: "atan",
    ca.OP_ATAN2: "atan2", ca.OP_SINH: "sinh", ca.OP_COSH: "cosh", ca.OP_TANH: "tanh", ca.OP_ASINH: "asinh",
    ca.OP_ACOSH: "acosh", ca.OP_ATANH: "atanh", ca.OP_LOG1P: "log1p", ca.OP_EXPM1: "expm1", ca.OP_HYPOT: "hypot",
    ca.OP_ERF: "erf", ca.OP_FABS: "abs", ca.OP_SIGN: "sign", ca.OP_FLOOR: "floor", ca.OP_CEIL: "ceil",
    ca.OP_FMOD: "fmod", ca.OP_COPYSIGN: "copysign", ca.OP_FMIN: "min", ca.OP_FMAX: "max", ca.OP_LT: "lt",
    ca.OP_LE: "le", ca.OP_EQ: "eq", ca.OP_NE: "ne", ca.OP_NOT: "not", ca.OP_AND: "and", ca.OP_OR: "or",
    ca.OP_IF_ELSE_ZERO: "if_else_zero",
}  # fmt: skip


def _run(graph: Graph, table: Mapping[str, Callable[..., Any]], element: Callable, constant: Callable) -> list[Any]:
    values: list[Any] = []
    for kind, *arguments in graph.nodes:
        if kind == "input":
            values.append(element(*arguments))
        elif kind == "const":
            values.append(constant(arguments[0]))
        else:
            values.append(table[kind](*[values[k] for k in arguments]))
    return [values[k] for k in graph.outputs]


def evaluate(graph: Graph, **inputs: Any) -> np.ndarray:
    """Evaluate over a batch with NumPy: each input is ``(..., size)``; the result is ``(..., *graph.shape)``.

    Leading dimensions broadcast. Invalid operations give nan, as in NumPy, without a warning: the caller names the signal. A large
    batch is evaluated in pieces, since every node of the graph has a value for each point.
    """
    arrays = {name: np.asarray(value, dtype=float) for name, value in inputs.items()}
    for name, size in graph.inputs:
        got = arrays[name].shape[-1] if name in arrays and arrays[name].ndim else None
        if got != size:
            raise InputError(f"'{name}' has {got} elements in its last dimension; expected {size}")
    batch = np.broadcast_shapes(*(arrays[name].shape[:-1] for name, _ in graph.inputs))
    values = math.prod(batch) * len(graph.nodes)
    if batch and batch[0] > 1 and values > MOST_VALUES:
        rows = max(1, batch[0] * MOST_VALUES // values)
        cuts = [slice(start, start + rows) for start in range(0, batch[0], rows)]
        result = np.empty((*batch, *graph.shape))
        for cut in cuts:
            part = {n: a[cut] if a.shape[: -1 - len(batch[1:])] == batch[:1] else a for n, a in arrays.items()}
            result[cut] = evaluate(graph, **part)
        return result
    with np.errstate(all="ignore"):
        columns = _run(graph, _NUMPY, lambda name, k: arrays[name][..., k], np.float64)
    result = np.empty((*batch, len(columns)))
    for k, column in enumerate(columns):
        result[..., k] = column
    return result.reshape(*batch, *graph.shape)


def symbols_of(graph: Graph) -> dict[str, ca.SX]:
    """Fresh CasADi symbols for the inputs of a graph, in order."""
    return {label: ca.SX.sym(label, size) for label, size in graph.inputs}


def to_casadi(graph: Graph, name: str = "graph") -> ca.Function:
    """The graph as a CasADi SX function of its inputs, in order."""
    symbols = symbols_of(graph)
    elements = _run(graph, _CASADI, lambda label, k: symbols[label][k], ca.SX)
    rows = ca.vertcat(*elements) if elements else ca.SX(0, 1)
    if len(graph.shape) == 2:
        rows = ca.reshape(rows, graph.shape[1], graph.shape[0]).T
    return ca.Function(name, list(symbols.values()), [rows], list(symbols), ["value"])


def from_casadi(function: ca.Function, *, matrix: bool = False) -> Graph:
    """Read a CasADi SX function of one output into a graph. Raises :class:`InputError` for what is no SX arithmetic."""
    function = _expanded(function)
    inputs = tuple((function.name_in(k), function.numel_in(k)) for k in range(function.n_in()))
    rows, columns = function.size1_out(0), function.size2_out(0)
    if function.nnz_out(0) != rows * columns:
        raise InputError("internal: the function must be dense before it is read")
    nodes: list[tuple[Any, ...]] = []
    seen: dict[tuple[Any, ...], int] = {}

    def add(*node: Any) -> int:
        if node not in seen:
            seen[node] = len(nodes)
            nodes.append(node)
        return seen[node]

    arguments = [[partial(add, "input", name, k) for k in range(size)] for name, size in inputs]
    (outputs,) = _instructions(function, arguments, add)
    # CasADi counts column by column; a graph lists its elements row by row.
    order = [r + c * rows for r in range(rows) for c in range(columns)]
    shape = (rows, columns) if matrix else (rows * columns,)
    return Graph(inputs, tuple(nodes), tuple(outputs[k] for k in order), shape)


def _expanded(function: ca.Function) -> ca.Function:
    """The function as scalar operations. Raises :class:`InputError` where it holds what has none."""
    if function.is_a("SXFunction"):
        return function
    try:
        return function.expand()
    except RuntimeError as error:
        raise InputError(
            f"the CasADi function '{function.name()}' cannot be expanded to scalar operations; "
            "avoid integrators and external calls in it"
        ) from error


def _instructions(
    function: ca.Function, arguments: list[list[Callable[[], int]]], add: Callable[..., int]
) -> list[dict[int, int]]:
    """The nodes of each output of an SX function, by element; ``arguments`` give those of its inputs where they are used, so that
    a graph holds no others; ``add`` makes a node."""
    work: dict[int, int] = {}
    outputs: list[dict[int, int]] = [{} for _ in range(function.n_out())]
    for k in range(function.n_instructions()):
        code = function.instruction_id(k)
        source, target = function.instruction_input(k), function.instruction_output(k)
        if code == ca.OP_CONST:
            value = float(function.instruction_constant(k))
            if not math.isfinite(value):
                raise InputError(f"the equations contain the constant {value}; every constant must be finite")
            work[target[0]] = add("const", value)
        elif code == ca.OP_INPUT:
            work[target[0]] = arguments[source[0]][source[1]]()
        elif code == ca.OP_OUTPUT:
            outputs[target[0]][target[1]] = work[source[0]]
        elif code == ca.OP_ASSIGN:
            work[target[0]] = work[source[0]]
        elif code == ca.OP_TWICE:
            work[target[0]] = add("mul", add("const", 2.0), work[source[0]])
        elif code == ca.OP_INV:
            work[target[0]] = add("div", add("const", 1.0), work[source[0]])
        elif code in _OPCODES:
            work[target[0]] = add(_OPCODES[code], *(work[s] for s in source))
        elif code == ca.OP_CALL:
            called = function.instructions_sx()[k].which_function()
            found = _called(called, [work[s] for s in source], add)
            work |= {place: node for place, node in zip(target, found, strict=True) if place >= 0}
        else:
            raise InputError(f"the equations contain a CasADi operation (code {code}) that is not supported")
    return outputs


def _called(function: ca.Function, values: list[int], add: Callable[..., int]) -> list[int]:
    """The nodes of the results of a function that is called inside another one: a table, or anything of scalar operations."""
    from systems.casadi_tables import table_function

    inner = table_function(function)
    if inner is None and not function.is_a("SXFunction") and not function.is_a("MXFunction"):
        raise InputError(
            f"the equations call the CasADi function '{function.name()}' ({function.class_name()}), which is no scalar arithmetic; "
            "avoid integrators and external calls"
        )
    inner, arguments, start = _expanded(inner or function), [], 0
    for k in range(inner.n_in()):
        arguments.append([partial(int, value) for value in values[start : start + inner.nnz_in(k)]])
        start += inner.nnz_in(k)
    found = _instructions(inner, arguments, add)
    return [found[k][place] for k in range(inner.n_out()) for place in range(inner.nnz_out(k))]


def from_expression(value: Any, symbols: Mapping[str, ca.SX], *, matrix: bool = False) -> Graph:
    """Read a CasADi expression of ``symbols`` into a graph with these inputs; raises as :func:`from_casadi`."""
    function = ca.Function("expression", list(symbols.values()), [ca.densify(value)], list(symbols), ["value"])
    return from_casadi(function, matrix=matrix)


def jacobian(graph: Graph, wrt: str) -> Graph:
    """The Jacobian of a vector graph with respect to one of its inputs: shape ``(m, size of wrt)``."""
    symbols = symbols_of(graph)
    value = to_casadi(graph)(*symbols.values())
    return from_expression(ca.jacobian(value, symbols[wrt]), symbols, matrix=True)
