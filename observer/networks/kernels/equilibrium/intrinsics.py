"""Machine code written by hand for the kernels of the networks, each beside the Python function that it stands for.

Vectors that stay in registers, the control register of the processor, and tanh without a call into a library.
"""

# numba's decorators change what a function takes, and its settings are made at run time:
# pyright: reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportPrivateImportUsage=false

import platform
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from systems.assembly import machine_code


def _wide_registers() -> bool:
    return bool(get_host_cpu_features().get("avx512f", False))


# Bytes of a vector register, vectors that a panel keeps per row, vectors of a tile. With four rows 4 x GROUP accumulators
# fill the registers (32 of 64 bytes, or 16 of 32) and hide the latency of a multiply-add: spilled, a panel takes 3 times as long.
VECTOR, GROUP, LANES = (64, 4, 4) if _wide_registers() else (32, 2, 8)
_X86 = platform.machine().lower() in ("x86_64", "amd64")
# contract: fused multiply-add. Nothing that reorders: sums and the splitting of exp stay as written, nan stays nan.
OPTIONS: Any = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}


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


@machine_code("_flush")
def flush() -> int:
    """Treat denormals as zero on this thread; returns what ``restore`` takes. Plain Python leaves them alone."""
    return 0


@machine_code("_restore")
def restore(before: int) -> None:
    """Undo ``flush``."""


@machine_code("_panel")
def panel(D: Any, tile: Any, first: int, low: int, high: int, rows: int) -> None:
    """tile[first + r] += sum over low <= j < high of D[first + r, j] tile[j], for r < rows."""
    tile[first : first + rows] += D[first : first + rows, low:high] @ tile[low:high]


@machine_code("tanh")
def tanh(x: Any) -> Any:
    """tanh(x) = e / (e + 2), e = exp(2|x|) - 1 = 2^n (exp(r) - 1) + (2^n - 1), 2|x| = n ln 2 + r; to a few ulp.

    Branch-free, so that it vectorises: the library's tanh would be called once per sample.
    """
    return np.tanh(x)


@overload(tanh, jit_options=OPTIONS)
def _tanh(x: Any) -> Any:
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
def _tanh_double(v: Any, table: Any) -> Any:  # pragma: no cover - compiled
    """tanh by its table: nan stays nan, and no argument reads beyond the table."""
    a = abs(v)
    a = 20.0 if a > 20.0 else a
    shifted = a * 8.0 + 6755399441055744.0  # 1.5 * 2^52: the low bits are the nearest integer
    i = np.float64(shifted).view(np.int64) & 255
    t = a - (shifted - 6755399441055744.0) * 0.125
    t2 = t * t
    t4 = t2 * t2
    c = table[i]
    low = (c[0] + c[1] * t) + (c[2] + c[3] * t) * t2
    high = ((c[4] + c[5] * t) + (c[6] + c[7] * t) * t2) + (c[8] + c[9] * t) * t4
    return np.copysign(1.0, v) if a >= 20.0 else v * (low + high * t4)


@machine_code("looked_up")
def looked_up(v: Any, table: Any) -> Any:
    """tanh(v): by table in double precision, as in the sweeps in single."""
    return np.tanh(v)


@overload(looked_up, jit_options=OPTIONS)
def _looked_up(v: Any, table: Any) -> Any:
    def double(v: Any, table: Any) -> Any:
        return _tanh_double(v, table)

    def single(v: Any, table: Any) -> Any:
        return tanh(v)

    return double if v == types.float64 else single
