"""The empirical observability Gramian: how well N samples of noisy outputs determine the initial state.

    W_ij = 1/(4 e^2) sum_k (y_k(x0 + e h_i) - y_k(x0 - e h_i))' R^-1 (y_k(x0 + e h_j) - y_k(x0 - e h_j))

with h_i half the range of state i and R the covariance of the outputs' noise. For a linear plant it is the Gramian
sum_k A'^k C'R^-1 C A^k exactly, for any e. W is the information in N samples: under white noise no unbiased estimate of a unit
direction v (in parts of the half ranges) has a standard deviation below 1/sqrt(v'W v), nor below sqrt(v'W^-1 v). Sources: Lall,
Marsden, Glavaski, Int. J. Robust Nonlinear Control 12, 2002; Krener, Ide, CDC 2009.
"""

from dataclasses import dataclass

import numpy as np

from systems.detectability.noise import NOMINAL_NOISE
from systems.discretization import DiscreteSystem

SHARE = 0.01  # of half a range, by which each state is moved


@dataclass(frozen=True, eq=False)
class EmpiricalGramian:
    """Result of :func:`empirical_gramian`.

    ``gramian`` ``(nx, nx)``: mean over the initial states, in 1/half range^2; ``initial_states`` their number; ``eigenvalues`` ``(nx,)``,
    the smallest first, and ``directions`` ``(nx, nx)``, row by row; ``worst_eigenvalue`` the smallest of any initial state, ``where``
    ``(nx + nu,)`` that state and ``worst_direction`` ``(nx,)``; ``output_noise`` ``(ny,)`` with ``assumed`` where some was not stated.
    """

    gramian: np.ndarray
    samples: int
    initial_states: int
    eigenvalues: np.ndarray
    directions: np.ndarray
    worst_eigenvalue: float
    worst_direction: np.ndarray
    where: np.ndarray
    output_noise: np.ndarray
    assumed: bool

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue; infinite where a direction leaves no trace beyond rounding."""
        small, large = self.eigenvalues[0], self.eigenvalues[-1]
        return float(large / small) if small > 1e-15 * large else float("inf")

    @property
    def deviation(self) -> float:
        """1/sqrt(smallest eigenvalue), in parts of half ranges: how well the worst direction can be known from the window alone."""
        small = self.eigenvalues[0]
        return float(1 / np.sqrt(small)) if small > 1e-15 * self.eigenvalues[-1] else float("inf")


def noise_of_outputs(plant: DiscreteSystem, output_scale: np.ndarray) -> tuple[np.ndarray, bool]:
    """(standard deviations ``(ny,)``, whether one was assumed): as stated, or 0.5 % of what a half range of the states moves."""
    stated = np.array([signal.noise for signal in plant.system.outputs], dtype=float)
    usual = NOMINAL_NOISE * np.where(output_scale > 1e-300, output_scale, 1.0)
    return np.where(stated > 0, stated, usual), bool((stated <= 0).any())


def empirical_gramian(
    plant: DiscreteSystem,
    x0: np.ndarray,
    u: np.ndarray,
    output_scale: np.ndarray,
    share: float = SHARE,
) -> EmpiricalGramian | None:
    """The Gramian from initial states x0 ``(K, nx)`` under ``u`` ``(K, N, nu)``; None where no pair of motions stayed finite.

    ``output_scale`` ``(ny,)``: change of an output over a half range, for outputs that state no noise. ``share``: e above.
    """
    count, samples, _ = u.shape
    nx, ny = plant.nx, plant.ny
    half = 0.5 * np.ptp(plant.system.state_ranges, axis=1)
    moved = share * np.diag(half)
    both = x0[:, None, None, :] + np.stack([moved, -moved])  # (K, 2, nx, nx)
    many = np.broadcast_to(u[:, None, None], (count, 2, nx, samples, u.shape[2])).reshape(
        count * 2 * nx, samples, u.shape[2]
    )
    x = plant.rollout(both.reshape(-1, nx), np.ascontiguousarray(many))[:, :-1]
    times = plant.dt * np.arange(samples)
    y = plant.output(x, many, times).reshape(count, 2, nx, samples, ny)
    noise, assumed = noise_of_outputs(plant, output_scale)
    with np.errstate(over="ignore", invalid="ignore"):
        change = ((y[:, 0] - y[:, 1]) / (2 * share) / noise).reshape(count, nx, samples * ny)
        each = change @ change.transpose(0, 2, 1)
    good = np.isfinite(each).all(axis=(1, 2))
    if not good.any():
        return None
    gramian = each[good].mean(axis=0)
    values, vectors = np.linalg.eigh(gramian)
    own, own_vectors = np.linalg.eigh(each[good])
    worst = int(np.argmin(own[:, 0]))
    row = int(np.flatnonzero(good)[worst])
    return EmpiricalGramian(
        gramian, samples, int(good.sum()), np.maximum(values, 0.0), vectors.T,
        float(max(own[worst, 0], 0.0)), own_vectors[worst][:, 0], np.concatenate([x0[row], u[row, 0]]), noise, assumed,
    )  # fmt: skip
