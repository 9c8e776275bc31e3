"""The reverse Duffing oscillator: observable at every point, and yet no constant metric contracts."""

from systems.library.facts import Facts, Invariant
from systems.signals import Signal
from systems.system import System

FACTS = Facts(
    dimensionless=True,
    equilibria=(((0.0, 0.0), ()),),
    invariants=(Invariant("energy", lambda x, p: x[..., 0] ** 2 / 2 + x[..., 1] ** 4 / 4),),
    observable=False,
    why_not="the output does not see x2 to first order at x2 = 0; an observer needs more states than the plant (immersion)",
)


def reverse_duffing() -> System:
    """x1' = x2^3, x2' = -x1, y = x1; dimensionless, no input, every trajectory periodic.

    Source: an example of the literature on KKL observers (Buisson-Fenet et al., arXiv 2204.00318). From
    |x1|, |x2| <= 1 the energy x1^2/2 + x2^4/4 is at most 3/4, so that |x1| <= 1.225 and |x2| <= 1.317.
    """
    return System(
        name="reverse_duffing", source="Buisson-Fenet et al. (2022)",
        description="Reverse Duffing oscillator, first state measured: no constant metric contracts",
        states=[
            Signal("x1", "", (-1.3, 1.3), initial=(-1.0, 1.0)),
            Signal("x2", "", (-1.4, 1.4), initial=(-1.0, 1.0)),
        ],
        outputs=[Signal("y", "")],
        dynamics=lambda x: [x[1] ** 3, -x[0]], output=lambda x: [x[0]], dt=0.05, duration=50.0,
    )  # fmt: skip
