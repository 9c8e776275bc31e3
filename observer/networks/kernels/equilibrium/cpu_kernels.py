"""Compiled sweeps of the equilibrium layer, neurons-major: row i holds neuron i of all samples, so that samples vectorise.

With v = D11 w + b, w = sigma(v), s = sigma'(v) and g = dL/dw, the two sweeps are

    w_i = sigma(b_i + sum_{j<i} D11_ij w_j),      delta_i = s_i (g_i + sum_{j>i} D11_ji delta_j).

A sweep takes a tile of samples (``LANES`` vectors of 64 bytes) through all neurons, four rows at a time: the part left
of the four rows is a dense panel whose 4 x LANES accumulators stay in registers (``_panel``, near the speed of BLAS
without its call), the 4 x 4 triangle is done row by row. Measured against BLAS calls on blocks of 32, 64 and 128
neurons: faster up to about 500 neurons, slower beyond, where ``cpu`` hands the far blocks to BLAS.

All that is compiled for the sweeps stands in this file on purpose: numba's disk cache looks at the date of the file of
the outermost function only, and would keep stale code of helpers elsewhere.
"""

# numba's decorators change what a function takes, and its settings are made at run time:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportPrivateImportUsage=false

import platform
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload


def _wide_registers() -> bool:
    return bool(get_host_cpu_features().get("avx512f", False))


# Bytes of a vector register, vectors that a panel keeps per row, vectors of a tile. With four rows 4 x GROUP accumulators
# fill the registers (32 of 64 bytes, or 16 of 32) and hide the latency of a multiply-add: spilled, a panel takes 3 times as long.
_ROWS = 4
VECTOR, GROUP, LANES = (64, 4, 4) if _wide_registers() else (32, 2, 8)
_X86 = platform.machine().lower() in ("x86_64", "amd64")
# contract: fused multiply-add. Nothing that reorders: sums and the splitting of exp stay as written, nan stays nan.
OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


def compiled(function: Callable) -> Any:
    """``function`` compiled, its machine code kept on disk where that can be written."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # nowhere to write the cache (a read-only installation): compile in each process
        return numba.njit(**OPTIONS)(function)


def _mxcsr(builder: Any, value: Any = None) -> Any:
    """Read the control register of SSE arithmetic, or write ``value`` to it."""
    place = cgutils.alloca_once(builder, ir.IntType(32))
    pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
    name = "llvm.x86.sse.stmxcsr" if value is None else "llvm.x86.sse.ldmxcsr"
    if value is not None:
        builder.store(value, place)
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [pointer])
    return builder.load(place)


def _emit_flush(typingctx: Any) -> Any:
    """Treat denormals as zero, in and out, on this thread; returns what ``_emit_restore`` takes. Nothing off x86."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not _X86:
            return ir.Constant(ir.IntType(32), 0)
        before = _mxcsr(builder)
        _mxcsr(builder, builder.or_(before, ir.Constant(ir.IntType(32), 0x8040)))
        return before

    return types.int32(), code


