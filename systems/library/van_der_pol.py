"""Van der Pol's oscillator, driven, with its first state measured: the usual benchmark of learned observers."""

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

FACTS = Facts(
    dimensionless=True,
    equilibria=(((0.0, 0.0), (0.0,)), ((0.5, 0.0), (0.5,))),
    invariants=(Invariant("energy without excitation", lambda x, p: x[..., 0] ** 2 + x[..., 1] ** 2, {"mu": 0.0}),),
)


def van_der_pol() -> System:
    """x1' = x2, x2' = mu (1 - x1^2) x2 - x1 + u, y = x1. Source: van der Pol, Phil. Mag. 1926; protocol of HyperKKL.

    The region holds the trajectories from |x1|, |x2| <= 3 (they reach |x2| = 5.5 before they settle on the limit cycle).
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        x1, x2 = x
        return [x2, p["mu"] * (1 - x1**2) * x2 - x1 + u[0]]

    return System(
        name="van_der_pol", description="Driven van der Pol oscillator, first state measured",
        source="van der Pol (1926)",
        states=[
            Signal("x1", "", (-3.3, 3.3), initial=(-3.0, 3.0)),
            Signal("x2", "", (-5.6, 5.6), initial=(-3.0, 3.0)),
        ],
        inputs=[Signal("u", "", (-1.0, 1.0))],
        outputs=[Signal("y", "")],
        parameters={"mu": Parameter(1.0, "", (0.8, 1.2))},
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.05, duration=40.0,
    )  # fmt: skip
