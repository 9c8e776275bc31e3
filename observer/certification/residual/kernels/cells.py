"""Enclosures over many cells: of the residual, of what it becomes over several steps, and of the plant's flow."""

import numpy as np

from observer.certification.residual.kernels.equalities import remove_equalities
from observer.certification.residual.kernels.forms import clear, form_range
from observer.certification.residual.kernels.horizon import copy_rows, has_left, join, left_in_states, put_in
from observer.certification.residual.kernels.norms import noise_norm, polynomial_norm, substituted_norm
from observer.certification.residual.kernels.operations import UNIT
from observer.certification.residual.kernels.steps import advance, run_program


def bound_cells(
    net, plant, output, known, root, gains, equal, step_gains, tables, rate, steps, limits, cells, widths, inflate,
    upper, states, split, corners, lost,
):  # fmt: skip
    """Bounds of |d|_M (``upper``, (n,)) and |d_i| (``states``, (n, nx)) over each cell (n, nx + nu, 2).

    d is the residual where ``steps`` is 0, and else d(N) = f_o^N - F^N from x_hat = x, the input held. Also: which dimension
    to halve (``split``), the corner that looks worst (``corners``) and the part of rounding in ``upper`` (``lost``).

    Over steps, x_k = c + a eps + Q(eps) + e, Q of degree 2 and up, e a box, and |d_k - D_k(eps)|_M <= nu_k, D_k polynomial.
    Within a step Q + e are variables s of their own, treated as eps is: the curvature of plant and network cancels in the
    difference of forms before Q is put in, and e meets only what is left. Two estimates under the same measurements
    approach at ``rate``: what is no polynomial goes into nu_k+1 = rate nu_k + |rest|_M, and in each state into
    ``step_gains``_i nu_k + |rest_i|, where that is less than ``gains``_i nu_k+1.

    equal: equalities of the plant's region; a residual of one step counts where they hold.

    A cell from which every trajectory has left ``limits`` (nx, 2) before the last step has the bound zero: nothing is said of it.

    tables = (free dimensions, basis in eps, its exponents, basis in (eps, s), where the powers of the first are in the
    second, those of the second from degree 2 with an s in them); the last three as the first where ``steps`` is 0.
    """
    free, basis, exponents, full, embed, crossed = tables
    m, nt, nx, nu = basis[0], basis[1], root.shape[0], cells.shape[1] - root.shape[0]
    end, nv = full[1], net[5].shape[0]
    last = end + output[4].shape[0] + nv
    reg, w, gap = np.zeros((plant[0].shape[0], end + 2)), np.zeros((nv, last + 2)), np.zeros((nx, last + 2))
    out_reg, z = np.zeros((output[0].shape[0], end + 2)), np.zeros((net[0].shape[1], last + 2))
    work = (reg, out_reg, z, w, np.zeros(last + 2), gap, np.zeros(nv), np.zeros(nv), np.zeros((5, end)))
    x, xh, u = np.zeros((nx, end)), np.zeros((nx, end)), np.zeros((nu, end))
    drift, bent, after = np.zeros((nx, nt)), np.zeros((nx, nt)), np.zeros((nx, nt))
    box, wide, rest = np.zeros(nx), np.zeros(nx), np.zeros(nx)
    share, span, vertex, column, turned = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(nx), np.zeros((nx, nt))
    parts = (drift, bent, after, box, wide)
    for n in range(cells.shape[0]):
        initial_forms(cells[n], free, x, u)
        spans(cells[n], free, widths, share, span)
        ball = lost_all = 0.0
        gone = False
        if steps == 0:
            advance(net, plant, output, x, x, u, known, work, full)
            remove_equalities(equal, gap, x, u, last, full, work[8])
            ball, lost_all = noise_norm(work, root, nt, last, span, m, share, column)
            copy_rows(drift, gap, nt)
        else:
            clear(drift)
            clear(bent)
            for i in range(nx):
                box[i] = 0.0
        for taken in range(steps):
            added = join(x, xh, drift, bent, box, wide, root, column, m, embed)
            advance(net, plant, output, x, xh, u, known, work, full)
            for i in range(m):
                share[i] *= rate
            noise, lost_here = noise_norm(work, root, end, last, span, m, share, column)
            noise += substituted_norm(gap, root, box, wide, m, crossed, span, share)
            if taken + 1 == steps:
                left_in_states(work, box, wide, step_gains, ball + added, m, crossed, end, last, rest)
            ball = (rate * (ball + added) + noise) * (1.0 + 8.0 * UNIT)
            lost_all = rate * (lost_all + added) + lost_here
            gone = taken + 1 < steps and has_left(reg, plant, full, end, limits)
            if gone:
                break
            put_in(work, plant, x, parts, column, m, end, tables)
            if not ball < np.inf:
                break
        whole = (polynomial_norm(drift, root, basis, exponents, share, turned, vertex) + ball) * inflate
        whole = 0.0 if gone else whole if whole < np.inf else np.inf
        upper[n], lost[n] = whole, lost_all
        for i in range(nx):
            if steps == 0:
                low, high, _ = form_range(gap[i], basis, last, gap[i, last])
            else:
                low, high, _ = form_range(drift[i], basis, nt, min(gains[i] * ball, rest[i]))
            size = 0.0 if gone else max(-low, high) * (1.0 + 1e-10)
            states[n, i] = min(size, gains[i] * whole) if size < np.inf else gains[i] * whole
        split[n] = free[widest_share(share, span)] if m else 0
        worst_corner(cells[n], free, vertex, corners[n])


