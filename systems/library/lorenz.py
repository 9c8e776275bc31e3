"""Lorenz's model of convection: the usual chaotic benchmark of estimators."""

import numpy as np

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

_C = float(np.sqrt(72.0))  # sqrt(beta (rho - 1))
FACTS = Facts(
    dimensionless=True, equilibria=(((0.0, 0.0, 0.0), (0.0,)), ((_C, _C, 27.0), (0.0,)), ((-_C, -_C, 27.0), (0.0,)))
)


def lorenz() -> System:
    """x1' = sigma (x2 - x1), x2' = x1 (rho - x3) - x2 + u, x3' = x1 x2 - beta x3, y = x2; dimensionless.

    Source: Lorenz, J. Atmos. Sci. 1963 (sigma = 10, rho = 28, beta = 8/3); driven and measured in x2. The state x1 is a low
    pass of what is measured, and x3 fades at the rate beta: an observer cannot be much faster than that at moderate gain.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        x1, x2, x3 = x
        return [p["sigma"] * (x2 - x1), x1 * (p["rho"] - x3) - x2 + u[0], x1 * x2 - p["beta"] * x3]

    return System(
        name="lorenz", description="Lorenz's chaotic convection, second state measured",
        source="Lorenz (1963)",
        states=[
            Signal("x1", "", (-22.0, 22.0), initial=(-15.0, 15.0)),
            Signal("x2", "", (-30.0, 30.0), initial=(-15.0, 15.0)),
            Signal("x3", "", (0.0, 55.0), initial=(10.0, 40.0)),
        ],
        inputs=[Signal("u", "", (-1.0, 1.0))],
        outputs=[Signal("y", "")],
        parameters={
            "sigma": Parameter(10.0, "", (9.0, 11.0)),
            "rho": Parameter(28.0, "", (26.0, 30.0)),
            "beta": Parameter(8 / 3, "", (2.5, 2.8)),
        },
        dynamics=dynamics, output=lambda x: [x[1]], dt=0.01, duration=20.0,
    )  # fmt: skip
