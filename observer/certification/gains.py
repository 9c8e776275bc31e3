"""Proved gains through a REN in closed form, with their derivatives: used to refine a metric or multipliers.

For dx+ = A dx + B1 dw, dv = C1 dx + D11 dw and neurons of slope in [0, 1], and any weight O = Z'Z on the result,

    |Z dx+|^2 <= gain^2 |dx|_N^2,   gain^2 = lambda_max(N^-1 (A'O A + K'R^-1 K)),
    K = Lam C1 + B1'O A,   R = 2 Lam - Lam D11 - D11'Lam - B1'O B1 > 0,

by the incremental sector inequality 2 dw'Lam (dv - dw) >= 0 (MATH 2a). With a unit eigenvector v (v'N v = 1), w = R^-1 K v
and z = A v + B1 w:   d gain^2 / dO = z z',   d / dN = -gain^2 v v',   d / dLam = 2 w (C1 v + D11 w - w) elementwise.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import minimize

from observer.networks.ren.explicit import ExplicitREN

_MARGIN = 1 + 1e-9
SMOOTH = 40  # power mean of the eigenvalues: where the largest ones meet, the maximum has no gradient


class Failed(ValueError):
    """R is not positive definite: these multipliers prove nothing."""


def squared_gain(A, B1, C1, D11, O, N, Lam, power: float = np.inf):
    """(gain^2, d/dO, d/dN, d/dLam); with a finite ``power`` the power mean of all eigenvalues, which is above gain^2.

    Shapes: A (k, n), B1 (k, nv), C1 (nv, n), D11 (nv, nv), O (k, k), N (n, n), Lam (nv,). Raises Failed.
    """
    LD = Lam[:, None] * D11
    R = 2 * np.diag(Lam) - LD - LD.T - B1.T @ O @ B1
    K = Lam[:, None] * C1 + B1.T @ O @ A
    try:
        if len(Lam):
            W = cho_solve(cho_factor(R), K)
        else:
            W = np.zeros_like(K)
        S = A.T @ O @ A + K.T @ W
        values, vectors = eigh((S + S.T) / 2, N)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise Failed(str(error)) from error
    values = np.maximum(values, 0.0)
    top = values[-1]
    if top <= 0 or not np.isfinite(power):
        share, result = np.zeros(len(values)), float(top)
        share[-1] = 1.0
    else:
        ratio = values / top
        total = np.sum(ratio**power)
        result = float(top * total ** (1 / power))
        share = ratio ** (power - 1) * total ** (1 / power - 1)
    w = W @ vectors
    z = A @ vectors + B1 @ w
    d_out = (z * share) @ z.T
    d_in = -(vectors * (share * values)) @ vectors.T
    d_lam = 2 * np.sum(share * w * (C1 @ vectors + D11 @ w - w), axis=1)
    return result, d_out, d_in, d_lam


def smallest_gain(A, B1, C1, D11, O, N, Lam, iterations: int = 60) -> tuple[float, np.ndarray]:
    """The gain at the best multipliers found from ``Lam``, (gain, multipliers): every number it returns is proved.

    The scale of the multipliers is that of O: it is searched first, then each multiplier by L-BFGS in its logarithm.
    """

    def at(log: np.ndarray) -> tuple[float, np.ndarray]:
        try:
            value, _, _, slope = squared_gain(A, B1, C1, D11, O, N, np.exp(log), power=SMOOTH)
        except Failed:
            return np.inf, np.zeros_like(log)
        return value, slope * np.exp(log)

    if not len(Lam):
        return float(np.sqrt(squared_gain(A, B1, C1, D11, O, N, Lam)[0])), Lam
    base = np.log(Lam)
    shifts = np.linspace(-20, 20, 41)
    if (
        O.shape == N.shape
    ):  # O <= c N: with c times the multipliers that prove a rate in N, the gain is at most sqrt(c) times that
        shifts = np.append(shifts, np.log(np.maximum(eigh(O, N, eigvals_only=True)[-1], 1e-300)))
    start = min((base + shift for shift in shifts), key=lambda log: at(log)[0])
    best_log, best = start, at(start)[0]
    if np.isfinite(best) and best > 0:
        reach = [(value - 30, value + 30) for value in start]
        found = minimize(
            _guarded(at, best), start, jac=True, method="L-BFGS-B", bounds=reach, options={"maxiter": iterations}
        )
        if at(found.x)[0] < best:
            best_log = found.x
    if not np.isfinite(best):
        return float("inf"), Lam
    value = squared_gain(A, B1, C1, D11, O, N, np.exp(best_log))[0]
    return float(np.sqrt(value)) * _MARGIN, np.exp(best_log)


def _guarded(at, size: float):
    """The logarithm of ``at``; a point that proves nothing is far up, so that the line search comes back."""

    def call(log: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = at(log)
        if not np.isfinite(value) or value <= 0:
            return 50.0, np.zeros_like(log)
        return float(np.log(value / size)), slope / value

    return call


@dataclass(frozen=True, eq=False)
class StepGains:
    """Gains of one step from |e|_M and noise to each state: |e_i+| <= error_i |e|_M + noise_i |n| + |r_i| + |d_i|, proved.

    error, noise : (nx,), per unit of |e|_M and per Euclidean unit of measurement error, in the unit of state i.
    error_multipliers, noise_multipliers : (nx, nv), which prove them.
    """

    error: np.ndarray
    noise: np.ndarray
    error_multipliers: np.ndarray
    noise_multipliers: np.ndarray


def find_step_gains(
    weights: ExplicitREN, M: np.ndarray, Lam: np.ndarray, known: int, iterations: int = 60
) -> StepGains:
    """The smallest gains found from the multipliers Lam; the outputs of the plant are the network's inputs from ``known`` on."""
    found = []
    for A, C1, N in _passages(weights, M, known):
        each = [smallest_gain(A, weights.B1, C1, weights.D11, unit, N, Lam, iterations) for unit in _units(weights.nx)]
        found.append((np.array([gain for gain, _ in each]), np.array([multipliers for _, multipliers in each])))
    (error, error_multipliers), (noise, noise_multipliers) = found
    return StepGains(error, noise, error_multipliers, noise_multipliers)


def proved_step_gains(weights: ExplicitREN, M: np.ndarray, given: StepGains, known: int) -> StepGains:
    """The gains that the multipliers of ``given`` prove, inf where they prove nothing."""
    found, margin = [], _MARGIN if weights.nv else 1.0
    for (A, C1, N), multipliers in zip(
        _passages(weights, M, known), (given.error_multipliers, given.noise_multipliers), strict=True
    ):
        gains = np.full(weights.nx, np.inf)
        for i, unit in enumerate(_units(weights.nx)):
            with suppress(Failed, IndexError):
                gains[i] = np.sqrt(squared_gain(A, weights.B1, C1, weights.D11, unit, N, multipliers[i])[0]) * margin
        found.append(gains)
    return replace(given, error=found[0], noise=found[1])


def _passages(weights: ExplicitREN, M: np.ndarray, known: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """(into the states, into the neurons, weight of its length) of the error and of the measurement error."""
    B2, D12 = weights.B2[:, known:], weights.D12[:, known:]
    return (weights.A, weights.C1, M), (B2, D12, np.eye(B2.shape[1]))


def _units(n: int) -> np.ndarray:
    """(n, n, n): the weight of each state alone."""
    return np.eye(n)[:, :, None] * np.eye(n)[:, None, :]
