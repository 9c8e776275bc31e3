"""Polynomial forms, compiled: enclosures of a plant and of a network over a cell of states and inputs.

A cell is centre + half width * eps, eps in [-1, 1]^m. A form encloses a number over it:

    sum over powers of total degree <= K of c_p eps^p  +  sum_k n_k s_k  +-  e,      |s_k| <= 1

stored in one row as (c | n | e, g), powers by degree. The symbols s_k are shared between forms, so that what they stand
for cancels in a difference, as the polynomials do; e does not. g is the part of e that rounding makes, for the record.

A smooth f of a form v, with l <= v <= u, c their middle, d half their distance and delta = v - c, is f(c) + f'(c) delta +
f''(c) delta^2 / 2 (+ f^(3)(c) delta^3 / 6) and a remainder from the range of the next derivative, of which Chebyshev's

    |delta^3 - (3/4) d^2 delta| <= d^3 / 4,      |delta^4 - d^2 delta^2 + d^4 / 8| <= d^4 / 8

take a part back into the polynomial; or a line, or a constant, where these leave less. Rounding: every operation widens its
result by a multiple of the unit roundoff times the sum of magnitudes that went in, at least twice what the operation can
do: once for the forms, once for whoever evaluates plant and network in float64. What is not defined on a cell (a
logarithm of zero) becomes nan or inf, which proves nothing.

``basis`` = (m, number of powers, their degrees, with how many of the first powers each has a product of degree <= K, the
places of these products (powers, powers), the places of eps_i^2).

All that is compiled stands in this file: numba's disk cache looks at the date of this file only.
"""

import math

import numpy as np

from observer.networks.kernels.equilibrium.cpu_kernels import compiled

#: Instructions in the order of their codes.
OPERATIONS = (
    "STATE", "INPUT", "CONST", "SCALE", "SHIFT", "add", "sub", "mul", "inv", "exp", "log", "sqrt", "sin", "cos",
    "tan", "atan", "sinh", "cosh", "tanh", "POWER", "abs", "sign", "relu",
)  # fmt: skip
_STATE, _INPUT, _CONST, _SCALE, _SHIFT, _ADD, _SUB, _MUL, _INV, _EXP, _LOG, _SQRT, _SIN, _COS = range(14)
_TAN, _ATAN, _SINH, _COSH, _TANH, _POWER, _ABS, _SIGN, _RELU = range(14, 23)
_U = 2.0**-53
_LIBRARY = 16 * _U  # relative error granted to exp, sin, tanh, ... twice
_TINY = 1e-300  # underflow


@compiled
def _cosine_range(l, u):
    """Least and largest cosine on [l, u]."""
    low, high = min(math.cos(l), math.cos(u)), max(math.cos(l), math.cos(u))
    first = math.ceil(l / math.pi - 1e-12)
    if not u - l < 6.25:
        return -1.0, 1.0
    for k in range(3):
        turn = first + k
        if turn * math.pi <= u + 1e-9:
            if turn % 2 == 0:
                high = 1.0
            else:
                low = -1.0
    return max(low - 1e-14, -1.0), min(high + 1e-14, 1.0)


@compiled
def _cubic_slope(s):
    return -2.0 * (1.0 - s) * (1.0 - 3.0 * s)


@compiled
def _ordered(a, b):
    return (a, b) if a <= b else (b, a)


@compiled
def _undefined():
    bad = np.nan
    return bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad


@compiled
def _tanh(l, u, c):
    """tanh' = 1 - t^2, tanh'' = -2 t + 2 t^3, tanh^(3) = -2 + 8 t^2 - 6 t^4, tanh^(4) = 16 t - 40 t^3 + 24 t^5."""
    tl, tu, t = math.tanh(l), math.tanh(u), math.tanh(c)
    k1, k2 = _ordered(-2.0 * tl * (1.0 - tl * tl), -2.0 * tu * (1.0 - tu * tu))
    m1, m2 = _ordered(-2.0 + tl * tl * (8.0 - 6.0 * tl * tl), -2.0 + tu * tu * (8.0 - 6.0 * tu * tu))
    n1, n2 = _ordered(8.0 * tl * (2 - 3 * tl * tl) * (1 - tl * tl), 8.0 * tu * (2 - 3 * tu * tu) * (1 - tu * tu))
    for sign in (-1.0, 1.0):  # where the next derivative is zero
        at = sign / math.sqrt(3.0)
        if tl < at < tu:
            k1, k2 = min(k1, -2.0 * at * (1.0 - at * at)), max(k2, -2.0 * at * (1.0 - at * at))
        at = sign * math.sqrt(2.0 / 3.0)
        if tl < at < tu:
            m2 = 2.0 / 3.0
        for inner in (-1.0, 1.0):
            square = 0.5 + inner * math.sqrt(6720.0) / 240.0
            at = sign * math.sqrt(square)
            if tl < at < tu:
                value = 8.0 * at * (2.0 - 3.0 * square) * (1.0 - square)
                n1, n2 = min(n1, value), max(n2, value)
    if tl < 0.0 < tu:
        m1 = -2.0
    f1 = 1.0 - t * t
    return t, f1, -2.0 * t * f1, -2.0 * f1 * (1.0 - 3.0 * t * t), k1, k2, m1, m2, n1, n2, tl, tu


