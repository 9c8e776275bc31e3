"""A damped pendulum with a torque at its pivot, measured by an encoder."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

FACTS = Facts(
    equilibria=(((0.0, 0.0), (0.0,)), ((float(np.pi / 6), 0.0), (4.905,))),
    invariants=(
        Invariant(
            "energy without friction", lambda x, p: x[..., 1] ** 2 / 2 - p["g"] / p["l"] * np.cos(x[..., 0]), {"c": 0.0}
        ),
    ),
)


def pendulum() -> System:
    """theta'' = -(g/l) sin(theta) - c theta' + u, y = theta.

    Source: Khalil, Nonlinear Systems (3rd ed., 2002), the pendulum of its introduction. The region stays below the upright
    position and is shorter than one turn, so that the angle need not be wrapped.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        angle, rate = x
        return [rate, -p["g"] / p["l"] * np.sin(angle) - p["c"] * rate + u[0]]

    return System(
        name="pendulum", description="Damped pendulum driven at its pivot, angle measured",
        source="Khalil, Nonlinear Systems (2002)",
        states=[
            Signal("angle", "rad", (-2.5, 2.5), initial=(-1.5, 1.5)),
            Signal("rate", "rad/s", (-7.0, 7.0), initial=(-1.0, 1.0)),
        ],
        inputs=[Signal("torque", "rad/s^2", (-1.0, 1.0))],
        outputs=[Signal("measured_angle", "rad")],
        parameters={
            "g": Parameter(9.81, "m/s^2"),
            "l": Parameter(1.0, "m", (0.8, 1.2)),
            "c": Parameter(0.2, "1/s", (0.1, 0.3)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.02, duration=20.0,
    )  # fmt: skip