def _emit_restore(typingctx: Any, before: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _X86:
            _mxcsr(builder, args[0])
        return context.get_dummy_value()

    return types.void(types.int32), code


_flush: Any = intrinsic(_emit_flush)
_restore: Any = intrinsic(_emit_restore)


def _emit_panel(typingctx: Any, D: Any, tile: Any, first: Any, low: Any, high: Any, rows: Any) -> Any:
    """tile[first + r] += sum_{low <= j < high} D[first + r, j] tile[j] for r < rows; D contiguous.

    Written as LLVM vectors, since no loop order makes the compiler keep all accumulators in registers. The tile is
    (nv, LANES * lanes of one vector), contiguous and aligned to 64 bytes: unaligned it is half as fast.
    """
    n_rows = rows.literal_value
    signature = types.void(D, tile, types.intp, types.intp, types.intp, rows)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = signature.args[0].dtype.bitwidth // 8
        lanes, integer = VECTOR // size, args[2].type
        vector = ir.VectorType(context.get_value_type(signature.args[0].dtype), lanes)
        matrix, samples = (context.make_array(signature.args[k])(context, builder, args[k]) for k in (0, 1))

        def number(value: int) -> Any:
            return ir.Constant(integer, value)

        def vectors(row: Any, group: int) -> list[Any]:
            start = builder.mul(row, number(LANES * lanes))
            offsets = [builder.add(start, number((group + v) * lanes)) for v in range(GROUP)]
            return [builder.bitcast(builder.gep(samples.data, [offset]), vector.as_pointer()) for offset in offsets]

        across = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
        starts = [
            builder.gep(matrix.data, [builder.mul(builder.add(args[2], number(r)), across)]) for r in range(n_rows)
        ]
        undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
        for group in range(0, LANES, GROUP):
            own = [vectors(builder.add(args[2], number(r)), group) for r in range(n_rows)]
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(GROUP)] for _ in range(n_rows)]
            for r in range(n_rows):
                for v in range(GROUP):
                    builder.store(builder.load(own[r][v], align=VECTOR), sums[r][v])
            with cgutils.for_range_slice(builder, args[3], args[4], number(1), integer) as (j, _):
                right = [builder.load(place, align=VECTOR) for place in vectors(j, group)]
                for r in range(n_rows):
                    entry = builder.load(builder.gep(starts[r], [j]))
                    spread = builder.insert_element(undefined, entry, ir.Constant(ir.IntType(32), 0))
                    spread = builder.shuffle_vector(spread, undefined, zeros)
                    for v in range(GROUP):
                        product = builder.fmul(spread, right[v], flags=["contract"])
                        builder.store(builder.fadd(product, builder.load(sums[r][v]), flags=["contract"]), sums[r][v])
            for r in range(n_rows):
                for v in range(GROUP):
                    builder.store(builder.load(sums[r][v]), own[r][v], align=VECTOR)
        return context.get_dummy_value()

    return signature, code


_panel: Any = intrinsic(prefer_literal=True)(_emit_panel)


def _tanh(x: Any) -> Any:
    """tanh(x) = e / (e + 2), e = exp(2|x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), 2|x| = n ln 2 + r; to a few ulp.

    Branch-free, so that it vectorises: the library's tanh would be called once per sample.
    """
    return np.tanh(x)


@overload(_tanh, jit_options=OPTIONS)
def _tanh_overload(x: Any) -> Any:
    if x == types.float32:

        def single(x: Any) -> Any:
            a = abs(x)
            a = np.float32(9.2) if a > np.float32(9.2) else a  # this way round nan stays nan
            shifted = a * np.float32(2.8853900817779268) + np.float32(12582912.0)  # 1.5 * 2^23: rounds to the integer n
            n = shifted - np.float32(12582912.0)
            r = (a + a) - n * np.float32(0.693359375)
            r = r - n * np.float32(-2.12194440e-4)
            p = np.float32(1 / 5040)
            p = p * r + np.float32(1 / 720)
            p = p * r + np.float32(1 / 120)
            p = p * r + np.float32(1 / 24)
            p = p * r + np.float32(1 / 6)
            p = p * r + np.float32(0.5)
            p = p * r * r + r
            power = np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
            e = power * p + (power - np.float32(1))
            return np.copysign(e / (e + np.float32(2)), x)

        return single

    def double(x: Any) -> Any:
        a = abs(x)
        a = 20.0 if a > 20.0 else a
        shifted = a * 2.8853900817779268 + 6755399441055744.0  # 1.5 * 2^52
        n = shifted - 6755399441055744.0
        r = (a + a) - n * 6.93147180369123816490e-01
        r = r - n * 1.90821492927058770002e-10
        p = 1 / 6227020800.0
        p = p * r + 1 / 479001600.0
        p = p * r + 1 / 39916800.0
        p = p * r + 1 / 3628800.0
        p = p * r + 1 / 362880.0
        p = p * r + 1 / 40320.0
        p = p * r + 1 / 5040.0
        p = p * r + 1 / 720.0
        p = p * r + 1 / 120.0
        p = p * r + 1 / 24.0
        p = p * r + 1 / 6.0
        p = p * r + 0.5
        p = p * r * r + r
        power = np.int64((np.float64(shifted).view(np.int64) + np.int64(1023)) << np.int64(52)).view(np.float64)
        e = power * p + (power - 1.0)
        return np.copysign(e / (e + 2.0), x)

    return double


