"""The equilibrium layer as a compiled kernel pair for the CPU: float32 and float64, parallel over the batch.

With v = D11 w + b, w = sigma(v), s = sigma'(v) and g = dL/dw, the backward sweep is

    delta_j = s_j (g_j + sum_{i>j} D11_ij delta_i),      dL/db = delta,      dL/dD11 = stril(sum_batch delta w').

A sweep treats a tile of samples at a time, the samples innermost: that loop vectorises, and each entry of D11 is read
once per tile. Threads are ordinary ones (the kernels release the GIL): no OpenMP layer that forbids fork.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numba
import numpy as np

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_TILE = 16  # samples swept together; a multiple of the vector width, small enough that a tile of 200 neurons fits L1
_WORK_PER_THREAD = 200_000  # multiply-adds that pay for handing a chunk of the batch to another thread


def _compile(function: Callable) -> Callable:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write the cache (a read-only installation): compile in each process
        return numba.njit(nogil=True)(function)


@_compile
def _forward_kernel(D11, b, w, code):  # pragma: no cover - compiled
    """Write the equilibrium of b (batch, nv) to w (batch, nv)."""
    tile = np.zeros((b.shape[1], _TILE), b.dtype)
    row = np.zeros(_TILE, b.dtype)
    for start in range(0, b.shape[0], _TILE):
        n = min(_TILE, b.shape[0] - start)
        for i in range(b.shape[1]):
            for k in range(n):
                row[k] = b[start + k, i]
            for j in range(i):
                for k in range(_TILE):
                    row[k] += D11[i, j] * tile[j, k]
            for k in range(n):
                v = row[k]
                if code == 0:
                    tile[i, k] = 0.0 if v < 0.0 else v  # written so that nan stays nan
                elif code == 1:
                    tile[i, k] = np.tanh(v)
                else:
                    tile[i, k] = 0.5 * np.tanh(0.5 * v) + 0.5
                w[start + k, i] = tile[i, k]


@_compile
def _backward_kernel(D11T, w, g, delta, code):  # pragma: no cover - compiled
    """Write dL/db to delta (batch, nv) from w (batch, nv) and g = dL/dw (batch, nv)."""
    tile = np.zeros((w.shape[1], _TILE), w.dtype)
    row = np.zeros(_TILE, w.dtype)
    for start in range(0, w.shape[0], _TILE):
        n = min(_TILE, w.shape[0] - start)
        for j in range(w.shape[1] - 1, -1, -1):
            for k in range(n):
                row[k] = g[start + k, j]
            for i in range(j + 1, w.shape[1]):
                for k in range(_TILE):
                    row[k] += D11T[j, i] * tile[i, k]
            for k in range(n):
                value = w[start + k, j]
                if code == 0:
                    tile[j, k] = row[k] if value > 0.0 else 0.0
                elif code == 1:
                    tile[j, k] = row[k] * (1.0 - value * value)
                else:
                    tile[j, k] = row[k] * (value * (1.0 - value))
                delta[start + k, j] = tile[j, k]


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """One pool per process id: the threads of a parent do not survive a fork."""
    return ThreadPoolExecutor(numba.get_num_threads(), thread_name_prefix="equilibrium")


def _over_batch(kernel: Callable, matrix: np.ndarray, arrays: tuple[np.ndarray, ...], code: int) -> None:
    batch, nv = arrays[0].shape
    chunks = min(numba.get_num_threads(), batch, batch * nv * (nv // 2 + 16) // _WORK_PER_THREAD)
    if chunks < 2:
        kernel(matrix, *arrays, code)
        return
    cuts = np.linspace(0, batch, chunks + 1).astype(int)
    pairs = pairwise(cuts)
    pool = _pool(os.getpid())
    for job in [pool.submit(kernel, matrix, *(array[low:high] for array in arrays), code) for low, high in pairs]:
        job.result()


def forward(D11: np.ndarray, b: np.ndarray, code: int) -> np.ndarray:
    """w (batch, nv) of w = sigma(D11 w + b) for b (batch, nv), of one dtype; ``code`` is that of the Activation."""
    w = np.empty(b.shape, b.dtype)
    _over_batch(_forward_kernel, np.ascontiguousarray(D11), (np.ascontiguousarray(b), w), code)
    return w


def backward(D11: np.ndarray, w: np.ndarray, g: np.ndarray, code: int) -> np.ndarray:
    """dL/db (batch, nv) from w (batch, nv) and g = dL/dw (batch, nv); one dtype throughout."""
    delta = np.empty(w.shape, w.dtype)
    arrays = (np.ascontiguousarray(w), np.ascontiguousarray(g), delta)
    _over_batch(_backward_kernel, np.ascontiguousarray(D11.T), arrays, code)
    return delta
