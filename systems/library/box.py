"""A box on a spring with quadratic drag: the first worked example of arXiv 2306.12612 (section on observer design).

q'' = (u - k q - mu q' |q'|) / m,      y = q
"""

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

FACTS = Facts(
    equilibria=(((0.0, 0.0), (0.0,)), ((0.2, 0.0), (1.0,))),
    invariants=(
        Invariant("energy without drag", lambda x, p: p["k"] * x[..., 0] ** 2 + p["m"] * x[..., 1] ** 2, {"mu": 0.0}),
    ),
)


def box() -> System:
    """Two states (position, velocity), measured position. Source: Barbara et al., arXiv 2306.12612, box observer.

    The region holds every unforced trajectory from the published initial states of training |q|, |q'| <= 0.5;
    those of the tests |q|, |q'| <= 0.2 are the set of initial states.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        position, velocity = x
        return [velocity, (u[0] - p["k"] * position - p["mu"] * velocity * abs(velocity)) / p["m"]]

    return System(
        name="box", description="Box on a spring with quadratic drag, position measured",
        source="arXiv 2306.12612",
        states=[
            Signal("position", "m", (-0.6, 0.6), initial=(-0.2, 0.2)),
            Signal("velocity", "m/s", (-1.3, 1.3), initial=(-0.2, 0.2)),
        ],
        inputs=[Signal("force", "N", (-1.0, 1.0), excitation="zero")],
        outputs=[Signal("measured_position", "m")],
        parameters={
            "m": Parameter(1.0, "kg"),
            "k": Parameter(5.0, "N/m", (4.0, 6.0)),
            "mu": Parameter(0.5, "N s^2/m^2", (0.3, 0.7)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.01, duration=20.0,
    )  # fmt: skip
