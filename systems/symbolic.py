"""NumPy arrays of symbols: what a person's function computes with while its equations are read.

The arguments are one-dimensional NumPy arrays of symbolic scalars, so unpacking, indexing, slicing, broadcasting,
``@`` and the usual NumPy functions work as they do on numbers. What cannot be traced is refused by name: ``if`` on a
state (Python would decide once, now), and ``math.*`` (which would turn a symbol into nan).
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import casadi as ca
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from systems.base.errors import InputError
from systems.base.wording import nearest
from systems.piecewise import broken_line, check_points


def _mod(a: Any, b: Any) -> Any:
    return a - b * ca.floor(a / b)


def _heaviside(a: Any, at_zero: Any) -> Any:
    return ca.if_else(a > 0, 1, ca.if_else(a < 0, 0, at_zero))


_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b, "power": lambda a, b: a**b, "float_power": lambda a, b: a**b,
    "negative": lambda a: -a, "positive": lambda a: a, "absolute": ca.fabs, "fabs": ca.fabs, "sign": ca.sign,
    "square": lambda a: a * a, "reciprocal": lambda a: 1 / a, "sqrt": ca.sqrt, "cbrt": lambda a: ca.sign(a) * ca.fabs(a) ** (1 / 3),
    "exp": ca.exp, "exp2": lambda a: ca.exp(a * np.log(2.0)), "expm1": ca.expm1, "log": ca.log, "log1p": ca.log1p,
    "log2": lambda a: ca.log(a) / np.log(2.0), "log10": lambda a: ca.log(a) / np.log(10.0),
    "sin": ca.sin, "cos": ca.cos, "tan": ca.tan, "arcsin": ca.asin, "arccos": ca.acos, "arctan": ca.atan,
    "arctan2": ca.atan2, "sinh": ca.sinh, "cosh": ca.cosh, "tanh": ca.tanh, "arcsinh": ca.asinh,
    "arccosh": ca.acosh, "arctanh": ca.atanh, "hypot": ca.hypot, "maximum": ca.fmax, "minimum": ca.fmin,
    "fmax": ca.fmax, "fmin": ca.fmin, "floor": ca.floor, "ceil": ca.ceil, "remainder": _mod, "fmod": ca.fmod,
    "floor_divide": lambda a, b: ca.floor(a / b), "copysign": ca.copysign, "heaviside": _heaviside,
    "less": lambda a, b: a < b, "less_equal": lambda a, b: a <= b, "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b, "equal": lambda a, b: a == b, "not_equal": lambda a, b: a != b,
    "logical_and": ca.logic_and, "logical_or": ca.logic_or, "logical_not": ca.logic_not,
    "deg2rad": lambda a: a * (np.pi / 180), "rad2deg": lambda a: a * (180 / np.pi),
    "radians": lambda a: a * (np.pi / 180), "degrees": lambda a: a * (180 / np.pi),
}  # fmt: skip
# `&`, `|` and `~` between comparisons mean the logical operations, as they do for NumPy's boolean arrays.
_UFUNCS |= {"bitwise_and": ca.logic_and, "bitwise_or": ca.logic_or, "invert": ca.logic_not, "bitwise_not": ca.logic_not}


def expression_of(value: Any) -> Any:
    """The CasADi scalar behind an element of an array."""
    if isinstance(value, SymbolicScalar):
        return value.expression
    if isinstance(value, bool | np.bool_):
        return ca.SX(float(value))
    return value if isinstance(value, ca.SX) else ca.SX(float(value))


def objects(value: Any) -> np.ndarray:
    """Any operand as a plain object array (never our subclass, which would call us again)."""
    if isinstance(value, SymbolicScalar):
        array = np.empty((), dtype=object)
        array[()] = value
        return array
    return np.asarray(value, dtype=object).view(np.ndarray)


def is_symbolic(value: Any) -> bool:
    """Whether a number, list or array holds a symbol."""
    return any(isinstance(item, SymbolicScalar | ca.SX) for item in np.atleast_1d(objects(value)).reshape(-1))


def _result(array: Any) -> Any:
    """Zero-dimensional results are scalars, as in NumPy."""
    array = np.asarray(array, dtype=object)
    return array[()] if array.ndim == 0 else array.view(SymbolicArray)


def _plain(value: Any) -> Any:
    """Scalars, also inside lists, as plain object arrays: what NumPy's own functions can work on."""
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return objects(value) if isinstance(value, SymbolicScalar | SymbolicArray) else value