@compiled
def _atan(l, u, c):
    g, gl, gu = 1.0 / (1.0 + c * c), 1.0 / (1.0 + l * l), 1.0 / (1.0 + u * u)
    k1, k2 = _ordered(-2.0 * l * gl * gl, -2.0 * u * gu * gu)
    m1, m2 = _ordered((6.0 * l * l - 2.0) * gl**3, (6.0 * u * u - 2.0) * gu**3)
    n1, n2 = _ordered(24.0 * l * (1.0 - l * l) * gl**4, 24.0 * u * (1.0 - u * u) * gu**4)
    for sign in (-1.0, 1.0):
        at = sign / math.sqrt(3.0)
        if l < at < u:
            k1, k2 = min(k1, -2.0 * at * 0.5625), max(k2, -2.0 * at * 0.5625)
        if l < sign < u:
            m2 = 0.5
        for inner in (-1.0, 1.0):
            square = 1.0 + inner * 2.0 / math.sqrt(5.0)
            at = sign * math.sqrt(square)
            if l < at < u:
                value = 24.0 * at * (1.0 - square) / (1.0 + square) ** 4
                n1, n2 = min(n1, value), max(n2, value)
    if l < 0.0 < u:
        m1 = -2.0
    third = (6.0 * c * c - 2.0) * g**3
    return math.atan(c), g, -2.0 * c * g * g, third, k1, k2, m1, m2, n1, n2, math.atan(l), math.atan(u)


@compiled
def _power(par, l, u, c):
    """v^par; for 1 / v and the square root too."""
    whole = par == math.floor(par)
    if not (l > 0.0 or (l >= 0.0 and par > 0.0) or (whole and (par > 0.0 or u < 0.0))):
        return _undefined()
    f2 = par * (par - 1.0)
    f3 = f2 * (par - 2.0)
    f4 = f3 * (par - 3.0)
    k1, k2 = _ordered(f2 * l ** (par - 2.0), f2 * u ** (par - 2.0))
    m1, m2 = _ordered(f3 * l ** (par - 3.0), f3 * u ** (par - 3.0))
    n1, n2 = _ordered(f4 * l ** (par - 4.0), f4 * u ** (par - 4.0))
    z1, z2 = _ordered(l**par, u**par)
    if l < 0.0 < u:  # an even power has its least value, zero, inside
        z1, z2 = min(z1, 0.0), max(z2, 0.0)
        k1, k2 = (min(k1, 0.0), max(k2, 0.0)) if par > 2.0 else (f2, f2)
        m1, m2 = (min(m1, 0.0), max(m2, 0.0)) if par > 3.0 else (f3, f3)
        n1, n2 = (min(n1, 0.0), max(n2, 0.0)) if par > 4.0 else (f4, f4)
    third = f3 * c ** (par - 3.0)
    return c**par, par * c ** (par - 1.0), f2 * c ** (par - 2.0), third, k1, k2, m1, m2, n1, n2, z1, z2