@numba.njit(**OPTIONS)
def _activate(row, code):  # pragma: no cover - compiled
    one = row.dtype.type(1)
    half = row.dtype.type(0.5)
    if code == 0:
        for k in range(row.size):
            row[k] = one - one if row[k] < 0 else row[k]  # nan stays nan
    elif code == 1:
        for k in range(row.size):
            row[k] = _tanh(row[k])
    else:
        for k in range(row.size):
            row[k] = half * _tanh(half * row[k]) + half


@numba.njit(**OPTIONS)
def _times_slope(row, w, code):  # pragma: no cover - compiled
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


@numba.njit(**OPTIONS)
def _aligned(rows, width, like):  # pragma: no cover - compiled
    """An uninitialised tile (rows, width) whose rows start at multiples of 64 bytes."""
    buffer = np.empty(rows * width + 64 // like.itemsize, like.dtype)
    skip = (64 - buffer.ctypes.data % 64) % 64 // like.itemsize
    return buffer[skip : skip + rows * width].reshape(rows, width)


@numba.njit(**OPTIONS)
def _load(row, source):  # pragma: no cover - compiled
    """Copy ``source``, without denormals (a copy is no arithmetic, and would let them through), and fill up with 0."""
    n = source.size
    tiny = np.finfo(source.dtype).tiny
    for k in range(n):
        row[k] = 0 if abs(source[k]) < tiny else source[k]
    for k in range(n, row.size):
        row[k] = 0


@numba.njit(**OPTIONS)
def _store(target, row):  # pragma: no cover - compiled
    for k in range(target.size):
        target[k] = row[k]


@compiled
def forward_sweep(D, b, w, first, last, code):  # pragma: no cover - compiled
    """Write the equilibrium of b to w, both (nv, batch), for the samples first <= k < last. b and w may be one array."""
    before = _flush()
    nv, width = b.shape[0], LANES * (VECTOR // b.itemsize)
    tile = _aligned(nv, width, b)
    for start in range(first, last, width):
        stop = min(last, start + width)
        for i in range(0, nv, _ROWS):
            rows = min(_ROWS, nv - i)
            for r in range(rows):
                _load(tile[i + r], b[i + r, start:stop])
            if rows == _ROWS:
                _panel(D, tile, i, 0, i, 4)
            else:
                for r in range(rows):
                    _panel(D, tile, i + r, 0, i, 1)
            for r in range(rows):
                _panel(D, tile, i + r, i, i + r, 1)
                _activate(tile[i + r], code)
                _store(w[i + r, start:stop], tile[i + r])
    _restore(before)


@compiled
def backward_sweep(DT, w, g, delta, first, last, code):  # pragma: no cover - compiled
    """Write dL/db to delta from w and g = dL/dw, all (nv, batch), for the samples first <= k < last; DT is D11'."""
    before = _flush()
    nv, width = w.shape[0], LANES * (VECTOR // w.itemsize)
    tile, outputs = _aligned(nv, width, w), _aligned(1, width, w)[0]
    for start in range(first, last, width):
        stop = min(last, start + width)
        for i in range((nv - 1) // _ROWS * _ROWS, -1, -_ROWS):
            rows = min(_ROWS, nv - i)
            for r in range(rows):
                _load(tile[i + r], g[i + r, start:stop])
            if rows == _ROWS:  # below an incomplete group there is nothing
                _panel(DT, tile, i, i + _ROWS, nv, 4)
            for r in range(rows - 1, -1, -1):
                _panel(DT, tile, i + r, i + r + 1, i + rows, 1)
                _load(outputs, w[i + r, start:stop])
                _times_slope(tile[i + r], outputs, code)
                _store(delta[i + r, start:stop], tile[i + r])
    _restore(before)


@compiled
def clear_upper(matrix):  # pragma: no cover - compiled
    """Set the diagonal of a square matrix and all above to zero (torch.tril waits for a second thread to do this)."""
    for i in range(matrix.shape[0]):
        for j in range(i, matrix.shape[1]):
            matrix[i, j] = 0


@compiled
def flush_denormals():  # pragma: no cover - compiled
    """Treat denormals as zero on the calling thread; returns what ``restore_denormals`` takes."""
    return _flush()


@compiled
def restore_denormals(before):  # pragma: no cover - compiled
    """Undo ``flush_denormals``."""
    _restore(before)
