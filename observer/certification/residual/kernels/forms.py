"""Polynomial forms: enclosures of numbers over a cell, in one row each.

A cell is centre + half width * eps, eps in [-1, 1]^m. A form encloses a number over it:

    sum over powers of total degree <= K of c_p eps^p  +  sum_k n_k s_k  +-  e,      |s_k| <= 1

stored as (c | n | e, g), powers by degree. The symbols s_k are shared between forms, so that what they stand for cancels in
a difference, as the polynomials do; e does not. g is the part of e that rounding makes, for the record.

Rounding: every operation widens its result by a multiple of the unit roundoff times the sum of magnitudes that went in, at
least twice what the operation can do: once for the forms, once for whoever evaluates plant and network in float64. What is
not defined on a cell (a logarithm of zero) becomes nan or inf, which proves nothing.

``basis`` = (m, number of powers, their degrees, with how many of the first powers each has a product of degree <= K, the
places of these products (powers, powers), the places of eps_i^2).
"""

from observer.certification.residual.kernels.operations import LIBRARY, TINY, UNIT


def add_to(row, factor, source, n):
    for k in range(n):
        row[k] += factor * source[k]


def clear(rows):
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            rows[i, k] = 0.0


def total_of(row, n):
    total = 0.0
    for k in range(n):
        total += abs(row[k])
    return total


def form_range(row, basis, end, extra):
    """(low, high, sum of magnitudes but the first) of a form with symbols up to column ``end``, widened by extra."""
    m, square = basis[0], basis[5]
    low = high = row[0]
    total = extra
    for k in range(1, end):
        size = abs(row[k])
        total += size
        if k > m:
            low -= size
            high += size
    low -= extra
    high += extra
    for i in range(m):
        a, q = abs(row[1 + i]), row[square[i]]
        top, bottom = a + q, -a + q  # at the ends a eps + q eps^2 takes +-a + q
        if q > 0.0 and a < 2.0 * q:
            bottom = -a * a / (4.0 * q)
        elif q < 0.0 and a < -2.0 * q:
            top = -a * a / (4.0 * q)
        high += top - abs(q)
        low += bottom + abs(q)
    margin = 8.0 * (end + 4) * UNIT * (abs(row[0]) + total)
    return low - margin, high + margin, total


def truncated(x, y, out, basis, dx, dy):
    """out = x y on powers; returns what is left beyond degree K. dx, dy: scratch for sums by degree."""
    nt, degree, partners, places = basis[1], basis[2], basis[3], basis[4]
    top = degree[nt - 1]
    for d in range(top + 1):
        dx[d] = dy[d] = 0.0
    for k in range(nt):
        out[k] = 0.0
        dx[degree[k]] += abs(x[k])
        dy[degree[k]] += abs(y[k])
    for k in range(nt):
        factor = x[k]
        if factor != 0.0:
            for j in range(partners[k]):
                out[places[k, j]] += factor * y[j]
    rest = 0.0
    for d in range(1, top + 1):
        for e in range(top + 1 - d, top + 1):
            rest += dx[d] * dy[e]
    return rest


def rest_of_square(p, basis, dx, dy):
    """What is beyond degree K in p^2."""
    nt, degree = basis[1], basis[2]
    top = degree[nt - 1]
    for d in range(top + 1):
        dx[d] = 0.0
    for k in range(nt):
        dx[degree[k]] += abs(p[k])
    rest = 0.0
    for d in range(1, top + 1):
        for e in range(top + 1 - d, top + 1):
            rest += dx[d] * dx[e]
    return rest


def multiply(x, y, out, basis, end, scratch):
    """out = x y, of forms with e and g in the two columns after ``end``."""
    nt = basis[1]
    rest = truncated(x, y, out, basis, scratch[3], scratch[4])
    tx, ty, nx, ny = total_of(x, nt), total_of(y, nt), 0.0, 0.0
    a, b = x[0], y[0]
    for k in range(nt, end):
        out[k] = a * y[k] + b * x[k]
        nx += abs(x[k])
        ny += abs(y[k])
    rest += (tx - abs(a)) * ny + (ty - abs(b)) * nx + nx * ny
    tx += nx
    ty += ny
    rounding = 2.0 * LIBRARY * (tx + x[end]) * (ty + y[end]) + TINY
    out[end] = rest + x[end] * ty + y[end] * tx + x[end] * y[end] + rounding
    out[end + 1] = x[end + 1] * ty + y[end + 1] * tx + rounding