@compiled
def smooth(op, par, l, u, c):
    """f, f', f'', f^(3) at c, and the ranges on [l, u] of f'', f^(3), f^(4) and f, of a smooth operation."""
    if op == _TANH:
        return _tanh(l, u, c)
    if op == _ATAN:
        return _atan(l, u, c)
    if op == _POWER or op == _INV or op == _SQRT:
        return _power(-1.0 if op == _INV else 0.5 if op == _SQRT else par, l, u, c)
    if op == _EXP:
        el, eu, ec = math.exp(l), math.exp(u), math.exp(c)
        return ec, ec, ec, ec, el, eu, el, eu, el, eu, el, eu
    if op == _SIN or op == _COS:  # both cos(v - turn): f'' = -f, f^(3) = sin(v - turn), f^(4) = f
        turn = 0.5 * math.pi if op == _SIN else 0.0
        z1, z2 = _cosine_range(l - turn, u - turn)
        m1, m2 = _cosine_range(l - turn - 0.5 * math.pi, u - turn - 0.5 * math.pi)
        f0, f1 = (math.sin(c), math.cos(c)) if op == _SIN else (math.cos(c), -math.sin(c))
        return f0, f1, -f0, -f1, -z2, -z1, m1, m2, z1, z2, z1, z2
    if op == _LOG:
        if not l > 0.0:
            return _undefined()
        i, p, q = 1.0 / c, 1.0 / l, 1.0 / u
        return (
            math.log(c), i, -i * i, 2.0 * i**3, -p * p, -q * q, 2.0 * q**3, 2.0 * p**3, -6.0 * p**4, -6.0 * q**4,
            math.log(l), math.log(u),
        )  # fmt: skip
    if op == _TAN:
        branch = math.floor(l / math.pi + 0.5) == math.floor(u / math.pi + 0.5)
        if not (branch and u - l < 3.2 and math.cos(l) * math.cos(u) > 0.0):
            return _undefined()
        t, p, q = math.tan(c), math.tan(l), math.tan(u)
        m1, m2 = _ordered(2.0 + p * p * (8.0 + 6.0 * p * p), 2.0 + q * q * (8.0 + 6.0 * q * q))
        if p < 0.0 < q:
            m1 = 2.0
        f1 = 1.0 + t * t
        return (
            t, f1, 2.0 * t * f1, 2.0 * f1 * (1.0 + 3.0 * t * t), 2.0 * p * (1.0 + p * p), 2.0 * q * (1.0 + q * q), m1, m2,
            8.0 * p * (2.0 + 3.0 * p * p) * (1.0 + p * p), 8.0 * q * (2.0 + 3.0 * q * q) * (1.0 + q * q), p, q,
        )  # fmt: skip
    if op == _SINH or op == _COSH:
        s, k, p, q = math.sinh(c), math.cosh(c), math.sinh(l), math.sinh(u)
        low, high = _ordered(math.cosh(l), math.cosh(u))
        if l < 0.0 < u:
            low = 1.0
        if op == _SINH:
            return s, k, s, k, p, q, low, high, p, q, p, q
        return k, s, k, s, low, high, p, q, low, high, low, high
    return _undefined()


@compiled
def _add(row, factor, source, n):
    for k in range(n):
        row[k] += factor * source[k]


@compiled
def _clear(rows):
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            rows[i, k] = 0.0


@compiled
def _total(row, n):
    total = 0.0
    for k in range(n):
        total += abs(row[k])
    return total


@compiled
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
    margin = 8.0 * (end + 4) * _U * (abs(row[0]) + total)
    return low - margin, high + margin, total


@compiled
def _truncated(x, y, out, basis, dx, dy):
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


