"""Second-order forms, compiled: enclosures of a plant and of a network over a cell of states and inputs.

A cell is centre + half width * eps, eps in [-1, 1]^m. A form encloses a number over it:

    c + sum_i a_i eps_i + sum_{i<=j} q_ij eps_i eps_j + sum_k n_k s_k  +-  e,      |s_k| <= 1

stored in one row as (c | a | q, packed by rows | n | e, g). The symbols s_k are shared between forms, so that what they
stand for cancels in a difference; e does not. g is the part of e that rounding makes, for the record only.

A smooth f of a form v, with l <= v <= u, c their middle, d half their distance, delta = v - c and f''' in [m1, m2]:

    f(v) = f(c) + f'(c) delta + f''(c) delta^2 / 2 + f'''(xi) delta^3 / 6,     |delta^3 - (3/4) d^2 delta| <= d^3 / 4

(the last by Chebyshev's polynomial), or a line where that leaves a smaller remainder. Products and delta^2 keep their second
order exactly. Rounding: every operation widens its result by a multiple of the unit roundoff times the sum of magnitudes
that went in, twice what the operation itself can do: once for the forms, once for whoever evaluates the plant and the
network in float64. What is not defined on a cell (a logarithm of zero) becomes nan or inf, which proves nothing.

All that is compiled stands in this file: numba's disk cache looks at the date of this file only.
"""

import math

import numpy as np

