"""The exact-model projection observer (MATH 2h): what a contracting observer with a perfect model attains.

    x_hat+ = f(S(x_hat, y), u),   S = x_hat + K (y - h(x_hat, u)),   K = M^-1 C' (C M^-1 C')^-1

It knows the plant's own map, is exact once it has converged, and needs no fit, so that it separates the share of a score that
belongs to the protocol (initial estimate, transient) from the share that an imperfect fit adds. It contracts
only where S stays in the region of M: a number that is not finite says that it left it. For linear outputs.
"""

import numpy as np

from systems.discretization import DiscreteSystem


def projection_gain(plant: DiscreteSystem, metric: np.ndarray) -> np.ndarray:
    """K ``(nx, ny)`` for a metric M ``(nx, nx)`` in physical units and the output matrix at the middle of the ranges."""
    system = plant.system
    c, _ = plant.output_jacobian(system.state_ranges.mean(axis=1), system.input_ranges.mean(axis=1))
    c = np.asarray(c, dtype=float).reshape(system.ny, system.nx)
    inverse = np.linalg.solve(metric, c.T)
    return inverse @ np.linalg.inv(c @ inverse)


def projection_run(
    plant: DiscreteSystem, metric: np.ndarray, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Estimates ``(K, N, nx)`` from x_hat0 ``(K, nx)`` along u ``(K, N, nu)`` and y ``(K, N, ny)``; row 0 is x_hat0."""
    gain = projection_gain(plant, metric)
    x_hat = np.empty((*u.shape[:2], plant.nx))
    x_hat[:, 0] = x_hat0
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(u.shape[1] - 1):
            corrected = x_hat[:, k] + (y[:, k] - plant.output(x_hat[:, k], u[:, k])) @ gain.T
            x_hat[:, k + 1] = plant.step(corrected, u[:, k])
    return x_hat
