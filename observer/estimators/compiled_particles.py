"""Runs of the particle filter as machine code: weights, resampling and the motion of all particles in compiled loops.

The random numbers are those of :class:`observer.estimators.particle.ParticleFilter`, drawn by NumPy sample by sample and shared by
all trajectories, so that both give the same estimates to rounding. R must be diagonal, as for every compiled filter.
"""

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from observer.estimators.compiled import compile_with, flat
from observer.estimators.kernels.particles import move, redraw, weigh
from systems.graph import Graph


@lru_cache(maxsize=16)
def _compiled(step: Graph, output: Graph) -> ModuleType:
    sizes = dict(step.inputs)
    nx, nu, ny = sizes["x"], sizes["u"], output.shape[0]

    def warm(module: ModuleType) -> None:
        particles, weights = np.zeros((1, 2, nx)), np.full((1, 2), -np.log(2))
        u, p, angles, poor = np.zeros((1, nu)), np.zeros(sizes["p"]), np.full(nx, np.nan), np.ones(1, dtype=bool)
        limits, noise = (np.full(nx, -np.inf), np.full(nx, np.inf)), np.zeros((2, nx))
        module.weigh(
            particles, weights, u, np.full((1, ny), np.nan), p, np.ones(ny), np.full(ny, np.nan), np.ones(1), False, 0.3, 12,
            poor,
        )  # fmt: skip
        module.redraw(particles, weights, poor, 0.5, noise, 0.1, angles, *limits)
        module.move(particles, weights, u, p, noise, angles, *limits, np.zeros((1, nx)))

    return compile_with({"step": step, "output": output}, (weigh, redraw, move), warm)


def run(
    filter_: Any, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray, stages: int, survivors: float, halvings: int
) -> np.ndarray:
    """Estimates ``(..., N, nx)`` of a :class:`~observer.estimators.particle.ParticleFilter` with diagonal R."""
    model, plant = filter_.model, filter_.plant
    module = _compiled(plant.graph, plant.system.output)
    batch = x_hat0.shape[:-1]
    starts, u, y = flat(model, x_hat0, u, y)
    cloud = filter_.init(starts)
    particles, weights = np.array(cloud.particles), np.array(cloud.log_weights)
    p, angles, turns = plant.system.parameter_values, model.state_periods, model.output_periods
    low, high = (np.ascontiguousarray(row) for row in model.limits)
    sharp, poor = 1 / np.sqrt(np.diag(filter_.noise.r)), np.zeros(len(starts), dtype=bool)
    result = np.empty((*u.shape[:2], plant.nx))
    if u.shape[1]:
        result[:, 0] = filter_.estimate(cloud)
    means = np.empty((len(starts), plant.nx))
    for k in range(u.shape[1] - 1):
        now, remaining = u[:, k].copy(), np.ones(len(starts))
        measured = y[:, k].copy()
        for stage in range(stages):
            flags = module.weigh(
                particles, weights, now, measured, p, sharp, turns, remaining, stage == stages - 1, survivors, halvings, poor
            )  # fmt: skip
            if flags & 1:
                offset, noise = filter_.resampling_draws(k, stage)
                module.redraw(particles, weights, poor, offset, noise, filter_.bandwidth, angles, low, high)
            if not flags & 2:
                break
        module.move(particles, weights, now, p, filter_.motion_draws(k), angles, low, high, means)
        result[:, k + 1] = means
    return result.reshape(*batch, *result.shape[1:])
