"""Elementary functions of polynomial forms.

A smooth f of a form v, with l <= v <= u, c their middle, d half their distance and delta = v - c, is f(c) + f'(c) delta +
f''(c) delta^2 / 2 (+ f^(3)(c) delta^3 / 6) and a remainder from the range of the next derivative, of which Chebyshev's

    |delta^3 - (3/4) d^2 delta| <= d^3 / 4,      |delta^4 - d^2 delta^2 + d^4 / 8| <= d^4 / 8

take a part back into the polynomial; or a line, or a constant, where these leave less.
"""

import math

import numpy as np

from observer.certification.residual.kernels.forms import form_range, rest_of_square, truncated
from observer.certification.residual.kernels.operations import ABS, LIBRARY, RELU, SIGN, SQRT, TANH, TINY, UNIT
from observer.certification.residual.kernels.ranges import smooth


def compose(op, par, row, out, basis, end, extra, scratch):
    """out = op(row +- extra) up to a radius, which is returned with the slope (for the record of rounding)."""
    l, u, total = form_range(row, basis, end, extra)
    for k in range(end):
        out[k] = 0.0
    if not u - l < np.inf:
        return np.inf, 1.0
    size = abs(row[0]) + total
    if op == RELU or op == ABS or op == SIGN:
        return compose_kink(op, row, out, end, extra, l, u, size)
    nt, degree = basis[1], basis[2]
    c, d = 0.5 * (l + u), 0.5 * (u - l)
    slope = offset = radius = bend = twist = 0.0
    f0, f1, f2, f3, k1, k2, m1, m2, n1, n2, z1, z2 = smooth(op, par, l, u, c)
    # Powers of delta = row - c: the polynomial p + what is noise, nu.
    p, p2, p3, dx, dy = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    noise, varying = extra, 0.0
    for k in range(nt):
        p[k] = row[k]
        varying += abs(row[k]) if k > 0 else 0.0
    for k in range(nt, end):
        noise += abs(row[k])
    p[0] -= c
    kappa, reach = p[0], abs(p[0]) + varying
    rest2 = truncated(p, p, p2, basis, dx, dy) + 2.0 * varying * noise + noise * noise
    # second order
    middle, spread = (m1 + m2) / 12.0, (m2 - m1) / 12.0
    slope, offset, bend = f1 + 0.75 * middle * d * d, f0, 0.5 * f2
    radius = abs(bend) * rest2 + (0.25 * abs(middle) + spread) * d**3
    if degree[nt - 1] >= 3:
        cut = truncated(p2, p, p3, basis, dx, dy) + rest_of_square(p, basis, dx, dy) * reach
        rest3 = cut + 6.0 * reach * varying * noise + 3.0 * reach * noise * noise + noise**3
        middle, spread = (n1 + n2) / 48.0, (n2 - n1) / 48.0
        more, turn = 0.5 * f2 + middle * d * d, f3 / 6.0
        found = abs(more) * rest2 + abs(turn) * rest3 + (0.125 * abs(middle) + spread) * d**4
        if found < radius or not radius < np.inf:
            slope, offset, bend, twist, radius = f1, f0 - 0.125 * middle * d**4, more, turn, found
    # a line: the chord, or the tangent with half of what the second derivative can add
    line, line_offset, line_radius = line_beside(op, l, u, c, d, f0, f1, k1, k2, z1, z2)
    if not radius <= line_radius:
        slope, offset, bend, twist, radius = line, line_offset, 0.0, 0.0, line_radius
    if not radius <= 0.5 * (z2 - z1):
        slope, offset, bend, twist, radius = 0.0, 0.5 * (z1 + z2), 0.0, 0.0, 0.5 * (z2 - z1)
    for k in range(nt):
        out[k] = slope * p[k]
    if bend != 0.0 or twist != 0.0:
        for k in range(nt):
            out[k] += bend * p2[k]
        if twist != 0.0:
            for k in range(nt):
                out[k] += twist * p3[k]
    out[0] += offset
    inner = slope + 2.0 * bend * kappa + 3.0 * twist * kappa * kappa
    for k in range(nt, end):
        out[k] = inner * row[k]
    size += abs(c) + reach
    sum_of_terms = abs(offset) + (abs(slope) + (abs(bend) + abs(twist) * reach) * reach) * size
    return radius + abs(inner) * extra + 4.0 * LIBRARY * sum_of_terms + TINY, inner


def compose_kink(op, row, out, end, extra, l, u, size):
    """A line beside relu, |v| or sign(v) on [l, u]."""
    slope = offset = radius = 0.0
    if op == SIGN:
        offset = 1.0 if l > 0.0 else -1.0 if u < 0.0 else 0.0
        radius = 0.0 if l > 0.0 or u < 0.0 else 1.0
    else:
        floor = 0.0 if op == RELU else -1.0
        if l >= 0.0:
            slope = 1.0
        elif u <= 0.0:
            slope = floor
        else:
            slope = u / (u - l) if op == RELU else (u + l) / (u - l)
            offset = radius = 0.5 * u * (1.0 - slope)
    for k in range(end):
        out[k] = slope * row[k]
    out[0] += offset
    return radius + abs(slope) * extra + 8.0 * UNIT * (abs(slope) * size + abs(offset)), slope


def line_beside(op, l, u, c, d, f0, f1, k1, k2, z1, z2):
    """(slope, value at c, radius) of a line beside f."""
    if op == TANH or op == SQRT:
        line = (z2 - z1) / (u - l) if u > l else f1
        top, bottom = max(z1 - line * l, z2 - line * u), min(z1 - line * l, z2 - line * u)
        if op == TANH:
            touch = math.atanh(min(math.sqrt(max(1.0 - line, 0.0)), 1.0 - 1e-16))
            if l < touch < u:
                top = max(top, math.tanh(touch) - line * touch)
            if l < -touch < u:
                bottom = min(bottom, -math.tanh(touch) + line * touch)
        else:
            touch = 0.25 / (line * line) if line > 0.0 else l
            top = max(top, math.sqrt(touch) - line * touch)
        return line, 0.5 * (top + bottom) + line * c, 0.5 * (top - bottom)
    high, low = max(k2, 0.0) * 0.5 * d * d, min(k1, 0.0) * 0.5 * d * d
    return f1, f0 + 0.5 * (high + low), 0.5 * (high - low)
