"""Runs of the observers with a gain: x_hat corrected by it, within the limits, and one step of the plant.

x0 (K, nx), u (K, N, nu), y (K, N, ny) with nan for what is missing, p (np,); estimates go to ``result`` (K, N, nx).
"""

import math

import numpy as np

from observer.estimators.kernels.plant import output, output_slope, slopes, step, turned


def run_gain(x0, u, y, p, gain, low, high, turns, result):
    """x_hat + K (y - h)."""
    nx, ny = x0.shape[1], y.shape[2]
    x, expected = np.empty(nx), np.empty(ny)
    for k in range(x0.shape[0]):
        result[k, 0] = x0[k]
        for n in range(u.shape[1] - 1):
            now = result[k, n]
            output(0.0, now, u[k, n], p, expected)
            for i in range(nx):
                x[i] = now[i]
            for j in range(ny):
                if not math.isnan(y[k, n, j]):
                    nu = turned(y[k, n, j] - expected[j], turns[j])
                    for i in range(nx):
                        x[i] += gain[i, j] * nu
            for i in range(nx):
                x[i] = min(max(x[i], low[i]), high[i])
            step(0.0, x, u[k, n], p, result[k, n + 1])


def run_projection(x0, u, y, p, inverse, scale, relaxation, low, high, turns, result):
    """x_hat + relaxation M^-1 C' (C M^-1 C')^+ (y - h), in outputs of size one (``scale``); inverse = M^-1."""
    nx, ny = x0.shape[1], y.shape[2]
    x, expected, c = np.empty(nx), np.empty(ny), np.empty(ny * nx)
    spread, gram, v = np.empty((nx, ny)), np.empty((ny, ny)), np.empty((ny, ny))
    difference, share = np.empty(ny), np.empty(ny)
    for k in range(x0.shape[0]):
        result[k, 0] = x0[k]
        for n in range(u.shape[1] - 1):
            now = result[k, n]
            output(0.0, now, u[k, n], p, expected)
            output_slope(0.0, now, u[k, n], p, c)
            for j in range(ny):
                seen = not math.isnan(y[k, n, j])
                difference[j] = turned(y[k, n, j] - expected[j], turns[j]) / scale[j] if seen else 0.0
                for i in range(nx):
                    c[j * nx + i] = c[j * nx + i] / scale[j] if seen else 0.0
            for i in range(nx):
                for j in range(ny):
                    spread[i, j] = 0.0
                    for l in range(nx):
                        spread[i, j] += inverse[i, l] * c[j * nx + l]
            for j in range(ny):
                for l in range(ny):
                    gram[j, l] = 0.0
                    for i in range(nx):
                        gram[j, l] += c[j * nx + i] * spread[i, l]
            least_squares(gram, difference, 1e-12, v, share)
            for i in range(nx):
                x[i] = now[i]
                for j in range(ny):
                    x[i] += relaxation * spread[i, j] * share[j]
                x[i] = min(max(x[i], low[i]), high[i])
            step(0.0, x, u[k, n], p, result[k, n + 1])


def run_high_gain(x0, u, y, p, gain, size, scale, least, most, low, high, turns, result):
    """x_hat + S^+ K (y - h), S the ``slopes``, at most by ``scale`` in each state and between ``least`` and ``most``."""
    nx, ny = x0.shape[1], y.shape[2]
    x, expected, rows, wanted, move = np.empty(nx), np.empty(ny), np.empty(nx * nx), np.empty(nx), np.empty(nx)
    a, v = np.empty((nx, nx)), np.empty((nx, nx))
    for k in range(x0.shape[0]):
        result[k, 0] = x0[k]
        for n in range(u.shape[1] - 1):
            now = result[k, n]
            output(0.0, now, u[k, n], p, expected)
            slopes(0.0, now, u[k, n], p, rows)
            wanted[:] = 0.0
            for j in range(ny):
                if not math.isnan(y[k, n, j]):
                    nu = turned(y[k, n, j] - expected[j], turns[j])
                    for i in range(nx):
                        wanted[i] += gain[i, j] * nu
            good = True
            for i in range(nx):
                for l in range(nx):
                    a[i, l] = rows[i * nx + l] * scale[l] / size[i]
                    good = good and math.isfinite(a[i, l])
            move[:] = 0.0
            if good:
                least_squares(a, wanted, 1e-8, v, move)
            for i in range(nx):
                part = min(max(move[i], -1.0), 1.0)
                x[i] = min(max(now[i] + scale[i] * part, least[i]), most[i])
                x[i] = min(max(x[i], low[i]), high[i])
            step(0.0, x, u[k, n], p, result[k, n + 1])


def least_squares(a, b, share, v, solution):
    """The shortest solution of a x = b, singular values below ``share`` of the largest taken as zero; a and v are overwritten."""
    # One-sided Jacobi rotations make the columns of a v orthogonal. np.linalg.lstsq takes 1, 2 and 3 us for 1, 2 and 3 columns,
    # where this takes 0.03, 0.1 and 0.5.
    n, m = a.shape
    for i in range(m):
        for j in range(m):
            v[i, j] = 1.0 if i == j else 0.0
    for _ in range(40):
        turned_any = False
        for i in range(m - 1):
            for j in range(i + 1, m):
                alpha, beta, gamma = 0.0, 0.0, 0.0
                for k in range(n):
                    alpha += a[k, i] * a[k, i]
                    beta += a[k, j] * a[k, j]
                    gamma += a[k, i] * a[k, j]
                if gamma * gamma > 1e-30 * alpha * beta:
                    turned_any = True
                    zeta = (beta - alpha) / (2.0 * gamma)
                    t = math.copysign(1.0, zeta) / (abs(zeta) + math.sqrt(1.0 + zeta * zeta))
                    c = 1.0 / math.sqrt(1.0 + t * t)
                    s = c * t
                    for k in range(n):
                        first = a[k, i]
                        a[k, i] = c * first - s * a[k, j]
                        a[k, j] = s * first + c * a[k, j]
                    for k in range(m):
                        first = v[k, i]
                        v[k, i] = c * first - s * v[k, j]
                        v[k, j] = s * first + c * v[k, j]
        if not turned_any:
            break
    largest = 0.0
    for j in range(m):
        size = 0.0
        for k in range(n):
            size += a[k, j] * a[k, j]
        largest = max(largest, size)
    for i in range(m):
        solution[i] = 0.0
    for j in range(m):
        size, along = 0.0, 0.0
        for k in range(n):
            size += a[k, j] * a[k, j]
            along += a[k, j] * b[k]
        if size > share * share * largest and size > 0.0:
            for i in range(m):
                solution[i] += v[i, j] * along / size
