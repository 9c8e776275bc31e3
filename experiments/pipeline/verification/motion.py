"""Stored motion against the plant, one sample at a time: x[k+1] = F(x[k], u[k]) within what the integrator allows itself.

A whole trajectory cannot be compared: of a chaotic plant two honest simulations part by rounding alone. Single samples can, and they show
any number that was changed.
"""

import numpy as np

from experiments.pipeline.verification.agreement import EPS, ROUNDINGS
from systems.discretization import DiscreteSystem
from systems.integration import ATOL, RTOL, integrate_reference

ROWS = 20_000  # samples integrated at once
#: Local errors that one sample may hold: of the two integrations, each of some steps, and of the interpolation between steps.
ERRORS = 100.0


def next_states(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray, truth: str) -> tuple[np.ndarray, np.ndarray]:
    """(x[k+1] ``(K, N-1, nx)`` from stored x ``(K, N, nx)`` and u, what each state may be off by ``(nx,)``)."""
    first, held, width = x[:, :-1], u[:, :-1], np.ptp(plant.system.state_ranges, axis=1)
    size = np.nanmax(np.abs(x), axis=(0, 1)) + width
    exact = truth == "model" or plant.system.kind == "discrete"
    if exact and plant.graph is not None:
        time = plant.dt * np.arange(first.shape[1])
        return plant.step(first, held, time), max(ROUNDINGS, 4.0 * len(plant.graph.nodes)) * EPS * size
    rows = first.reshape(-1, plant.nx), held.reshape(-1, 1, plant.nu)
    method = "cvodes" if exact and plant.method == "cvodes" else None
    found = [
        integrate_reference(plant.system, rows[0][k : k + ROWS], rows[1][k : k + ROWS], plant.dt, method)[:, 1]
        for k in range(0, len(rows[0]), ROWS)
    ]
    return np.concatenate(found).reshape(first.shape), ERRORS * np.sqrt(plant.nx) * (RTOL * size + ATOL * (1 + width))
