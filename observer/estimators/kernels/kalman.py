"""Runs of the Kalman filters, extended and unscented; signals as in :mod:`observer.estimators.kernels.gains`.

Outputs are taken in one after the other, which is the joint update for a diagonal R (``r``: its diagonal).
"""

import math

import numpy as np

from observer.estimators.kernels.plant import output, output_slope, step, step_slope, turned


def run_extended(x0, u, y, p, p0, q, r, low, high, turns, result):
    """Covariances from P0, by Joseph's form and A P A' + Q."""
    nx, ny = x0.shape[1], y.shape[2]
    x, w, g, m = np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx)
    expected, c, a = np.empty(ny), np.empty(ny * nx), np.empty(nx * nx)
    cover, half = np.empty((nx, nx)), np.empty((nx, nx))
    for k in range(x0.shape[0]):
        result[k, 0] = x0[k]
        cover[:] = p0
        for n in range(u.shape[1] - 1):
            now = result[k, n]
            output(0.0, now, u[k, n], p, expected)
            output_slope(0.0, now, u[k, n], p, c)
            for i in range(nx):
                x[i] = now[i]
            for j in range(ny):
                if math.isnan(y[k, n, j]):
                    continue
                nu, s = turned(y[k, n, j] - expected[j], turns[j]), 0.0
                for i in range(nx):
                    nu -= c[j * nx + i] * (x[i] - now[i])
                    w[i] = 0.0
                    for l in range(nx):
                        w[i] += cover[i, l] * c[j * nx + l]
                for i in range(nx):
                    s += c[j * nx + i] * w[i]
                for i in range(nx):
                    g[i] = w[i] / (s + r[j])
                    x[i] += g[i] * nu
                    m[i] = w[i] - g[i] * s
                for i in range(nx):
                    for l in range(nx):
                        cover[i, l] = cover[i, l] - g[i] * w[l] - m[i] * g[l] + r[j] * g[i] * g[l]
            for i in range(nx):
                x[i] = min(max(x[i], low[i]), high[i])
            step_slope(0.0, x, u[k, n], p, a)
            for i in range(nx):
                for l in range(nx):
                    half[i, l] = 0.0
                    for o in range(nx):
                        half[i, l] += a[i * nx + o] * cover[o, l]
            for i in range(nx):
                for l in range(i + 1):
                    total = 0.5 * (q[i, l] + q[l, i])
                    for o in range(nx):
                        total += half[i, o] * a[l * nx + o]
                    cover[i, l] = total
                    cover[l, i] = total
            step(0.0, x, u[k, n], p, result[k, n + 1])


def run_unscented(x0, u, y, p, p0, q, r, weights, spread, low, high, turns, angles, result):
    """Factors of covariances; p0 and q are those of P0 and Q, r that of R."""
    nx, ny = x0.shape[1], y.shape[2]
    count = 2 * nx + 1
    x, points, following = np.empty(nx), np.empty((count, nx)), np.empty((count, nx))
    expected, mean_y = np.empty((count, ny)), np.empty(ny)
    factor, joint = np.empty((nx, nx)), np.empty((count + ny, ny + nx))
    stacked, z = np.empty((count + nx, nx)), np.empty(ny)
    for k in range(x0.shape[0]):
        result[k, 0] = x0[k]
        factor[:] = p0
        for n in range(u.shape[1] - 1):
            now = result[k, n]
            spread_points(now, factor, spread, low, high, points)
            for m in range(count):
                output(0.0, points[m], u[k, n], p, expected[m])
            for j in range(ny):
                shift = 0.0
                for m in range(count):
                    joint[m, j] = turned(expected[m, j] - expected[0, j], turns[j])
                    shift += weights[m] * joint[m, j]
                mean_y[j] = expected[0, j] + shift
                seen = not math.isnan(y[k, n, j])
                for m in range(count):
                    joint[m, j] = math.sqrt(weights[m]) * (joint[m, j] - shift) if seen else 0.0
                for l in range(ny + nx):
                    joint[count + j, l] = r[j] if l == j else 0.0
            for m in range(count):
                for i in range(nx):
                    joint[m, ny + i] = math.sqrt(weights[m]) * (points[m, i] - now[i])
            triangle(joint, count + ny, ny + nx)
            for j in range(ny):  # forward substitution through Sy = transpose of the first block
                z[j] = 0.0 if math.isnan(y[k, n, j]) else turned(y[k, n, j] - mean_y[j], turns[j])
                for l in range(j):
                    z[j] -= joint[l, j] * z[l]
                z[j] /= joint[j, j]
            for i in range(nx):
                x[i] = now[i]
                for j in range(ny):
                    x[i] += joint[j, ny + i] * z[j]
                x[i] = min(max(x[i], low[i]), high[i])
                for l in range(nx):
                    factor[i, l] = joint[ny + l, ny + i]
            spread_points(x, factor, spread, low, high, points)
            for m in range(count):
                step(0.0, points[m], u[k, n], p, following[m])
            for i in range(nx):
                shift = 0.0
                for m in range(count):
                    stacked[m, i] = turned(following[m, i] - following[0, i], angles[i])
                    shift += weights[m] * stacked[m, i]
                for m in range(count):
                    stacked[m, i] = math.sqrt(weights[m]) * (stacked[m, i] - shift)
                for l in range(nx):
                    stacked[count + l, i] = q[i, l]
                result[k, n + 1, i] = following[0, i] + shift
            triangle(stacked, count + nx, nx)
            for i in range(nx):
                for l in range(nx):
                    factor[i, l] = stacked[l, i]


def triangle(rows, count, size):
    """Householder: the upper triangle of rows[:count, :size] in place."""
    for i in range(min(size, count - 1)):
        norm = 0.0
        for k in range(i, count):
            norm += rows[k, i] * rows[k, i]
        norm = math.sqrt(norm)
        if norm == 0.0:
            continue
        first = rows[i, i]
        alpha = -norm if first > 0 else norm
        rows[i, i] = first - alpha
        beta = 1.0 / (alpha * (alpha - first))
        for l in range(i + 1, size):
            dot = 0.0
            for k in range(i, count):
                dot += rows[k, i] * rows[k, l]
            for k in range(i, count):
                rows[k, l] -= beta * dot * rows[k, i]
        rows[i, i] = alpha
        for k in range(i + 1, count):
            rows[k, i] = 0.0


def spread_points(mean, factor, spread, low, high, points):
    nx = len(mean)
    for i in range(nx):
        points[0, i] = mean[i]
        for j in range(nx):
            points[1 + j, i] = mean[i] + spread * factor[i, j]
            points[1 + nx + j, i] = mean[i] - spread * factor[i, j]
    for m in range(2 * nx + 1):
        for i in range(nx):
            points[m, i] = min(max(points[m, i], low[i]), high[i])
