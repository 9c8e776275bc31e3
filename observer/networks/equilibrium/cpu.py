"""The equilibrium layer as a compiled kernel pair for the CPU: float32 and float64, parallel over the batch.

With v = D11 w + b, w = sigma(v), s = sigma'(v) and g = dL/dw, the backward sweep is

    delta_j = s_j (g_j + sum_{i>j} D11_ij delta_i),      dL/db = delta,      dL/dD11 = stril(sum_batch delta w').

Each sweep pushes a finished neuron to the rows that depend on it, along contiguous memory: the inner loop vectorises
without reordering a sum. Threads are ordinary ones (the kernels release the GIL): no OpenMP layer that forbids fork.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numba
import numpy as np

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_WORK_PER_THREAD = 200_000  # multiply-adds that pay for handing a chunk of the batch to another thread


def _compile(function: Callable) -> Callable:
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # nowhere to write the cache (a read-only installation): compile in each process
        return numba.njit(nogil=True)(function)


@_compile
def _forward_kernel(D11T, w, code):  # pragma: no cover - compiled
    """Turn b, given in ``w`` (batch, nv), into the equilibrium, in place."""
    for k in range(w.shape[0]):
        row = w[k]
        for j in range(row.size):
            v = row[j]
            if code == 0:
                row[j] = 0.0 if v < 0.0 else v  # written so that nan stays nan
            elif code == 1:
                row[j] = np.tanh(v)
            else:
                row[j] = 0.5 * np.tanh(0.5 * v) + 0.5
            value = row[j]  # read back: float32 stays float32 in the inner loop
            for i in range(j + 1, row.size):
                row[i] += D11T[j, i] * value


@_compile
def _backward_kernel(D11, w, delta, code):  # pragma: no cover - compiled
    """Turn g = dL/dw, given in ``delta`` (batch, nv), into delta = dL/db, in place."""
    for k in range(w.shape[0]):
        row = delta[k]
        for j in range(row.size - 1, -1, -1):
            value = w[k, j]
            if code == 0:
                row[j] = row[j] if value > 0.0 else 0.0
            elif code == 1:
                row[j] *= 1.0 - value * value
            else:
                row[j] *= value * (1.0 - value)
            finished = row[j]
            for i in range(j):
                row[i] += D11[j, i] * finished


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
    pairs = zip(cuts[:-1], cuts[1:], strict=True)
    pool = _pool(os.getpid())
    for job in [pool.submit(kernel, matrix, *(array[low:high] for array in arrays), code) for low, high in pairs]:
        job.result()


def forward(D11: np.ndarray, b: np.ndarray, code: int) -> np.ndarray:
    """w (batch, nv) of w = sigma(D11 w + b) for b (batch, nv); ``code`` is ``Activation.code``; same dtype throughout."""
    w = np.array(b, order="C")
    _over_batch(_forward_kernel, np.ascontiguousarray(D11.T), (w,), code)
    return w


def backward(D11: np.ndarray, w: np.ndarray, g: np.ndarray, code: int) -> np.ndarray:
    """dL/db (batch, nv) from w (batch, nv) and g = dL/dw (batch, nv)."""
    delta = np.array(g, order="C")
    _over_batch(_backward_kernel, np.ascontiguousarray(D11), (np.ascontiguousarray(w), delta), code)
    return delta
