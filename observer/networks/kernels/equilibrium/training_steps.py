"""What a training step of a contracting REN does beside the sweeps: the explicit matrices, the samples, and the way back.

Stacked: W = [C1 D12; A B2] acts on (x, u). S = E^-1 [H31 H32 B2~] = [A B1 B2] is kept as its transpose, rows first.
"""

import numpy as np

from observer.networks.kernels.equilibrium.cpu_blas import factorize, lower_gram, multiply, solve
from observer.networks.kernels.equilibrium.cpu_direct import assemble, pull_back
from observer.networks.kernels.equilibrium.intrinsics import flush, restore
from observer.networks.kernels.equilibrium.sweeps import backward_sweep, forward_sweep

STRIPE = 64  # rows of dL/dD11 per product: what lies above the diagonal is left out, stripe by stripe


def prepare(X, Y1, p, polar, B2, D12, rate, eps, norm_eps, H, W, E, pivots, ST, D11, inverse):
    """The explicit matrices, in the arrays from H on. Returns |X|_F^2 + norm_eps; nan where they do not exist."""
    before = flush()
    (n, nu), q = B2.shape, D12.shape[0]
    m = n + q
    lower_gram(X, H)
    for i in range(n):  # the outer diagonal blocks are read in full
        for j in range(i):
            H[j, i] = H[i, j]
            H[m + j, m + i] = H[m + i, m + j]
    norm = assemble(H, Y1, B2, D12, p, polar, rate, eps, norm_eps, E, ST.T, W[:q, :n], D11, W[:q, n:], inverse)
    # LAPACK factorises nan without complaint.
    if not np.isfinite(norm) or factorize(E, pivots) != 0:
        restore(before)
        return np.nan
    solve(False, E, pivots, ST)
    for j in range(n):
        for i in range(n):
            W[q + i, j] = ST[j, i]
    for j in range(nu):
        for i in range(n):
            W[q + i, n + j] = ST[m + j, i]
    restore(before)
    return norm


def over_samples(x, u, x_next, bx, bv, W, ST, D11, D11T, metric, weighted, code, first, last, gW, gB1T, gD11, gbx, gbv):
    """Sum of |r|_M^2 / 2 over the samples first <= k < last, and its derivatives, in the arrays from gW on."""
    before = flush()
    n, q, batch, kind = len(bx), len(bv), last - first, W.dtype
    m = n + q
    x, u = x[first:last], u[first:last]
    # Neurons and residual share one array, as their derivatives do.
    both, slopes = np.empty((m, batch), kind), np.empty((m, batch), kind)
    for i in range(q):
        both[i] = bv[i]
    for i in range(n):
        both[q + i] = bx[i]
    multiply(False, True, 1.0, W[:, :n], x, 1.0, both)
    multiply(False, True, 1.0, W[:, n:], u, 1.0, both)
    w, r, delta, g = both[:q], both[q:], slopes[:q], slopes[q:]
    forward_sweep(D11, w, w, 0, batch, code)
    multiply(True, False, 1.0, ST[n:m], w, 1.0, r)
    for k in range(batch):
        for i in range(n):
            r[i, k] -= x_next[first + k, i]
    if weighted:
        multiply(False, False, 1.0, metric, r, 0.0, g)
    else:
        g[:] = r
    loss = 0.0
    for i in range(n):
        for k in range(batch):
            loss += np.float64(r[i, k]) * g[i, k]
    multiply(False, False, 1.0, ST[n:m], g, 0.0, delta)
    backward_sweep(D11T, w, delta, delta, 0, batch, code)
    multiply(False, False, 1.0, slopes, x, 0.0, gW[:, :n])
    multiply(False, False, 1.0, slopes, u, 0.0, gW[:, n:])
    multiply(False, True, 1.0, w, g, 0.0, gB1T)
    for low in range(0, q, STRIPE):
        high = min(q, low + STRIPE)
        multiply(False, True, 1.0, delta[low:high], w[:high], 0.0, gD11[low:high, :high])
    for i in range(q):
        gbv[i] = delta[i].sum()
    for i in range(n):
        gbx[i] = g[i].sum()
    restore(before)
    return 0.5 * loss


def to_direct(
    share, gW, gB1T, gD11, W, E, pivots, ST, D11, inverse, H, p, polar, rate, eps, norm, full, gY1, gB2, gD12
):
    """Derivatives in the explicit matrices, times ``share``, to those in Y1, B2~, D12~ and X'X (in ``full``); returns df/dp."""
    before = flush()
    (n, nu), q = gB2.shape, gD12.shape[0]
    m = n + q
    number = gW.dtype.type
    gW *= number(share)
    gST = np.empty(ST.shape, ST.dtype)
    for j in range(n):
        for i in range(n):
            gST[j, i] = gW[q + i, j]
    for j in range(q):
        for i in range(n):
            gST[n + j, i] = number(share) * gB1T[j, i]
        for i in range(j):
            gD11[j, i] *= number(share)
    for j in range(nu):
        for i in range(n):
            gST[m + j, i] = gW[q + i, n + j]
    solve(True, E, pivots, gST)
    half = np.empty((n, n), ST.dtype)
    multiply(True, False, -0.5, gST, ST, 0.0, half)
    along = pull_back(
        gST.T, half, gW[:q, :n], gD11, gW[:q, n:], W[:q, :n], D11, W[:q, n:], inverse, H, p, polar, rate, eps, norm,
        full, gY1, gD12,
    )  # fmt: skip
    for j in range(nu):
        for i in range(n):
            gB2[i, j] = gST[m + j, i]
    restore(before)
    return along


def rows_of_product(X, full, gX, first, last):
    before = flush()
    multiply(False, False, 1.0, X[first:last], full, 0.0, gX[first:last])
    restore(before)
