"""The tables of CasADi, ``ca.interpolant``, as scalar operations: CasADi itself keeps their points to itself.

The points stand in the serialised function, behind one another as (count, grid), (2, 0, count), (count, values). What is found there
counts only if the function has these values at these points, and between them is the table that it must be.
"""

import struct

import casadi as ca
import numpy as np

from systems.base.errors import InputError
from systems.piecewise import broken_line, joined

_MOST = 100_000


def table_function(function: ca.Function) -> ca.Function | None:
    """An SX function equal to a one-dimensional interpolant inside its points; None for any other function.

    Raises :class:`InputError` for an interpolant of several variables, or one whose points cannot be found. Outside its points a linear
    one goes on as CasADi's does, and a spline keeps its end value, where CasADi's is 0.
    """
    if not function.class_name().endswith("Interpolant"):
        return None
    name = function.name()
    if function.n_in() != 1 or function.numel_in(0) != 1 or function.numel_out(0) != 1:
        raise InputError(
            f"the interpolant '{name}' is a table of several variables; expected one variable and one value"
        )
    found = _points(function)
    if found is None:
        raise InputError(
            f"the points of the interpolant '{name}' cannot be read; write it with np.interp or systems.table"
        )
    points, values = found
    x = ca.SX.sym("x")
    if function.class_name() == "LinearInterpolant":
        y = broken_line(x, points, [float(value) for value in values])
    else:
        from scipy.interpolate import CubicSpline

        cubics = CubicSpline(points, values).c[:3]  # not-a-knot, as CasADi's of degree 3
        y = joined(x, points, values, cubics)
    result = ca.Function(name, [x], [y])
    between = np.concatenate([points, *(points[:-1] + share * np.diff(points) for share in (0.3, 0.8))])
    expected, got = (np.array([float(f(at)) for at in between]) for f in (function, result))
    if not np.allclose(got, expected, rtol=1e-9, atol=1e-9 * np.ptp(values)):
        raise InputError(f"the interpolant '{name}' is no cubic spline; write it with np.interp or systems.table")
    return result


def _points(function: ca.Function) -> tuple[np.ndarray, np.ndarray] | None:
    """Grid and values that the function has there."""
    text = function.serialize()
    data = bytes(ord(low) - 97 + 16 * (ord(high) - 97) for low, high in zip(text[::2], text[1::2], strict=False))
    for place in range(len(data) - 48):
        (count,) = struct.unpack_from("<q", data, place)
        end = place + 8 + 8 * count
        if not 2 <= count <= _MOST or end + 32 + 8 * count > len(data):
            continue
        if struct.unpack_from("<4q", data, end) != (2, 0, count, count):
            continue
        grid = np.frombuffer(data, "<f8", count, place + 8)
        values = np.frombuffer(data, "<f8", count, end + 32)
        if (np.diff(grid) > 0).all() and np.allclose(
            [float(function(at)) for at in grid], values, rtol=1e-9, atol=1e-12
        ):
            return grid.copy(), values.copy()
    return None
