"""Whole runs of the filters as machine code: the plant's graphs as straight-line code, and the recursions as loops around them.

The same compiler, cache and scalar code as for simulating a plant (:mod:`systems.compilation`), so that times per step can be
compared. Outputs are taken in one after the other, which is the joint update for a diagonal R. A kernel knows as much as its
NumPy counterpart: missing outputs, angles, limits; the tests hold both to the same numbers.
"""

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from observer.estimators.kernel_texts import HIGH_GAIN, PROJECTION
from observer.known_plant import KnownPlant
from systems.compilation import compile_text, functions
from systems.discretization import DiscreteSystem
from systems.evaluation import jacobian
from systems.graph import Graph

WORTH = 5000  # samples of all trajectories together; below, NumPy is done before a compiler has begun
LARGEST_GRAPH = 20_000  # operations; machine code of a larger one takes minutes to make

COMMON = """

@njit(cache=True, nogil=True, error_model="numpy")
def turned(difference, period):
    if math.isnan(period):
        return difference
    return (difference + period / 2) % period - period / 2

"""

_GAIN = """
@njit(cache=True, nogil=True, error_model="numpy")
def run(x0, u, y, p, gain, low, high, turns, result):
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
"""

_EXTENDED = """
@njit(cache=True, nogil=True, error_model="numpy")
def run(x0, u, y, p, p0, q, r, low, high, turns, result):
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
"""

_UNSCENTED = '''
@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def run(x0, u, y, p, p0, q, r, weights, spread, low, high, turns, angles, result):
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
'''
_KERNELS = {
    "gain": _GAIN, "extended": _EXTENDED, "unscented": _UNSCENTED, "projection": PROJECTION, "high_gain": HIGH_GAIN,
}  # fmt: skip


def serves(plant: DiscreteSystem, r: np.ndarray, samples: int) -> bool:
    """Whether a run of so many samples is worth a compiled one, and can be one: a graph, time-invariant, R diagonal."""
    if plant.graph is None or plant.system.time_dependent or samples < WORTH:
        return False
    small = len(plant.graph.nodes) * (1 + plant.nx / 4) < LARGEST_GRAPH
    return small and not (r - np.diag(np.diag(r))).any()


@lru_cache(maxsize=32)
def _module(kind: str, step: Graph, output: Graph, slopes: Graph | None = None) -> ModuleType:
    graphs = {"step": step, "output": output}
    if kind == "extended":
        graphs["step_slope"] = jacobian(step, "x")
    if kind in ("extended", "projection"):
        graphs["output_slope"] = jacobian(output, "x")
    if slopes is not None:
        graphs["slopes"] = slopes
    sizes = dict(step.inputs)
    nx, nu, ny = sizes["x"], sizes["u"], output.shape[0]
    square, state = np.zeros((nx, nx)), np.ones(nx)
    extra: dict[str, tuple[Any, ...]] = {
        "gain": (np.zeros((nx, ny)),),
        "extended": (square, square, np.ones(ny)),
        "unscented": (square, square, np.ones(ny), np.ones(2 * nx + 1), 1.0),
        "projection": (square, np.ones(ny), 1.0),
        "high_gain": (np.zeros((nx, ny)), state, state, state, state),
    }
    tail = (np.zeros(nx), np.zeros(nx), np.zeros(ny), *((np.zeros(nx),) if kind == "unscented" else ()))

    def warm(module: ModuleType) -> None:
        signals = (np.zeros((1, nx)), np.zeros((1, 1, nu)), np.zeros((1, 1, ny)), np.zeros(sizes["p"]))
        module.run(*signals, *extra[kind], *tail, np.zeros((1, 1, nx)))

    return compile_text(functions(**graphs) + COMMON + _KERNELS[kind], "run", warm)[0]


def run(
    kind: str,
    model: KnownPlant,
    x_hat0: np.ndarray,
    u: np.ndarray,
    y: np.ndarray,
    *extra: Any,
    slopes: Graph | None = None,
) -> np.ndarray:
    """Estimates ``(..., N, nx)`` by the kernel ``kind`` and what it takes: gain (K), extended (P0, Q, diagonal of R),
    unscented (factors of P0 and Q, deviations of the outputs, weights, spread), projection (M^-1, sizes of the outputs, relaxation)
    or high_gain (gain and size of the rows of ``slopes``, half ranges, least and most of the states)."""
    plant = model.plant
    assert plant.graph is not None
    batch = x_hat0.shape[:-1]
    arrays = flat(model, x_hat0, u, y)
    rest = [np.ascontiguousarray(a, dtype=float) if isinstance(a, np.ndarray) else float(a) for a in extra]
    result = np.empty((*arrays[1].shape[:2], plant.nx))
    angles = (model.state_periods,) if kind == "unscented" else ()
    low, high = (np.ascontiguousarray(row) for row in model.limits)
    _module(kind, plant.graph, plant.system.output, slopes).run(
        *arrays, plant.system.parameter_values, *rest, low, high, model.output_periods, *angles, result
    )
    return result.reshape(*batch, *result.shape[1:])


def flat(model: KnownPlant, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """x_hat0 ``(K, nx)``, u ``(K, N, nu)`` as an estimator knows it and y ``(K, N, ny)``: one batch axis, contiguous floats."""
    batch, samples = x_hat0.shape[:-1], u.shape[-2]
    rows = int(np.prod(batch))
    signals = (
        np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(rows, samples, a.shape[-1]) for a in (model.known(u), y)
    )
    return [np.ascontiguousarray(a, dtype=float) for a in (x_hat0.reshape(rows, model.plant.nx), *signals)]
