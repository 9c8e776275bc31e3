"""The reference of plants that adaptive steps get stuck on: Runge-Kutta steps of one length, halved until two results agree.

A right-hand side that switches has no derivatives to estimate an error from, so that the error is measured: by how much half
the step changes the result. Along a sliding mode it falls in proportion to the step.
"""

from functools import lru_cache
from types import ModuleType

import numpy as np

from systems.compilation import compile_text, functions
from systems.graph import Graph
from systems.system import System

TARGET = 1e-5  # of every range: where halving stops
COARSE, FINEST = 8, 2**16  # steps per sample
WORK = 3e8  # elementary operations of all steps together, about a second: beyond it the accuracy is what it is

_ROLLOUT = """

@njit(cache=True, nogil=True, error_model="numpy")
def rollout(x0, u, p, dt, start, substeps, result):
    nx = x0.shape[1]
    k1, k2, k3, k4, x, z = (np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx))
    h = dt / substeps
    for k in range(x0.shape[0]):
        x[:] = x0[k]
        result[k, 0] = x
        for n in range(u.shape[1]):
            for s in range(substeps):
                t = start + n * dt + s * h
                derivative(t, x, u[k, n], p, k1)
                for i in range(nx):
                    z[i] = x[i] + 0.5 * h * k1[i]
                derivative(t + 0.5 * h, z, u[k, n], p, k2)
                for i in range(nx):
                    z[i] = x[i] + 0.5 * h * k2[i]
                derivative(t + 0.5 * h, z, u[k, n], p, k3)
                for i in range(nx):
                    z[i] = x[i] + h * k3[i]
                derivative(t + h, z, u[k, n], p, k4)
                for i in range(nx):
                    x[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i])
            result[k, n + 1] = x
"""


def runge_kutta(system: System, x0: np.ndarray, u: np.ndarray, dt: float, substeps: int, t0: float = 0.0) -> np.ndarray:
    """States ``(K, N+1, nx)`` by the classical steps, as a compiled loop: compiling takes the same for any number of substeps."""
    x0, u, p = (np.ascontiguousarray(a, dtype=float) for a in (x0, u, system.parameter_values))
    result = np.empty((len(x0), u.shape[1] + 1, system.nx))
    _compiled(system.dynamics).rollout(x0, u, p, dt, t0, substeps, result)
    return result


@lru_cache(maxsize=64)
def _compiled(dynamics: Graph) -> ModuleType:
    sizes = dict(dynamics.inputs)
    none = {name: np.empty((0, 1, sizes[name])) for name in ("x", "u")}

    def warm(module: ModuleType) -> None:
        module.rollout(none["x"][:, 0], none["u"], np.zeros(sizes["p"]), 1.0, 0.0, 1, np.empty((0, 2, sizes["x"])))

    return compile_text(functions(derivative=dynamics) + _ROLLOUT, "rollout", warm)[0]


def fixed_steps(
    system: System, x0: np.ndarray, u: np.ndarray, dt: float, t0: float = 0.0
) -> tuple[np.ndarray, int, np.ndarray]:
    """(states ``(K, N+1, nx)``, steps per sample, their error ``(nx,)``) of a continuous plant.

    The error is the largest change of a state by the last halving, in parts of its range: nan where the states are not finite.
    """
    width = np.ptp(system.state_ranges, axis=1)
    per_step = 4.0 * len(system.dynamics.nodes) * len(x0) * u.shape[1]
    substeps, x = COARSE, runge_kutta(system, x0, u, dt, COARSE, t0)
    while True:
        substeps, coarse, x = 2 * substeps, x, runge_kutta(system, x0, u, dt, 2 * substeps, t0)
        with np.errstate(all="ignore"):  # of states that run away
            error = np.max(np.abs(x - coarse), axis=(0, 1)) / width
        if np.max(error) <= TARGET or not np.isfinite(error).all():
            return x, substeps, error
        if 2 * substeps > FINEST or 2 * substeps * per_step > WORK:
            return x, substeps, error
