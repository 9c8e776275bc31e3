"""A mass on a linear spring with a linear damper, driven by a known force."""

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

FACTS = Facts(
    equilibria=(((0.0, 0.0), (0.0,)), ((0.5, 0.0), (1.0,))),
    invariants=(
        Invariant("energy without damper", lambda x, p: p["k"] * x[..., 0] ** 2 + p["m"] * x[..., 1] ** 2, {"c": 0.0}),
    ),
)


def mass_spring_damper() -> System:
    """m q'' = u - k q - c q', y = q. Linear, asymptotically stable; source: any textbook on vibration."""

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        position, velocity = x
        return [velocity, (u[0] - p["k"] * position - p["c"] * velocity) / p["m"]]

    return System(
        name="mass_spring_damper", description="Mass on a linear spring with a linear damper, position measured",
        source="textbook",
        states=[
            Signal("position", "m", (-2.0, 2.0), initial=(-1.0, 1.0)),
            Signal("velocity", "m/s", (-3.0, 3.0), initial=(-1.0, 1.0)),
        ],
        inputs=[Signal("force", "N", (-1.0, 1.0))],
        outputs=[Signal("measured_position", "m")],
        parameters={
            "m": Parameter(1.0, "kg"),
            "k": Parameter(2.0, "N/m", (1.5, 2.5)),
            "c": Parameter(0.3, "N s/m", (0.2, 0.4)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.05, duration=20.0,
    )  # fmt: skip