@compiled
def compose(op, par, row, out, basis, end, extra, scratch):
    """out = op(row +- extra) up to a radius, which is returned with the slope (for the record of rounding)."""
    nt, degree = basis[1], basis[2]
    l, u, total = form_range(row, basis, end, extra)
    for k in range(end):
        out[k] = 0.0
    if not u - l < np.inf:
        return np.inf, 1.0
    c, d = 0.5 * (l + u), 0.5 * (u - l)
    slope = offset = radius = bend = twist = 0.0
    size = abs(row[0]) + total
    if op == _RELU or op == _ABS or op == _SIGN:
        if op == _SIGN:
            offset = 1.0 if l > 0.0 else -1.0 if u < 0.0 else 0.0
            radius = 0.0 if l > 0.0 or u < 0.0 else 1.0
        else:
            floor = 0.0 if op == _RELU else -1.0
            if l >= 0.0:
                slope = 1.0
            elif u <= 0.0:
                slope = floor
            else:
                slope = u / (u - l) if op == _RELU else (u + l) / (u - l)
                offset = radius = 0.5 * u * (1.0 - slope)
        for k in range(end):
            out[k] = slope * row[k]
        out[0] += offset
        return radius + abs(slope) * extra + 8.0 * _U * (abs(slope) * size + abs(offset)), slope
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
    rest2 = _truncated(p, p, p2, basis, dx, dy) + 2.0 * varying * noise + noise * noise
    # second order
    middle, spread = (m1 + m2) / 12.0, (m2 - m1) / 12.0
    slope, offset, bend = f1 + 0.75 * middle * d * d, f0, 0.5 * f2
    radius = abs(bend) * rest2 + (0.25 * abs(middle) + spread) * d**3
    if degree[nt - 1] >= 3:
        cut = _truncated(p2, p, p3, basis, dx, dy) + rest_of_square(p, basis, dx, dy) * reach
        rest3 = cut + 6.0 * reach * varying * noise + 3.0 * reach * noise * noise + noise**3
        middle, spread = (n1 + n2) / 48.0, (n2 - n1) / 48.0
        more, turn = 0.5 * f2 + middle * d * d, f3 / 6.0
        found = abs(more) * rest2 + abs(turn) * rest3 + (0.125 * abs(middle) + spread) * d**4
        if found < radius or not radius < np.inf:
            slope, offset, bend, twist, radius = f1, f0 - 0.125 * middle * d**4, more, turn, found
    # a line: the chord, or the tangent with half of what the second derivative can add
    line, line_offset, line_radius = _line(op, l, u, c, d, f0, f1, k1, k2, z1, z2)
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
    return radius + abs(inner) * extra + 4.0 * _LIBRARY * sum_of_terms + _TINY, inner


@compiled
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


@compiled
def _line(op, l, u, c, d, f0, f1, k1, k2, z1, z2):
    """(slope, value at c, radius) of a line beside f."""
    if op == _TANH or op == _SQRT:
        line = (z2 - z1) / (u - l) if u > l else f1
        top, bottom = max(z1 - line * l, z2 - line * u), min(z1 - line * l, z2 - line * u)
        if op == _TANH:
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


@compiled
def multiply(x, y, out, basis, end, scratch):
    """out = x y, of forms with e and g in the two columns after ``end``."""
    nt = basis[1]
    rest = _truncated(x, y, out, basis, scratch[3], scratch[4])
    tx, ty, nx, ny = _total(x, nt), _total(y, nt), 0.0, 0.0
    a, b = x[0], y[0]
    for k in range(nt, end):
        out[k] = a * y[k] + b * x[k]
        nx += abs(x[k])
        ny += abs(y[k])
    rest += (tx - abs(a)) * ny + (ty - abs(b)) * nx + nx * ny
    tx += nx
    ty += ny
    rounding = 2.0 * _LIBRARY * (tx + x[end]) * (ty + y[end]) + _TINY
    out[end] = rest + x[end] * ty + y[end] * tx + x[end] * y[end] + rounding
    out[end + 1] = x[end + 1] * ty + y[end + 1] * tx + rounding


@compiled
def run_program(code, a, b, c, x, u, reg, basis, end, scratch):
    """Fill ``reg`` (instructions, end + 2) from the forms of states ``x`` (nx, end) and inputs ``u`` (nu, end)."""
    for k in range(code.shape[0]):
        op, out = code[k], reg[k]
        if op == _STATE or op == _INPUT:
            source = x[a[k]] if op == _STATE else u[a[k]]
            for i in range(end):
                out[i] = source[i]
            out[end] = out[end + 1] = 0.0
        elif op == _CONST:
            out[:] = 0.0
            out[0] = c[k]
        elif op == _MUL:
            multiply(reg[a[k]], reg[b[k]], out, basis, end, scratch)
        elif op == _SCALE or op == _SHIFT or op == _ADD or op == _SUB:
            left = reg[a[k]]
            factor = c[k] if op == _SCALE else 1.0
            total = 0.0
            if op == _ADD or op == _SUB:
                right, sign = reg[b[k]], 1.0 if op == _ADD else -1.0
                for i in range(end):
                    out[i] = left[i] + sign * right[i]
                    total += abs(out[i])
                out[end] = left[end] + right[end]
                out[end + 1] = left[end + 1] + right[end + 1]
            else:
                for i in range(end):
                    out[i] = factor * left[i]
                    total += abs(out[i])
                out[end], out[end + 1] = abs(factor) * left[end], abs(factor) * left[end + 1]
                if op == _SHIFT:
                    total += abs(c[k])
                    out[0] += c[k]
            rounding = 0.0 if factor == -1.0 else 4.0 * _U * (total + out[end]) + _TINY
            out[end] += rounding
            out[end + 1] += rounding
        else:
            source = reg[a[k]]
            radius, slope = compose(op, c[k], source, out, basis, end, source[end], scratch)
            total = 0.0
            for i in range(end):
                total += abs(out[i])
            out[end] = radius
            out[end + 1] = abs(slope) * source[end + 1] + 2.0 * _LIBRARY * total


