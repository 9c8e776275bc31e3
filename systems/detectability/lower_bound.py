"""A lower bound of the residual of every contracting observer, before any training (MATH 2h).

Two states x, x' with equal outputs look the same to an observer with |f_o(x', u, y) - f_o(x, u, y)|_M <= alpha |x' - x|_M, so
one of the two successors is predicted wrongly. By the triangle inequality its residual r = f_o(x, u, h(x, u)) - f(x, u) obeys

    rho_M = sup |r|_M >= 1/2 sup ( |f(x', u) - f(x, u)|_M - alpha |x' - x|_M )_+     over pairs with h(x', u) = h(x, u)

The supremum is approached from below: pairs are drawn along the fibres of h (a random step, then Newton's method back onto the
fibre), and the best are improved by gradient ascent that stays on the fibre. Every pair that is found proves its number.
"""

from dataclasses import dataclass

import numpy as np

from systems.base.errors import InputError
from systems.detectability.jacobians import measured_slopes
from systems.discretization import DiscreteSystem
from systems.regions import holds_along, region_points

ON_FIBRE = 1e-9  # difference of two outputs that counts as none, in parts of the largest output
NEWTON_STEPS = 6


@dataclass(frozen=True)
class ResidualLowerBound:
    """Result of :func:`residual_lower_bound`.

    ``residual``: rho_M is at least this, in |.|_M; ``error`` = residual / (1 - alpha), a lower bound of the
    error bound of such an observer in |.|_M; ``state_error`` ``(nx,)`` the same per state, sqrt((M^-1)_ii) error, in physical units.
    ``pair`` ``(2, nx)`` and ``input`` ``(nu,)`` prove it: the two states have equal outputs. ``rate``: alpha; ``pairs`` tried.
    """

    residual: float
    error: float
    state_error: np.ndarray
    pair: np.ndarray
    input: np.ndarray
    rate: float
    pairs: int


def residual_lower_bound(
    plant: DiscreteSystem,
    metric: np.ndarray,
    rate: float,
    region: np.ndarray | None = None,
    *,
    pairs: int = 4096,
    iterations: int = 60,
    seed: int = 0,
) -> ResidualLowerBound:
    """The largest residual bound that sampled and improved pairs prove.

    Parameters
    ----------
    metric : M ``(nx, nx)`` in physical units, positive definite; rate : alpha per sample in [0, 1).
    region : ``(nx, 2)``, where both states of a pair lie; the ranges when left out. Inputs lie in theirs; disturbances,
        which an observer does not know, are held at the middle of their range.
    pairs, iterations : how many pairs are drawn, and steps of ascent on the best 64 of them.

    Zero means that no pair speaks against the rate. Raises :class:`InputError` for a metric that is not positive definite.
    """
    system = plant.system
    area = system.state_ranges if region is None else np.asarray(region, dtype=float)
    metric = np.asarray(metric, dtype=float)
    if metric.shape != (plant.nx, plant.nx) or not np.isfinite(metric).all() or np.linalg.eigvalsh(metric)[0] <= 0:
        raise InputError(
            f"metric is not a positive definite matrix ({plant.nx}, {plant.nx}); give the metric of a search or of an observer"
        )
    if not 0 <= rate < 1:  # 0: all is forgotten within a sample, as where every state is measured
        raise InputError(f"rate is {rate!r}; expected a contraction rate per sample, from 0 to below 1")
    box = _Box(plant, area)
    x, other, u = _draw(plant, box, pairs, seed)
    if not len(x):  # equal outputs mean equal states
        none = np.full((2, plant.nx), np.nan)
        return ResidualLowerBound(0.0, 0.0, np.zeros(plant.nx), none, np.full(plant.nu, np.nan), rate, 0)
    tried = len(x)
    gap = _gap(plant, metric, rate, x, other, u)
    best = np.argsort(gap)[-64:]
    # Pairs on an equality of the region stay as they were drawn: an ascent would leave it, and every pair proves its number.
    constraints = system.region
    steps = 0 if constraints is not None and constraints.equalities.any() else iterations
    x, other, u, gap = _ascend(plant, box, metric, rate, x[best], other[best], u[best], gap[best], steps)
    k = int(np.argmax(gap))
    residual = 0.5 * max(float(gap[k]), 0.0)
    error = residual / (1 - rate)
    per_state = error * np.sqrt(np.diag(np.linalg.inv(metric)))
    return ResidualLowerBound(residual, error, per_state, np.stack([x[k], other[k]]), u[k], rate, tried)


