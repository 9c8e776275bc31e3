"""Functions through points as CasADi scalars: straight lines, or cubics one behind the other.

On straight lines, with m the mean of the outer slopes and d_i the change of slope at point i:

    y = c + m x + sum_i d_i / 2 |x - x_i|

which costs four operations for each point, and of which an enclosure over a cell is exact but for the points inside the cell.
"""

from collections.abc import Sequence
from typing import Any

import casadi as ca
import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten

MOST = 10_000  # points


def check_points(owner: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Points and values as arrays; raises :class:`InputError`, which begins with ``owner``, where they make no function."""
    arrays = []
    for name, given in (("x", x), ("y", y)):
        try:
            values = np.array(given, dtype=float).reshape(-1)
        except (TypeError, ValueError, InputError):
            raise InputError(f"{owner}: {name} is {shorten(given)}; expected numbers") from None
        if not np.isfinite(values).all():
            raise InputError(f"{owner}: {name} holds a number that is not finite; expected finite numbers")
        arrays.append(values)
    x, y = arrays
    if len(x) != len(y) or not 2 <= len(x) <= MOST:
        raise InputError(f"{owner}: {len(x)} points x and {len(y)} values y; expected as many, from 2 to {MOST}")
    wrong = np.flatnonzero(np.diff(x) <= 0)
    if len(wrong):
        k = int(wrong[0])
        raise InputError(f"{owner}: x must increase, and {x[k + 1]:g} comes after {x[k]:g}; sort the points")
    return x, y


def broken_line(x: Any, points: np.ndarray, values: Sequence[Any]) -> Any:
    """Straight lines through points, the outer ones without end."""
    slopes = [(b - a) / width for a, b, width in zip(values[:-1], values[1:], np.diff(points), strict=True)]
    mean = (slopes[0] + slopes[-1]) / 2
    kinks = [
        (point, (after - before) / 2)
        for point, before, after in zip(points[1:-1], slopes[:-1], slopes[1:], strict=True)
    ]
    kinks = [(point, half) for point, half in kinks if not isinstance(half, float) or abs(half) > 1e-14 * abs(mean)]
    offset = values[0] - mean * points[0] - sum(half * (point - points[0]) for point, half in kinks)
    return sum((half * ca.fabs(x - point) for point, half in kinks), mean * x + offset)


def joined(x: Any, points: np.ndarray, values: np.ndarray, cubics: np.ndarray) -> Any:
    """Cubics (3, n) between points, each worked out with x held inside its own piece; the end values outside."""
    y: Any = float(values[0])
    for start, width, (cubic, square, slope) in zip(points[:-1], np.diff(points), cubics.T, strict=True):
        s = ca.fmin(ca.fmax(x - start, 0), width)
        y = y + s * (slope + s * (square + s * cubic))
    return y
