"""The particle filter with systematic resampling, regularisation and progressive correction.

    w_i ~ w_i N(y[k]; h(x_i, u[k]), R),      x_hat = sum w_i x_i,      x_i[k+1] = F(x_i, u[k]) + q_i,  q_i ~ N(0, Q)

Where fewer than half of the particles count (1 / sum w^2 < N/2) they are drawn anew: systematic resampling, then a little
Gaussian noise after Liu and West, x_i <- m + sqrt(1 - b^2) (x_i - m) + b S n_i, which keeps mean m and covariance S S'. A sensor
much sharper than the cloud would leave a handful of particles: its likelihood is then taken in several smaller powers, each
followed by resampling. Angles are averaged about the direction of their mean on the circle. Own code: the libraries for Python keep
the particles of one trajectory in Python objects. Sources: Gordon et al. 1993; Liu and West 2001; Musso et al. 2001.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observer.estimators import compiled_particles
from observer.estimators.gaussian import GaussianFilter, finite
from observer.estimators.parameters import Covariances, TuningParameter, covariance_parameters, covariances
from systems.angles import wrap
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

LABEL = "particle filter"
RUNS = "machine code"  # long runs; the random numbers are NumPy's
EXPENSE = 5  # of the evaluations of a tuning one in so many
PARTICLES = 500
STAGES, SURVIVORS, BISECTIONS = 12, 0.3, 12
LEAST_MOTION = 1e-3  # of a half range per sample; below it a cloud that has missed the state never finds it again


@dataclass(frozen=True, eq=False)
class Cloud:
    """Particles ``(..., N, nx)``, logarithms of their weights ``(..., N)``, and the sample k, which draws the noise."""

    particles: np.ndarray
    log_weights: np.ndarray
    sample: int


class ParticleFilter(GaussianFilter):
    """The filter above with ``count`` particles; its state is :class:`Cloud`. Same seed, same run: noise depends on seed and k.

    All trajectories of a batch get the same draws, so that an estimate does not depend on what else is in the batch.
    """

    def __init__(self, plant: DiscreteSystem, noise: Covariances, count: int = PARTICLES, seed: int = 0) -> None:
        super().__init__(plant, noise)
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise InputError(f"count is {count!r}; expected a whole number of particles, 2 or more")
        self.count, self.seed = count, seed
        self._roots = [_root(m) for m in (noise.q, noise.p0)]
        self._whiten = np.linalg.inv(np.linalg.cholesky(noise.r))
        n = plant.nx
        self.bandwidth = min(0.5, (4 / (n + 2)) ** (1 / (n + 4)) * count ** (-1 / (n + 4)))

    def resampling_draws(self, sample: int, stage: int) -> tuple[float, np.ndarray]:
        """(offset of the systematic draw, normal numbers ``(count, nx)``) of a stage of the correction."""
        return np.random.default_rng([self.seed, sample, 3 + 2 * stage]).uniform(), self._normal(sample, 2 + 2 * stage)

    def motion_draws(self, sample: int) -> np.ndarray:
        """``(count, nx)``: the process noise of the particles, of covariance Q."""
        return self._normal(sample, 1) @ self._roots[0].T

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        return compiled_particles.run(self, x_hat0, u, y, STAGES, SURVIVORS, BISECTIONS)

    def _normal(self, sample: int, what: int) -> np.ndarray:
        return np.random.default_rng([self.seed, sample, what]).standard_normal((self.count, self.system.nx))

    def init(self, x_hat0: Any) -> Cloud:
        """Particles drawn about x_hat0 with covariance P0, of mean x_hat0 itself."""
        mean = super().init(x_hat0)
        draws = self._normal(0, 0) @ self._roots[1].T
        particles = self.model.clip(mean[..., None, :] + draws - draws.mean(axis=0))
        return Cloud(particles, np.full(particles.shape[:-1], -np.log(self.count)), 0)

    def estimate(self, state: Cloud) -> np.ndarray:
        """The weighted mean."""
        return self._moments(state)[0]

    def covariance(self, state: Cloud) -> np.ndarray:
        """The weighted covariance of the particles."""
        _, w, deviations = self._moments(state)
        return np.swapaxes(deviations * w[..., None], -1, -2) @ deviations

    def _moments(self, state: Cloud) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mean, weights, deviations from the mean)."""
        w = np.exp(state.log_weights)
        if not np.isfinite(self.model.state_periods).any():
            mean = (w[..., None, :] @ state.particles)[..., 0, :]
            return mean, w, state.particles - mean[..., None, :]
        middle = _middle(state.particles, w, self.model.state_periods)
        deviations = wrap(state.particles - middle, self.model.state_periods)
        shift = w[..., None, :] @ deviations
        return (middle + shift)[..., 0, :], w, deviations - shift

    def innovation(self, state: Cloud, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - mean of h and its covariance plus R; of a missing output 0 and its R."""
        u, y = self.signals(u, y)
        expected = self.plant.output(state.particles, u[..., None, :])
        w = np.exp(state.log_weights)
        middle = _middle(expected, w, self.model.output_periods)
        deviations = wrap(expected - middle, self.model.output_periods)
        shift = w[..., None, :] @ deviations
        difference, present = self.model.innovation(y, (middle + shift)[..., 0, :])
        deviations = np.where(present[..., None, :], deviations - shift, 0.0)
        return difference, np.swapaxes(deviations * w[..., None], -1, -2) @ deviations + self.noise.r

    def step(self, state: Cloud, u: Any, y: Any) -> Cloud:
        """The cloud at k+1 from that at k, u[k] and y[k]."""
        u, y = self.signals(u, y)
        cloud = self._corrected(state, u[..., None, :], y[..., None, :])
        following = self.plant.step(cloud.particles, u[..., None, :]) + self.motion_draws(state.sample)
        return Cloud(self.model.clip(following), cloud.log_weights, state.sample + 1)

    def _corrected(self, cloud: Cloud, u: np.ndarray, y: np.ndarray) -> Cloud:
        """Weights times likelihood, in as many stages as it takes for a share of the particles to survive each."""
        remaining: np.ndarray | float = 1.0
        for stage in range(STAGES):
            difference, present = self.model.innovation(y, self.plant.output(cloud.particles, u))
            whitener = self._whiten
            if not present.all():  # R is diagonal wherever outputs can be missing one at a time
                whitener = np.diag(1 / np.sqrt(np.diag(self.noise.r)))
            likelihood = -0.5 * np.sum((difference @ whitener.T) ** 2, axis=-1)
            likelihood = np.where(np.isnan(likelihood), -np.inf, likelihood)
            share = remaining if stage == STAGES - 1 else self._affordable(cloud.log_weights, likelihood, remaining)
            share = np.broadcast_to(share, likelihood.shape[:-1])
            weighted = np.where(
                share[..., None] > 0, cloud.log_weights + share[..., None] * likelihood, cloud.log_weights
            )
            cloud = self._resampled(Cloud(cloud.particles, _normalised(weighted), cloud.sample), stage)
            remaining = remaining - share
            if not (remaining > 0).any():
                break
        return cloud

    def _affordable(self, log_weights: np.ndarray, likelihood: np.ndarray, remaining: Any) -> np.ndarray:
        """The largest power of the likelihood, up to what remains, that leaves ``SURVIVORS`` of the particles counting."""
        high = np.broadcast_to(remaining, likelihood.shape[:-1]).astype(float)

        def enough(power: np.ndarray) -> np.ndarray:
            w = np.exp(2 * _normalised(log_weights + power[..., None] * likelihood))
            return 1 / np.sum(w, axis=-1) >= SURVIVORS * self.count

        whole = enough(high)
        if whole.all():
            return high
        low, top = np.zeros_like(high), high
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + top)
            fits = enough(middle)
            low, top = np.where(fits, middle, low), np.where(fits, top, middle)
        return np.where(whole, high, np.maximum(low, 1e-6 * high))

    def _resampled(self, cloud: Cloud, stage: int) -> Cloud:
        """The cloud with equal weights where too few particles count."""
        w = np.exp(cloud.log_weights)
        poor = 1 / np.sum(w**2, axis=-1) < 0.5 * self.count
        if not poor.any():
            return cloud
        offset, draws = self.resampling_draws(cloud.sample, stage)
        rows = w[poor].reshape(-1, self.count)
        passed = np.ceil(self.count * np.cumsum(rows, axis=1) - offset)
        passed[:, -1] = self.count  # rounding must not lose the last one
        copies = np.diff(np.clip(passed, 0, self.count), axis=1, prepend=0.0).astype(int)
        chosen = np.repeat(np.tile(np.arange(self.count), len(rows)), copies.reshape(-1)).reshape(rows.shape)
        mean, _, deviations = self._moments(cloud)
        mean, spread = mean[poor].reshape(-1, 1, self.system.nx), deviations[poor].reshape(len(rows), self.count, -1)
        cover = np.swapaxes(spread * rows[:, :, None], 1, 2) @ spread
        drawn = np.take_along_axis(spread, chosen[:, :, None], axis=1)
        noise = draws @ np.swapaxes(_root(cover), 1, 2)
        moved = mean + np.sqrt(1 - self.bandwidth**2) * drawn + self.bandwidth * noise
        particles, log_weights = cloud.particles.copy(), cloud.log_weights.copy()
        particles[poor] = self.model.clip(moved).reshape(particles[poor].shape)
        log_weights[poor] = -np.log(self.count)
        return Cloud(particles, log_weights, cloud.sample)


def _middle(values: np.ndarray, weights: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """``(..., 1, n)``: weighted means of values ``(..., N, n)``; of an angle the direction of its mean on the circle."""
    mean = weights[..., None, :] @ values
    if not np.isfinite(periods).any():
        return mean
    turn = 2 * np.pi / np.where(np.isfinite(periods), periods, 1.0)
    sine, cosine = (weights[..., None, :] @ f(turn * values) for f in (np.sin, np.cos))
    direction = np.arctan2(sine, cosine) / turn
    return np.where(np.isfinite(periods), mean + wrap(direction - mean, periods), mean)


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    """Logarithms that add up to one; a particle that is not finite weighs nothing, and where none is left all weigh the same."""
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    largest = log_weights.max(axis=-1, keepdims=True)
    lost = ~np.isfinite(largest)
    shifted = np.where(lost, 0.0, log_weights - np.where(lost, 0.0, largest))
    return np.maximum(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)), -700.0)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Lower triangular factors of symmetric positive semidefinite matrices ``(..., n, n)``; zero where one is not finite.

    A direction without spread gets a column of zeros, which a factorisation of positive definite matrices would refuse.
    """
    matrix = np.where(finite(matrix), matrix, 0.0)
    root = np.zeros_like(matrix)
    for j in range(matrix.shape[-1]):
        rest = matrix[..., j:, j] - np.sum(root[..., j:, :j] * root[..., j : j + 1, :j], axis=-1)
        pivot = np.where(rest[..., 0] > 1e-14 * matrix[..., j, j], rest[..., 0], 0.0)
        size = np.sqrt(pivot)
        root[..., j:, j] = np.where(size[..., None] > 0, rest / np.where(size > 0, size, 1.0)[..., None], 0.0)
    return root


def tuning_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """Those of the Kalman filters, with a motion of at least ``LEAST_MOTION``."""
    found = covariance_parameters(plant)
    return tuple(replace(k, low=LEAST_MOTION) if k.name.startswith("q_") else k for k in found)


def make(plant: DiscreteSystem, **values: float) -> ParticleFilter:
    """The filter for values of the tuning parameters."""
    return ParticleFilter(plant, covariances(plant, **values))
