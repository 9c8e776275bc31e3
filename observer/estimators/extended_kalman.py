"""The extended Kalman filter.

    S = C P C' + R,   K = P C' S^-1,   x+ = x_hat[k] + K (y[k] - h(x_hat[k], u[k])),   P+ = (I - K C) P (I - K C)' + K R K'
    x_hat[k+1] = F(x+, u[k]),   P[k+1] = A P+ A' + Q,        C = dh/dx at x_hat[k],   A = dF/dx at x+

Own code: the filter libraries for Python take one trajectory at a time and return x[k|k]; this one is batched over
trajectories, in predictor form, and takes its Jacobians from the same graph that is compiled for the other observers.
Source: Jazwinski, Stochastic Processes and Filtering Theory, 1970; Joseph's form of the update keeps P symmetric and positive.
"""

from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.gaussian import Gaussian, GaussianFilter, solve
from observer.estimators.parameters import covariance_parameters, covariances
from systems.discretization import DiscreteSystem

LABEL = "extended Kalman"
RUNS = "machine code"  # long runs; see observer.estimators.compiled
tuning_parameters = covariance_parameters


class ExtendedKalman(GaussianFilter):
    """The filter above; its state is :class:`Gaussian`. The mean is kept within the limits of the states."""

    def init(self, x_hat0: Any) -> Gaussian:
        """Mean x_hat0, covariance P0."""
        mean = super().init(x_hat0)
        return Gaussian(mean, np.broadcast_to(self.noise.p0, (*mean.shape[:-1], *self.noise.p0.shape)))

    def estimate(self, state: Gaussian) -> np.ndarray:
        """The mean."""
        return state.mean

    def covariance(self, state: Gaussian) -> np.ndarray:
        """P ``(..., nx, nx)``."""
        return state.covariance

    def innovation(self, state: Gaussian, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - h(x_hat, u) and S = C P C' + R; of a missing output 0 and its R."""
        u, y = self.signals(u, y)
        difference, _, s = self._innovation(state, u, y)
        return difference, s

    def _innovation(self, state: Gaussian, u: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        difference, present = self.model.innovation(y, self.plant.output(state.mean, u))
        # A missing output depends on nothing: its row of C is zero, and so is its column of the gain.
        c = np.where(present[..., None], self.model.output_jacobian(state.mean, u), 0.0)
        return difference, c, c @ state.covariance @ np.swapaxes(c, -1, -2) + self.noise.r

    def step(self, state: Gaussian, u: Any, y: Any) -> Gaussian:
        """(x_hat, P) at k+1 from those at k, u[k] and y[k]."""
        u, y = self.signals(u, y)
        mean, p = self.corrected(state, u, y)
        return Gaussian(self.plant.step(mean, u), self.predicted(mean, p, u))

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        noise = self.noise
        return compiled.run("extended", self.model, x_hat0, u, y, noise.p0, noise.q, np.diag(noise.r))

    def corrected(self, state: Gaussian, u: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x[k|k] and P[k|k]."""
        difference, c, s = self._innovation(state, u, y)
        gain = np.swapaxes(solve(s, c @ state.covariance), -1, -2)
        mean = self.model.clip(state.mean + (gain @ difference[..., None])[..., 0])
        rest = np.eye(self.system.nx) - gain @ c
        return mean, rest @ state.covariance @ np.swapaxes(rest, -1, -2) + gain @ self.noise.r @ np.swapaxes(
            gain, -1, -2
        )

    def predicted(self, mean: np.ndarray, p: np.ndarray, u: np.ndarray) -> np.ndarray:
        """P[k+1|k] from x[k|k] and P[k|k]."""
        a = self.model.jacobian(mean, u)
        p = a @ p @ np.swapaxes(a, -1, -2) + self.noise.q
        return 0.5 * (p + np.swapaxes(p, -1, -2))


def make(plant: DiscreteSystem, **values: float) -> ExtendedKalman:
    """The filter for values of the tuning parameters."""
    return ExtendedKalman(plant, covariances(plant, **values))
