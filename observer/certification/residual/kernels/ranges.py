"""Values, derivatives and ranges of the smooth elementary functions over an interval [l, u] with a point c in it."""

import math

import numpy as np

from observer.certification.residual.kernels.operations import (
    ATAN,
    COS,
    COSH,
    EXP,
    INV,
    LOG,
    POWER,
    SIN,
    SINH,
    SQRT,
    TAN,
    TANH,
)


def cosine_range(l, u):
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


def ordered(a, b):
    return (a, b) if a <= b else (b, a)


def undefined():
    bad = np.nan
    return bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad


def of_tanh(l, u, c):
    """tanh' = 1 - t^2, tanh'' = -2 t + 2 t^3, tanh^(3) = -2 + 8 t^2 - 6 t^4, tanh^(4) = 16 t - 40 t^3 + 24 t^5."""
    tl, tu, t = math.tanh(l), math.tanh(u), math.tanh(c)
    k1, k2 = ordered(-2.0 * tl * (1.0 - tl * tl), -2.0 * tu * (1.0 - tu * tu))
    m1, m2 = ordered(-2.0 + tl * tl * (8.0 - 6.0 * tl * tl), -2.0 + tu * tu * (8.0 - 6.0 * tu * tu))
    n1, n2 = ordered(8.0 * tl * (2 - 3 * tl * tl) * (1 - tl * tl), 8.0 * tu * (2 - 3 * tu * tu) * (1 - tu * tu))
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


def of_atan(l, u, c):
    g, gl, gu = 1.0 / (1.0 + c * c), 1.0 / (1.0 + l * l), 1.0 / (1.0 + u * u)
    k1, k2 = ordered(-2.0 * l * gl * gl, -2.0 * u * gu * gu)
    m1, m2 = ordered((6.0 * l * l - 2.0) * gl**3, (6.0 * u * u - 2.0) * gu**3)
    n1, n2 = ordered(24.0 * l * (1.0 - l * l) * gl**4, 24.0 * u * (1.0 - u * u) * gu**4)
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


def of_power(par, l, u, c):
    """v^par; for 1 / v and the square root too."""
    whole = par == math.floor(par)
    if not (l > 0.0 or (l >= 0.0 and par > 0.0) or (whole and (par > 0.0 or u < 0.0))):
        return undefined()
    f2 = par * (par - 1.0)
    f3 = f2 * (par - 2.0)
    f4 = f3 * (par - 3.0)
    k1, k2 = ordered(f2 * l ** (par - 2.0), f2 * u ** (par - 2.0))
    m1, m2 = ordered(f3 * l ** (par - 3.0), f3 * u ** (par - 3.0))
    n1, n2 = ordered(f4 * l ** (par - 4.0), f4 * u ** (par - 4.0))
    z1, z2 = ordered(l**par, u**par)
    if l < 0.0 < u:  # an even power has its least value, zero, inside
        z1, z2 = min(z1, 0.0), max(z2, 0.0)
        k1, k2 = (min(k1, 0.0), max(k2, 0.0)) if par > 2.0 else (f2, f2)
        m1, m2 = (min(m1, 0.0), max(m2, 0.0)) if par > 3.0 else (f3, f3)
        n1, n2 = (min(n1, 0.0), max(n2, 0.0)) if par > 4.0 else (f4, f4)
    third = f3 * c ** (par - 3.0)
    return c**par, par * c ** (par - 1.0), f2 * c ** (par - 2.0), third, k1, k2, m1, m2, n1, n2, z1, z2


def smooth(op, par, l, u, c):
    """f, f', f'', f^(3) at c, and the ranges on [l, u] of f'', f^(3), f^(4) and f, of a smooth operation."""
    if op == TANH:
        return of_tanh(l, u, c)
    if op == ATAN:
        return of_atan(l, u, c)
    if op == POWER or op == INV or op == SQRT:
        return of_power(-1.0 if op == INV else 0.5 if op == SQRT else par, l, u, c)
    if op == EXP:
        el, eu, ec = math.exp(l), math.exp(u), math.exp(c)
        return ec, ec, ec, ec, el, eu, el, eu, el, eu, el, eu
    if op == SIN or op == COS:  # both cos(v - turn): f'' = -f, f^(3) = sin(v - turn), f^(4) = f
        turn = 0.5 * math.pi if op == SIN else 0.0
        z1, z2 = cosine_range(l - turn, u - turn)
        m1, m2 = cosine_range(l - turn - 0.5 * math.pi, u - turn - 0.5 * math.pi)
        f0, f1 = (math.sin(c), math.cos(c)) if op == SIN else (math.cos(c), -math.sin(c))
        return f0, f1, -f0, -f1, -z2, -z1, m1, m2, z1, z2, z1, z2
    if op == LOG:
        if not l > 0.0:
            return undefined()
        i, p, q = 1.0 / c, 1.0 / l, 1.0 / u
        return (
            math.log(c), i, -i * i, 2.0 * i**3, -p * p, -q * q, 2.0 * q**3, 2.0 * p**3, -6.0 * p**4, -6.0 * q**4,
            math.log(l), math.log(u),
        )  # fmt: skip
    if op == TAN:
        branch = math.floor(l / math.pi + 0.5) == math.floor(u / math.pi + 0.5)
        if not (branch and u - l < 3.2 and math.cos(l) * math.cos(u) > 0.0):
            return undefined()
        t, p, q = math.tan(c), math.tan(l), math.tan(u)
        m1, m2 = ordered(2.0 + p * p * (8.0 + 6.0 * p * p), 2.0 + q * q * (8.0 + 6.0 * q * q))
        if p < 0.0 < q:
            m1 = 2.0
        f1 = 1.0 + t * t
        return (
            t, f1, 2.0 * t * f1, 2.0 * f1 * (1.0 + 3.0 * t * t), 2.0 * p * (1.0 + p * p), 2.0 * q * (1.0 + q * q), m1, m2,
            8.0 * p * (2.0 + 3.0 * p * p) * (1.0 + p * p), 8.0 * q * (2.0 + 3.0 * q * q) * (1.0 + q * q), p, q,
        )  # fmt: skip
    if op == SINH or op == COSH:
        s, k, p, q = math.sinh(c), math.cosh(c), math.sinh(l), math.sinh(u)
        low, high = ordered(math.cosh(l), math.cosh(u))
        if l < 0.0 < u:
            low = 1.0
        if op == SINH:
            return s, k, s, k, p, q, low, high, p, q, p, q
        return k, s, k, s, low, high, p, q, low, high, low, high
    return undefined()
