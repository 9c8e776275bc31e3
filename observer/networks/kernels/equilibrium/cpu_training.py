"""Loss and gradients of the one-step fit of a contracting REN, in four compiled calls.

What :mod:`observer.networks.ren.direct_map` and :mod:`observer.networks.kernels.fused_step` do as two differentiable operations,
without what lies between them: no recording, no operation calls, no intermediate in another layout. For small networks
those outweigh the arithmetic by far. Large batches are halved, and the halves shared among two threads.

Stacked: W = [C1 D12; A B2] acts on (x, u). S = E^-1 [H31 H32 B2~] = [A B1 B2] is kept as its transpose, rows first.
"""

# numba's decorators change what a function takes:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false

from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from observer.networks.kernels.equilibrium.cpu import shared
from observer.networks.kernels.equilibrium.cpu_blas import factorize, lower_gram, multiply, solve
from observer.networks.kernels.equilibrium.cpu_direct import assemble, pull_back
from observer.networks.kernels.equilibrium.cpu_kernels import _flush, _restore, backward_sweep, compiled, forward_sweep

_STRIPE = 64  # rows of dL/dD11 per product: what lies above the diagonal is left out, stripe by stripe
_HALVES_FROM = (
    8_000_000  # multiply-adds on the batch from which it is halved; not by threads, so that sums do not depend on them
)


# Changed helpers of the other files do not renew what is cached for this file (see cpu_kernels): touch it when they change.
@compiled
def _prepare(
    X, Y1, p, polar, B2, D12, rate, eps, norm_eps, H, W, E, pivots, ST, D11, inverse
):  # pragma: no cover - compiled
    """The explicit matrices, in the arrays from H on. Returns |X|_F^2 + norm_eps; nan where they do not exist."""
    before = _flush()
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
        _restore(before)
        return np.nan
    solve(False, E, pivots, ST)
    for j in range(n):
        for i in range(n):
            W[q + i, j] = ST[j, i]
    for j in range(nu):
        for i in range(n):
            W[q + i, n + j] = ST[m + j, i]
    _restore(before)
    return norm


@compiled
def _over_samples(
    x, u, x_next, bx, bv, W, ST, D11, D11T, metric, weighted, code, first, last, gW, gB1T, gD11, gbx, gbv
):  # pragma: no cover - compiled
    """Sum of |r|_M^2 / 2 over the samples first <= k < last, and its derivatives, in the arrays from gW on."""
    before = _flush()
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
    for low in range(0, q, _STRIPE):
        high = min(q, low + _STRIPE)
        multiply(False, True, 1.0, delta[low:high], w[:high], 0.0, gD11[low:high, :high])
    for i in range(q):
        gbv[i] = delta[i].sum()
    for i in range(n):
        gbx[i] = g[i].sum()
    _restore(before)
    return 0.5 * loss


@compiled
def _pull_back(
    share, gW, gB1T, gD11, W, E, pivots, ST, D11, inverse, H, p, polar, rate, eps, norm, full, gY1, gB2, gD12
):  # pragma: no cover - compiled
    """Derivatives in the explicit matrices, times ``share``, to those in Y1, B2~, D12~ and X'X (in ``full``); returns df/dp."""
    before = _flush()
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
    _restore(before)
    return along


@compiled
def _rows_of_product(X, full, gX, first, last):  # pragma: no cover - compiled
    before = _flush()
    multiply(False, False, 1.0, X[first:last], full, 0.0, gX[first:last])
    _restore(before)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """The library behind :mod:`cpu_blas`. On a busy machine its second thread costs hundreds of times what it saves."""
    return ThreadpoolController().select(user_api="blas")


def one_step_gradients(
    parameters: dict[str, np.ndarray],
    samples: tuple[np.ndarray, ...],
    metric: np.ndarray | None,
    numbers: tuple[float, float, float],
    code: int,
    gradients: dict[str, np.ndarray],
    patience: int = 1,
) -> float:
    """f = (1/2m) sum_k |f_o(x_k, u_k) - x_next_k|_M^2 over m samples (x, u, x_next), rows of C-contiguous arrays.

    ``parameters``: X, Y1, B2, D12, bx, bv and, for the polar form, p; their derivatives go into ``gradients``, arrays of
    the same shapes. All of one precision. ``numbers``: rate, eps, norm_eps; metric None: the identity. ``patience`` as in
    :mod:`cpu`. nan, with ``gradients`` undefined, where the explicit network does not exist.
    """
    X, B2, bx, bv = (parameters[name] for name in ("X", "B2", "bx", "bv"))
    kind, total, n, nu, q = X.dtype, len(X), len(bx), B2.shape[1], len(bv)
    x, u, x_next = samples
    batch, m, polar = len(x), n + q, "p" in parameters
    p = float(parameters["p"][0]) if polar else 1.0

    def empty(*shape: int) -> np.ndarray:
        return np.empty(shape, kind)

    with _blas().limit(limits=1):
        H, W, E, ST, D11, inverse = (
            empty(total, total), empty(m, n + nu), empty(n, n), empty(m + nu, n), empty(q, q), empty(q),
        )  # fmt: skip
        pivots = np.empty(n, np.int32)
        norm = _prepare(
            X, parameters["Y1"], p, polar, B2, parameters["D12"], *numbers, H, W, E, pivots, ST, D11, inverse
        )
        if not np.isfinite(norm):
            return float("nan")
        work = batch * (3 * m * (n + nu) + 3 * n * q + 3 * q * q // 2)
        parts = 2 if work >= _HALVES_FROM else 1
        cuts = [batch * k // parts for k in range(parts + 1)]
        found = [(empty(m, n + nu), empty(q, n), np.zeros((q, q), kind), empty(n), empty(q)) for _ in range(parts)]
        losses = [0.0] * parts
        D11T = np.ascontiguousarray(D11.T)
        weight = np.empty((0, 0), kind) if metric is None else metric

        def part(k: int) -> None:
            losses[k] = _over_samples(
                x,
                u,
                x_next,
                bx,
                bv,
                W,
                ST,
                D11,
                D11T,
                weight,
                metric is not None,
                code,
                cuts[k],
                cuts[k + 1],
                *found[k],
            )

        shared(part, parts, work // parts, patience)
        for k in range(1, parts):
            for first, other in zip(found[0], found[k], strict=True):
                first += other
        gW, gB1T, gD11, gbx, gbv = found[0]
        share = 1 / max(1, batch)
        full = empty(total, total)
        along = _pull_back(
            share, gW, gB1T, gD11, W, E, pivots, ST, D11, inverse, H, p, polar, numbers[0], numbers[1], norm,
            full, gradients["Y1"], gradients["B2"], gradients["D12"],
        )  # fmt: skip
        np.multiply(gbx, kind.type(share), out=gradients["bx"])
        np.multiply(gbv, kind.type(share), out=gradients["bv"])
        rows = [0, total // 2, total]
        shared(lambda k: _rows_of_product(X, full, gradients["X"], rows[k], rows[k + 1]), 2, total**3 // 2, patience)
    if polar:
        gradients["p"][0] = along
    return share * sum(losses)
