"""Prey and predator: how many predators there are, from a count of the prey."""

import numpy as np

from systems.library.facts import Facts, Invariant
from systems.signals import Parameter, Signal
from systems.system import System


def _first_integral(x: np.ndarray, p) -> np.ndarray:  # type: ignore[no-untyped-def]
    prey, predators = x[..., 0], x[..., 1]
    return p["delta"] * prey - p["gamma"] * np.log(prey) + p["beta"] * predators - p["alpha"] * np.log(predators)


FACTS = Facts(
    dimensionless=True,
    equilibria=(((1.0, 1.0), (0.0,)), ((0.0, 0.0), (0.0,)), ((1.0, 0.9), (0.1,))),
    invariants=(Invariant("first integral", _first_integral),),
)


def lotka_volterra() -> System:
    """x' = (alpha - u) x - beta x y, y' = delta x y - gamma y, prey x measured, u the harvest of the prey [1/s].

    Populations relative to their unharvested equilibrium (gamma/delta, alpha/beta), time in units of the prey's growth.
    Source: Lotka (1925), Volterra (1926). Unforced, every trajectory is closed; the region stays away from extinction, where
    the prey carries no information about the predators.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        prey, predators = x
        return [
            (p["alpha"] - u[0]) * prey - p["beta"] * prey * predators,
            p["delta"] * prey * predators - p["gamma"] * predators,
        ]

    return System(
        name="lotka_volterra", description="Lotka-Volterra prey and predators, prey counted",
        source="Lotka (1925), Volterra (1926)",
        states=[
            Signal("prey", "", (0.08, 4.0), initial=(0.6, 1.6), limits=(0.0, 100.0)),
            Signal("predators", "", (0.08, 4.0), initial=(0.6, 1.6), limits=(0.0, 100.0)),
        ],
        inputs=[Signal("harvest", "1/s", (-0.1, 0.1), excitation="sine")],
        outputs=[Signal("counted_prey", "")],
        parameters={
            "alpha": Parameter(1.0, "1/s", (0.9, 1.1)),
            "beta": Parameter(1.0, "1/s", (0.9, 1.1)),
            "gamma": Parameter(1.0, "1/s", (0.9, 1.1)),
            "delta": Parameter(1.0, "1/s", (0.9, 1.1)),
        },
        dynamics=dynamics, output=lambda x: [x[0]], dt=0.05, duration=40.0,
    )  # fmt: skip
