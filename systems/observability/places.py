"""Where to look: equilibria, trajectories, points of the region, and the least observable point.

Equilibria matter most. There the plant stays, so that a direction unobservable in the linearisation stays so; and random
points of a region never meet one.
"""

from dataclasses import dataclass, replace

import numpy as np

from systems.base.errors import InputError, SimulationError
from systems.closed_loop import is_driven
from systems.detectability import Jacobians, sample_jacobians
from systems.discretization import DiscreteSystem
from systems.evaluation import evaluate, jacobian
from systems.integration import sample_region
from systems.regions import holds, moved_in, region_points
from systems.trajectories import Trajectories, simulate

EQUILIBRIUM, TRAJECTORY, REGION = "equilibrium", "trajectory", "region"
MOST_EQUILIBRIA = 12
WIDE = 16  # states, above which fewer points are looked at
NEWTON = 120  # steps: at an equilibrium of order three each takes away only a third of the error
SMALL_SEARCH = 8  # states and inputs up to which the least observable point is searched
CHORD = 4  # steps with one Jacobian, with many states
ROUNDS, TRIED = 44, 48


@dataclass(frozen=True)
class Places:
    """Jacobians at points ``(m, nx + nu)`` and the kind of every point."""

    jacobians: Jacobians
    kinds: tuple[str, ...]

    @property
    def points(self) -> np.ndarray:
        """``(m, nx + nu)`` in physical units."""
        return self.jacobians.points


def motions(plant: DiscreteSystem, count: int = 8, samples: int = 400, seed: int = 0) -> Trajectories | None:
    """A few trajectories of so many samples; None where the plant cannot be simulated from its initial states."""
    duration = samples * plant.dt
    try:
        return simulate(
            plant,
            count,
            max(duration, 2 * plant.dt),
            seed,
            leave=is_driven(plant.system) or plant.system.region is not None,
        )
    except SimulationError:
        return None


