"""The equilibrium layer on a GPU as one Triton kernel, forward and backward: one launch, whatever the number of neurons.

    forward:  w_i = sigma(b_i + sum_{j<i} D11_ij w_j),      backward:  delta_i = sigma'(v_i) (g_i + sum_{j>i} D11_ji delta_j)

Backward is forward with the neurons in reverse order, D11 transposed and a product in the place of sigma: one kernel for
both, which goes through memory with negative strides. A program has ``COLS`` samples and all neurons. What lies left of
a block of ``ROWS`` neurons is a product of tiles; inside the block each neuron waits for the one before it, so that its
row stays in registers, and so do all that it depends on.
"""

# ruff: noqa: RUF005
# (Triton's language has no starred tuples.)
# Triton's decorator changes what a function takes, and its language has types of its own:
# pyright: reportMissingImports=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false

import triton
import triton.language as tl


@triton.jit
def probe(found):
    """The least kernel: what a machine needs to compile this compiles all."""
    tl.store(found, 1.0)


@triton.jit
def _tanh(v):
    """To two units in the last place, also where 1 - exp(-2 v) would cancel: v + v^3 q(v^2) up to 9/16."""
    z = v * v
    if v.dtype == tl.float64:
        q = z * 5.253452442281243e-05 - 0.00021273500276070226
        q = q * z + 0.000580783540268509
        q = q * z - 0.0014538272524617993
        q = q * z + 0.0035918547749548635
        q = q * z - 0.008863212708531376
        q = q * z + 0.02186948743600896
        q = q * z - 0.053968253941225286
        q = q * z + 0.133333333333075
        q = q * z - 0.3333333333333329
    else:
        q = z * -0.0065255723893642426 + 0.021263353526592255
        q = q * z - 0.053901754319667816
        q = q * z + 0.13333073258399963
        q = q * z - 0.3333333134651184
    e = tl.exp(-2.0 * tl.abs(v))
    far = (1.0 - e) / (1.0 + e)
    return tl.where(tl.abs(v) < 0.5625, v + v * (z * q), tl.where(v < 0.0, -far, far))


@triton.jit
def _activation(v, CODE: tl.constexpr):
    """sigma(v) by the code of the Activation; nan stays nan."""
    if CODE == 0:
        return tl.where(v < 0.0, 0.0, v)
    elif CODE == 1:
        return _tanh(v)
    else:
        e = tl.exp(-tl.abs(v))
        return tl.where(v < 0.0, e, 1.0) / (1.0 + e)


@triton.jit
def _times_slope(v, w, CODE: tl.constexpr):
    """v sigma'(.) by way of the output w of the neuron; at the kink of relu 0."""
    if CODE == 0:
        return tl.where(w > 0.0, v, 0.0)
    elif CODE == 1:
        return v * (1.0 - w * w)
    else:
        return v * (w * (1.0 - w))


# One compilation for all shapes and layouts. The samples of ``outputs`` and ``found`` lie next to one another, so that
# threads read them side by side; of ``given`` a block of rows is read once, wherever it lies.
@triton.jit(do_not_specialize=[*range(12)])
def sweep(
    D, given, outputs, found, nv, batch, D_row, D_col, given_row, given_col, outputs_row, found_row,
    CODE: tl.constexpr, BACK: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """found (nv, batch) from given (nv, batch), another array; ``outputs``, the neurons w, is read when going back only."""
    column = tl.program_id(0).to(tl.int64) * COLS + tl.arange(0, COLS)
    real = column < batch
    given += column * given_col
    outputs += column
    found += column
    given_step = tl.cast(given_row, tl.int64)
    outputs_step = tl.cast(outputs_row, tl.int64)
    found_step = tl.cast(found_row, tl.int64)
    row_step = tl.cast(D_row, tl.int64)
    column_step = tl.cast(D_col, tl.int64)
    if BACK:
        last = nv - 1
        D += last * (row_step + column_step)
        given += last * given_step
        outputs += last * outputs_step
        found += last * found_step
        given_step, outputs_step, found_step = -given_step, -outputs_step, -found_step
        row_step, column_step = -column_step, -row_step
    for low in range(0, nv, ROWS):
        rows = low + tl.arange(0, ROWS)
        here = (rows < nv)[:, None] & real[None, :]
        total = tl.load(given[None, :] + (rows * given_step)[:, None], mask=here, other=0.0)
        for left in range(0, low, DEPTH):
            inner = left + tl.arange(0, DEPTH)
            known = inner < low
            d = tl.load(
                D + (rows * row_step)[:, None] + (inner * column_step)[None, :],
                mask=(rows < nv)[:, None] & known[None, :],
                other=0.0,
            )
            w = tl.load(found[None, :] + (inner * found_step)[:, None], mask=known[:, None] & real[None, :], other=0.0)
            total = tl.dot(d, w, total, input_precision="ieee", out_dtype=total.dtype)
        tl.store(found[None, :] + (rows * found_step)[:, None], total, mask=here)
        tl.debug_barrier()  # rows that one thread has summed are read by others
        # Rows behind the last neuron repeat it and are not stored: they come after all others, which they do not change.
        sums, slopes, own = (), (), ()
        for i in tl.static_range(ROWS):
            row = tl.minimum(low + i, nv - 1)
            sums = sums + (tl.load(found + row * found_step, mask=real, other=0.0),)
            if BACK:
                slopes = slopes + (tl.load(outputs + row * outputs_step, mask=real, other=0.0),)
        tl.debug_barrier()  # every warp has them before one overwrites them
        for i in tl.static_range(ROWS):
            line = D + tl.minimum(low + i, nv - 1) * row_step
            v = sums[i]
            for j in tl.static_range(i):
                v += tl.load(line + tl.minimum(low + j, nv - 1) * column_step) * own[j]
            if BACK:
                own = own + (_times_slope(v, slopes[i], CODE),)
            else:
                own = own + (_activation(v, CODE),)
        for i in tl.static_range(ROWS):
            if low + i < nv:
                tl.store(found + (low + i) * found_step, own[i], mask=real)
        tl.debug_barrier()
