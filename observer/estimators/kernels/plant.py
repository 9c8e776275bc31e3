"""What the kernels call of the plant, and angles.

In compiled text the straight-line code of the plant's graphs takes the place of the first five; run as plain Python they call
what is in ``plain``. All write to ``out``, a Jacobian row by row.
"""

import math
from collections.abc import Callable

plain: dict[str, Callable[..., None]] = {}


def step(t, x, u, p, out):
    """The next state."""
    plain["step"](t, x, u, p, out)


def step_slope(t, x, u, p, out):
    """Its Jacobian in x."""
    plain["step_slope"](t, x, u, p, out)


def output(t, x, u, p, out):
    """The outputs."""
    plain["output"](t, x, u, p, out)


def output_slope(t, x, u, p, out):
    """Their Jacobian in x."""
    plain["output_slope"](t, x, u, p, out)


def slopes(t, x, u, p, out):
    """Jacobian in x of the outputs and derivatives that the high-gain observer uses."""
    plain["slopes"](t, x, u, p, out)


def turned(difference, period):
    """A difference of angles, between half a period below and above zero; of anything else (period nan) itself."""
    if math.isnan(period):
        return difference
    return (difference + period / 2) % period - period / 2
