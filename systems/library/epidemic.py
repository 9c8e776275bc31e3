"""An epidemic in four compartments: the susceptible and the exposed, from the counts of the ill and of the immune."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System

DAY = 86400.0  # s; rates are given per day


def _endemic(n: float, beta: float, sigma: float, gamma: float, omega: float, u: float) -> tuple:
    """The state in which the disease stays: S = N gamma / (beta (1 - u)) and flows sigma E = gamma I = omega R."""
    s = n * gamma / (beta * (1 - u))
    i = (n - s) / (1 + gamma / sigma + gamma / omega)
    return (s, gamma / sigma * i, i, gamma / omega * i), (u,)


FACTS = Facts(
    equilibria=(((100.0, 0.0, 0.0, 0.0), (0.2,)), *(_endemic(100.0, 0.5, 0.2, 0.1, 1 / 60, u) for u in (0.0, 0.3))),
    invariants=(
        Invariant("population", lambda x, p: np.sum(x, axis=-1), inputs=(0.2,)),
        Invariant("population, lasting immunity", lambda x, p: np.sum(x, axis=-1), {"omega": 0.0}, (0.2,)),
    ),
)


def epidemic() -> System:
    """S' = -F + omega R, E' = F - sigma E, I' = sigma E - gamma I, R' = gamma I - omega R, F = (1 - u) beta S I / N.

    Thousands of persons, N = 100 thousand; u is the known reduction of contacts; I (the ill) and R (the immune, by antibody
    survey) are measured. Source: Kermack and McKendrick (1927) with a latent stage and waning immunity (Keeling and Rohani,
    Modeling Infectious Diseases, 2008); omega = 0 gives the plain SEIR model. With waning the disease becomes endemic and I
    stays away from zero, where the susceptible cannot be distinguished from the exposed.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        s, e, i, r = x
        infections = (1 - u[0]) * p["beta"] * s * i / p["N"]
        onsets, recoveries, losses = p["sigma"] * e, p["gamma"] * i, p["omega"] * r
        return np.array([losses - infections, infections - onsets, onsets - recoveries, recoveries - losses]) / DAY

    return System(
        name="epidemic", description="SEIR epidemic with waning immunity, the ill and the immune counted",
        source="Kermack and McKendrick (1927); Keeling and Rohani (2008)",
        states=[
            Signal("susceptible", "10^3 persons", (10.0, 60.0), initial=(20.0, 40.0), limits=(0.0, 200.0)),
            Signal("exposed", "10^3 persons", (0.5, 20.0), initial=(3.0, 8.0), limits=(0.0, 200.0)),
            Signal("infectious", "10^3 persons", (1.0, 30.0), initial=(6.0, 16.0), limits=(0.0, 200.0)),
            Signal("recovered", "10^3 persons", (25.0, 95.0), initial=(45.0, 65.0), limits=(0.0, 200.0)),
        ],
        inputs=[Signal("contact_reduction", "", (0.0, 0.4))],
        outputs=[Signal("counted_ill", "10^3 persons"), Signal("counted_immune", "10^3 persons")],
        parameters={
            "N": Parameter(100.0, "10^3 persons"),
            "beta": Parameter(0.5, "1/day", (0.4, 0.6)),
            "sigma": Parameter(0.2, "1/day", (0.15, 0.25)),
            "gamma": Parameter(0.1, "1/day", (0.08, 0.12)),
            "omega": Parameter(1 / 60, "1/day", (1 / 90, 1 / 45)),
        },
        dynamics=dynamics, output=lambda x: [x[2], x[3]], dt=0.5 * DAY, duration=200 * DAY,
    )  # fmt: skip
