"""Parsed equations: their functions, constants and evaluation on floats, arrays and traced symbols."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

TABLE = "table"  # table(name, x): the first argument is the name of a table
CONSTANTS = {"pi": math.pi, "e": math.e}

#: name -> (function, fewest arguments, most arguments); every one works on floats, arrays and traced symbols alike.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    **{
        name: (function, 1, 1)
        for name, function in {
            "sin": np.sin,
            "cos": np.cos,
            "tan": np.tan,
            "asin": np.arcsin,
            "acos": np.arccos,
            "atan": np.arctan,
            "sinh": np.sinh,
            "cosh": np.cosh,
            "tanh": np.tanh,
            "asinh": np.arcsinh,
            "acosh": np.arccosh,
            "atanh": np.arctanh,
            "exp": np.exp,
            "log": np.log,
            "log10": np.log10,
            "sqrt": np.sqrt,
            "abs": np.abs,
            "sign": np.sign,
        }.items()
    },
    "atan2": (np.arctan2, 2, 2),
    "min": (lambda *values: functools.reduce(np.minimum, values), 2, None),
    "max": (lambda *values: functools.reduce(np.maximum, values), 2, None),
    "clip": (lambda x, low, high: np.minimum(np.maximum(x, low), high), 3, 3),
    "where": (np.where, 3, 3),
    TABLE: (lambda table, x: table(x), 2, 2),
}
_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "negative": operator.neg,
}
COMPARISONS = ("<", "<=", ">", ">=")


class Operation(NamedTuple):
    """One operation in postfix order: push a number, push a named value, or apply to the last ``argument`` values."""

    kind: str
    argument: Any


@dataclass(frozen=True)
class Equation:
    """A parsed equation: its text, the names that it uses (in order of appearance) and its steps in postfix order.

    Postfix order needs no recursion, so that a sum of thousands of terms evaluates like any other equation.
    """

    text: str
    names: tuple[str, ...]
    steps: tuple[Operation, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value of the equation where each name stands for ``values[name]``: a float, an array or a symbol.

        Raises ``KeyError`` when a name of ``self.names`` has no value. Arrays broadcast against each other.
        """
        stack: list[Any] = []
        for kind, argument in self.steps:
            if kind == "number":
                stack.append(argument)
            elif kind == "name":
                value = values[argument]
                # A Python float turns complex in (-1.0)**0.5 and raises in 1/0; NumPy's gives nan and inf as arrays do.
                stack.append(np.float64(value) if isinstance(value, int | float) else value)
            else:
                operands = stack[-argument:]
                del stack[-argument:]
                stack.append(apply(kind, operands))
        return stack[0]


def apply(kind: str, operands: list[Any]) -> Any:
    """The value of an operator or function of the tables above."""
    function = _OPERATORS[kind] if kind in _OPERATORS else FUNCTIONS[kind][0]
    value = function(*operands)
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value  # np.where gives 0-d arrays
