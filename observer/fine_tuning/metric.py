"""Metric and multipliers moved to the middle of what the certificate leaves free, at fixed weights.

    maximise log det Q(M, Lam)   over M, Lam with tr M fixed

Q (:mod:`observer.fitting.linear_algebra.barrier`) is linear in (M, Lam), so this is a concave problem; damped Newton steps stay inside
(self-concordance). The simulation loss does not see M: letting it move with the weights costs nothing, and a slower
observer with a lower noise gain usually needs another metric than the fast one it came from.
"""

import numpy as np
from scipy.linalg import cho_solve

from observer.fitting.linear_algebra import barrier
from observer.networks.ren.explicit import ExplicitREN

LARGEST = 8_000_000  # numbers in the slopes of Q; above, the multipliers alone are centred


def slopes(ren: ExplicitREN, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """dQ/dm_k ``(k, 2n + q, 2n + q)`` for the entries of M (upper triangle, row by row), then of Lam; and tr of each in M."""
    n, q = ren.nx, ren.nv
    rows, columns = np.triu_indices(n)
    count, size = len(rows) + q, 2 * n + q
    form, trace = np.zeros((count, size, size)), np.zeros(count)
    x, w, last = slice(0, n), slice(n, n + q), slice(n + q, size)
    for k, (i, j) in enumerate(zip(rows, columns, strict=True)):
        e = np.zeros((n, n))
        e[i, j] = e[j, i] = 1.0
        form[k, x, x], form[k, last, last] = rate**2 * e, e
        form[k, last, x], form[k, last, w] = e @ ren.A, e @ ren.B1
        form[k, x, last], form[k, w, last] = form[k, last, x].T, form[k, last, w].T
        trace[k] = float(i == j)
    for i in range(q):
        k = len(rows) + i
        form[k, n + i, x] -= ren.C1[i]
        form[k, x, n + i] -= ren.C1[i]
        form[k, n + i, w] -= ren.D11[i]
        form[k, w, n + i] -= ren.D11[i]
        form[k, n + i, n + i] += 2.0
    return form, trace


def centre(
    ren: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray, rate: float, steps: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """(metric with largest eigenvalue 1, multipliers) after Newton steps; unchanged where they would prove nothing."""
    n, q = ren.nx, ren.nv
    rows, columns = np.triu_indices(n)
    if (len(rows) + q) * (2 * n + q) ** 2 > LARGEST:
        return metric, barrier.centre_multipliers(ren, metric, multipliers, rate, steps)
    form, trace = slopes(ren, rate)
    size = 2 * n + q
    z = np.concatenate([metric[rows, columns], multipliers])
    for _ in range(steps):
        try:
            lower = np.linalg.cholesky(np.tensordot(z, form, axes=1))
        except np.linalg.LinAlgError:
            break
        scaled = cho_solve((lower, True), form.transpose(1, 0, 2).reshape(size, -1)).reshape(size, -1, size)
        scaled = scaled.transpose(1, 0, 2)
        gradient = np.einsum("kii->k", scaled)
        hessian = scaled.reshape(len(z), -1) @ scaled.transpose(0, 2, 1).reshape(len(z), -1).T
        hessian[np.diag_indices_from(hessian)] *= 1 + 1e-10
        both = np.linalg.solve(hessian, np.stack([gradient, trace], axis=1))
        move = both[:, 0] - both[:, 1] * (trace @ both[:, 0]) / (trace @ both[:, 1])
        decrement = float(np.sqrt(max(0.0, gradient @ move)))
        z = z + move * (1.0 if decrement < 0.25 else 1.0 / (1.0 + decrement))
        if decrement < 1e-3:
            break
    found = np.zeros((n, n))
    found[rows, columns] = found[columns, rows] = z[: len(rows)]
    scale = float(np.linalg.eigvalsh(found)[-1])
    found, lam = found / scale, z[len(rows) :] / scale
    return (found, lam) if barrier.factor(ren, found, lam, rate) is not None else (metric, multipliers)
