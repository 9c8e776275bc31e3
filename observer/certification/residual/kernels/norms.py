"""Norms of vectors of forms in the metric M = R'R."""

import math

import numpy as np

from observer.certification.residual.kernels.operations import UNIT


def column_norm(gap, root, k):
    square = 0.0
    for i in range(root.shape[0]):
        value = 0.0
        for j in range(i, root.shape[0]):
            value += root[i, j] * gap[j, k]
        square += value * value
    return math.sqrt(square)


def noise_norm(work, root, start, last, span, m, share, column):
    """(sum_k |R n_k| + ||R| e|, the part of it that is rounding); ``share`` (m,) gains what each dimension causes of it."""
    w, gap, rounding = work[3], work[5], work[7]
    nx, first = root.shape[0], last - w.shape[0]
    noise = lost = 0.0
    for k in range(start, last):
        size = column_norm(gap, root, k)
        noise += size
        if k >= first:
            lost += size * rounding[k - first]
            row, linear = w[k - first], 0.0
            for i in range(m):
                linear += abs(row[1 + i])
            if linear > 0.0:
                for i in range(m):
                    share[i] += size * abs(row[1 + i]) / linear
        else:
            for i in range(m):
                share[i] += size * span[i]
    square = lost_square = 0.0
    for i in range(nx):
        value = lost_value = 0.0
        for j in range(i, nx):
            value += abs(root[i, j]) * gap[j, last]
            lost_value += abs(root[i, j]) * gap[j, last + 1]
        square += value * value
        lost_square += lost_value * lost_value
        column[i] = value
    lumped = math.sqrt(square)
    for i in range(m):
        share[i] += lumped * span[i]
    return noise + lumped, lost + math.sqrt(lost_square)


def polynomial_norm(gap, root, basis, exponents, share, turned, vertex):
    """Largest |R p(eps)| over the cell, p a vector of polynomials; ``vertex`` (m,), -1 or 1, where it may be."""
    m, nt, degree, square = basis[0], basis[1], basis[2], basis[5]
    nx = root.shape[0]
    for i in range(nx):
        for k in range(nt):
            value = 0.0
            for j in range(i, nx):
                value += root[i, j] * gap[j, k]
            turned[i, k] = value
    for i in range(m):  # eps^2 = 1/2 +- 1/2
        for r in range(nx):
            turned[r, square[i]] *= 0.5
            turned[r, 0] += turned[r, square[i]]
    beyond = 0.0
    for k in range(1 + m, nt):
        size = 0.0
        for r in range(nx):
            size += turned[r, k] * turned[r, k]
        size = math.sqrt(size)
        beyond += size
        for i in range(m):
            share[i] += size * exponents[k, i] / degree[k]
    worst, corner = -1.0, 0
    for s in range(1 << m):
        size = 0.0
        for r in range(nx):
            value = turned[r, 0]
            for i in range(m):
                value += turned[r, 1 + i] if (s >> i) & 1 else -turned[r, 1 + i]
            size += value * value
        if size > worst:
            worst, corner = size, s
        if not size < np.inf:
            return np.inf
    for i in range(m):
        vertex[i] = 1.0 if (corner >> i) & 1 else -1.0
    return math.sqrt(worst) + beyond


def substituted_norm(gap, root, box, wide, m, crossed, span, share):
    """What ``substitute`` leaves out of the difference, in the metric."""
    rest = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            rest += (box[i] / wide[i] + 64.0 * UNIT) * column_norm(gap, root, 1 + m + i)
    for k in crossed:
        rest += column_norm(gap, root, k)
    for i in range(m):
        share[i] += rest * span[i]
    return rest