def _result_of(value: Any) -> Any:
    return _result(value) if isinstance(value, np.ndarray) and value.dtype == object else value


def elementwise(function: Callable[..., Any], *operands: Any) -> Any:
    """A function of CasADi scalars on every element of arrays of symbols, which broadcast."""
    arrays = [objects(operand) for operand in operands]
    wrapped = np.frompyfunc(lambda *args: SymbolicScalar(function(*map(expression_of, args))), len(arrays), 1)
    return _result(wrapped(*arrays))


def _apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = ufunc.__name__
    out = kwargs.pop("out", (None,))[0]
    if name == "matmul" and method == "__call__":
        return _result(np.matmul(*(objects(value) for value in inputs)))
    function = _UFUNCS.get({"true_divide": "divide", "conjugate": "positive"}.get(name, name))
    if function is None or method not in ("__call__", "reduce"):
        raise InputError(
            f"np.{name}{'' if method == '__call__' else '.' + method} cannot be traced; "
            "write it with sums, products, np.where and the usual functions"
        )
    if method == "reduce":
        axis = kwargs.get("axis", 0)
        array = objects(inputs[0])
        if axis is None or isinstance(axis, tuple):
            array, axis = array.reshape(-1), 0
        if array.shape[axis] == 0:
            raise InputError(f"np.{name} over an empty array cannot be traced")
        slices = np.moveaxis(array, axis, 0)
        return functools.reduce(functools.partial(elementwise, function), [_result(part) for part in slices])
    result = elementwise(function, *inputs)
    if isinstance(out, SymbolicArray):  # in-place arithmetic on an array, such as dx *= 2
        out.view(np.ndarray)[...] = objects(result)
        return out
    return result


def _where(condition: Any, a: Any = None, b: Any = None) -> Any:
    if a is None or b is None:
        raise InputError("np.where needs three arguments here: np.where(condition, value_if_true, value_if_false)")
    return elementwise(ca.if_else, condition, a, b)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, **kwargs: Any) -> Any:
    low, high = kwargs.get("min", a_min), kwargs.get("max", a_max)
    a = a if low is None else elementwise(ca.fmax, a, low)
    return a if high is None else elementwise(ca.fmin, a, high)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord not in (None, 2) or axis is not None or keepdims:
        raise InputError(
            "np.linalg.norm is traced for vectors in the Euclidean norm only; write other norms with np.sum"
        )
    return np.sqrt(np.sum(_result(objects(x).reshape(-1)) ** 2))


def _solve(a: Any, b: Any) -> Any:
    """Linear solve of a small symbolic system (mass matrices), exact by CasADi's symbolic inverse."""
    matrix, right = objects(a), objects(b)
    n = matrix.shape[0]
    symbols = ca.SX(n, n)
    for i in range(n):
        for j in range(n):
            symbols[i, j] = expression_of(matrix[i, j])
    inverse = ca.inv(symbols)
    entries = np.empty((n, n), dtype=object)
    for i in range(n):
        for j in range(n):
            entries[i, j] = SymbolicScalar(inverse[i, j])
    return _result(np.matmul(entries, right))


