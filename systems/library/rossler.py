"""Rössler's spiral chaos: observable, but only in coordinates other than its own."""

import numpy as np

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System


def _equilibria(a: float, b: float, c: float) -> tuple:
    """x1 = a x3, x2 = -x3, and a x3^2 - c x3 + b = 0."""
    roots = (c + np.array([-1.0, 1.0]) * np.sqrt(c * c - 4 * a * b)) / (2 * a)
    return tuple(((float(a * z), float(-z), float(z)), (0.0,)) for z in roots)


FACTS = Facts(
    equilibria=_equilibria(0.1, 0.1, 14.0),
    dimensionless=True,
    observable=False,
    why_not="a constant metric needs a condition number near 1e10 here; scale by the observability coordinates "
    "(y, y', y'') = (x2, x1 + a x2, -x2 - x3 + a (x1 + a x2)), which are linear in x, and it becomes moderate",
)


def rossler() -> System:
    """x1' = -x2 - x3, x2' = x1 + a x2 + u, x3' = b + x3 (x1 - c), y = x2; dimensionless, a = b = 0.1, c = 14.

    Source: Rössler, Phys. Lett. A 1976; parameters, output and input of HyperKKL (2026). Initial states lie on the scale of
    the attractor with x3 >= 0, where x3 stays. The pulses of x3 are short, and reach many times its usual size.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        x1, x2, x3 = x
        return [-x2 - x3, x1 + p["a"] * x2 + u[0], p["b"] + x3 * (x1 - p["c"])]

    return System(
        name="rossler", description="Rössler's chaotic spiral, second state measured: needs observability coordinates",
        source="Rössler (1976); HyperKKL (2026)",
        states=[
            Signal("x1", "", (-25.0, 30.0), initial=(-10.0, 10.0)),
            Signal("x2", "", (-27.0, 25.0), initial=(-10.0, 10.0)),
            Signal("x3", "", (0.0, 90.0), initial=(0.0, 10.0)),
        ],
        inputs=[Signal("u", "", (-1.0, 1.0), excitation="sine")],
        outputs=[Signal("y", "")],
        parameters={
            "a": Parameter(0.1, "", (0.08, 0.12)),
            "b": Parameter(0.1, "", (0.08, 0.12)),
            "c": Parameter(14.0, "", (13.0, 15.0)),
        },
        dynamics=dynamics, output=lambda x: [x[1]], dt=0.02, duration=50.0,
    )  # fmt: skip
