"""Loss and gradients of the one-step fit of a contracting REN, in four compiled calls.

What :mod:`observer.networks.ren.direct_map` and :mod:`observer.networks.kernels.fused_step` do as two differentiable operations,
without what lies between them: no recording, no operation calls, no intermediate in another layout. For small networks
those outweigh the arithmetic by far. Large batches are halved, and the halves shared among two threads.
"""

from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from observer.networks.kernels.equilibrium.cpu import shared
from observer.networks.kernels.equilibrium.machine import compiled

_HALVES_FROM = (
    8_000_000  # multiply-adds on the batch from which it is halved; not by threads, so that sums do not depend on them
)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """The library behind ``cpu_blas.py``. On a busy machine its second thread costs hundreds of times what it saves."""
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
    ``cpu.py``. nan, with ``gradients`` undefined, where the explicit network does not exist.
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
        norm = compiled.prepare(
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
            losses[k] = compiled.over_samples(
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
        along = compiled.to_direct(
            share, gW, gB1T, gD11, W, E, pivots, ST, D11, inverse, H, p, polar, numbers[0], numbers[1], norm,
            full, gradients["Y1"], gradients["B2"], gradients["D12"],
        )  # fmt: skip
        np.multiply(gbx, kind.type(share), out=gradients["bx"])
        np.multiply(gbv, kind.type(share), out=gradients["bv"])
        rows = [0, total // 2, total]
        shared(
            lambda k: compiled.rows_of_product(X, full, gradients["X"], rows[k], rows[k + 1]),
            2,
            total**3 // 2,
            patience,
        )
    if polar:
        gradients["p"][0] = along
    return share * sum(losses)