class _Box:
    """Region and input ranges, with disturbances at their middle."""

    def __init__(self, plant: DiscreteSystem, region: np.ndarray) -> None:
        system = plant.system
        inputs = system.input_ranges.copy()
        unknown = np.setdiff1d(np.arange(plant.nu), system.known)
        inputs[unknown] = inputs[unknown].mean(axis=1, keepdims=True)
        self.region, self.inputs = region, inputs
        self.width, self.system = np.ptp(region, axis=1), system

    def holds(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        slack = 1e-9 * self.width
        inside = ((x >= self.region[:, 0] - slack) & (x <= self.region[:, 1] + slack)).all(axis=1)
        return inside & holds_along(self.system, x, u)

    def clip(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, self.region[:, 0], self.region[:, 1])


def _slopes(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
    """(dF/dx, dF/du, dh/dx, dh/du), one of each for every row."""
    m, n = len(x), plant.nx
    a, b = plant.jacobian(x, u)
    c, d = plant.output_jacobian(x, u)
    shapes = ((m, n, n), (m, n, plant.nu), (m, plant.ny, n), (m, plant.ny, plant.nu))
    return tuple(np.broadcast_to(part, shape) for part, shape in zip((a, b, c, d), shapes, strict=True))


def _to_fibre(
    plant: DiscreteSystem, box: _Box, x: np.ndarray, other: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``other`` moved to the fibre of ``x`` by Newton steps of least length (per width), and where that worked."""
    if not len(x):
        return other, np.zeros(0, dtype=bool)
    target = _seen(plant, x, u)
    size = np.maximum(1e-300, np.abs(target).max(axis=0, initial=0.0) + np.ptp(target, axis=0))
    for _ in range(NEWTON_STEPS):
        miss = _seen(plant, other, u) - target
        if not np.isfinite(miss).any() or np.nanmax(np.abs(miss) / size, initial=0.0) < 1e-14:
            break
        c = np.broadcast_to(measured_slopes(plant, other, u), (len(x), target.shape[1], plant.nx)) * box.width
        c, miss = np.nan_to_num(c), np.nan_to_num(miss)
        other = other - box.width * np.einsum("mij,mj->mi", np.linalg.pinv(c, rcond=1e-10), miss)
    miss = np.abs(_seen(plant, other, u) - target) / size
    good = np.isfinite(other).all(axis=1) & (miss < ON_FIBRE).all(axis=1) & box.holds(other, u)
    return other, good


def _seen(plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Outputs, and beside them the equalities of the region, which are zero at every state that counts."""
    y, system = plant.output(x, u), plant.system
    if system.region is None or not system.region.equalities.any():
        return y
    extra = system.region.values(x, u, system.parameter_values)[:, system.region.equalities]
    return np.concatenate([y, extra], axis=1)


def _draw(plant: DiscreteSystem, box: _Box, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs on fibres, with steps of all sizes: from a hundredth of the region to where the line through x leaves it."""
    bounds = np.concatenate([box.region, box.inputs])
    points = region_points(plant.system, bounds, count, seed)
    x, u = points[:, : plant.nx], points[:, plant.nx :]
    rng = np.random.default_rng([seed, 11])
    direction = rng.standard_normal(x.shape)
    c = np.nan_to_num(np.broadcast_to(measured_slopes(plant, x, u), (len(x), _seen(plant, x, u).shape[1], plant.nx)))
    c = c * box.width
    direction -= np.einsum("mij,mjk,mk->mi", np.linalg.pinv(c, rcond=1e-10), c, direction)
    length = np.linalg.norm(direction, axis=1)
    seen = length > 1e-9
    x, u, direction = x[seen], u[seen], direction[seen] / length[seen, None]
    step = direction * box.width
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = np.where(step > 0, box.region[:, 1] - x, box.region[:, 0] - x) / step
    reach = np.min(np.where(np.abs(step) > 1e-12 * box.width, edge, np.inf), axis=1)
    share = np.where(rng.random(len(x)) < 0.5, 1.0, 10.0 ** rng.uniform(-2, 0, len(x)))
    other, good = _to_fibre(plant, box, x, box.clip(x + (share * reach)[:, None] * step), u)
    return x[good], other[good], u[good]


def _gap(
    plant: DiscreteSystem, metric: np.ndarray, rate: float, x: np.ndarray, other: np.ndarray, u: np.ndarray
) -> np.ndarray:
    ahead, apart = plant.step(other, u) - plant.step(x, u), other - x
    gap = _norm(ahead, metric) - rate * _norm(apart, metric)
    return np.where(np.isfinite(gap), gap, -np.inf)


def _norm(v: np.ndarray, metric: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.einsum("mi,ij,mj->m", v, metric, v), 0.0))


def _ascend(
    plant: DiscreteSystem,
    box: _Box,
    metric: np.ndarray,
    rate: float,
    x: np.ndarray,
    other: np.ndarray,
    u: np.ndarray,
    gap: np.ndarray,
    iterations: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Projected gradient ascent of the gap over (x, x', u) in units of the region, each pair with its own step length."""
    n, wide_u = plant.nx, np.ptp(box.inputs, axis=1)
    scale = np.concatenate([box.width, box.width, wide_u])
    low = np.concatenate([box.region[:, 0], box.region[:, 0], box.inputs[:, 0]])
    high = np.concatenate([box.region[:, 1], box.region[:, 1], box.inputs[:, 1]])
    length = np.full(len(x), 0.1)
    for _ in range(iterations):
        z = np.concatenate([x, other, u], axis=1)
        a0, b0, c0, d0 = _slopes(plant, x, u)
        a1, b1, c1, d1 = _slopes(plant, other, u)
        ahead, apart = plant.step(other, u) - plant.step(x, u), other - x
        w = ahead @ metric / np.maximum(_norm(ahead, metric), 1e-300)[:, None]
        v = rate * apart @ metric / np.maximum(_norm(apart, metric), 1e-300)[:, None]
        gradient = np.concatenate(
            [
                v - np.einsum("mji,mj->mi", a0, w),
                np.einsum("mji,mj->mi", a1, w) - v,
                np.einsum("mji,mj->mi", b1 - b0, w),
            ],
            axis=1,
        )
        gradient = np.nan_to_num(gradient * scale)
        # A coordinate that rests on its bound and would leave it is fixed; the rest moves along the fibres.
        slack = 1e-9 * scale
        stuck = ((z >= high - slack) & (gradient > 0)) | ((z <= low + slack) & (gradient < 0)) | (scale == 0)
        normal = np.where(stuck[:, None, :], 0.0, np.nan_to_num(np.concatenate([-c0, c1, d1 - d0], axis=2)) * scale)
        gradient = np.where(stuck, 0.0, gradient)
        gradient -= np.einsum("mij,mjk,mk->mi", np.linalg.pinv(normal, rcond=1e-10), normal, gradient)
        size = np.linalg.norm(gradient, axis=1, keepdims=True)
        moved = np.clip(z + length[:, None] * scale * gradient / np.maximum(size, 1e-300), low, high)
        new_x, new_u = moved[:, :n], moved[:, 2 * n :]
        new_other, good = _to_fibre(plant, box, new_x, moved[:, n : 2 * n], new_u)
        good &= box.holds(new_x, new_u)
        reached = np.where(
            good, _gap(plant, metric, rate, new_x, np.where(good[:, None], new_other, other), new_u), -np.inf
        )
        better = reached > gap
        x, other, u = (np.where(better[:, None], new, old) for new, old in ((new_x, x), (new_other, other), (new_u, u)))
        gap = np.where(better, reached, gap)
        length = np.where(better, 1.5 * length, 0.4 * length)
        if (length < 1e-6).all():
            break
    return x, other, u, gap
