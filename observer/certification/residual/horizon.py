"""``bound_horizon``: the residuals of N steps accumulated with their signs, bounded over a region (MATH 4).

    d(N) = f_o^N(x; u, y) - F^N(x; u)      from x_hat = x, with the outputs of the plant, one input u held throughout

Residuals along a trajectory cancel, so that |d(N)| is often far below the sum that rho_M / (1 - alpha) stands for. As
two estimates under the same measurements approach by alpha^N, the error N samples later is at most alpha^N |e|_M + |d(N)|_M,
and while the plant is in the region at the start of every stretch of N samples (its input held from N samples ago),

    |e_i|  <=  min(sqrt((M^-1)_ii), beta_i / alpha) alpha^N eta + sup |d_i(N)|,    eta = sup |d(N)|_M / (1 - alpha^N)

in the limit, beta_i being what one step makes of |e|_M in state i.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observer.certification.contraction import samples_until
from observer.certification.residual.attained import climb, effort, sample
from observer.certification.residual.model import Model, OutOfWorkError, make_model
from observer.certification.residual.search import PROBES, WORK, Search, SearchLimits
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.base.records import NOT_STORED
from systems.discretization import DiscreteSystem

BATCH, CLIMBS = 128, 3
REMAINS = 0.05  # alpha^N, at most, where the number of steps is left open
FORGOTTEN = (
    0.15  # and the share of sup |d_i(N)| to which the initial error has faded, in at most LONGER times the steps
)
LONGER = 2.5
ROUGH = 1.0  # gap of |d|_M, of which only what alpha^N leaves counts
COARSEN = 4  # cells of the settled set that are one to begin with: each costs N steps
_SAMPLES, _CLIMBERS, _ROUNDS, _LEAST = 1024, 8, 25, 2
_SAMPLED = 0.2  # of the work, for the attained values to begin with


@dataclass(frozen=True, eq=False)
class HorizonBound:
    """d(N) over a region.

    Attributes
    ----------
    steps : N. region : (nx + nu, 2), physical units; inputs that are fixed have equal ends. metric : M (nx, nx).
    rate : alpha per step with which the estimates approach.
    upper, lower : sup |d(N)|_M, proved and attained. state_upper, state_lower : (nx,), of |d_i(N)|, in the unit of state i.
    steady_state : (nx,), the bound of |e_i| above, from ``upper`` and ``state_upper``.
    attained_at : (1 + nx, nx + nu), where ``lower`` and each of ``state_lower`` are attained.
    cells, seconds : what it took. status : "tight" (all within the gap that was asked for), "work", "clock" or "stopped".
    operations, each : that the search took, counted, and that a cell takes; not stored.
    """

    steps: int
    region: np.ndarray
    metric: np.ndarray
    rate: float
    upper: float
    lower: float
    state_upper: np.ndarray
    state_lower: np.ndarray
    steady_state: np.ndarray
    attained_at: np.ndarray
    cells: int
    seconds: float
    status: str
    operations: float = field(default=0.0, metadata=NOT_STORED)
    each: float = field(default=0.0, metadata=NOT_STORED)

    def belongs_to(self, metric: np.ndarray, rate: float) -> bool:
        """Whether it was computed in this metric, with this rate."""
        return np.array_equal(self.metric, 0.5 * (metric + metric.T)) and math.isclose(self.rate, rate, rel_tol=1e-9)


def bound_horizon(
    observer: RENObserver,
    plant: DiscreteSystem,
    *,
    rate: float,
    step_gains: Any = None,
    steps: int | None = None,
    region: Any = None,
    metric: Any = None,
    within: Any = None,
    stays: bool = False,
    input: Any = None,
    gap: float = 0.2,
    budget: float = 20.0,
    work: float | None = None,
    cells: int | None = None,
    until: np.ndarray | None = None,
    threads: int | None = None,
    progress: Callable[[HorizonBound], None] | None = None,
    seed: int = 0,
) -> HorizonBound:
    """Bound |d(N)|_M and |d_i(N)| over all initial states in a region, by branch and bound.

    Parameters
    ----------
    rate : alpha*, proved for this metric (:func:`observer.certify`), per step. step_gains : (nx,), proved too: two estimates
        under the same measurements differ in state i by at most step_gains_i |e|_M one step later.
    steps : N; when left out as many as make alpha^N 0.05, or more until what is left of the initial error is small beside
        what is attained. region : (nx + nu, 2); the ranges when left out. within : count initial states in this part of the
        region only, a ``Settled`` set. stays : and only those from which the plant stays in the region for the N steps.
    input : (nu,) the input held over the stretch, zero when left out; or "held": any one of the region.
    gap, budget, work, cells, until, threads, progress, seed : as for :func:`bound_residual`, for every |d_i|; |d|_M is searched to
        a gap of 1.

    Raises :class:`Unprovable` and :class:`InputError` as :func:`bound_residual` does; :class:`OutOfWorkError` or
    :class:`OutOfTimeError` where work or budget do not suffice to find out what is attained.
    """
    if not 0 <= rate < 1:
        raise InputError(f"rate is {rate!r}; expected the proved contraction rate per step, from 0 to below 1")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise InputError(f"steps is {steps!r}; expected a whole number, 1 or more")
    if not gap > 0 or not budget >= 0:
        raise InputError(f"gap is {gap!r} and budget {budget!r}; expected a positive number and seconds, 0 or more")
    begin = time.perf_counter()
    model = make_model(
        observer, plant, _region(plant, region, input), metric, threads, within, time.monotonic() + budget
    )
    rate = rate * (1 + 1e-12)
    fading = model.gains  # of alpha^N |e|_M in each state; by way of the step before it can be less
    if step_gains is not None and rate > 0:
        fading = np.minimum(fading, np.asarray(step_gains, dtype=float) * (1 + 1e-10) / rate)
    if steps is None:
        if work is not None and _sampling(model, _LEAST, samples_until(REMAINS, rate)) > work:
            raise OutOfWorkError
        steps = _enough(model, rate, fading, stays, seed)

    each = (1 + plant.nx) * model.evaluation_cost(1, 0, steps)
    rounds = _ROUNDS if work is None else int(np.clip(_SAMPLED * work / each, _LEAST, _ROUNDS))
    sampling = _sampling(model, rounds, steps)
    if work is not None and sampling > work:
        raise OutOfWorkError

    def values(points: np.ndarray) -> np.ndarray:
        d = _rolled(model, points, steps, stays)
        return np.column_stack([model.norm(d), np.abs(d)])

    def column(k: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda points: values(points)[:, k]

    def further(points: np.ndarray, k: int) -> np.ndarray:
        return climb(column(k), points, model.region, move, step=0.01, rounds=rounds)[0]

    move = model.exclusion.moved
    starts = [sample(column(k), model.region, seed, move, _SAMPLES, _CLIMBERS, rounds) for k in range(1 + plant.nx)]
    best = np.array([points[np.argmax(found)] for points, found in starts])
    lower = np.array([max(found.max(), 0.0) for _, found in starts])
    most = math.inf if work is None else 0.5 * work / model.cost(steps)
    first = model.start(rate, steps, step_gains, stays, COARSEN, most)
    search = Search(
        region=model.region, bound=lambda cells: model.bound(cells, rate, steps, step_gains, stays), values=values, climb=further,
        columns=1 + plant.nx, gap=np.array([max(gap, ROUGH), *[gap] * plant.nx]), batch=BATCH, open=first, cells=len(first.cells),
        closed=np.zeros(plant.nx + 2), lower=lower, best=best, gains=model.gains,
        seconds=time.perf_counter() - begin, climbs=CLIMBS, move=move,
    )  # fmt: skip

    def report(search: Search) -> None:
        if progress is not None:
            progress(_result(model, search, rate, steps, fading, WORK))

    cost = model.cost(steps) + (1 + plant.nx) * model.evaluation_cost(1, PROBES, steps) / (2 * BATCH)
    limits = SearchLimits(budget - search.seconds, cells, until)
    limits = limits.at_most(None if work is None else work - sampling, cost)
    found = _result(model, search, rate, steps, fading, search.run(limits, report))
    return replace(found, operations=sampling + found.cells * cost, each=cost)


def _sampling(model: Model, rounds: int, steps: int) -> float:
    """Operations of the search for the attained values."""
    first, later = (effort(len(model.free), *size, rounds) for size in ((_SAMPLES, _CLIMBERS), (1, 1)))
    first, later = (model.evaluation_cost(*each, steps) for each in (first, later))
    return (1 + model.plant.nx) * first + CLIMBS * later


def _region(plant: DiscreteSystem, region: Any, input: Any) -> np.ndarray:
    system = plant.system
    if region is None:
        region = np.concatenate([system.state_ranges, system.input_ranges.reshape(-1, 2)])
    region = np.array(region, dtype=float)
    if isinstance(input, str):
        if input != "held":
            raise InputError(f"input is {input!r}; expected 'held', or the numbers of {', '.join(system.input_names)}")
        return region
    held = np.zeros(plant.nu) if input is None else np.asarray(input, dtype=float)
    if held.shape != (plant.nu,):
        raise InputError(f"input has shape {held.shape}; expected ({plant.nu},) for {', '.join(system.input_names)}")
    if region.shape == (plant.nx + plant.nu, 2):
        region[plant.nx :] = held[:, None]
    return region


def _enough(model: Model, rate: float, fading: np.ndarray, stays: bool, seed: int) -> int:
    """N, from what is attained at random initial states."""
    least = samples_until(REMAINS, rate)
    rng = np.random.default_rng([seed, 7])
    d = _rolled(model, rng.uniform(model.region[:, 0], model.region[:, 1], (_SAMPLES, len(model.region))), least, stays)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = fading * model.norm(d).max(initial=0.0) / (1 - rate**least)
        remains = float(np.nanmin(FORGOTTEN * np.abs(d).max(axis=0, initial=0.0) / whole, initial=REMAINS))
    if not 0 < remains < REMAINS:
        return least
    return min(samples_until(remains, rate), math.ceil(LONGER * least))


def _rolled(model: Model, points: np.ndarray, steps: int, stays: bool) -> np.ndarray:
    """d(N) (k, nx) from points (k, nx + nu), evaluated in float64; zero where the initial state does not count."""
    plant, system, ren = model.plant, model.plant.system, model.observer.weights
    x, u = points[:, : plant.nx], points[:, plant.nx :]
    estimate, known = x, u[:, system.known]
    counts, box = model.counts(points), model.region[: plant.nx]
    with np.errstate(all="ignore"):
        for k in range(steps):
            model.look_at_the_clock()
            inputs = np.concatenate([known, system.measure(x, u)], axis=1)
            if k > 0 and stays:
                counts &= ((x >= box[:, 0]) & (x <= box[:, 1])).all(axis=1)
                counts &= model.exclusion.points(np.concatenate([x, u], axis=1))
            x, estimate = plant.step(x, u), ren.next_state(estimate, inputs)
        return np.where(counts[:, None], estimate - x, 0.0)


def _result(model: Model, search: Search, rate: float, steps: int, fading: np.ndarray, status: str) -> HorizonBound:
    upper, remains = search.upper, rate**steps
    eta = upper[0] / (1 - remains)
    return HorizonBound(
        steps=steps, region=model.region, metric=model.metric, rate=rate, upper=float(upper[0]),
        lower=float(search.lower[0]), state_upper=upper[1:], state_lower=search.lower[1:].copy(),
        steady_state=(fading * remains * eta + upper[1:]) * (1 + 1e-12), attained_at=search.best.copy(), cells=search.cells,
        seconds=search.seconds, status=status,
    )  # fmt: skip