@compiled
def advance(net, plant, output, x, xh, u, known, work, basis):
    """One step of plant and network: forms of f_o(xh, u, h(x, u)) - F(x, u) in ``gap``, of F in the plant's registers.

    Symbols of ``gap`` (nx, nt + ny + nv + 2): one for the remainder of each output, one for each neuron.
    """
    AB, B1, CD, D11, bx, bv, activation = net  # AB = [A | B2], CD = [C1 | D12]
    reg, out_reg, z, w, v, gap, total, rounding, scratch = work
    nx, nv, ny, nk = bx.shape[0], bv.shape[0], output[4].shape[0], known.shape[0]
    nz, end, first = nx + nk + ny, basis[1], basis[1] + ny
    run_program(plant[0], plant[1], plant[2], plant[3], x, u, reg, basis, end, scratch)
    run_program(output[0], output[1], output[2], output[3], x, u, out_reg, basis, end, scratch)
    _clear(z)
    for j in range(nz):  # what the network is told: its state, the known inputs, the outputs
        y = j - nx - nk
        source = xh[j] if j < nx else u[known[j - nx]] if y < 0 else out_reg[output[4][y]]
        _add(z[j], 1.0, source, end)
        if y >= 0:
            z[j, end + y] = source[end]
    unit = 2.0 * (nz + nv + 6) * _U
    for i in range(nv):
        stop = first + i
        for k in range(stop):
            v[k] = 0.0
        v[0] = bv[i]
        size = abs(bv[i])
        for j in range(nz):
            size += abs(CD[i, j]) * _total(z[j], first)
            _add(v, CD[i, j], z[j], first)
        for j in range(i):
            if D11[i, j] != 0.0:
                size += abs(D11[i, j]) * total[j]
                _add(v, D11[i, j], w[j], first + j + 1)
        lost = unit * size + _TINY
        half = 0.5 if activation == 2 else 1.0  # sigmoid(v) = (1 + tanh(v / 2)) / 2
        for k in range(stop):
            v[k] *= half
        kind = _RELU if activation == 0 else _TANH
        radius, slope = compose(kind, 0.0, v, w[i], basis, stop, half * lost, scratch)
        for k in range(stop):
            w[i, k] *= half
        if activation == 2:
            w[i, 0] += 0.5
        radius = half * radius + 4.0 * (1.0 - half) * _U
        w[i, stop] = radius
        total[i] = _total(w[i], stop + 1)
        mine = half * half * abs(slope) * lost + (0.0 if activation == 0 else 4.0 * _LIBRARY)
        rounding[i] = min(mine / radius, 1.0) if radius > 0.0 else 0.0
    last = first + nv
    _clear(gap)
    for i in range(nx):
        row, step = gap[i], reg[plant[4][i]]
        size = abs(bx[i]) + _total(step, end)
        _add(row, -1.0, step, end)
        row[0] += bx[i]
        for j in range(nz):
            size += abs(AB[i, j]) * _total(z[j], first)
            _add(row, AB[i, j], z[j], first)
        for j in range(nv):
            size += abs(B1[i, j]) * total[j]
            _add(row, B1[i, j], w[j], first + j + 1)
        row[last] = step[end] + unit * size + _TINY
        row[last + 1] = step[end + 1] + unit * size


@compiled
def _column_norm(gap, root, k):
    square = 0.0
    for i in range(root.shape[0]):
        value = 0.0
        for j in range(i, root.shape[0]):
            value += root[i, j] * gap[j, k]
        square += value * value
    return math.sqrt(square)


@compiled
def noise_norm(gap, root, start, last, span, w, rounding, first, m, share, column):
    """(sum_k |R n_k| + ||R| e|, the part of it that is rounding); ``share`` (m,) gains what each dimension causes of it."""
    nx = root.shape[0]
    noise = lost = 0.0
    for k in range(start, last):
        size = _column_norm(gap, root, k)
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


@compiled
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


