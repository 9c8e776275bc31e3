"""The equilibrium layer on the CPU: layout, far blocks by BLAS, and the batch handed to several threads.

The compiled sweeps (``sweeps.py``) want neurons-major arrays (nv, batch) and D11 contiguous. What is stored otherwise
is copied once; ``ExplicitREN`` computes b in that layout, so that the transposes here are views.

Beyond ``_BLOCK`` neurons the sweeps see diagonal blocks only, and what lies left of them (below, going back) is one
matrix product per block. Threads are ordinary ones (the sweeps release the GIL): no OpenMP layer that forbids fork.
"""

# numba's decorators change what a function takes, and its settings are made at run time:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportPrivateImportUsage=false

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numba.core import config

from observer.networks.kernels.equilibrium.intrinsics import LANES, VECTOR
from observer.networks.kernels.equilibrium.machine import compiled

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_BLOCK = 512  # measured: up to here the panels of the sweeps are faster than BLAS calls, beyond they are slower
# Not numba.get_num_threads(): it starts numba's own pool, on the OpenMP library that torch has loaded, and thereby sets
# torch's number of threads back to all cores: a program that asked for one then waits for spinning threads.
THREADS = int(getattr(config, "NUMBA_NUM_THREADS", 1))
WORK_PER_THREAD = 4_000_000  # multiply-adds, about 0.1 ms: what pays for waking another thread

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


def forward(D11: np.ndarray, b: np.ndarray, code: int, product: Product = np.matmul, patience: int = 1) -> np.ndarray:
    """w (batch, nv) of w = sigma(D11 w + b) for b (batch, nv), of one dtype; neurons-major in memory.

    ``code`` is that of the Activation; ``product`` multiplies two matrices; ``patience`` multiplies the work from which
    on a second thread is used.
    """
    source = _neurons_major(b)
    w = np.empty(source.shape, source.dtype)
    forward_into(np.ascontiguousarray(D11), source, w, code, product, patience)
    return w.T


def forward_into(D: np.ndarray, b: np.ndarray, w: np.ndarray, code: int, product: Product, patience: int) -> None:
    """Write the equilibrium of b to w, both (nv, batch) and contiguous, as D (nv, nv) is."""
    nv = len(D)
    if nv <= _BLOCK:
        _over_batch(compiled.forward_sweep, D, (b, w), code, patience)
        return
    for low in range(0, nv, _BLOCK):
        own, left = slice(low, min(nv, low + _BLOCK)), slice(0, low)
        rows = b[own] + product(D[own, left], w[left]) if low else b[own]
        _over_batch(compiled.forward_sweep, np.ascontiguousarray(D[own, own]), (rows, w[own]), code, patience)


def backward(
    D11: np.ndarray, w: np.ndarray, g: np.ndarray, code: int, product: Product = np.matmul, patience: int = 1
) -> np.ndarray:
    """dL/db (batch, nv) from w (batch, nv) and g = dL/dw (batch, nv), of one dtype; neurons-major in memory."""
    w, g = _neurons_major(w), _neurons_major(g)
    delta = np.empty(w.shape, w.dtype)
    transposed = np.ascontiguousarray(D11.T) if len(D11) <= _BLOCK else D11
    backward_into(D11, transposed, w, g, delta, code, product, patience)
    return delta.T


def backward_into(
    D11: np.ndarray,
    transposed: np.ndarray,
    w: np.ndarray,
    g: np.ndarray,
    delta: np.ndarray,
    code: int,
    product: Product,
    patience: int,
) -> None:
    """Write dL/db to delta from w and g = dL/dw, all (nv, batch) and contiguous.

    ``transposed``: D11', contiguous, which a caller of many steps makes once; read up to ``_BLOCK`` neurons only.
    """
    nv = len(D11)
    if nv <= _BLOCK:
        _over_batch(compiled.backward_sweep, transposed, (w, g, delta), code, patience)
        return
    for low in reversed(range(0, nv, _BLOCK)):
        own, below = slice(low, min(nv, low + _BLOCK)), slice(low + _BLOCK, nv)
        rows = g[own] + product(D11[below, own].T, delta[below]) if low + _BLOCK < nv else g[own]
        _over_batch(
            compiled.backward_sweep, np.ascontiguousarray(D11[own, own].T), (w[own], rows, delta[own]), code, patience
        )


def _neurons_major(array: np.ndarray) -> np.ndarray:
    """(nv, batch), contiguous, of an array (batch, nv)."""
    return np.ascontiguousarray(array.T)


def _over_batch(sweep: Any, matrix: np.ndarray, arrays: tuple[np.ndarray, ...], code: int, patience: int) -> None:
    nv, batch = arrays[0].shape
    tile = LANES * VECTOR // arrays[0].itemsize
    work = batch * nv * (nv // 2 + 64)
    threads = min(THREADS, -(-batch // tile), work // (patience * WORK_PER_THREAD))
    if threads < 2:
        sweep(matrix, *arrays, 0, batch, code)
        return
    # Whole tiles, so that the result does not depend on the threads, and a few portions for each thread to fetch.
    size = max(1, -(-batch // tile) // (4 * threads)) * tile
    starts = range(0, batch, size)
    _hand_out(lambda k: sweep(matrix, *arrays, starts[k], min(batch, starts[k] + size), code), len(starts), threads)


def shared(work: Callable[[int], object], count: int, size: int, patience: int) -> None:
    """Call work(0) .. work(count - 1), each of ``size`` multiply-adds, on several threads where that pays."""
    threads = min(THREADS, count, count * size // (patience * WORK_PER_THREAD))
    if threads < 2:
        for k in range(count):
            work(k)
    else:
        _hand_out(work, count, threads)


def _hand_out(work: Callable[[int], object], count: int, threads: int) -> None:
    """The calls, fetched one by one by this thread and others: on a busy machine those may come late or never."""
    numbers = iter(range(count))

    def work_off() -> None:
        for k in numbers:  # next() of a range iterator is one step under the interpreter's lock
            work(k)

    jobs = [thread_pool(os.getpid()).submit(work_off) for _ in range(threads - 1)]
    work_off()
    for job in jobs:
        if not job.cancel():
            job.result()


@lru_cache(maxsize=1)
def thread_pool(process: int) -> ThreadPoolExecutor:
    """One pool per process id: the threads of a parent do not survive a fork."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="equilibrium")
