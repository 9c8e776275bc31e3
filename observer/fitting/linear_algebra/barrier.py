"""The certificate as a barrier: how far a network is from losing its proof, with derivatives (MATH 3, steps 5 and 8).

    Q = [[rate^2 M, -C1'L, A'M], [-L C1, 2L - L D11 - D11'L, B1'M], [M A, M B1, M]] > 0,    L = diag(Lam)

is the contraction LMI at fixed metric M. Every weight k enters as a_k b_k' + b_k a_k' with sparse a_k, b_k, so that

    d logdet Q / dk = 2 a_k' P b_k,     -d2 logdet Q / dk dl = 2 [(a_k'P a_l)(b_k'P b_l) + (a_k'P b_l)(b_k'P a_l)],  P = Q^-1
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from observer.networks.ren.direct_map import certificate_matrix
from observer.networks.ren.explicit import ExplicitREN


def factor(
    ren: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """(Q, its lower Cholesky factor), or None when the network is not strictly certified."""
    q = certificate_matrix(ren, metric, multipliers, rate)
    if not np.isfinite(q).all():
        return None
    try:
        return q, np.linalg.cholesky(q)
    except np.linalg.LinAlgError:
        return None


def logdet(lower: np.ndarray) -> float:
    """log det Q from its Cholesky factor."""
    return 2.0 * float(np.sum(np.log(np.diag(lower))))


def directions(metric: np.ndarray, multipliers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vectors a_k and b_k, as columns ``(2n + q, K)``, of A, B1, C1 (row by row) and D11 (strictly lower, row by row)."""
    n, q = len(metric), len(multipliers)
    size = 2 * n + q
    state = np.zeros((size, n))
    state[n + q :] = metric
    hidden = np.zeros((size, q))
    hidden[n : n + q] = -np.diag(multipliers)
    unit = np.eye(size)
    rows, columns = np.tril_indices(q, -1)
    a = [np.repeat(state, n, axis=1), np.repeat(state, q, axis=1), np.repeat(hidden, n, axis=1), hidden[:, rows]]
    b = [np.tile(unit[:, :n], n), np.tile(unit[:, n : n + q], n), np.tile(unit[:, :n], q), unit[:, n + columns]]
    return np.concatenate(a, axis=1), np.concatenate(b, axis=1)


def derivatives(lower: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient ``(K,)`` of logdet Q and Hessian ``(K, K)`` of -logdet Q."""
    inner_a, inner_b = (solve_triangular(lower, part, lower=True, check_finite=False) for part in (a, b))
    aa, bb, ab = inner_a.T @ inner_a, inner_b.T @ inner_b, inner_a.T @ inner_b
    return 2.0 * np.diag(ab).copy(), 2.0 * (aa * bb + ab * ab.T)


def longest_step(lower: np.ndarray, change: np.ndarray) -> float:
    """The share of a step dQ that keeps Q positive definite, with a tenth to spare; at most 1."""
    half = solve_triangular(lower, change, lower=True, check_finite=False)
    relative = solve_triangular(lower, half.T, lower=True, check_finite=False)
    least = float(np.linalg.eigvalsh(0.5 * (relative + relative.T))[0])
    return 1.0 if least >= 0 else min(1.0, -0.9 / least)


def centre_multipliers(
    ren: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray, rate: float, steps: int = 2
) -> np.ndarray:
    """Newton steps in log Lam towards the largest logdet Q. The network, and so its loss, is untouched."""
    n, q = ren.nx, ren.nv
    if q == 0:
        return multipliers
    held = factor(ren, metric, multipliers, rate)
    if held is None:
        return multipliers
    e = np.zeros((2 * n + q, q))
    e[n : n + q] = np.eye(q)
    c = np.concatenate([-ren.C1.T, (np.eye(q) - ren.D11).T, np.zeros((n, q))])
    for _ in range(steps):
        lower = held[1]
        inverse = cho_solve((lower, True), np.concatenate([e, c], axis=1), check_finite=False)
        ee, ec, cc = e.T @ inverse[:, :q], e.T @ inverse[:, q:], c.T @ inverse[:, q:]
        gradient = 2 * np.diag(ec) * multipliers
        hessian = 2 * (ee * cc + ec * ec.T) * np.outer(multipliers, multipliers) - np.diag(np.minimum(gradient, 0.0))
        hessian[np.diag_indices(q)] += 1e-12 * (1 + np.abs(np.diag(hessian)))
        try:
            move = cho_solve(cho_factor(hessian), gradient)
        except np.linalg.LinAlgError:
            break
        move *= min(1.0, 1.0 / max(float(np.max(np.abs(move))), 1e-300))
        for _ in range(20):
            candidate = multipliers * np.exp(move)
            trial = factor(ren, metric, candidate, rate)
            if trial is not None and logdet(trial[1]) > logdet(lower):
                multipliers, held = candidate, trial
                break
            move = 0.5 * move
        else:
            break
    return multipliers
