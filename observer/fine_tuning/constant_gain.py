"""Constant-gain observers of the linearised plant: which rate suits a given noise.

    x_hat+ = F(x_hat, u) + L (y - h(x_hat, u)),     L = A P C'(C P C' + R)^-1,     P = A P A' + Q - L (C P C' + R) L'

Steady-state Kalman predictor at the middle of the region, by ``scipy.linalg.solve_discrete_are``. R holds the variances
of noise and bias. Q is that of the disturbances; a plant without them has none, and its Kalman gain would fade to zero,
so that a wrong initial estimate would never be forgotten: Q gets the variance of the initial errors spread over the horizon.
From there Q is scaled up and down, and the gain that does best in simulation on the true plant is taken. Network units.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_discrete_are, solve_discrete_lyapunov

from observer.fine_tuning.rollouts import Rollouts, Sensing
from observer.known_plant import nominal_inputs
from observer.scaling import Scaling
from observer.state_observer import StateObserver
from systems.discretization import DiscreteSystem
from systems.process_noise import sample_deviation

LEAST_NOISE = 1e-6  # of half an output's range: below it R would be singular
SLOWEST = 0.9999
FACTORS = 10.0 ** np.arange(-4, 2.5, 0.5)
CURVE = 10.0 ** np.arange(-8, 2.25, 0.25)  # for drawing: gains too low to be chosen show what less noise would cost


@dataclass(frozen=True, eq=False)
class GainDesign:
    """The linearised plant and the covariances that its constant gains are made from."""

    a: np.ndarray
    c: np.ndarray
    q: np.ndarray
    r: np.ndarray

    def gain(self, factor: float = 1.0) -> np.ndarray | None:
        """L ``(nx, ny)`` for Q times ``factor``; None where the Riccati equation has no stabilising solution."""
        try:
            p = solve_discrete_are(self.a.T, self.c.T, factor * self.q, self.r)
        except (np.linalg.LinAlgError, ValueError):
            return None
        return self.a @ p @ self.c.T @ np.linalg.inv(self.c @ p @ self.c.T + self.r)

    def filter_gain(self, factor: float = 1.0) -> np.ndarray | None:
        """K ``(nx, ny)`` of x_hat+ = F(x_hat + K (y - h(x_hat, u)), u), with L = A K for a linear plant."""
        gain = self.gain(factor)
        return None if gain is None else np.linalg.lstsq(self.a, gain, rcond=None)[0]

    def rate(self, gain: np.ndarray) -> float:
        """Spectral radius of A - L C: the rate per sample at which a small error dies out."""
        return float(np.max(np.abs(np.linalg.eigvals(self.a - gain @ self.c))))

    def noise_level(self, gain: np.ndarray) -> np.ndarray:
        """Standard deviations ``(nx,)`` of the estimate that noise of covariance R alone causes, in network units."""
        cover = solve_discrete_lyapunov(self.a - gain @ self.c, gain @ self.r @ gain.T)
        return np.sqrt(np.maximum(np.diag(cover), 0.0))

    def curve(self, factors: np.ndarray) -> np.ndarray:
        """``(m, 1 + nx)``: rate and noise levels of the gains for Q times each factor."""
        gains = [gain for gain in map(self.gain, factors) if gain is not None]
        return np.array([[self.rate(g), *self.noise_level(g)] for g in gains if self.rate(g) < 1])


def design(plant: DiscreteSystem, scaling: Scaling, sensing: Sensing, horizon: int) -> GainDesign:
    """Linearise ``plant`` at the middle of the region and of its inputs."""
    system = plant.system
    x, u = scaling.state_centre, system.input_ranges.mean(axis=1)
    a, b = plant.jacobian(x, u)
    c, _ = plant.output_jacobian(x, u)
    s, outputs = scaling.state_scale, scaling.input_scale[len(system.known) :]
    a, b, c = a * s / s[:, None], b / s[:, None], c * s / outputs[:, None]
    error = sensing.initial_error * 0.5 * np.ptp(system.initial_ranges, axis=1) / s
    unknown = np.setdiff1d(np.arange(system.nu), system.known)
    disturbance = b[:, unknown] * np.ptp(system.input_ranges[unknown], axis=1)
    # A uniform quantity of width w has the variance w^2 / 12.
    q = (
        np.diag(error**2 / 3 / horizon + 1e-12)
        + disturbance @ disturbance.T / 12
        + np.diag((sample_deviation(plant) / s) ** 2)
    )
    noise = np.maximum(np.hypot(sensing.noise, sensing.bias) / outputs, LEAST_NOISE)
    return GainDesign(a, c, q, np.diag(noise**2))


def best_gain(found: GainDesign, rollouts: Rollouts) -> tuple[np.ndarray, float] | None:
    """(L, its loss) of the gains for Q times ``FACTORS`` that does best on the rollouts, with the plant's own F and h; or no gain at
    all, which is the plant in open loop.

    None where no gain stays finite on them.
    """
    gains = [gain for gain in map(found.gain, FACTORS) if gain is not None and found.rate(gain) < 1]
    gains.append(np.zeros((len(found.a), len(found.c))))
    losses = gain_losses(np.stack(gains), rollouts)
    best = int(np.argmin(losses))
    return (gains[best], float(losses[best])) if np.isfinite(losses[best]) else None


def gain_losses(gains: np.ndarray, rollouts: Rollouts) -> np.ndarray:
    """The simulation losses ``(m,)`` of x_hat+ = F(x_hat, u) + L (y - h(x_hat, u)) for gains ``(m, nx, ny)``, side by side;
    infinite where an estimate leaves all bounds."""
    scaling, total = rollouts.scaling, np.zeros(len(gains))
    x_hat = np.broadcast_to(rollouts.initial, (len(gains), *rollouts.initial.shape))
    with np.errstate(all="ignore"):
        for k in range(rollouts.steps):
            u, y = rollouts.u[:, k], rollouts.v[:, k, rollouts.outputs]
            innovation = np.where(np.isnan(y), 0.0, y - rollouts.expected(x_hat, u))  # a missing y gives no correction
            following = rollouts.plant.step(x_hat * scaling.state_scale + scaling.state_centre, u)
            x_hat = scaling.states(following) + innovation @ np.swapaxes(gains, 1, 2)
            x_hat = np.where(np.abs(x_hat) < 1e3, x_hat, np.nan)
            if k >= rollouts.skip:
                total += np.mean(np.sum((x_hat - rollouts.x[:, k + 1]) ** 2, axis=2), axis=1)
    return np.where(np.isfinite(total), total, np.inf) / (rollouts.steps - rollouts.skip)


def slower_rate(found: GainDesign, gain: np.ndarray | None, fitted: float) -> float:
    """The rate bound to tune at: that of the gain with half of its distance to 1 as a margin, and never a faster bound
    than the observer has already."""
    slower = 1 - 0.5 * (1 - (fitted if gain is None else found.rate(gain)))
    return max(fitted, min(slower, SLOWEST))


class ConstantGain(StateObserver):
    """x_hat+ = F(x_hat, u) + L (y - h(x_hat, u)) with the discretised plant's F: what a tuned observer is compared with.

    ``gain`` ``(nx, ny)`` in network units. It proves nothing. A missing y corrects nothing; disturbances are taken at the
    middle of their range.
    """

    def __init__(self, plant: DiscreteSystem, scaling: Scaling, gain: np.ndarray) -> None:
        self.plant = plant
        outputs = scaling.input_scale[len(plant.system.known) :]
        self.gain = scaling.state_scale[:, None] * np.asarray(gain, dtype=float) / outputs

    def step(self, state: Any, u: Any, y: Any) -> np.ndarray:
        """x_hat[k+1] from x_hat[k], u[k] and y[k]."""
        u = nominal_inputs(self.system, np.asarray(u, dtype=float))
        innovation = np.nan_to_num(np.asarray(y, dtype=float) - self.plant.output(state, u), nan=0.0)
        return self.plant.step(state, u) + innovation @ self.gain.T
