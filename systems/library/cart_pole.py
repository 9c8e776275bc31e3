"""A cart with a hanging pole: two positions measured, two velocities to be known."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System


def _energy(x: np.ndarray, p) -> np.ndarray:  # type: ignore[no-untyped-def]
    _, angle, v, w = np.moveaxis(x, -1, 0)
    m, length = p["m"], p["l"]
    kinetic = 0.5 * (p["M"] + m) * v**2 + m * length * v * w * np.cos(angle) + 0.5 * m * length**2 * w**2
    return kinetic - m * p["g"] * length * np.cos(angle)


FACTS = Facts(
    equilibria=(
        ((0.0, 0.0, 0.0, 0.0), (0.0,)),
        ((0.5, 0.0, 0.0, 0.0), (0.0,)),
        ((0.0, float(np.pi), 0.0, 0.0), (0.0,)),
    ),
    invariants=(Invariant("energy without friction", _energy, {"b": 0.0, "c": 0.0}),),
)


def cart_pole() -> System:
    """A force F on a cart M, position q; a point mass m on a pole of length l, angle a from hanging; q and a measured.

    (M + m) q'' + m l (a'' cos a - a'^2 sin a) = F - b q',    l a'' + q'' cos a + g sin a = -c a' / (m l)

    Metres, radians, newtons. Source: Barto, Sutton, Anderson, IEEE Trans. SMC 13, 1983 (masses, and half the length of
    its rod as l; angle measured from hanging here, friction added). The pole swings about hanging and stays below
    upright: less than one turn, nothing to wrap.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        _, angle, v, w = x
        s, c = np.sin(angle), np.cos(angle)
        damping = p["c"] * w / (p["m"] * p["l"])
        swing = p["m"] * s * (p["l"] * w**2 + p["g"] * c) + p["m"] * damping * c
        acceleration = (u[0] - p["b"] * v + swing) / (p["M"] + p["m"] * s**2)
        return [v, w, acceleration, -(acceleration * c + p["g"] * s + damping) / p["l"]]

    return System(
        name="cart_pole", description="Cart with a hanging pole pushed by a force, position and angle measured",
        source="Barto, Sutton, Anderson (1983)",
        states=[
            Signal("position", "m", (-4.0, 4.0), initial=(-0.5, 0.5)),
            Signal("angle", "rad", (-2.0, 2.0), initial=(-0.8, 0.8)),
            Signal("velocity", "m/s", (-3.0, 3.0), initial=(-0.5, 0.5)),
            Signal("rate", "rad/s", (-8.0, 8.0), initial=(-1.0, 1.0)),
        ],
        inputs=[Signal("force", "N", (-4.0, 4.0))],
        outputs=[Signal("measured_position", "m"), Signal("measured_angle", "rad")],
        parameters={
            "M": Parameter(1.0, "kg", (0.8, 1.2)),
            "m": Parameter(0.1, "kg", (0.08, 0.12)),
            "l": Parameter(0.5, "m", (0.4, 0.6)),
            "g": Parameter(9.81, "m/s^2"),
            "b": Parameter(5.0, "N s/m", (4.0, 6.0)),
            "c": Parameter(0.005, "N m s/rad", (0.002, 0.01)),
        },
        dynamics=dynamics, output=lambda x: [x[0], x[1]], dt=0.02, duration=20.0,
    )  # fmt: skip
