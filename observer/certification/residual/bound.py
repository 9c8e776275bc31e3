"""``bound_residual``: the largest one-step residual of an observer over a region, proved from above and attained from below.

    r(x, u) = f_o(x, u, h(x, u)) - F(x, u),      rho_M = sup |r(x, u)|_M over the region

F the discretised plant, h its output, f_o the observer. With the contraction rate alpha of the metric M this is what bounds
the error of estimation: |e_t|_M <= alpha^t |e_0|_M + rho_M / (1 - alpha)  (MATH 2e).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from observer.certification.residual.attained import CLIMBERS, ROUNDS, SAMPLES, climb, effort, sample
from observer.certification.residual.model import Model, make_model
from observer.certification.residual.search import PROBES, WORK, Search, SearchLimits
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.base.records import NOT_STORED
from systems.base.wording import distinguished
from systems.discretization import DiscreteSystem

BATCH, CLIMBS = 2048, 3
_SAMPLED, _LEAST = 0.1, 5  # of the work, for the first search for the attained value; its rounds at least


@dataclass(frozen=True, eq=False)
class ResidualBound:
    """rho_M between ``lower`` and ``upper``.

    Attributes
    ----------
    region : (nx + nu, 2), all states, then all inputs of the plant (disturbances too: they act on the plant), physical units.
    metric : M (nx, nx).
    upper : proved; no state and input of the region gives a larger |r|_M, computed in float64 or exactly.
    lower : attained at ``attained_at`` (nx + nu,).
    state_upper : (nx,), proved bounds of |r_i| in the unit of state i; the search does not tighten them.
    rounding : the part of ``upper`` that covers rounding. gap : the relative gap that was asked for.
    cells, seconds : what it took, in all if it was resumed.
    status : what ended the search: "tight" (upper <= (1 + gap) lower, or within rounding of lower), "work" (so many cells were asked
        for), "clock" (another run, on another day, gets another number) or "stopped"; ``upper`` holds in each case.
    open_cells : (n, nx + nu, 2) cells still to be divided, from which ``resume`` goes on. open_bounds : (n,) their bounds.
    closed : (nx + 2,) largest bounds of |r|_M and |r_i|, and rounding, over the cells that are done.
    operations, each : that the search took, counted, and that a cell takes. These five are not stored.
    """

    region: np.ndarray
    metric: np.ndarray
    upper: float
    lower: float
    attained_at: np.ndarray
    state_upper: np.ndarray
    rounding: float
    gap: float
    cells: int
    seconds: float
    status: str
    open_cells: np.ndarray = field(default_factory=lambda: np.zeros(0), metadata=NOT_STORED)
    open_bounds: np.ndarray = field(default_factory=lambda: np.zeros(0), metadata=NOT_STORED)
    closed: np.ndarray = field(default_factory=lambda: np.zeros(0), metadata=NOT_STORED)
    operations: float = field(default=0.0, metadata=NOT_STORED)
    each: float = field(default=0.0, metadata=NOT_STORED)


def bound_residual(
    observer: RENObserver,
    plant: DiscreteSystem,
    *,
    region: Any = None,
    metric: Any = None,
    within: Any = None,
    gap: float = 0.05,
    budget: float = 30.0,
    work: float | None = None,
    cells: int | None = None,
    until: np.ndarray | None = None,
    resume: ResidualBound | None = None,
    threads: int | None = None,
    progress: Callable[[ResidualBound], None] | None = None,
    seed: int = 0,
) -> ResidualBound:
    """Bound |r|_M over a region by branch and bound on second-order forms (MATH 2f, 4).

    Parameters
    ----------
    region : (nx + nu, 2), physical units; the ranges of states and inputs when left out. Equal ends fix a dimension.
    metric : M; the observer's own when left out. within : bound only what lies in this part of the region, a ``Settled`` set.
    gap : stop when upper <= (1 + gap) lower. budget : or after so many seconds; what is proved by then holds.
    work, cells : or after so many operations, counted by the cells, or so many cells, those of ``resume`` included: unlike
        seconds, they end two searches at the same place. until : (1 + nx,) or when |r|_M and every |r_i| are at most these.
    resume : a result of the same observer, plant, region and metric to go on from. The division of the region is taken from
        it unchecked: take it only from a source that you trust.
    threads : all cores that the process may use when left out. progress : called after each round with the result so far.
    seed : of the samples from which the search for the attained value begins.

    Ctrl-C returns what is proved so far, with status "stopped". Raises :class:`OutOfTimeError` where the budget ends before the cells
    of a set ``within`` are bounded once; :class:`Unprovable` where the plant has an operation
    or a number of dimensions for which nothing can be proved; :class:`InputError` for unusable arguments.
    """
    if not (gap > 0 and math.isfinite(gap)):
        raise InputError(f"gap is {gap!r}; expected a positive number")
    if not budget >= 0:
        raise InputError(f"budget is {budget!r}; expected a number of seconds, 0 or more")
    if resume is not None:
        region, metric = resume.region if region is None else region, resume.metric if metric is None else metric
    begin = time.perf_counter()
    model = make_model(observer, plant, region, metric, threads, within, time.monotonic() + budget)
    rounds = _rounds(model, work)
    search = _fresh(model, gap, seed, work) if resume is None else _resumed(model, gap, resume)
    spent = time.perf_counter() - begin
    search.seconds += spent

    def report(search: Search) -> None:
        if progress is not None:
            progress(_result(model, search, WORK, gap, rounds))

    limits = SearchLimits(budget - spent, cells, until)
    limits = limits.at_most(None if work is None else work - _sampling(model, _rounds(model, work)), _cost(model))
    return _result(model, search, search.run(limits, report), gap, rounds)


def _size(model: Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: np.where(model.counts(points), model.norm(model.residual(points)), 0.0)


def _search(model: Model, gap: float, rounds: int, **state: Any) -> Search:
    size = _size(model)
    return Search(
        region=model.region, bound=model.bound, values=lambda points: size(points)[:, None],
        climb=lambda points, _: climb(size, points, model.region, model.exclusion.moved, step=0.01, rounds=rounds)[0],
        columns=1, gap=gap, batch=BATCH, gains=model.gains, climbs=CLIMBS, move=model.exclusion.moved, **state,
    )  # fmt: skip


def _rounds(model: Model, work: float | None) -> int:
    """Of each climb."""
    return ROUNDS if work is None else int(np.clip(_SAMPLED * work / model.evaluation_cost(1, 0), _LEAST, ROUNDS))


def _sampling(model: Model, rounds: int) -> float:
    """Operations of the search for the attained value."""
    first, later = effort(len(model.free), SAMPLES, CLIMBERS, rounds), effort(len(model.free), 1, 1, rounds)
    return model.evaluation_cost(*first) + CLIMBS * model.evaluation_cost(*later)


def _cost(model: Model) -> float:
    """Operations of a cell, with its share of what is evaluated in each round."""
    return model.cost() + model.evaluation_cost(1, PROBES) / (2 * BATCH)


def _fresh(model: Model, gap: float, seed: int, work: float | None) -> Search:
    rounds = _rounds(model, work)
    points, values = sample(_size(model), model.region, seed, model.exclusion.moved, rounds=rounds)
    cells = model.start(most=math.inf if work is None else 0.5 * work / model.cost())
    best = int(np.argmax(values))
    return _search(
        model, gap, rounds, open=cells, closed=np.zeros(model.plant.nx + 2), cells=len(cells.cells),
        lower=np.array([max(values[best], 0.0)]), best=points[[best]],
    )  # fmt: skip


def _resumed(model: Model, gap: float, old: ResidualBound) -> Search:
    if (
        old.region.shape != model.region.shape
        or (old.region != model.region).any()
        or (old.metric != model.metric).any()
    ):
        raise InputError("resume: its region or metric differs; expected those of the bound to continue")
    there = float(model.norm(model.residual(old.attained_at[None]))[0])
    if not abs(there - old.lower) <= old.rounding:  # which covers whoever evaluates plant and network in float64
        found, stated = distinguished(there, old.lower)
        raise InputError(
            f"resume: at its worst point this observer and plant have |r|_M = {found}, not {stated}; "
            "it belongs to another observer or plant"
        )
    cells = model.bound(np.ascontiguousarray(old.open_cells))
    cells.bounds[:, 0] = old.open_bounds
    return _search(
        model, gap, ROUNDS, open=cells, closed=old.closed.copy(), cells=old.cells,
        seconds=old.seconds, lower=np.array([old.lower]), best=old.attained_at[None].copy(),
    )  # fmt: skip


def _result(model: Model, search: Search, status: str, gap: float, rounds: int) -> ResidualBound:
    upper = search.upper
    return ResidualBound(
        region=model.region, metric=model.metric, upper=float(upper[0]), lower=float(search.lower[0]),
        attained_at=search.best[0].copy(), state_upper=upper[1:].copy(), rounding=search.rounding * model.inflate, gap=gap,
        cells=search.cells, seconds=search.seconds, status=status, open_cells=search.open.cells,
        open_bounds=search.open.bounds[:, 0], closed=search.closed.copy(),
        operations=search.cells * _cost(model) + _sampling(model, rounds), each=_cost(model),
    )  # fmt: skip
