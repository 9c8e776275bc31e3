"""The observer with a constant gain: Luenberger's, with the gain of the steady-state Kalman filter.

    x_hat[k+1] = F(x_hat[k] + K (y[k] - h(x_hat[k], u[k])), u[k])
    P = A P A' - A P C' (C P C' + R)^-1 C P A' + Q,     K = P C' (C P C' + R)^-1,     L = A K

A and C: Jacobians at the middle of the region, or averaged over it where (A, C) at the middle is not detectable. For a linear
plant this is x_hat+ = A x_hat + B u + L (y - C x_hat). Own code on ``scipy.linalg.solve_discrete_are``: control libraries stop at
the gain matrix, and the observer around it must be batched, know angles and missing values, and use the nonlinear model.
Source: Anderson and Moore, Optimal Filtering, 1979, chapter 4.
"""

from typing import Any

import numpy as np
from scipy.linalg import solve_discrete_are

from observer.estimators import compiled
from observer.estimators.gaussian import GaussianFilter
from observer.estimators.parameters import Covariances, covariance_parameters, covariances
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.integration import sample_region

LABEL = "steady Kalman"
RUNS = "machine code"  # long runs; see observer.estimators.compiled
POINTS = 256
tuning_parameters = covariance_parameters


class SteadyKalman(GaussianFilter):
    """Constant gain ``gain`` K ``(nx, ny)``; its state is x_hat. ``steady`` P solves the Riccati equation of ``a``, ``c``, Q, R.

    The gain is that of small errors about one point: from a large initial error a strongly nonlinear plant may never come back.
    Raises :class:`InputError` where no constant gain makes the linearised error shrink.
    """

    def __init__(self, plant: DiscreteSystem, noise: Covariances) -> None:
        super().__init__(plant, noise)
        for a, c in self._linearised():
            found = _riccati(a, c, noise)
            if found is not None:
                break
        else:
            raise InputError(
                f"plant '{plant.system.name}': its linearisation is not detectable from {', '.join(plant.system.output_names)}, "
                "so no constant gain makes errors shrink; measure more, or take another estimator"
            )
        self.a, self.c, self.steady = a, c, found
        self.gain = found @ c.T @ np.linalg.inv(c @ found @ c.T + noise.r)

    def _linearised(self):  # type: ignore[no-untyped-def]
        system = self.system
        x, u = system.state_ranges.mean(axis=1), system.input_ranges.mean(axis=1)
        yield self.model.jacobian(x, u), self.model.output_jacobian(x, u)
        box = np.concatenate([system.state_ranges, system.input_ranges])
        points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
        a = self.model.jacobian(points[:, : system.nx], points[:, system.nx :])
        c = self.model.output_jacobian(points[:, : system.nx], points[:, system.nx :])
        yield np.nanmean(a, axis=0), np.nanmean(np.broadcast_to(c, (len(points), *c.shape[-2:])), axis=0)

    def covariance(self, state: Any) -> np.ndarray:
        """P of the steady state, the same for every estimate."""
        return np.broadcast_to(self.steady, (*np.shape(state)[:-1], *self.steady.shape))

    def innovation(self, state: Any, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - h(x_hat, u) and C P C' + R."""
        u, y = self.signals(u, y)
        difference, _ = self.model.innovation(y, self.plant.output(state, u))
        s = self.c @ self.steady @ self.c.T + self.noise.r
        return difference, np.broadcast_to(s, (*difference.shape[:-1], *s.shape))

    def step(self, state: Any, u: Any, y: Any) -> np.ndarray:
        """x_hat[k+1] from x_hat[k], u[k] and y[k]."""
        u, y = self.signals(u, y)
        difference, _ = self.model.innovation(y, self.plant.output(state, u))
        return self.plant.step(self.model.clip(state + difference @ self.gain.T), u)

    @property
    def _joint_noise(self) -> np.ndarray:
        return np.eye(self.system.ny)  # the gain is constant, whatever R

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        return compiled.run("gain", self.model, x_hat0, u, y, self.gain)


def _riccati(a: np.ndarray, c: np.ndarray, noise: Covariances) -> np.ndarray | None:
    """The stabilising solution P, or None. Scaled first: states of very different size would cost it its digits."""
    scale = np.sqrt(np.maximum(np.diag(noise.p0), 1e-300))
    outputs = np.sqrt(np.diag(noise.r))
    a, c = a * scale / scale[:, None], c * scale / outputs[:, None]
    q, r = noise.q / np.outer(scale, scale), noise.r / np.outer(outputs, outputs)
    try:
        p = solve_discrete_are(a.T, c.T, q, r)
    except (np.linalg.LinAlgError, ValueError):
        return None
    gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + r)
    stable = np.abs(np.linalg.eigvals(a - a @ gain @ c)).max(initial=0.0) < 1
    return 0.5 * (p + p.T) * np.outer(scale, scale) if stable and np.isfinite(p).all() else None


def make(plant: DiscreteSystem, **values: float) -> SteadyKalman:
    """The gain for values of the tuning parameters."""
    return SteadyKalman(plant, covariances(plant, **values))