from observer.networks.equilibrium.cpu_kernels import compiled

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
def smooth(op, par, l, u, c):
    """f(c), f'(c), f''(c), [f''] on [l, u], [f'''] on [l, u], [f] on [l, u] of a smooth operation."""
    bad = np.nan
    if op == _EXP:
        el, eu, ec = math.exp(l), math.exp(u), math.exp(c)
        return ec, ec, ec, el, eu, el, eu, el, eu
    if op == _SIN or op == _COS:
        turn = 0.5 * math.pi if op == _SIN else 0.0
        # sin v = cos(v - turn): f'' = -f, f''' = sin(v - turn)
        low, high = _cosine_range(l - turn, u - turn)
        low3, high3 = _cosine_range(l - turn - 0.5 * math.pi, u - turn - 0.5 * math.pi)
        if op == _SIN:
            return math.sin(c), math.cos(c), -math.sin(c), -high, -low, low3, high3, low, high
        return math.cos(c), -math.sin(c), -math.cos(c), -high, -low, low3, high3, low, high
    if op == _TANH:
        tl, tu, t = math.tanh(l), math.tanh(u), math.tanh(c)
        kl, ku = -2.0 * tl * (1.0 - tl * tl), -2.0 * tu * (1.0 - tu * tu)
        k1, k2 = min(kl, ku), max(kl, ku)
        root = 1.0 / math.sqrt(3.0)
        if tl < root < tu:
            k1 = -4.0 / 3.0 * root
        if tl < -root < tu:
            k2 = 4.0 / 3.0 * root
        s1, s2 = min(tl * tl, tu * tu), max(tl * tl, tu * tu)
        if tl < 0.0 < tu:
            s1 = 0.0
        m1, m2 = _cubic_slope(s1), _cubic_slope(s2)
        m1, m2 = min(m1, m2), max(m1, m2)
        if s1 < 2.0 / 3.0 < s2:
            m2 = 2.0 / 3.0
        return t, 1.0 - t * t, -2.0 * t * (1.0 - t * t), k1, k2, m1, m2, tl, tu
    if op == _INV:
        if not (l > 0.0 or u < 0.0):
            return bad, bad, bad, bad, bad, bad, bad, bad, bad
        il, iu, i = 1.0 / l, 1.0 / u, 1.0 / c
        kl, ku = 2.0 * il**3, 2.0 * iu**3
        return (
            i,
            -i * i,
            2.0 * i**3,
            min(kl, ku),
            max(kl, ku),
            -6.0 * max(il**4, iu**4),
            -6.0 * min(il**4, iu**4),
            iu,
            il,
        )
    if op == _LOG:
        if not l > 0.0:
            return bad, bad, bad, bad, bad, bad, bad, bad, bad
        il, iu, i = 1.0 / l, 1.0 / u, 1.0 / c
        return math.log(c), i, -i * i, -il * il, -iu * iu, 2.0 * iu**3, 2.0 * il**3, math.log(l), math.log(u)
    if op == _SQRT:
        if not l >= 0.0:
            return bad, bad, bad, bad, bad, bad, bad, bad, bad
        r, rl, ru = math.sqrt(c), math.sqrt(l), math.sqrt(u)
        return (
            r, 0.5 / r, -0.25 / r**3, -0.25 / rl**3, -0.25 / ru**3, 0.375 / ru**5, 0.375 / rl**5, rl, ru,
        )  # fmt: skip
    if op == _TAN:
        if not (
            u - l < 3.2
            and math.cos(l) * math.cos(u) > 0.0
            and math.floor(l / math.pi + 0.5) == math.floor(u / math.pi + 0.5)
        ):
            return bad, bad, bad, bad, bad, bad, bad, bad, bad
        t, tl, tu = math.tan(c), math.tan(l), math.tan(u)
        s1, s2 = min(tl * tl, tu * tu), max(tl * tl, tu * tu)
        if tl < 0.0 < tu:
            s1 = 0.0
        m1, m2 = 2.0 * (1.0 + s1) * (1.0 + 3.0 * s1), 2.0 * (1.0 + s2) * (1.0 + 3.0 * s2)
        return t, 1 + t * t, 2 * t * (1 + t * t), 2 * tl * (1 + tl * tl), 2 * tu * (1 + tu * tu), m1, m2, tl, tu
    if op == _ATAN:
        g = 1.0 / (1.0 + c * c)
        gl, gu = 1.0 / (1.0 + l * l), 1.0 / (1.0 + u * u)
        kl, ku = -2.0 * l * gl * gl, -2.0 * u * gu * gu
        k1, k2 = min(kl, ku), max(kl, ku)
        root = 1.0 / math.sqrt(3.0)
        peak = 2.0 * root / (1.0 + root * root) ** 2
        if l < root < u:
            k1 = -peak
        if l < -root < u:
            k2 = peak
        ml, mu = (6.0 * l * l - 2.0) * gl**3, (6.0 * u * u - 2.0) * gu**3
        m1, m2 = min(ml, mu), max(ml, mu)
        if l < 0.0 < u:
            m1 = -2.0
        if l < 1.0 < u or l < -1.0 < u:
            m2 = max(m2, 0.5)
        return math.atan(c), g, -2.0 * c * g * g, k1, k2, m1, m2, math.atan(l), math.atan(u)
    if op == _SINH or op == _COSH:
        sc, cc, sl, su = math.sinh(c), math.cosh(c), math.sinh(l), math.sinh(u)
        cl, cu = math.cosh(l), math.cosh(u)
        low, high = min(cl, cu), max(cl, cu)
        if l < 0.0 < u:
            low = 1.0
        if op == _SINH:
            return sc, cc, sc, sl, su, low, high, sl, su
        return cc, sc, cc, low, high, sl, su, low, high
    if op == _POWER:
        whole = par == math.floor(par)
        if not (l > 0.0 or (whole and (par > 3.0 or u < 0.0))):
            return bad, bad, bad, bad, bad, bad, bad, bad, bad
        f2, f3 = par * (par - 1.0), par * (par - 1.0) * (par - 2.0)
        kl, ku = f2 * l ** (par - 2.0), f2 * u ** (par - 2.0)
        ml, mu = f3 * l ** (par - 3.0), f3 * u ** (par - 3.0)
        zl, zu = l**par, u**par
        k1, k2, m1, m2, z1, z2 = min(kl, ku), max(kl, ku), min(ml, mu), max(ml, mu), min(zl, zu), max(zl, zu)
        if l < 0.0 < u:  # an even power has its least value, zero, inside
            k1, k2, m1, m2, z1, z2 = min(k1, 0.0), max(k2, 0.0), min(m1, 0.0), max(m2, 0.0), min(z1, 0.0), max(z2, 0.0)
        return c**par, par * c ** (par - 1.0), f2 * c ** (par - 2.0), k1, k2, m1, m2, z1, z2
    return bad, bad, bad, bad, bad, bad, bad, bad, bad


