"""Coordinates in which a metric of moderate condition number allows a fast observer (MATH 2h).

Along a trajectory the outputs and their derivatives are, to first order, linear in the state:

    (y, y', y'', ...) = (C, C A, C A^2, ...) z,   A, C: Jacobians averaged over the region, in range-scaled states

Divided by powers of a rate l they are the coordinates of a high-gain observer: xi = (y, y'/l, y''/l^2, ...) = T^-1 z. Where
these rows hardly change over the region (Roessler with y = x2: not at all) a constant metric in xi of moderate condition
number has the condition number l^2(n-1) or more in z, far beyond what a search in z can find. Source: Gauthier, Hammouri and
Othman, IEEE TAC 37, 1992.
"""

import numpy as np

from systems.detectability.jacobians import FULL_METRIC_UP_TO, Jacobians
from systems.discretization import DiscreteSystem
from systems.evaluation import evaluate, jacobian

INDEPENDENT = 1e-7  # share of a row that earlier rows must not explain
#: the rates l that are tried, in parts of 1/dt: the slowest first
SPEEDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


def observability_coordinates(plant: DiscreteSystem, jacobians: Jacobians, speed: float) -> np.ndarray | None:
    """T ``(nx, nx)`` with z = T (y, y'/l, y''/l^2, ...), l = ``speed``/dt; None when these rows do not span the states.

    Several outputs share the orders: every output's y, then every output's y', as far as each adds something new. A plant
    that is itself a map has differences (A - I) in place of derivatives.
    """
    nx = jacobians.a.shape[1]
    if nx > FULL_METRIC_UP_TO or not speed > 0:
        return None
    system = plant.system
    scale = np.ones(nx) if jacobians.scale is None else jacobians.scale
    if system.kind == "continuous":
        x, u = jacobians.points[:, :nx], jacobians.points[:, nx:]
        slopes = evaluate(jacobian(system.dynamics, "x"), t=np.zeros(1), x=x, u=u, p=system.parameter_values)
        slopes = np.broadcast_to(slopes, (len(x), nx, nx))
        slopes = plant.dt * slopes * scale / scale[:, None]
        mean = slopes[np.isfinite(slopes).all(axis=(1, 2))].mean(axis=0)
    else:
        mean = jacobians.a.mean(axis=0) - np.eye(nx)
    rows: list[np.ndarray] = []
    q = np.zeros((nx, 0))
    current = jacobians.c[:, : plant.ny].mean(axis=0)
    for _ in range(nx):
        for row in current:
            rest = row - q @ (q.T @ row)
            rest -= q @ (q.T @ rest)
            if len(rows) < nx and np.linalg.norm(rest) > INDEPENDENT * max(float(np.linalg.norm(row)), 1e-300):
                rows.append(row)
                q = np.concatenate([q, rest[:, None] / np.linalg.norm(rest)], axis=1)
        current = current @ mean / speed
    if len(rows) < nx:
        return None
    observability = np.array(rows)
    if not np.linalg.cond(observability) < 1e12:
        return None
    return np.linalg.inv(observability)
