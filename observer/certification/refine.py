"""A sharper metric after training: (M, Lam) chosen for the fastest rate, or for the smallest error of one state.

The weights stay as they are. The contraction rate is known in closed form for every (M, Lam), with its gradient (``gains``), so
that M = L L' and log Lam are improved by L-BFGS on

    log(1 - rate)^-1                                                              "rate"
    log sqrt((M^-1)_ii) + log(rho_M + gain_y nbar) + log(1 - rate)^-1             state i; its mean over several states

where rho_M is the residual met at sampled points (it steers the search; the bound in the new metric is proved afterwards).
What is returned is checked by the closed form and the eigenvalues of ``contraction``, like any other metric.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from observer.certification.contraction import contraction_rate, find_fault, lmi_margin
from observer.certification.gains import SMOOTH, Failed, squared_gain
from observer.networks.ren.explicit import ExplicitREN

_TEST_AT = 1 + 1e-9
_PEAK = 12.0  # power mean of the sampled residuals: near their maximum, and smooth
_BAD = 60.0  # where nothing is proved


@dataclass(frozen=True, eq=False)
class Refined:
    """``metric`` M (nx, nx), ``multipliers`` Lam (nv,), the ``rate`` they prove, and what they were made for."""

    metric: np.ndarray
    multipliers: np.ndarray
    rate: float
    objective: str


def refine(
    weights: ExplicitREN,
    metric: np.ndarray,
    multipliers: np.ndarray,
    *,
    state: int | Sequence[int] | None = None,
    residuals: np.ndarray | None = None,
    outputs: slice = slice(None),
    noise: float = 0.0,
    iterations: int = 300,
    slowest: float = 1.0,
) -> Refined:
    """A metric for ``state`` (an index, or several), or for the rate when left out, from (``metric``, ``multipliers``) downhill.

    weights : ExplicitREN. residuals : sampled residuals ``(m, nx)``, needed with ``state``. noise : |n| to weigh in,
    through the input columns ``outputs``. slowest : the rate must stay below it.

    The starting pair is returned when nothing better was proved. Raises ValueError for what ``find_fault`` finds.
    """
    ren = weights.to_numpy()
    fault = find_fault(ren, metric, multipliers)
    if fault:
        raise ValueError(f"no certificate: {fault}")
    M0, Lam0 = np.asarray(metric, dtype=float), np.asarray(multipliers, dtype=float)
    L0 = np.linalg.cholesky((M0 + M0.T) / 2)
    n, nv = ren.nx, ren.nv
    states = [] if state is None else [state] if isinstance(state, int) else list(state)
    lower = np.tril_indices(n)
    diagonal = lower[0] == lower[1]
    samples = np.zeros((0, n)) if residuals is None else np.asarray(residuals, dtype=float)
    size = np.sqrt(np.max(np.einsum("ki,ij,kj->k", samples, M0, samples), initial=0.0))
    samples = samples / size if size > 0 else samples

    def unpack(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        T = np.zeros((n, n))
        values = theta[: len(lower[0])].copy()
        values[diagonal] = np.exp(values[diagonal])
        T[lower] = values
        return L0 @ T, Lam0 * np.exp(theta[len(lower[0]) :])

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        L, Lam = unpack(theta)
        M = L @ L.T
        try:
            squared, d_out, d_in, d_lam = squared_gain(ren.A, ren.B1, ren.C1, ren.D11, M, M, Lam, power=SMOOTH)
        except Failed:
            return _BAD, np.zeros_like(theta)
        rate = np.sqrt(squared)
        if not rate < slowest:
            return _BAD, np.zeros_like(theta)
        slope = 1 / (2 * rate * (1 - rate))
        value, grad_M, grad_lam = -np.log(1 - rate), slope * (d_out + d_in), slope * d_lam
        if state is not None:
            inverse = np.linalg.inv(M)
            for i in states:
                value += 0.5 * np.log(inverse[i, i]) / len(states)
                grad_M = grad_M - 0.5 * np.outer(inverse[i], inverse[i]) / inverse[i, i] / len(states)
            level, d_level, d_level_lam = _level(ren, M, Lam, samples, outputs, noise / size if size > 0 else noise)
            if not np.isfinite(level):
                return _BAD, np.zeros_like(theta)
            value += np.log(level)
            grad_M, grad_lam = grad_M + d_level / level, grad_lam + d_level_lam / level
        grad_T = 2 * L0.T @ grad_M @ L
        flat = grad_T[lower].copy()
        values = theta[: len(lower[0])]
        flat[diagonal] *= np.exp(values[diagonal])
        return float(value), np.concatenate([flat, grad_lam * Lam])

    start = np.zeros(len(lower[0]) + nv)
    before = cost(start)[0]
    # Memory of many steps: log Lam and M are scaled very differently. A line search may look at where all overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 30})
    best = Refined(M0, Lam0, contraction_rate(ren, M0, Lam0), "as shipped")
    if not found.fun < before - 1e-9:
        return best
    L, Lam = unpack(found.x)
    M = L @ L.T
    M = (M + M.T) / 2
    if find_fault(ren, M, Lam):
        return best
    rate = contraction_rate(ren, M, Lam)
    if not rate < 1 or lmi_margin(ren, M, Lam, rate * _TEST_AT) < -1e-12:
        return best
    return Refined(M, Lam, rate, "rate" if state is None else f"states {states}")


def _level(
    ren: ExplicitREN, M: np.ndarray, Lam: np.ndarray, samples: np.ndarray, outputs: slice, noise: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """What is added to |e|_M in a step, smooth, with its gradients in M and Lam."""
    squares = np.einsum("ki,ij,kj->k", samples, M, samples)
    top = float(squares.max(initial=0.0))
    level, d_M, d_lam = 0.0, np.zeros_like(M), np.zeros_like(Lam)
    if top > 0:
        ratio = squares / top
        mean = float(np.mean(ratio**_PEAK))
        level = np.sqrt(top) * mean ** (1 / (2 * _PEAK))
        share = ratio ** (_PEAK - 1) * level / (2 * mean * top * len(samples))
        d_M = (samples.T * share) @ samples
    if noise > 0:
        B2, D12 = ren.B2[:, outputs], ren.D12[:, outputs]
        try:
            squared, d_out, _, d_gain = squared_gain(B2, ren.B1, D12, ren.D11, M, np.eye(B2.shape[1]), Lam, SMOOTH)
        except Failed:
            return np.inf, d_M, d_lam
        gain = np.sqrt(max(squared, 1e-300))
        level, d_M, d_lam = level + noise * gain, d_M + noise * d_out / (2 * gain), noise * d_gain / (2 * gain)
    return max(level, 1e-300), d_M, d_lam