@compiled
def form_range(row, m, nt, end, extra):
    """(low, high, sum |a|, radius of all that is not linear) of a form with symbols up to column ``end``, widened by extra."""
    low = high = row[0]
    linear = rest = 0.0
    place = 1 + m
    for i in range(m):
        a, q = abs(row[1 + i]), row[place]
        linear += a
        rest += abs(q)
        top, bottom = a + q, -a + q  # at the ends a eps + q eps^2 takes +-a + q
        if q > 0.0 and a < 2.0 * q:
            bottom = -a * a / (4.0 * q)
        elif q < 0.0 and a < -2.0 * q:
            top = -a * a / (4.0 * q)
        high += top
        low += bottom
        for k in range(place + 1, place + m - i):
            cross = abs(row[k])
            high += cross
            low -= cross
            rest += cross
        place += m - i
    noise = extra
    for k in range(nt, end):
        noise += abs(row[k])
    margin = 4.0 * (end + 4) * _U * (abs(row[0]) + linear + rest + noise)
    return low - noise - margin, high + noise + margin, linear, rest + noise


@compiled
def compose(op, par, row, out, m, nt, end, extra):
    """out = op(row +- extra) up to a remainder, which is returned with the slope, the range's magnitude among its roundings."""
    l, u, linear, rest = form_range(row, m, nt, end, extra)
    if not u - l < np.inf:
        for k in range(end):
            out[k] = 0.0
        return np.inf, 1.0
    c, d = 0.5 * (l + u), 0.5 * (u - l)
    slope = offset = radius = 0.0
    bend = 0.0
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
    else:
        f0, f1, f2, k1, k2, m1, m2, z1, z2 = smooth(op, par, l, u, c)
        # Third order, by the second: slope, bend and the remainder.
        middle, spread = (m1 + m2) / 12.0, (m2 - m1) / 12.0
        slope, bend = f1 + 0.75 * middle * d * d, 0.5 * f2
        offset = f0
        radius = abs(bend) * (2.0 * linear + rest) * rest + (0.25 * abs(middle) + spread) * d**3
        # A line: tangent with half of what the second derivative can add, or for tanh and sqrt the chord.
        if op == _TANH or op == _SQRT:
            line = (z2 - z1) / (u - l) if u > l else f1
            if op == _TANH:
                gap = math.sqrt(max(1.0 - line, 0.0))
                touch = math.atanh(min(gap, 1.0 - 1e-16))
                top = max(z1 - line * l, z2 - line * u)
                bottom = min(z1 - line * l, z2 - line * u)
                if l < touch < u:
                    top = max(top, math.tanh(touch) - line * touch)
                if l < -touch < u:
                    bottom = min(bottom, -math.tanh(touch) + line * touch)
            else:
                touch = 0.25 / (line * line) if line > 0.0 else l
                bottom = z1 - line * l
                top = max(bottom, math.sqrt(touch) - line * touch)
            line_offset, line_radius = 0.5 * (top + bottom) + line * c, 0.5 * (top - bottom)
        else:
            line = f1
            high, low = max(k2, 0.0) * 0.5 * d * d, min(k1, 0.0) * 0.5 * d * d
            line_offset, line_radius = f0 + 0.5 * (high + low), 0.5 * (high - low)
        if not radius <= line_radius:
            slope, bend, offset, radius = line, 0.0, line_offset, line_radius
        if not radius <= 0.5 * (z2 - z1):
            slope, bend, offset, radius = 0.0, 0.0, 0.5 * (z1 + z2), 0.5 * (z2 - z1)
        # now in terms of the row itself: delta = (row[0] - c) + linear + rest
        kappa = row[0] - c
        size = abs(offset) + (abs(slope) + abs(bend) * (abs(kappa) + linear)) * (abs(kappa) + linear + rest + abs(c))
        radius += 2.0 * _LIBRARY * size + _TINY
        if bend != 0.0:
            inner = slope + 2.0 * bend * kappa
            for k in range(1, end):
                out[k] = inner * row[k]
            out[0] = offset + (slope + bend * kappa) * kappa
            place = 1 + m
            for i in range(m):
                ai = bend * row[1 + i]
                out[place] += ai * row[1 + i]
                for j in range(i + 1, m):
                    out[place + j - i] += 2.0 * ai * row[1 + j]
                place += m - i
            return radius + abs(inner) * extra, inner
        offset -= slope * c
    for k in range(end):
        out[k] = slope * row[k]
    out[0] += offset
    total = abs(row[0]) + linear + rest
    return radius + abs(slope) * extra + 4.0 * _U * (abs(slope) * total + abs(offset)), slope


