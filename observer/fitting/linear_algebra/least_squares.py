"""Residuals of a REN over samples and their Jacobian in the explicit weights, by back-substitution (MATH 3, step 6).

Weights are kept as one vector: A, B1, C1 (row by row), D11 (strictly lower, row by row) - the ones the certificate
constrains - then B2, bx, D12, bv. With s = sigma'(v) and G_j = d x+ / d v_j:

    G_j = s_j (B1_j + sum_{i>j} G_i D11_ij)

    columns:  A: e_i x_j,  B1: e_i w_j,  B2: e_i v_j,  bx: e_i,  C1: G_i x_j,  D11: G_i w_j,  D12: G_i v_j,  bv: G_i
"""

import numpy as np

from observer.fitting.problem import Samples
from observer.networks.activations import get_activation
from observer.networks.ren.explicit import ExplicitREN


def pack(ren: ExplicitREN) -> np.ndarray:
    """The weights as one vector."""
    rows, columns = np.tril_indices(ren.nv, -1)
    parts = [ren.A, ren.B1, ren.C1, ren.D11[rows, columns], ren.B2, ren.bx, ren.D12, ren.bv]
    return np.concatenate([part.reshape(-1) for part in parts])


def unpack(theta: np.ndarray, nx: int, nv: int, nu: int, activation: str) -> ExplicitREN:
    """The network of a weight vector."""
    rows, columns = np.tril_indices(nv, -1)
    sizes = [nx * nx, nx * nv, nv * nx, len(rows), nx * nu, nx, nv * nu, nv]
    a, b1, c1, d, b2, bx, d12, bv = np.split(theta, np.cumsum(sizes)[:-1])
    d11 = np.zeros((nv, nv))
    d11[rows, columns] = d
    return ExplicitREN.with_identity_output(
        A=a.reshape(nx, nx), B1=b1.reshape(nx, nv), B2=b2.reshape(nx, nu), C1=c1.reshape(nv, nx), D11=d11,
        D12=d12.reshape(nv, nu), bx=bx, bv=bv, activation=activation,
    )  # fmt: skip


def constrained(nx: int, nv: int) -> int:
    """How many leading entries of the weight vector the certificate constrains."""
    return nx * nx + 2 * nx * nv + nv * (nv - 1) // 2


def parameter_count(nx: int, nv: int, nu: int) -> int:
    """Length of the weight vector."""
    return constrained(nx, nv) + (nx + nv) * (nu + 1)


def residual(ren: ExplicitREN, samples: Samples) -> np.ndarray:
    """f_o(x, v) - x_next, ``(m, nx)``."""
    return ren.next_state(samples.x, samples.v) - samples.x_next


def residual_and_jacobian(ren: ExplicitREN, samples: Samples, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R r, d(R r)/d theta) as ``(nx m,)`` and ``(parameters, nx m)``; R = ``root`` with R'R = M. Both are component-major."""
    activation = get_activation(ren.activation)
    n, q, m = ren.nx, ren.nv, len(samples)
    x, v = np.ascontiguousarray(samples.x.T), np.ascontiguousarray(samples.v.T)
    pre = ren.C1 @ x + ren.D12 @ v + ren.bv[:, None]
    w = np.zeros((q, m))
    for j in range(q):
        if j:
            pre[j] += ren.D11[j, :j] @ w[:j]
        w[j] = activation(pre[j])
    slope = activation.slope(w)
    r = ren.A @ x + ren.B1 @ w + ren.B2 @ v + ren.bx[:, None] - samples.x_next.T
    # G in the metric, (q, n, m): the effect of each neuron's argument on R x+.
    g = np.empty((q, n, m))
    rb = root @ ren.B1
    for j in reversed(range(q)):
        g[j] = rb[:, j, None]
        if j + 1 < q:
            g[j] += np.tensordot(ren.D11[j + 1 :, j], g[j + 1 :], axes=1)
        g[j] *= slope[j]
    rows, columns = np.tril_indices(q, -1)
    parameters = constrained(n, q) + n * len(v) + n + q * len(v) + q
    jac = np.empty((parameters, n, m))
    at = 0

    def state(values: np.ndarray) -> None:  # weight (i, j) acts as e_i values_j
        nonlocal at
        count = n * len(values)
        np.multiply(
            root.T[:, None, :, None], values[None, :, None, :], out=jac[at : at + count].reshape(n, len(values), n, m)
        )
        at += count

    def neurons(values: np.ndarray) -> None:  # weight (i, j) acts as G_i values_j
        nonlocal at
        count = q * len(values)
        np.multiply(g[:, None], values[None, :, None, :], out=jac[at : at + count].reshape(q, len(values), n, m))
        at += count

    one = np.ones((1, m))
    state(x)
    state(w)
    neurons(x)
    np.multiply(g[rows], w[columns][:, None, :], out=jac[at : at + len(rows)])
    at += len(rows)
    state(v)
    state(one)
    neurons(v)
    neurons(one)
    return (root @ r).reshape(-1), jac.reshape(parameters, n * m)
