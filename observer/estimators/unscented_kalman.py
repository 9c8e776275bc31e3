"""The unscented Kalman filter in square-root form, so that no covariance can lose positive definiteness.

Points X_i = x_hat + c S e_i, x_hat - c S e_i and x_hat with P = S S', c^2 = n + kappa, weights 1/(2 c^2) and kappa/c^2. With
kappa >= 0 no weight is negative, so every covariance is a sum of squares and its factor a triangle of a QR decomposition:

    [ sqrt(W) dY   sqrt(W) dX ]        [ Sy'   G' ]
    [ sqrt(R)'     0          ]  =  Q  [ 0     S+' ],        x+ = x_hat + G Sy^-1 (y - y_hat),   P+ = S+ S+'
    [ sqrt(W) dX'; sqrt(Q)' ] = Q S',                        x_hat[k+1] = sum W F(X_i),   P[k+1] = S S'

so that neither a Cholesky factorisation nor a downdate is ever taken. Angles are averaged as deviations from the middle point,
wrapped to half a period. Own code: the libraries for Python are unbatched, take Cholesky factors of differences, and know no
angles. Sources: Julier and Uhlmann 2004; van der Merwe and Wan 2001; the array form: Kailath, Sayed, Hassibi 2000, chapter 12.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.gaussian import GaussianFilter, finite, solve
from observer.estimators.parameters import Covariances, covariance_parameters, covariances
from systems.angles import wrap
from systems.discretization import DiscreteSystem

LABEL = "unscented Kalman"
RUNS = "machine code"  # long runs; see observer.estimators.compiled
tuning_parameters = covariance_parameters


@dataclass(frozen=True, eq=False)
class Factored:
    """x_hat[k] ``(..., nx)`` and a factor S ``(..., nx, nx)`` of its covariance S S'."""

    mean: np.ndarray
    factor: np.ndarray


class UnscentedKalman(GaussianFilter):
    """The filter above; its state is :class:`Factored`. ``kappa``: 3 - n where that is positive, else 0 (cubature points)."""

    def __init__(self, plant: DiscreteSystem, noise: Covariances) -> None:
        super().__init__(plant, noise)
        n = plant.nx
        self.kappa = max(0.0, 3.0 - n)
        self.spread = float(np.sqrt(n + self.kappa))
        self.weights = np.full(2 * n + 1, 0.5 / self.spread**2)
        self.weights[0] = self.kappa / self.spread**2
        self.root_q, self.root_r, self.root_p0 = (_root(m) for m in (noise.q, noise.r, noise.p0))

    def init(self, x_hat0: Any) -> Factored:
        """Mean x_hat0, covariance P0."""
        mean = super().init(x_hat0)
        return Factored(mean, np.broadcast_to(self.root_p0, (*mean.shape[:-1], *self.root_p0.shape)))

    def estimate(self, state: Factored) -> np.ndarray:
        """The mean."""
        return state.mean

    def covariance(self, state: Factored) -> np.ndarray:
        """P = S S' ``(..., nx, nx)``."""
        return state.factor @ np.swapaxes(state.factor, -1, -2)

    def points(self, state: Factored) -> np.ndarray:
        """``(..., 2 nx + 1, nx)``, the middle first, within the limits of the states."""
        steps = self.spread * np.swapaxes(state.factor, -1, -2)
        middle = state.mean[..., None, :]
        return self.model.clip(np.concatenate([middle, middle + steps, middle - steps], axis=-2))

    def innovation(self, state: Factored, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - y_hat and S = Sy Sy'; of a missing output 0 and its R."""
        u, y = self.signals(u, y)
        difference, root, _, _ = self._correction(state, u, y)
        return difference, root @ np.swapaxes(root, -1, -2)

    def step(self, state: Factored, u: Any, y: Any) -> Factored:
        """(x_hat, S) at k+1 from those at k, u[k] and y[k]."""
        u, y = self.signals(u, y)
        difference, root, cross, factor = self._correction(state, u, y)
        shift = cross @ solve(root, difference[..., None])
        corrected = Factored(self.model.clip(state.mean + shift[..., 0]), factor)
        following = self.plant.step(self.points(corrected), u[..., None, :])
        mean, deviations = self._moments(following, self.model.state_periods)
        return Factored(mean, _triangle(deviations, self.root_q))

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        sensors = np.sqrt(np.diag(self.noise.r))
        return compiled.run(
            "unscented", self.model, x_hat0, u, y, self.root_p0, self.root_q, sensors, self.weights, self.spread
        )

    def _correction(
        self, state: Factored, u: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(innovation, Sy, G, S+)."""
        x = self.points(state)
        expected, dy = self._moments(self.plant.output(x, u[..., None, :]), self.model.output_periods)
        difference, present = self.model.innovation(y, expected)
        dy = np.where(present[..., None, :], dy, 0.0)
        dx = np.sqrt(self.weights)[:, None] * (x - state.mean[..., None, :])
        ny, nx = self.system.ny, self.system.nx
        batch = np.broadcast_shapes(dy.shape[:-2], dx.shape[:-2])
        top = np.concatenate([np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in (dy, dx)], axis=-1)
        bottom = np.concatenate([self.root_r.T, np.zeros((ny, nx))], axis=-1)
        triangle = _triangle(top, bottom.T)
        return difference, triangle[..., :ny, :ny], triangle[..., ny:, :ny], triangle[..., ny:, ny:]

    def _moments(self, points: np.ndarray, periods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean ``(..., n)``, sqrt(W) times the deviations ``(..., 2 nx + 1, n)``); angles about the middle point."""
        middle = points[..., :1, :]
        deviations = wrap(points - middle, periods)
        shift = self.weights @ deviations
        return middle[..., 0, :] + shift, np.sqrt(self.weights)[:, None] * (deviations - shift[..., None, :])


def _root(matrix: np.ndarray) -> np.ndarray:
    """A factor of a symmetric positive semidefinite matrix; zero variances are welcome."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def _triangle(rows: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Lower triangular L with L L' = rows' rows + root root'; nan where that is not finite."""
    below = np.broadcast_to(root.T, (*rows.shape[:-2], *root.T.shape))
    stacked = np.concatenate([rows, below], axis=-2)
    good = finite(stacked)
    triangle = np.linalg.qr(np.where(good, stacked, 0.0), mode="r")
    # Rows of one sign: a diagonal of both signs would make equal covariances look different.
    sign = np.where(np.diagonal(triangle, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return np.where(good, np.swapaxes(sign[..., None] * triangle, -1, -2), np.nan)


def make(plant: DiscreteSystem, **values: float) -> UnscentedKalman:
    """The filter for values of the tuning parameters."""
    return UnscentedKalman(plant, covariances(plant, **values))