@compiled
def _sizes(row, m, nt, end):
    linear = rest = 0.0
    for k in range(1, 1 + m):
        linear += abs(row[k])
    for k in range(1 + m, end):
        rest += abs(row[k])
    return linear, rest


@compiled
def multiply(x, y, out, m, nt, end):
    """out = x y, of forms with e and g in the two columns after ``end``."""
    lx, rx = _sizes(x, m, nt, end)
    ly, ry = _sizes(y, m, nt, end)
    a, b = x[0], y[0]
    for k in range(1, end):
        out[k] = a * y[k] + b * x[k]
    out[0] = a * b
    place = 1 + m
    for i in range(m):
        xi, yi = x[1 + i], y[1 + i]
        out[place] += xi * yi
        for j in range(i + 1, m):
            out[place + j - i] += xi * y[1 + j] + yi * x[1 + j]
        place += m - i
    tx, ty = abs(a) + lx + rx, abs(b) + ly + ry
    rounding = 16.0 * _U * (tx + x[end]) * (ty + y[end]) + _TINY
    out[end] = lx * ry + ly * rx + rx * ry + x[end] * ty + y[end] * tx + x[end] * y[end] + rounding
    out[end + 1] = x[end + 1] * ty + y[end + 1] * tx + rounding


@compiled
def run_program(code, a, b, c, x, u, reg, m, nt, end):
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
            multiply(reg[a[k]], reg[b[k]], out, m, nt, end)
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
            radius, slope = compose(op, c[k], source, out, m, nt, end, source[end])
            total = 0.0
            for i in range(end):
                total += abs(out[i])
            out[end] = radius
            out[end + 1] = abs(slope) * source[end + 1] + 2.0 * _LIBRARY * total


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
def advance(net, plant, output, x, xh, u, known, work, m, nt):
    """One step of plant and network: forms of f_o(xh, u, h(x, u)) - F(x, u) in ``gap``, of F in the plant's registers.

    Symbols of ``gap`` (nx, nt + ny + nv + 2): one for the remainder of each output, one for each neuron.
    """
    AB, B1, CD, D11, bx, bv, activation = net  # AB = [A | B2], CD = [C1 | D12]
    reg, out_reg, z, w, rows, gap, total, rounding = work
    nx, nv, ny, nk = bx.shape[0], bv.shape[0], output[4].shape[0], known.shape[0]
    nz, end, first = nx + nk + ny, nt, nt + ny
    run_program(plant[0], plant[1], plant[2], plant[3], x, u, reg, m, nt, end)
    run_program(output[0], output[1], output[2], output[3], x, u, out_reg, m, nt, end)
    _clear(z)
    for j in range(nz):  # what the network is told: its state, the known inputs, the outputs
        y = j - nx - nk
        source = xh[j] if j < nx else u[known[j - nx]] if y < 0 else out_reg[output[4][y]]
        _add(z[j], 1.0, source, end)
        if y >= 0:
            z[j, end + y] = source[end]
    v = rows[0]
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
        radius, slope = compose(_RELU if activation == 0 else _TANH, 0.0, v, w[i], m, nt, stop, half * lost)
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
def polynomial_norm(gap, root, m, nt, share, turned, vertex):
    """Largest |R (c + a eps + q eps^2)| over the cell: the worst corner (``vertex``, -1 or 1) and the quadratic part."""
    nx = root.shape[0]
    for i in range(nx):
        for k in range(nt):
            value = 0.0
            for j in range(i, nx):
                value += root[i, j] * gap[j, k]
            turned[i, k] = value
    quadratic = 0.0
    place = 1 + m
    for i in range(m):
        for j in range(i, m):
            square = 0.0
            for r in range(nx):
                value = turned[r, place]
                if i == j:  # eps^2 = 1/2 +- 1/2
                    value *= 0.5
                    turned[r, 0] += value
                square += value * value
            size = math.sqrt(square)
            quadratic += size
            share[i] += 0.5 * size
            share[j] += 0.5 * size
            place += 1
    worst, corner = -1.0, 0
    for s in range(1 << m):
        square = 0.0
        for r in range(nx):
            value = turned[r, 0]
            for i in range(m):
                value += turned[r, 1 + i] if (s >> i) & 1 else -turned[r, 1 + i]
            square += value * value
        if square > worst:
            worst, corner = square, s
    for i in range(m):
        vertex[i] = 1.0 if (corner >> i) & 1 else -1.0
    if not worst >= 0.0:
        return np.inf
    return math.sqrt(worst) + quadratic


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
def _place(mm, i):
    """Column of q_ii of a form in mm variables."""
    return 1 + mm + i * mm - i * (i - 1) // 2