@compiled
def _start(cell, free, x, u):
    """Forms of states and inputs over the cell (nx + nu, 2)."""
    nx = x.shape[0]
    _clear(x)
    _clear(u)
    for d in range(cell.shape[0]):
        row = x[d] if d < nx else u[d - nx]
        row[0] = 0.5 * cell[d, 0] + 0.5 * cell[d, 1]
        for i in range(free.shape[0]):
            if free[i] == d:
                half = 0.5 * (cell[d, 1] - cell[d, 0])
                row[1 + i] = half + 4.0 * _U * (half + abs(row[0]))


@compiled
def _copy(target, source, n):
    for i in range(target.shape[0]):
        for k in range(n):
            target[i, k] = source[i, k]


@compiled
def _join(x, xh, drift, bent, box, wide, root, column, m, embed):
    """Set the last nx variables of ``x`` to stand for ``bent`` + ``box``, and xh = x + drift; returns |rounding of xh|_M."""
    nx = x.shape[0]
    for i in range(nx):
        wide[i] = (_total(bent[i], bent.shape[1]) + box[i]) * (1.0 + 64.0 * _U)
        for k in range(1 + m, x.shape[1]):
            x[i, k] = 0.0
        x[i, 1 + m + i] = wide[i]
        for k in range(x.shape[1]):
            xh[i, k] = x[i, k]
        for k in range(embed.shape[0]):
            xh[i, embed[k]] += drift[i, k]
        column[i] = 2.0 * _U * _total(xh[i], x.shape[1])
    added = 0.0
    for i in range(nx):
        for j in range(i, nx):
            added += abs(root[i, j]) * column[j]
    return added


@compiled
def _substitute(row, result, bent, wide, m, embed):
    """The polynomial in eps alone of a form in (eps, s): s_i = (bent_i(eps) + box_i) / wide_i, box and cross terms left out."""
    for k in range(embed.shape[0]):
        result[k] = row[embed[k]]
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            _add(result, row[1 + m + i] / wide[i], bent[i], embed.shape[0])


@compiled
def _left_over(row, box, wide, m, crossed):
    """What ``_substitute`` leaves out of one form, as a radius, with its rounding."""
    rest = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            rest += abs(row[1 + m + i]) * (box[i] / wide[i] + 64.0 * _U)
    for k in crossed:
        rest += abs(row[k])
    return rest


@compiled
def _substituted_norm(gap, root, box, wide, m, crossed, span, share):
    """What ``_substitute`` leaves out of the difference, in the metric."""
    rest = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            rest += (box[i] / wide[i] + 64.0 * _U) * _column_norm(gap, root, 1 + m + i)
    for k in crossed:
        rest += _column_norm(gap, root, k)
    for i in range(m):
        share[i] += rest * span[i]
    return rest