def _interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Values fp may hold symbols, such as parameters."""
    if period is not None:
        raise InputError("np.interp with a period cannot be traced; write the table over one whole range of the angle")
    symbolic = is_symbolic(fp)
    points, values = check_points("np.interp", xp, np.zeros(len(fp)) if symbolic else fp)
    numbers = [expression_of(value) for value in objects(fp)] if symbolic else values.tolist()

    def expression(s: Any) -> Any:
        y = broken_line(ca.fmin(ca.fmax(s, points[0]), points[-1]), points, numbers)
        y = y if left is None else ca.if_else(s < points[0], left, y)
        return y if right is None else ca.if_else(s > points[-1], right, y)

    return elementwise(expression, x)


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.interp: _interp, np.where: _where, np.clip: _clip, np.linalg.norm: _norm, np.linalg.solve: _solve,
    np.linalg.inv: lambda a: _solve(a, np.eye(len(a))),
    np.max: lambda a, **_: _apply_ufunc(np.maximum, "reduce", (a,), {"axis": None}),
    np.min: lambda a, **_: _apply_ufunc(np.minimum, "reduce", (a,), {"axis": None}),
}  # fmt: skip
_UNTRACEABLE = {np.select, np.piecewise, np.argmax, np.argmin, np.sort, np.searchsorted, np.unique}


def _apply_function(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func in _FUNCTIONS:
        return _FUNCTIONS[func](*args, **kwargs)
    if func in _UNTRACEABLE:
        raise InputError(f"np.{func.__name__} on a state cannot be traced; write it with np.where")
    return NotImplemented


class SymbolicScalar(NDArrayOperatorsMixin):
    """One number that is not known yet. Arithmetic and NumPy functions record what is done with it."""

    __slots__ = ("expression",)
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        result = _apply_function(func, args, kwargs)
        if result is not NotImplemented:
            return result
        return _result_of(func(*(_plain(value) for value in args), **kwargs))

    def __SX__(self) -> Any:
        return self.expression

    def __bool__(self) -> bool:
        raise InputError(
            "a state decides an `if` (or `and`, `or`, `not`, min(), max(), a chained comparison); the function is read once, "
            "on symbols, so the branch would be frozen: use np.where(condition, a, b), np.minimum, np.maximum or np.clip"
        )

    def __float__(self) -> float:
        raise InputError(
            "a state is turned into a plain number (a math.* function, float(), or writing into an array of floats); the function is "
            "read once, on symbols: use the NumPy function (np.sin for math.sin), and return a list or fill np.zeros_like(x)"
        )

    __int__ = __float__
    __index__ = __float__
    __round__ = __float__

    def __repr__(self) -> str:
        return str(self.expression)


def _method(name: str) -> Callable[..., Any]:
    ufunc = getattr(np, name)
    return lambda self, *others: ufunc(self, *others)


# NumPy evaluates np.sin(plain object array) by calling .sin() on every element.
for _name in (
    "sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh exp exp2 expm1 log log2 log10 "
    "log1p sqrt cbrt hypot floor ceil deg2rad rad2deg radians degrees fabs"
).split():
    setattr(SymbolicScalar, _name, _method(_name))


class SymbolicArray(np.ndarray):
    """A NumPy array whose elements are :class:`SymbolicScalar`."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return _apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        result = _apply_function(func, args, kwargs)
        return _result_of(super().__array_function__(func, types, args, kwargs)) if result is NotImplemented else result

    def sum(self, axis: Any = None, **_: Any) -> Any:  # type: ignore[override]
        """Sum over an axis, or over everything."""
        return _apply_ufunc(np.add, "reduce", (self,), {"axis": axis})


def symbolic_array(symbol: ca.SX) -> SymbolicArray:
    """A CasADi column of symbols as a one-dimensional array of scalars."""
    array = np.empty(symbol.numel(), dtype=object)
    for k in range(symbol.numel()):
        array[k] = SymbolicScalar(symbol[k])
    return array.view(SymbolicArray)


class SymbolicParameters(Mapping[str, Any]):
    """``p["mass"]``, with the nearest known name when there is none such. ``p.mass`` works too."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise InputError(f"parameter '{name}' is not defined; {nearest(str(name), self._values)}")
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