@compiled
def _join(x, xh, drift, bent, box, wide, root, column, m, mm):
    """Set the last nx variables of ``x`` to stand for ``bent`` + ``box``, and xh = x + drift; returns |rounding of xh|_M."""
    nx = x.shape[0]
    for i in range(nx):
        wide[i] = (_total(bent[i, 1 + m :], bent.shape[1] - 1 - m) + box[i]) * (1.0 + 16.0 * _U)
        for k in range(1 + m, x.shape[1]):
            x[i, k] = 0.0
        x[i, 1 + m + i] = wide[i]
        for k in range(x.shape[1]):
            xh[i, k] = x[i, k]
        for k in range(1 + m):
            xh[i, k] += drift[i, k]
        place = 1 + m
        for a in range(m):
            to = _place(mm, a)
            for b in range(m - a):
                xh[i, to + b] += drift[i, place + b]
            place += m - a
        column[i] = 2.0 * _U * _total(xh[i], x.shape[1])
    added = 0.0
    for i in range(nx):
        for j in range(i, nx):
            added += abs(root[i, j]) * column[j]
    return added


@compiled
def _substitute(rows, result, bent, wide, m, mm):
    """The polynomial in eps alone of forms in (eps, s): s_i = (bent_i(eps) + box_i) / wide_i, without what box and cross terms add."""
    nt = bent.shape[1]
    for r in range(result.shape[0]):
        for k in range(1 + m):
            result[r, k] = rows[r, k]
        place = 1 + m
        for a in range(m):
            source = _place(mm, a)
            for b in range(m - a):
                result[r, place + b] = rows[r, source + b]
            place += m - a
        for i in range(wide.shape[0]):
            if wide[i] > 0.0:
                factor = rows[r, 1 + m + i] / wide[i]
                for k in range(1 + m, nt):
                    result[r, k] += factor * bent[i, k]


@compiled
def _left_over(row, box, wide, m, mm):
    """What ``_substitute`` leaves out of one form, as a radius, with its rounding."""
    rest = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            rest += abs(row[1 + m + i]) * (box[i] / wide[i] + 32.0 * _U)
    for a in range(mm):
        source = _place(mm, a)
        for b in range(a, mm):
            if b >= m:
                rest += abs(row[source + b - a])
    return rest


@compiled
def _substituted_norm(gap, root, bent, box, wide, m, mm, span, share):
    """What ``_substitute`` leaves out of the difference, in the metric."""
    sum_of_norms = 0.0
    for i in range(wide.shape[0]):
        if wide[i] > 0.0:
            sum_of_norms += (box[i] / wide[i] + 32.0 * _U) * _column_norm(gap, root, 1 + m + i)
    for a in range(mm):
        source = _place(mm, a)
        for b in range(max(a, m), mm):
            sum_of_norms += _column_norm(gap, root, source + b - a)
    for i in range(m):
        share[i] += sum_of_norms * span[i]
    return sum_of_norms