@compiled
def bound_cells(
    net,
    plant,
    output,
    known,
    root,
    gains,
    step_gains,
    tables,
    rate,
    steps,
    limits,
    cells,
    widths,
    inflate,
    upper,
    states,
    split,
    corners,
    lost,
):
    """Bounds of |d|_M (``upper``, (n,)) and |d_i| (``states``, (n, nx)) over each cell (n, nx + nu, 2).

    d is the residual where ``steps`` is 0, and else d(N) = f_o^N - F^N from x_hat = x, the input held. Also: which dimension
    to halve (``split``), the corner that looks worst (``corners``) and the part of rounding in ``upper`` (``lost``).

    Over steps, x_k = c + a eps + Q(eps) + e, Q of degree 2 and up, e a box, and |d_k - D_k(eps)|_M <= nu_k, D_k polynomial.
    Within a step Q + e are variables s of their own, treated as eps is: the curvature of plant and network cancels in the
    difference of forms before Q is put in, and e meets only what is left. Two estimates under the same measurements
    approach at ``rate``: what is no polynomial goes into nu_k+1 = rate nu_k + |rest|_M, and in each state into
    ``step_gains``_i nu_k + |rest_i|, where that is less than ``gains``_i nu_k+1.

    A cell from which every trajectory has left ``limits`` (nx, 2) before the last step has the bound zero: nothing is said of it.

    tables = (free dimensions, basis in eps, its exponents, basis in (eps, s), where the powers of the first are in the
    second, those of the second from degree 2 with an s in them); the last three as the first where ``steps`` is 0.
    """
    free, basis, exponents, full, embed, crossed = tables
    m, nt, nx, nu = basis[0], basis[1], root.shape[0], cells.shape[1] - root.shape[0]
    end, nv = full[1], net[5].shape[0]
    first = end + output[4].shape[0]
    last = first + nv
    reg, w, gap = np.zeros((plant[0].shape[0], end + 2)), np.zeros((nv, last + 2)), np.zeros((nx, last + 2))
    out_reg, z = np.zeros((output[0].shape[0], end + 2)), np.zeros((net[0].shape[1], last + 2))
    rounding = np.zeros(nv)
    work = (reg, out_reg, z, w, np.zeros(last + 2), gap, np.zeros(nv), rounding, np.zeros((5, end)))
    x, xh, u = np.zeros((nx, end)), np.zeros((nx, end)), np.zeros((nu, end))
    drift, bent, after = np.zeros((nx, nt)), np.zeros((nx, nt)), np.zeros((nx, nt))
    box, wide, rest = np.zeros(nx), np.zeros(nx), np.zeros(nx)
    share, span, vertex, column, turned = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(nx), np.zeros((nx, nt))
    for n in range(cells.shape[0]):
        _start(cells[n], free, x, u)
        widest = 0.0
        for i in range(m):
            share[i] = 0.0
            span[i] = (cells[n, free[i], 1] - cells[n, free[i], 0]) / widths[i]
            widest += span[i]
        for i in range(m):
            span[i] /= widest
        ball = lost_all = 0.0
        gone = False
        if steps == 0:
            advance(net, plant, output, x, x, u, known, work, full)
            ball, lost_all = noise_norm(gap, root, nt, last, span, w, rounding, first, m, share, column)
            _copy(drift, gap, nt)
        else:
            _clear(drift)
            _clear(bent)
            for i in range(nx):
                box[i] = 0.0
        for taken in range(steps):
            added = _join(x, xh, drift, bent, box, wide, root, column, m, embed)
            advance(net, plant, output, x, xh, u, known, work, full)
            for i in range(m):
                share[i] *= rate
            noise, lost_here = noise_norm(gap, root, end, last, span, w, rounding, first, m, share, column)
            noise += _substituted_norm(gap, root, box, wide, m, crossed, span, share)
            if taken + 1 == steps:
                for i in range(nx):
                    rest[i] = step_gains[i] * (ball + added) + _left_over(gap[i], box, wide, m, crossed) + gap[i, last]
                    for k in range(end, last):
                        rest[i] += abs(gap[i, k])
                    rest[i] *= 1.0 + 64.0 * _U
            ball = (rate * (ball + added) + noise) * (1.0 + 8.0 * _U)
            lost_all = rate * (lost_all + added) + lost_here
            if taken + 1 < steps:
                for i in range(nx):
                    row = reg[plant[4][i]]
                    low, high, _ = form_range(row, full, end, row[end])
                    gone = gone or high < limits[i, 0] or low > limits[i, 1]
                if gone:
                    break
            for i in range(nx):
                row = reg[plant[4][i]]
                _substitute(gap[i], drift[i], bent, wide, m, embed)
                _substitute(row, after[i], bent, wide, m, embed)
                column[i] = (row[end] + _left_over(row, box, wide, m, crossed)) * (1.0 + 64.0 * _U)
            for i in range(nx):  # x_k+1
                box[i] = column[i] + 64.0 * _U * _total(after[i], nt)
                for k in range(nt):
                    if k <= m:
                        x[i, k] = after[i, k]
                    bent[i, k] = after[i, k] if k > m else 0.0
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
        best, finite = 0, True
        for i in range(m):
            finite = finite and share[i] < np.inf
        for i in range(1, m):
            if (share[i] if finite else span[i]) > (share[best] if finite else span[best]):
                best = i
        split[n] = free[best] if m else 0
        for d in range(cells.shape[1]):
            corners[n, d] = 0.5 * cells[n, d, 0] + 0.5 * cells[n, d, 1]
        for i in range(m):
            corners[n, free[i]] = cells[n, free[i], 1] if vertex[i] > 0.0 else cells[n, free[i], 0]


@compiled
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
        _start(cells[n], free, x, u)
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
                x[i, nt + i] = radius * (1.0 + 64.0 * _U)
        for i in range(nx):
            low, high, _ = form_range(x[i], basis, end, 0.0)
            known = low <= high  # not for nan
            images[n, i, 0] = low if known else -np.inf
            images[n, i, 1] = high if known else np.inf
