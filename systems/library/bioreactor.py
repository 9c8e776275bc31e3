"""A continuous fermenter with Monod growth: the substrate, from the turbidity of the biomass."""

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

HOUR = 3600.0  # s; rates are given per hour


def _equilibrium(dilution: float) -> tuple:
    """mu(S) = D gives S = K_s D / (mu_max - D); the biomass is the yield of what was eaten."""
    substrate = 0.12 * dilution / (0.53 - dilution)
    return (0.4 * (4.0 - substrate), substrate), (dilution,)


# Growth against dilution, and washout.
FACTS = Facts(equilibria=(_equilibrium(0.3), _equilibrium(0.2), ((0.0, 4.0), (0.3,))))


def bioreactor() -> System:
    """X' = (mu(S) - D) X, S' = D (S_f - S) - mu(S) X / Y, mu(S) = mu_max S / (K_s + S), biomass X measured.

    Biomass X and substrate S [g/l]; the dilution rate D [1/h] is the input. Source: Bequette, Process Dynamics:
    Modeling, Analysis, and Simulation (1998), the module on biochemical reactors (Monod kinetics). At high S
    growth saturates and the biomass says little of S, which then fades as D.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        biomass, substrate = x
        growth = p["mu_max"] * substrate / (p["K_s"] + substrate) * biomass
        return [(growth - u[0] * biomass) / HOUR, (u[0] * (p["S_f"] - substrate) - growth / p["Y"]) / HOUR]

    return System(
        name="bioreactor", description="Continuous fermenter with Monod growth, biomass measured",
        source="Bequette (1998), biochemical reactors",
        states=[
            Signal("biomass", "g/l", (0.3, 2.5), initial=(1.0, 1.7), limits=(0.0, 10.0)),
            Signal("substrate", "g/l", (0.0, 3.0), initial=(0.05, 1.5), limits=(0.0, 10.0)),
        ],
        inputs=[Signal("dilution", "1/h", (0.15, 0.4))],
        outputs=[Signal("turbidity", "g/l")],
        parameters={
            "mu_max": Parameter(0.53, "1/h", (0.48, 0.58)),
            "K_s": Parameter(0.12, "g/l", (0.1, 0.14)),
            "Y": Parameter(0.4, "", (0.36, 0.44)),
            "S_f": Parameter(4.0, "g/l", (3.6, 4.4)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=120.0, duration=24 * HOUR,
    )  # fmt: skip
