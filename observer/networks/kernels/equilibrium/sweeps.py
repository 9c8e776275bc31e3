"""Compiled sweeps of the equilibrium layer, neurons-major: row i holds neuron i of all samples, so that samples vectorise.

With v = D11 w + b, w = sigma(v), s = sigma'(v) and g = dL/dw, the two sweeps are

    w_i = sigma(b_i + sum_{j<i} D11_ij w_j),      delta_i = s_i (g_i + sum_{j>i} D11_ji delta_j).

A sweep takes a tile of samples (``LANES`` vectors of 64 bytes) through all neurons, four rows at a time: the part left
of the four rows is a dense panel whose 4 x LANES accumulators stay in registers (``_panel``, near the speed of BLAS
without its call), the 4 x 4 triangle is done row by row. Measured against BLAS calls on blocks of 32, 64 and 128
neurons: faster up to about 500 neurons, slower beyond, where ``cpu`` hands the far blocks to BLAS.
"""

import numpy as np

from observer.networks.kernels.equilibrium.intrinsics import LANES, VECTOR, flush, panel, restore, tanh

ROWS = 4


def activate(row, code):
    one = row.dtype.type(1)
    half = row.dtype.type(0.5)
    if code == 0:
        for k in range(row.size):
            row[k] = one - one if row[k] < 0 else row[k]  # nan stays nan
    elif code == 1:
        for k in range(row.size):
            row[k] = tanh(row[k])
    else:
        for k in range(row.size):
            row[k] = half * tanh(half * row[k]) + half


def times_slope(row, w, code):
    """row *= sigma'(v), by way of w = sigma(v); at the kink of relu 0. nan in w comes through."""
    one = row.dtype.type(1)
    if code == 0:
        for k in range(row.size):
            row[k] = row[k] if w[k] > 0 else one - one
    elif code == 1:
        for k in range(row.size):
            row[k] *= one - w[k] * w[k]
    else:
        for k in range(row.size):
            row[k] *= w[k] * (one - w[k])


def aligned(rows, width, like):
    """An uninitialised tile (rows, width) whose rows start at multiples of 64 bytes."""
    buffer = np.empty(rows * width + 64 // like.itemsize, like.dtype)
    skip = (64 - buffer.ctypes.data % 64) % 64 // like.itemsize
    return buffer[skip : skip + rows * width].reshape(rows, width)


def load(row, source):
    """Copy ``source``, without denormals (a copy is no arithmetic, and would let them through), and fill up with 0."""
    n = source.size
    tiny = np.finfo(source.dtype).tiny
    for k in range(n):
        row[k] = 0 if abs(source[k]) < tiny else source[k]
    for k in range(n, row.size):
        row[k] = 0


def store(target, row):
    for k in range(target.size):
        target[k] = row[k]


def forward_sweep(D, b, w, first, last, code):
    """Write the equilibrium of b to w, both (nv, batch), for the samples first <= k < last. b and w may be one array."""
    before = flush()
    nv, width = b.shape[0], LANES * (VECTOR // b.itemsize)
    tile = aligned(nv, width, b)
    for start in range(first, last, width):
        stop = min(last, start + width)
        for i in range(0, nv, ROWS):
            rows = min(ROWS, nv - i)
            for r in range(rows):
                load(tile[i + r], b[i + r, start:stop])
            if rows == ROWS:
                panel(D, tile, i, 0, i, 4)
            else:
                for r in range(rows):
                    panel(D, tile, i + r, 0, i, 1)
            for r in range(rows):
                panel(D, tile, i + r, i, i + r, 1)
                activate(tile[i + r], code)
                store(w[i + r, start:stop], tile[i + r])
    restore(before)


def backward_sweep(DT, w, g, delta, first, last, code):
    """Write dL/db to delta from w and g = dL/dw, all (nv, batch), for the samples first <= k < last; DT is D11'."""
    before = flush()
    nv, width = w.shape[0], LANES * (VECTOR // w.itemsize)
    tile, outputs = aligned(nv, width, w), aligned(1, width, w)[0]
    for start in range(first, last, width):
        stop = min(last, start + width)
        for i in range((nv - 1) // ROWS * ROWS, -1, -ROWS):
            rows = min(ROWS, nv - i)
            for r in range(rows):
                load(tile[i + r], g[i + r, start:stop])
            if rows == ROWS:  # below an incomplete group there is nothing
                panel(DT, tile, i, i + ROWS, nv, 4)
            for r in range(rows - 1, -1, -1):
                panel(DT, tile, i + r, i + r + 1, i + rows, 1)
                load(outputs, w[i + r, start:stop])
                times_slope(tile[i + r], outputs, code)
                store(delta[i + r, start:stop], tile[i + r])
    restore(before)


def clear_upper(matrix):
    """Set the diagonal of a square matrix and all above to zero (torch.tril waits for a second thread to do this)."""
    for i in range(matrix.shape[0]):
        for j in range(i, matrix.shape[1]):
            matrix[i, j] = 0


def flush_denormals():
    """Treat denormals as zero on the calling thread; returns what ``restore_denormals`` takes."""
    return flush()


def restore_denormals(before):
    """Undo ``flush_denormals``."""
    restore(before)
