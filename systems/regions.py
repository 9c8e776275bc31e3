"""Points of the region: inside the ranges, and where the plant's constraints hold (:mod:`systems.constraints`).

Sizes of constraints are their largest values over the ranges, so that one tolerance serves all. An equality holds nowhere in a box
but on a thin set: points are moved onto it by Newton steps of least length, in parts of the ranges.

    (x, u) <- (x, u) - W J' (J W^2 J')^-1 g(x, u) W,      J = dg/d(x, u),  W = widths
"""

from typing import Any

import numpy as np

from systems.base.errors import InputError
from systems.system import System

TOLERANCE = 1e-5  # of a constraint's size: what counts as holding
_NEWTON, _DOUBLINGS, _BATCHES = 40, 8, 100  # steps; how often more is drawn before what is outside is moved in
_PROBES, _MOST = 32, 1 << 16
DRIFT = 1e-3  # what counts as holding along a simulated motion, whose every step has an error


def sample_region(low: np.ndarray, high: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``(count, n)`` space-filling points of a box: a scrambled Sobol sequence."""
    from scipy.stats import qmc

    if len(low) == 0:
        return np.zeros((count, 0))
    power = max(0, int(np.ceil(np.log2(max(count, 1)))))
    unit = qmc.Sobol(len(low), seed=seed).random_base2(power)[:count]  # type: ignore[call-arg]
    return low + unit * (high - low)


def whole_box(system: System) -> np.ndarray:
    """``(nx + nu, 2)``: the ranges of states, then of inputs."""
    return np.concatenate([system.state_ranges, system.input_ranges])


def sizes(system: System) -> np.ndarray:
    """``(m,)``: the largest |g| of every constraint over the ranges, as sampled; worked out once for each system."""
    known = vars(system)
    if "_constraint_sizes" not in known:
        box = whole_box(system)
        points = np.concatenate([sample_region(box[:, 0], box[:, 1], 256, 0), box.mean(axis=1)[None]])
        values = np.abs(_values(system, points))
        known["_constraint_sizes"] = np.maximum(np.max(np.where(np.isfinite(values), values, 0.0), axis=0), 1e-300)
    return known["_constraint_sizes"]


def _values(system: System, points: np.ndarray) -> np.ndarray:
    x, u = points[..., : system.nx], points[..., system.nx :]
    return system.region.values(x, u, system.parameter_values)


def excess(system: System, points: Any) -> np.ndarray:
    """``(..., m)``: by how much each constraint is broken at points ``(..., nx + nu)``, in parts of its size; infinite for nan."""
    values = _values(system, np.asarray(points, dtype=float)) / sizes(system)
    broken = np.where(system.region.equalities, np.abs(values), np.maximum(values, 0.0))
    return np.where(np.isnan(values), np.inf, broken)


def holds(system: System, points: Any, tolerance: float = TOLERANCE) -> np.ndarray:
    """Whether the constraints hold at points ``(..., nx + nu)`` of states and inputs, ``(...)``; the ranges are not looked at."""
    points = np.asarray(points, dtype=float)
    if system.region is None:
        return np.ones(points.shape[:-1], dtype=bool)
    return np.asarray((excess(system, points) <= tolerance).all(axis=-1))


def holds_along(system: System, x: Any, u: Any, tolerance: float = TOLERANCE) -> np.ndarray:
    """:func:`holds` at states x ``(..., nx)`` under inputs u ``(..., nu)``."""
    shape = np.broadcast_shapes(np.shape(x)[:-1], np.shape(u)[:-1])
    parts = [np.broadcast_to(part, (*shape, np.shape(part)[-1])) for part in (x, u)]
    return holds(system, np.concatenate(parts, axis=-1), tolerance)


def admits(system: System, x: Any, tolerance: float = TOLERANCE) -> np.ndarray:
    """Whether states x ``(..., nx)`` are in the region under one of its inputs at least, as far as some inputs that are tried show."""
    x = np.asarray(x, dtype=float)
    if system.region is None:
        return np.ones(x.shape[:-1], dtype=bool)
    tried = usual_inputs(system)[None]
    if system.region.of_inputs.any():
        tried = np.concatenate([tried, sample_region(system.input_ranges[:, 0], system.input_ranges[:, 1], _PROBES, 0)])
    return np.asarray(holds_along(system, x[..., None, :], tried, tolerance).any(axis=-1))


def usual_inputs(system: System) -> np.ndarray:
    """``(nu,)``: every input at zero, or at the middle of a range that excludes it."""
    box = system.input_ranges
    return np.where((box[:, 0] <= 0) & (box[:, 1] >= 0), 0.0, box.mean(axis=1))


def moved_in(system: System, points: np.ndarray, box: np.ndarray, *, inequalities: bool = True) -> np.ndarray:
    """Points ``(k, nx + nu)`` moved to where the constraints hold, inside ``box`` ``(nx + nu, 2)``; not all of them get there.

    ``inequalities``: False moves them onto the equalities alone. A dimension of the box without width stays as it is.
    """
    points = np.array(points, dtype=float)
    if system.region is None or not len(points):
        return points
    rows, width, size, p = system.region.equalities, np.ptp(box, axis=1), sizes(system), system.parameter_values
    active = np.arange(len(points))
    for _ in range(_NEWTON):
        at = points[active]
        value = _values(system, at) / size
        broken = np.where(rows, value, np.maximum(value, 0.0) if inequalities else 0.0)
        far = np.isfinite(value).all(axis=1) & (np.abs(broken) > 1e-3 * TOLERANCE).any(axis=1)
        active, at, broken = active[far], at[far], broken[far]
        if not len(active):
            break
        slope = system.region.slopes(at[:, : system.nx], at[:, system.nx :], p) * width / size[:, None]
        slope = np.where((broken != 0)[..., None] | rows[:, None], np.nan_to_num(slope), 0.0)
        step = np.einsum("kij,kj->ki", np.linalg.pinv(slope, rcond=1e-10), broken)
        step /= np.maximum(1.0, 2 * np.abs(step).max(axis=1, keepdims=True))  # at most half a range at once
        points[active] = np.clip(at - width * step, box[:, 0], box[:, 1])
    return points


def region_points(system: System, box: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``(k, nx + nu)``, k <= ``count``: space-filling points of ``box`` ``(nx + nu, 2)`` where the constraints hold.

    More and more of the box are drawn until so many are inside; where they are too few, those outside are moved in. Raises
    :class:`InputError`, which names the constraint, where none gets inside.
    """
    points = sample_region(box[:, 0], box[:, 1], count, seed)
    if system.region is None:
        return points
    for k in range(_DOUBLINGS + 1):
        if k and count << k > _MOST:
            break
        points = sample_region(box[:, 0], box[:, 1], count << k, seed) if k else points
        found = moved_in(system, points, box, inequalities=False)
        found = found[holds(system, found)]
        if len(found) >= count:
            return found[:count]
        if system.region.equalities.all():  # more points do not help
            break
    found = moved_in(system, points, box)
    found = found[holds(system, found)][:count]
    if not len(found):
        raise InputError(nowhere(system, moved_in(system, points, box)))
    return found


def states_and_inputs(system: System, region: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(x ``(k, nx)``, u ``(k, nu)``), k <= ``count``: of ``region`` ``(nx, 2)`` and the input ranges, where the constraints hold."""
    if system.region is not None:
        points = region_points(system, np.concatenate([region, system.input_ranges]), count, seed)
        return points[:, : system.nx], points[:, system.nx :]
    low, high = system.input_ranges.T
    return sample_region(region[:, 0], region[:, 1], count, seed), sample_region(low, high, count, seed + 1)


def initial_states(system: System, box: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``(count, nx)``: uniform over the part of ``box`` ``(nx, 2)`` where the constraints hold under some input.

    States are drawn until so many hold, and moved onto equalities; of a thin region, those outside are moved in. Raises
    :class:`InputError`, which names the constraint, where none gets inside.
    """
    usual = np.stack([usual_inputs(system)] * 2, axis=1)
    whole = np.concatenate([box, usual])
    found, last = np.zeros((0, system.nx)), np.zeros((0, len(whole)))
    for k in range(_BATCHES):
        drawn = rng.uniform(box[:, 0], box[:, 1], (count, system.nx))
        last = np.concatenate([drawn, np.tile(usual[:, 0], (count, 1))], axis=1)
        x = moved_in(system, last, whole, inequalities=k == _BATCHES - 1)[:, : system.nx]
        found = np.concatenate([found, x[admits(system, x)]])
        if len(found) >= count:
            return found[:count]
    if not len(found):
        raise InputError(nowhere(system, moved_in(system, last, whole)))
    return np.resize(found, (count, system.nx))


def nowhere(system: System, points: np.ndarray) -> str:
    """What to say of a region in which no point of the ranges lies, with the constraint that ``points`` break the most."""
    worst = int(np.argmax(np.nanmin(excess(system, points), axis=0)))
    return (
        f"system '{system.name}': no point of the ranges satisfies the region ({system.region.texts[worst]}); "
        "correct the condition, or widen the ranges"
    )


def tightened(system: System, u: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Inputs u ``(..., nu)`` drawn back towards the usual ones as far as the constraints ask at states x ``(..., nx)``.

    In 32 steps, so that rounding decides nothing; where no share of the way holds, u stays as it is.
    """
    if system.region is None or not system.region.of_inputs.any():
        return u
    usual, result = usual_inputs(system), np.array(u)
    open_ = ~holds_along(system, x, u)
    for share in np.linspace(1.0, 0.0, 33)[1:]:
        if not open_.any():
            break
        tried = usual + share * (u - usual)
        fine = open_ & holds_along(system, x, tried)
        result[fine] = tried[fine]
        open_ &= ~fine
    return result