@compiled
def bound_cells(
    net,
    plant,
    output,
    known,
    root,
    gains,
    rate,
    steps,
    cells,
    free,
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

    Over steps, x_k = c + a eps + Q(eps) + e, Q quadratic and e a box, and |d_k - D_k(eps)|_M <= nu_k with a polynomial D_k.
    Within a step Q + e are variables of their own, treated to second order as eps is: the curvature of plant and network
    cancels in the difference of forms before Q is put in, and e meets only what is left. Two estimates under the same
    measurements approach at ``rate``: what is no polynomial goes into nu_k+1 = rate nu_k + |rest|_M.
    """
    m, nx, nu = free.shape[0], root.shape[0], cells.shape[1] - root.shape[0]
    nt = 1 + m + m * (m + 1) // 2
    mm = m + nx if steps > 0 else m  # variables within a step: eps, and what x_k has beyond its linear part
    end = 1 + mm + mm * (mm + 1) // 2
    nv = net[5].shape[0]
    first = end + output[4].shape[0]
    last = first + nv
    reg, w, gap = np.zeros((plant[0].shape[0], end + 2)), np.zeros((nv, last + 2)), np.zeros((nx, last + 2))
    out_reg, z = np.zeros((output[0].shape[0], end + 2)), np.zeros((net[0].shape[1], last + 2))
    rounding = np.zeros(nv)
    work = (reg, out_reg, z, w, np.zeros((1, last + 2)), gap, np.zeros(nv), rounding)
    x, xh, u = np.zeros((nx, end)), np.zeros((nx, end)), np.zeros((nu, end))
    drift, bent, after = np.zeros((nx, nt)), np.zeros((nx, nt)), np.zeros((nx, nt))
    box, wide = np.zeros(nx), np.zeros(nx)
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
        if steps == 0:
            advance(net, plant, output, x, x, u, known, work, m, nt)
            ball, lost_all = noise_norm(gap, root, nt, last, span, w, rounding, first, m, share, column)
            _copy(drift, gap, nt)
        else:
            _clear(drift)
            _clear(bent)
            for i in range(nx):
                box[i] = 0.0
        for _ in range(steps):
            added = _join(x, xh, drift, bent, box, wide, root, column, m, mm)
            advance(net, plant, output, x, xh, u, known, work, mm, end)
            for i in range(m):
                share[i] *= rate
            noise, lost_here = noise_norm(gap, root, end, last, span, w, rounding, first, m, share, column)
            noise += _substituted_norm(gap, root, bent, box, wide, m, mm, span, share)
            _substitute(gap, drift, bent, wide, m, mm)
            ball = (rate * (ball + added) + noise) * (1.0 + 8.0 * _U)
            lost_all = rate * (lost_all + added) + lost_here
            for i in range(nx):  # what F leaves over, of the state after
                row = reg[plant[4][i]]
                column[i] = (row[end] + _left_over(row, box, wide, m, mm)) * (1.0 + 64.0 * _U)
            for i in range(nx):
                _substitute(reg[plant[4][i] : plant[4][i] + 1], turned[i : i + 1], bent, wide, m, mm)
            for i in range(nx):
                for k in range(1 + m):
                    x[i, k] = turned[i, k]
                for k in range(1 + m, nt):
                    after[i, k] = turned[i, k]
                box[i] = column[i] + 16.0 * _U * _total(turned[i], nt)
            _copy(bent, after, nt)
            if not ball < np.inf:
                break
        whole = (polynomial_norm(drift, root, m, nt, share, turned, vertex) + ball) * inflate
        whole = whole if whole < np.inf else np.inf
        upper[n], lost[n] = whole, lost_all
        for i in range(nx):
            if steps == 0:
                low, high, _, _ = form_range(gap[i], m, nt, last, gap[i, last])
            else:
                low, high, _, _ = form_range(drift[i], m, nt, nt, gains[i] * ball)
            size = max(-low, high) * (1.0 + 1e-10)
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
