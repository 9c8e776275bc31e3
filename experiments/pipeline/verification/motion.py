"""Stored motion against the plant, one sample at a time: x[k+1] = F(x[k], u[k]) within what the integrator allows itself.

A whole trajectory cannot be compared: of a chaotic plant two honest simulations part by rounding alone. Single samples can, and they show
any number that was changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.pipeline.verification.agreement import EPS, ROUNDINGS
from systems.base.errors import SimulationError
from systems.closed_loop import fine_method, fine_steps
from systems.discretization import DiscreteSystem
from systems.integration import AGREED, ATOL, FIXED, RTOL, STIFF, integrate_reference, time_scales
from systems.trajectories import Trajectories, check_states

ROWS = 20_000  # samples integrated at once
#: Local errors that one sample may hold: of the two integrations, each of some steps, and of the interpolation between steps.
ERRORS = 100.0


@dataclass(frozen=True, eq=False)
class Again:
    """Stored trajectories made again: ``following`` ``(K, N-1, nx)``, what each state may be off by, method and warnings."""

    following: np.ndarray
    allowed: np.ndarray
    method: str
    warnings: tuple[str, ...]


def motion_again(
    plant: DiscreteSystem, data: Trajectories, truth: str, rows: slice | np.ndarray, whole: Callable[[], Trajectories]
) -> Again:
    """Samples of the trajectories ``rows`` of ``data`` again, each from the one before it.

    ``whole`` simulates all of them: where adaptive steps got stuck, fixed ones were taken, and how many depends on all samples.
    """
    if data.method == FIXED and truth != "model":
        again = whole()
        if again.x.shape == data.x.shape:
            return Again(
                again.x[rows][:, 1:], AGREED * np.ptp(plant.system.state_ranges, axis=1), again.method, again.warnings
            )
    following, allowed = next_states(plant, data.x[rows], data.u[rows], truth)
    try:
        warnings = (*plant.system.unused, *plant.warnings, *check_states(plant.system, data.t, data.x, data.lengths))
    except SimulationError as error:  # a state that was changed until it left everything
        warnings = (str(error),)
    return Again(following, allowed, motion_method(plant, truth, len(data.t), data.method), warnings)


def motion_method(plant: DiscreteSystem, truth: str, samples: int, stated: str = "") -> str:
    """The method that simulates so many samples, where nothing gets stuck.

    A motion that is simulated sample by sample (under a law, with process noise, until it leaves) may have taken fine steps: ``stated``.
    """
    if plant.system.kind == "discrete":
        return "discrete map"
    if truth == "model":
        return plant.method
    fine = fine_steps(plant, samples)
    if fine and (plant.system.feedback is not None or stated == fine_method(fine)):
        return fine_method(fine)
    return "CVODES" if plant.dt / time_scales(plant.system)[0] > STIFF else "DOP853"


def next_states(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray, truth: str) -> tuple[np.ndarray, np.ndarray]:
    """(x[k+1] ``(K, N-1, nx)`` from stored x ``(K, N, nx)`` and u, what each state may be off by ``(nx,)``)."""
    first, held, width = x[:, :-1], u[:, :-1], np.ptp(plant.system.state_ranges, axis=1)
    size = np.nanmax(np.abs(x), axis=(0, 1)) + width
    exact = truth == "model" or plant.system.kind == "discrete"
    if exact and plant.graph is not None:
        time = plant.dt * np.arange(first.shape[1])
        return plant.step(first, held, time), max(ROUNDINGS, 4.0 * len(plant.graph.nodes)) * EPS * size
    count = first.shape[0] * first.shape[1]
    rows = first.reshape(count, plant.nx), held.reshape(count, 1, plant.nu)
    method = "cvodes" if exact and plant.method == "cvodes" else None
    found, there = (
        np.full_like(rows[0], np.nan),
        np.flatnonzero(np.isfinite(rows[0]).all(axis=1)),
    )  # not after a trajectory's end
    for k in range(0, len(there), ROWS):
        some = there[k : k + ROWS]
        found[some] = integrate_reference(plant.system, rows[0][some], rows[1][some], plant.dt, method)[:, 1]
    return found.reshape(first.shape), ERRORS * np.sqrt(plant.nx) * (RTOL * size + ATOL * (1 + width))
