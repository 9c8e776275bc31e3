"""Tables of measured points, such as an open-circuit voltage over the state of charge: straight lines or monotone cubics between them.

    y = table(x, points, values)                    linear, as np.interp; the end values are held outside the points
    y = table(x, points, values, "monotone")        cubics without overshoot (PCHIP): smooth where an observer needs slopes

A table becomes ordinary operations of the graph, so that its bounds and its Jacobian are exact and every export knows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import casadi as ca
import numpy as np

from systems.base.errors import InputError
from systems.base.wording import shorten
from systems.piecewise import broken_line, check_points, joined
from systems.symbolic import elementwise, is_symbolic

KINDS = ("linear", "monotone")


@dataclass(frozen=True, eq=False)
class LookupTable:
    """A function of one variable through points: ``LookupTable(x, y)(value)``.

    Parameters
    ----------
    x, y : sequence of float
        Points, x increasing, and the values there.
    kind : {"linear", "monotone"}

    Raises
    ------
    InputError
        For points that make no function.

    Examples
    --------
    >>> LookupTable([0, 1, 3], [0, 2, 3])(2.0)
    2.5
    """

    x: Any
    y: Any
    kind: str = "linear"

    def __post_init__(self) -> None:
        x, y = check_points("table", self.x, self.y)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        if self.kind not in KINDS:
            raise InputError(f"table: kind is {shorten(self.kind)}; expected {' or '.join(KINDS)}")

    def __call__(self, x: Any) -> Any:
        """The value at x: a number, an array, or a symbol of an equation that is being read."""
        if is_symbolic(x):
            return elementwise(self.expression, x)
        inside = np.clip(np.asarray(x, dtype=float), self.x[0], self.x[-1])
        if self.kind == "linear":
            return np.interp(inside, self.x, self.y)[()]
        k = np.clip(np.searchsorted(self.x, inside, side="right") - 1, 0, len(self.x) - 2)
        cubic, square, slope = self._cubics[:, k]
        s = inside - self.x[k]
        return (self.y[k] + s * (slope + s * (square + s * cubic)))[()]

    @cached_property
    def _cubics(self) -> np.ndarray:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.x, self.y).c[:3]

    def expression(self, x: Any) -> Any:
        """The table of a CasADi scalar."""
        inside = ca.fmin(ca.fmax(x, self.x[0]), self.x[-1])
        return (
            broken_line(inside, self.x, list(self.y))
            if self.kind == "linear"
            else joined(x, self.x, self.y, self._cubics)
        )


def table(x: Any, points: Sequence[float], values: Sequence[float], kind: str = "linear") -> Any:
    """The value at x of a :class:`LookupTable`; for the equations of a plant in Python, where x may be a state."""
    return LookupTable(points, values, kind)(x)
