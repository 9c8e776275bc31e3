"""Several steps of plant and network over one cell: what passes from one step to the next."""

from observer.certification.residual.kernels.forms import add_to, form_range, total_of
from observer.certification.residual.kernels.operations import UNIT


def left_in_states(work, box, wide, step_gains, ball, m, crossed, end, last, rest):
    """``rest`` (nx,): bounds of what one more step leaves beside the polynomial, in each state."""
    gap = work[5]
    for i in range(rest.shape[0]):
        rest[i] = step_gains[i] * ball + left_over(gap[i], box, wide, m, crossed) + gap[i, last]
        for k in range(end, last):
            rest[i] += abs(gap[i, k])
        rest[i] *= 1.0 + 64.0 * UNIT


def has_left(reg, plant, basis, end, limits):
    """Whether the whole cell is outside ``limits`` (nx, 2) after the step."""
    gone = False
    for i in range(limits.shape[0]):
        row = reg[plant[4][i]]
        low, high, _ = form_range(row, basis, end, row[end])
        gone = gone or high < limits[i, 0] or low > limits[i, 1]
    return gone


def put_in(work, plant, x, parts, column, m, end, tables):
    """After a step: D, and x_k+1 = its affine part in ``x``, Q and e, with what stood for Q and e put in."""
    drift, bent, after, box, wide = parts
    _, _, _, _, embed, crossed = tables
    reg, gap = work[0], work[5]
    nx, nt = bent.shape
    for i in range(nx):
        row = reg[plant[4][i]]
        substitute(gap[i], drift[i], bent, wide, m, embed)
        substitute(row, after[i], bent, wide, m, embed)
        column[i] = (row[end] + left_over(row, box, wide, m, crossed)) * (1.0 + 64.0 * UNIT)
    for i in range(nx):
        box[i] = column[i] + 64.0 * UNIT * total_of(after[i], nt)
        for k in range(nt):
            if k <= m:
                x[i, k] = after[i, k]
            bent[i, k] = after[i, k] if k > m else 0.0


def copy_rows(target, source, n):
    """The first ``n`` columns."""
    for i in range(target.shape[0]):
        for k in range(n):
            target[i, k] = source[i, k]


def join(x, xh, drift, bent, box, wide, root, column, m, embed):
    """Set the last nx variables of ``x`` to stand for ``bent`` + ``box``, and xh = x + drift; returns |rounding of xh|_M."""
    nx = x.shape[0]
    for i in range(nx):
        wide[i] = (total_of(bent[i], bent.shape[1]) + box[i]) * (1.0 + 64.0 * UNIT)
        for k in range(1 + m, x.shape[1]):
            x[i, k] = 0.0
        x[i, 1 + m + i] = wide[i]
        for k in range(x.shape[1]):
            xh[i, k] = x[i, k]
        for k in range(embed.shape[0]):
            xh[i, embed[k]] += drift[i, k]
        column[i] = 2.0 * UNIT * total_of(xh[i], x.shape[1])
    added = 0.0
    for i in range(nx):
        for j in range(i, nx):
            added += abs(root[i, j]) * column[j]
    return added


def substitute(row, result, bent, wide, m, embed):
    """The polynomial in eps alone of a form in (eps, s): s_i = (bent_i(eps) + box_i) / wide_i, box and cross terms left out."""
    for k in range(embed.shape[0]):
        result[k] = row[embed[k]]
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            add_to(result, row[1 + m + i] / wide[i], bent[i], embed.shape[0])


def left_over(row, box, wide, m, crossed):
    """What ``substitute`` leaves out of one form, as a radius, with its rounding."""
    rest = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            rest += abs(row[1 + m + i]) * (box[i] / wide[i] + 64.0 * UNIT)
    for k in crossed:
        rest += abs(row[k])
    return rest
