"""The FitzHugh-Nagumo neuron: a fast membrane voltage and a slow recovery, voltage measured."""

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

# The real root of v - v^3/3 - (v + a)/b + I = 0, w = (v + a)/b.
FACTS = Facts(dimensionless=True, equilibria=(((-0.8048477470083343, -0.13105968376041796), (0.0,)),))


def fitzhugh_nagumo() -> System:
    """v' = v - v^3/3 - w + I + u, w' = eps (v + a - b w), y = v; dimensionless.

    Source: FitzHugh, Biophys. J. 1961, Nagumo et al. 1962; a = 0.7, b = 0.8, eps = 0.08, bias I = 0.5 (periodic spiking)
    and initial states of HyperKKL (2026).
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        v, w = x
        return [v - v**3 / 3 - w + p["I"] + u[0], p["eps"] * (v + p["a"] - p["b"] * w)]

    return System(
        name="fitzhugh_nagumo", description="FitzHugh-Nagumo neuron, membrane voltage measured",
        source="FitzHugh (1961); HyperKKL (2026)",
        states=[
            Signal("v", "", (-2.7, 2.7), initial=(-2.5, 2.5)),
            Signal("w", "", (-2.0, 3.0), initial=(-1.5, 1.5)),
        ],
        inputs=[Signal("u", "", (-1.0, 1.0))],
        outputs=[Signal("y", "")],
        parameters={
            "a": Parameter(0.7, "", (0.6, 0.8)),
            "b": Parameter(0.8, "", (0.7, 0.9)),
            "eps": Parameter(0.08, "", (0.06, 0.1)),
            "I": Parameter(0.5, "", (0.4, 0.6)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.05, duration=100.0,
    )  # fmt: skip
