"""Duffing's oscillator: a mass on a hardening spring without friction, driven, position measured."""

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

FACTS = Facts(
    dimensionless=True,
    equilibria=(((0.0, 0.0), (0.0,)), ((0.5, 0.0), (0.625,)), ((-0.5, 0.0), (-0.625,))),
    invariants=(
        Invariant("energy", lambda x, p: x[..., 1] ** 2 / 2 + x[..., 0] ** 2 / 2 + p["beta"] * x[..., 0] ** 4 / 4),
    ),
)


def duffing() -> System:
    """x1' = x2, x2' = -x1 - beta x1^3 + u, y = x1; dimensionless, beta = 1.

    Source: Duffing (1918); initial states and input as in HyperKKL (2026): |x1|, |x2| <= 1, tones of amplitude up to 1. Without
    friction a tone near resonance pumps the mass up until the spring detunes it; the region holds what that reaches.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        x1, x2 = x
        return [x2, -x1 - p["beta"] * x1**3 + u[0]]

    return System(
        name="duffing", description="Driven Duffing oscillator without friction, position measured",
        source="Duffing (1918); HyperKKL (2026)",
        states=[
            Signal("x1", "", (-3.3, 3.3), initial=(-1.0, 1.0)),
            Signal("x2", "", (-7.5, 7.5), initial=(-1.0, 1.0)),
        ],
        inputs=[Signal("u", "", (-1.0, 1.0), excitation="sine")],
        outputs=[Signal("y", "")],
        parameters={"beta": Parameter(1.0, "", (0.8, 1.2))},
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.05, duration=50.0,
    )  # fmt: skip