def spans(cell, free, widths, share, span):
    """``span`` (m,): each dimension's part of the sum of relative widths; ``share`` (m,) is set to zero."""
    widest = 0.0
    for i in range(free.shape[0]):
        share[i] = 0.0
        span[i] = (cell[free[i], 1] - cell[free[i], 0]) / widths[i]
        widest += span[i]
    for i in range(free.shape[0]):
        span[i] /= widest


def widest_share(share, span):
    """The dimension that causes most: by ``share``, or by ``span`` where a share is not finite."""
    best, finite = 0, True
    for i in range(share.shape[0]):
        finite = finite and share[i] < np.inf
    for i in range(1, share.shape[0]):
        if (share[i] if finite else span[i]) > (share[best] if finite else span[best]):
            best = i
    return best


def worst_corner(cell, free, vertex, corner):
    """The corner of the cell to which ``vertex`` (m,), -1 or 1, points."""
    for d in range(cell.shape[0]):
        corner[d] = 0.5 * cell[d, 0] + 0.5 * cell[d, 1]
    for i in range(free.shape[0]):
        corner[free[i]] = cell[free[i], 1] if vertex[i] > 0.0 else cell[free[i], 0]


def flow_cells(plant, free, basis, exponents, cells, steps, images):
    """Boxes (``images``, (n, nx, 2)) that hold F^steps of the states of each cell (n, nx + nu, 2), each input anywhere in it.

    ``free``, ``basis``, ``exponents``: the dimensions with a width, their powers. The input of a step is independent of those
    before: after each step its powers go into e_i, a symbol of its own for every state, beside the polynomial in x_0.
    """
    nx, nu, nt = images.shape[1], cells.shape[1] - images.shape[1], basis[1]
    end = nt + nx
    reg, scratch = np.zeros((plant[0].shape[0], end + 2)), np.zeros((5, end))
    x, u = np.zeros((nx, end)), np.zeros((nu, end))
    mixed = np.zeros(nt, dtype=np.bool_)
    for k in range(nt):
        for i in range(free.shape[0]):
            mixed[k] = mixed[k] or (free[i] >= nx and exponents[k, i] > 0)
    for n in range(cells.shape[0]):
        initial_forms(cells[n], free, x, u)
        for _ in range(steps):
            run_program(plant[0], plant[1], plant[2], plant[3], x, u, reg, basis, end, scratch)
            for i in range(nx):
                row = reg[plant[4][i]]
                radius = row[end]
                for k in range(end):
                    if k >= nt or mixed[k]:
                        radius += abs(row[k])
                        x[i, k] = 0.0
                    else:
                        x[i, k] = row[k]
                x[i, nt + i] = radius * (1.0 + 64.0 * UNIT)
        for i in range(nx):
            low, high, _ = form_range(x[i], basis, end, 0.0)
            known = low <= high  # not for nan
            images[n, i, 0] = low if known else -np.inf
            images[n, i, 1] = high if known else np.inf


def enclose_cells(program, nx, free, basis, cells, ranges):
    """``ranges`` (n, rows, 2): where the rows of a program lie over each cell (n, nx + nu, 2); not finite where nothing is known."""
    nu, end = cells.shape[1] - nx, basis[1]
    reg, scratch = np.zeros((program[0].shape[0], end + 2)), np.zeros((5, end))
    x, u = np.zeros((nx, end)), np.zeros((nu, end))
    for n in range(cells.shape[0]):
        initial_forms(cells[n], free, x, u)
        run_program(program[0], program[1], program[2], program[3], x, u, reg, basis, end, scratch)
        for i in range(ranges.shape[1]):
            row = reg[program[4][i]]
            low, high, _ = form_range(row, basis, end, row[end])
            known = low <= high  # not for nan
            ranges[n, i, 0] = low if known else -np.inf
            ranges[n, i, 1] = high if known else np.inf


def initial_forms(cell, free, x, u):
    """Forms of states and inputs over the cell (nx + nu, 2)."""
    nx = x.shape[0]
    clear(x)
    clear(u)
    for d in range(cell.shape[0]):
        row = x[d] if d < nx else u[d - nx]
        row[0] = 0.5 * cell[d, 0] + 0.5 * cell[d, 1]
        for i in range(free.shape[0]):
            if free[i] == d:
                half = 0.5 * (cell[d, 1] - cell[d, 0])
                row[1 + i] = half + 4.0 * UNIT * (half + abs(row[0]))
