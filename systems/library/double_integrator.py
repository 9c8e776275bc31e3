"""A mass on a frictionless line, pushed by a known force: the plant of every first observer lecture."""

from systems.library.facts import Facts, Invariant
from systems.signals import Signal
from systems.system import System

FACTS = Facts(
    equilibria=(((0.0, 0.0), (0.0,)), ((3.0, 0.0), (0.0,))),
    invariants=(
        Invariant("velocity", lambda x, p: x[..., 1]),
        Invariant("energy under a constant push", lambda x, p: x[..., 1] ** 2 / 2 - 0.3 * x[..., 0], inputs=(0.3,)),
    ),
)


def double_integrator() -> System:
    """x1' = x2, x2' = u, y = x1. Linear, marginally stable; source: any textbook (e.g. Franklin, Powell, Workman)."""
    return System(
        name="double_integrator", description="Mass on a line pushed by a known acceleration, position measured",
        source="Franklin, Powell, Workman: Digital Control of Dynamic Systems",
        states=[
            Signal("position", "m", (-25.0, 25.0), initial=(-1.0, 1.0)),
            Signal("velocity", "m/s", (-3.0, 3.0), initial=(-0.5, 0.5)),
        ],
        # A free mass drifts: tones keep it within tens of metres in a trial, where a constant push would not.
        inputs=[Signal("acceleration", "m/s^2", (-0.4, 0.4), excitation="sine")],
        outputs=[Signal("measured_position", "m")],
        dynamics=lambda x, u: [x[1], u[0]], output=lambda x: [x[0]], dt=0.05, duration=20.0,
    )  # fmt: skip