def equilibria(plant: DiscreteSystem, region: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """``(m, nx + nu)``: up to 12 points of the region with f(x, u) = 0 (a map: f(x, u) = x), by Newton from 33 initial points.

    The inputs are held at the middle of their ranges, and all at their lowest, and all at their highest value.
    """
    system, nx, nu = plant.system, plant.nx, plant.nu
    none = np.zeros((0, nx + nu))
    if system.time_dependent:
        return none
    region = system.state_ranges if region is None else region
    half, middle = 0.5 * np.ptp(region, axis=1), region.mean(axis=1)
    box = system.input_ranges
    levels = [box.mean(axis=1), box[:, 0], box[:, 1]] if nu else [np.zeros(0)]
    starts = sample_region(region[:, 0], region[:, 1], 32 if nx <= WIDE else 3, seed)
    starts = np.concatenate([middle[None], starts])
    x = np.concatenate([starts] * len(levels))
    u = np.repeat(np.array(levels).reshape(len(levels), nu), len(starts), axis=0)
    map_ = system.kind == "discrete"
    arguments = {"t": np.zeros(1), "p": system.parameter_values}
    slope = None if map_ else jacobian(system.dynamics, "x")

    def excess(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        value = evaluate(system.dynamics, x=z, u=v, **arguments)
        return (value - z if map_ else value) / half

    first = excess(x, u)
    size = np.abs(np.where(np.isfinite(first), first, 0.0)).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    last = np.full(len(x), np.inf)
    active = np.flatnonzero(np.isfinite(first).all(axis=1))
    slopes = np.zeros((len(x), nx, nx))
    for turn in range(NEWTON if nx <= WIDE else NEWTON // 10):
        if not len(active):
            break
        z, v = x[active], u[active]
        value = excess(z, v)
        if nx <= WIDE or turn % CHORD == 0:
            slopes[active] = (
                plant.jacobian(z, v)[0] - np.eye(nx) if slope is None else evaluate(slope, x=z, u=v, **arguments)
            )
        matrix = slopes[active] * half / half[:, None] / size[:, None]
        bad = ~(np.isfinite(value).all(axis=1) & np.isfinite(matrix).all(axis=(1, 2)))
        value[bad], matrix[bad] = 0.0, np.eye(nx)
        step = -np.einsum("kij,kj->ki", np.linalg.pinv(matrix, rcond=1e-13), value / size)
        length = np.abs(step).max(axis=1)
        x[active] = z + step / np.maximum(1.0, 2 * length)[:, None] * half  # at most half a half range at once
        last[active] = np.where(bad, np.inf, length)
        far = np.abs((x[active] - middle) / half).max(axis=1) > 4  # it will not come back
        active = active[~bad & ~far & (length > 1e-14)]
    # Where df/dx vanishes Newton stops early (an equilibrium of order three: at 1e-7); a plain number near by may be exact.
    for plain in (np.where(np.abs(x) < 1e-6 * half, 0.0, x), np.round(x / half, 6) * half):
        allowed = np.maximum(np.abs(excess(x, u)), 1e-13 * size)
        x = np.where(np.all(np.abs(excess(plain, u)) <= allowed, axis=1, keepdims=True), plain, x)
    inside = ((x >= region[:, 0] - 1e-9 * half) & (x <= region[:, 1] + 1e-9 * half)).all(axis=1)
    good = inside & (last < 1e-6) & (np.abs(excess(x, u)) <= 1e-9 * size).all(axis=1)
    points = np.concatenate([x, u], axis=1)[good]
    points = points[holds(system, points)]
    scale = np.concatenate([half, np.where(np.ptp(box, axis=1) > 0, 0.5 * np.ptp(box, axis=1), 1.0)])
    kept: list[np.ndarray] = []
    for point in points:
        if len(kept) < MOST_EQUILIBRIA and all(np.abs((point - other) / scale).max() > 1e-3 for other in kept):
            kept.append(point)
    return np.array(kept).reshape(-1, nx + nu)


def smallest_singular_value(jacobians: Jacobians) -> np.ndarray:
    """``(m,)``: smallest singular value of (C; C B; ...; C B^(nx-1)), B = (A - I) / |A - I|: zero where a direction is unobservable."""
    nx = jacobians.a.shape[1]
    moved = jacobians.a - np.eye(nx)
    moved = moved / np.maximum(np.linalg.norm(moved, 2, axis=(1, 2)), 1e-300)[:, None, None]
    rows = [jacobians.c]
    for _ in range(nx - 1):
        rows.append(rows[-1] @ moved)
    stacked = np.concatenate(rows, axis=1)
    return np.linalg.svd(stacked, compute_uv=False)[:, nx - 1] if stacked.shape[1] >= nx else np.zeros(len(stacked))


def least_observable(plant: DiscreteSystem, region: np.ndarray, seed: int = 0) -> np.ndarray:
    """``(1, nx + nu)``: the point of the region with the smallest singular value, by random search in a shrinking box.

    A set of codimension one, as y = x1^2 at x1 = 0, is met to a part in 1e12 of the ranges; an isolated point may be missed.
    """
    box = np.concatenate([region, plant.system.input_ranges])
    low, high = box.T
    points = region_points(plant.system, box, 256, seed)
    rng = np.random.default_rng([seed, 4])
    best, value, reach = points[0], np.inf, 0.25 * (high - low)
    unit: np.ndarray | None = None
    for _ in range(ROUNDS):
        try:
            found = sample_jacobians(plant, region, points=points)
        except InputError:  # no finite Jacobian among them
            break
        assert found.output_scale is not None
        unit = found.output_scale if unit is None else unit  # that of the whole region: nearby all outputs may fade
        sizes = smallest_singular_value(replace(found, c=found.c * (found.output_scale / unit)[:, None]))
        k = int(np.argmin(sizes))
        if sizes[k] < value:
            best, value = found.points[k], float(sizes[k])
        points = moved_in(plant.system, np.clip(best + reach * rng.uniform(-1, 1, (TRIED, len(box))), low, high), box)
        points = points[holds(plant.system, points)]
        reach = reach * 0.55
    return best[None]


def places(
    plant: DiscreteSystem,
    region: np.ndarray | None = None,
    visited: np.ndarray | None = None,
    seed: int = 0,
    thorough: bool = True,
) -> Places:
    """Equilibria, ``visited`` points ``(m, nx + nu)`` of trajectories (thinned), points of the region, and (``thorough``, with
    at most 8 states and inputs) the least observable point of the region.
    """
    region = plant.system.state_ranges if region is None else region
    wide, slow = plant.nx > WIDE, plant.graph is None
    few = 6 if slow or wide else 64
    box = np.concatenate([region, plant.system.input_ranges])
    # A field of many nodes moves together: the diagonal of its box, not points strewn in it (as in `sample_jacobians`).
    strewn = (
        box[:, 0] + np.linspace(0, 1, few)[:, None] * np.ptp(box, axis=1)
        if wide
        else region_points(plant.system, box, few, seed)
    )
    strewn = np.concatenate([box.mean(axis=1)[None], strewn])
    groups = [(EQUILIBRIUM, equilibria(plant, region, seed)), (REGION, strewn[holds(plant.system, strewn)])]
    if visited is not None and len(visited):
        visited = visited[holds(plant.system, visited)]
        thin = np.unique(np.linspace(0, len(visited) - 1, min(few, len(visited))).astype(int))
        groups.append((TRAJECTORY, visited[thin]))
    if thorough and len(box) <= SMALL_SEARCH and not slow:
        groups.append((REGION, least_observable(plant, region, seed)))
    kinds: dict[bytes, str] = {}
    for kind, points in groups:
        for point in points:
            kinds.setdefault(np.ascontiguousarray(point + 0.0).tobytes(), kind)
    points = np.array([np.frombuffer(row) for row in kinds])
    jacobians = sample_jacobians(plant, region, points=points)
    return Places(jacobians, tuple(kinds[point.tobytes()] for point in jacobians.points))
