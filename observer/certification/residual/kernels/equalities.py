"""Residuals on the equalities of the plant's region: what is across them is taken out of the forms."""

from observer.certification.residual.kernels.forms import total_of
from observer.certification.residual.kernels.operations import UNIT
from observer.certification.residual.kernels.steps import run_program


def remove_equalities(equal, gap, x, u, last, basis, scratch):
    """Subtract from each form of ``gap`` the multiple of every equality g that takes its linear part across g away.

    Where |g| <= slack, r and r - c g differ by |c| slack at most, which goes into the remainder; so any c is right, and one that
    does not make the form smaller is left out. equal = (program of all g, slacks, registers).
    """
    code, a, b, c, outputs, slack, reg = equal
    m, end = basis[0], basis[1]
    if outputs.shape[0] > 0:
        run_program(code, a, b, c, x, u, reg, basis, end, scratch)
    for j in range(outputs.shape[0]):
        g = reg[outputs[j]]
        size = 0.0
        for k in range(1, m + 1):
            size += g[k] * g[k]
        for i in range(gap.shape[0]):
            row, along = gap[i], 0.0
            for k in range(1, m + 1):
                along += row[k] * g[k]
            factor = along / size if size > 0.0 else 0.0
            rest = abs(factor) * (g[end] + slack[j])
            after = rest
            for k in range(end):
                after += abs(row[k] - factor * g[k])
            if after < total_of(row, end):
                lost = 8.0 * UNIT * (total_of(row, end) + abs(factor) * total_of(g, end))
                for k in range(end):
                    row[k] -= factor * g[k]
                row[last] += rest * (1.0 + 4.0 * UNIT) + lost
                row[last + 1] += abs(factor) * g[end + 1] + lost
