"""``bound_accuracy``: the residual over a region, in the shipped metric and in refined ones, over one step and many.

Where nothing can be proved (no equations as a graph, too many dimensions) there is a statistical certificate instead, which says so.
"""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof, ResidualMap
from observer.certification.contraction import metric_norm
from observer.certification.proving import Prover
from observer.certification.refine import refine
from observer.certification.region import Region, given_region, held_input, reached_region, with_input
from observer.certification.residual import HorizonBound, Unprovable
from observer.certification.settled import Settled, settled_set
from observer.certification.statistical import bound_statistically
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.detectability import residual_lower_bound
from systems.discretization import DiscreteSystem
from systems.integration import integrate_reference, sample_region

REFINED_UP_TO = 6  # states
# Shares of the budget; compiling, once in the life of an installation, is not counted.
_SHIPPED, _REFINED, _SETTLED, _UNFORCED = 0.2, 0.2, 0.15, 0.05
_CELLS_PER_SECOND, _CELLS = 2500, (4000, 60_000)  # of the settled set, by the budget
_FADED = 0.05  # share of an initial error that is left when the plant counts as settled
_SAMPLES, _TRUTHS, _GRID = 2000, 200, 41


def bound_accuracy(
    observer: RENObserver,
    plant: DiscreteSystem,
    *,
    region: Any = None,
    budget: float = 5.0,
    gap: float = 0.05,
    seed: int = 0,
    refined: bool = True,
    trials: int | None = None,
) -> Bounds:
    """Bounds of the residual and what follows from them, within about ``budget`` seconds of searching.

    Parameters
    ----------
    region : ``(nx, 2)`` or ``(nx + nu, 2)``; found by simulation when left out.
    gap : share by which a proved supremum may exceed the attained one before the search stops. A search that the budget cuts
        short gives a bound all the same, only a looser one.
    refined : also in a metric made for small errors of all states. trials : of the statistical certificate.
    """
    begin = time.monotonic()
    area = reached_region(plant, seed=seed) if region is None else given_region(plant, region)
    empty = Bounds("none", "", area, float(budget), float(gap), seed, 0.0)
    prover = Prover(observer, plant, gap, seed)
    try:
        first = prover.proof("one step", area.box, observer.metric, observer.multipliers, _SHIPPED * budget)
    except Unprovable as error:
        found = _statistics(observer, plant, empty, str(error), trials)
        return replace(found, seconds=time.monotonic() - begin)
    held = held_input(area, plant)
    calm = with_input(area, plant.nx, held)
    settled = _settled(plant, area.box, first.contraction.rate, budget)
    at_rest = _settled(plant, calm, first.contraction.rate, budget) if plant.nu else settled
    error, d = _discretisation(plant, area, seed)
    proofs = [first, *(_sharper(prover, area, settled, _REFINED * budget) if refined else ())]
    proofs = [replace(p, discretisation=_largest(d, p.contraction.metric)) for p in proofs]
    unforced = [p for q in proofs if plant.nu for p in _unforced(prover, q, calm, _UNFORCED * budget)]
    horizon_metric = proofs[-1]
    proofs += _settled_proofs(prover, proofs, area.box, settled, _SETTLED * budget)
    unforced += _settled_proofs(prover, unforced, calm, at_rest, _UNFORCED * budget)
    left = budget - sum(p.residual.seconds for p in (*proofs, *unforced))  # what was not needed goes to the hardest
    low = residual_lower_bound(plant, observer.metric, first.contraction.rate, area.box[: plant.nx], seed=seed)
    return replace(
        empty,
        kind="proved",
        reason=f"|r|_M is at most {first.residual.upper:.4g} for all x in X and u in U (branch and bound, "
        f"{first.residual.cells} cells).",
        proofs=tuple(proofs),
        unforced=tuple(unforced),
        held=held,
        settled=settled,
        settled_unforced=at_rest,
        horizon=_horizon(prover, horizon_metric, area, held, at_rest, max(left, 0.1 * budget)),
        residual_map=residual_map(observer, plant, area, first),
        discretisation=error,
        structural=low.residual,
        structural_error=low.state_error,
        seconds=time.monotonic() - begin,
    )


def _sharper(prover: Prover, area: Region, settled: Settled | None, budget: float) -> list[Proof]:
    """The proof in a metric refined for small errors, where one is found and its residual is bounded."""
    observer, plant = prover.observer, prover.plant
    if plant.nx > REFINED_UP_TO:
        return []
    found = refine(
        observer.weights, observer.metric, observer.multipliers, state=range(plant.nx),
        residuals=_residuals(prover, area, settled), outputs=slice(prover.known, None),
    )  # fmt: skip
    if found.objective == "as shipped":
        return []
    sharper = prover.proof("refined metric", area.box, found.metric, found.multipliers, budget)
    return [sharper] if np.isfinite(sharper.residual.upper) else []


def _unforced(prover: Prover, proof: Proof, box: np.ndarray, budget: float) -> list[Proof]:
    """``proof`` over X and the one input of ``box``, where that is bounded."""
    residual = prover.residual(box, proof.contraction.metric, budget=budget)
    return [replace(proof, name=f"{proof.name}, unforced", residual=residual)] if np.isfinite(residual.upper) else []


def _settled_proofs(
    prover: Prover, proofs: list[Proof], box: np.ndarray, within: Settled | None, budget: float
) -> list[Proof]:
    return [] if within is None or not proofs else [prover.settled_proof(proofs[-1], box, within, budget)]


def _horizon(
    prover: Prover, proof: Proof, area: Region, held: np.ndarray, within: Settled | None, budget: float
) -> HorizonBound | None:
    """None when the budget did not suffice for any bound."""
    try:
        found = prover.horizon(proof, area.box, held, within, budget=budget)
    except Unprovable:
        return None
    return found if np.isfinite([found.upper, *found.state_upper]).all() else None


def _settled(plant: DiscreteSystem, box: np.ndarray, rate: float, budget: float) -> Settled | None:
    """After as many samples as errors need to fade, and up to a quarter of the plant's own duration while it pays."""
    if not 0 < rate < 1:
        return None
    samples = math.ceil(math.log(_FADED) / math.log(rate))
    cells = int(np.clip(_CELLS_PER_SECOND * budget, *_CELLS))
    most = int((plant.system.duration or 0.0) / plant.dt / 4) or 4 * samples
    try:
        return settled_set(plant, box, samples, most=most, cells=cells)
    except Unprovable:
        return None


def _statistics(observer: RENObserver, plant: DiscreteSystem, empty: Bounds, why: str, trials: int | None) -> Bounds:
    budget = empty.budget if trials is None else None
    try:
        found = bound_statistically(observer, plant, trials, budget=budget, seed=empty.seed)
    except InputError as error:
        return replace(empty, reason=f"No bound: {why} And no trajectories either: {error}")
    return replace(
        empty, kind="statistical", reason=f"{found.sentence} No proof over a region: {why}", statistical=found
    )


def residual(observer: RENObserver, plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """r = f_o(x, u, h(x, u)) - f(x, u), ``(..., nx)``."""
    return observer.step(x, u, plant.output(x, u)) - plant.step(x, u)


def _largest(v: np.ndarray, M: np.ndarray) -> float:
    return float(np.max(metric_norm(v, M), initial=0.0))


def _points(area: Region, nx: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    points = sample_region(area.box[:, 0], area.box[:, 1], count, seed)
    return points[:, :nx], points[:, nx:]


def _residuals(prover: Prover, area: Region, within: Settled | None) -> np.ndarray:
    """Where the plant settles, if that is known: what the sharper metric is to be good at."""
    x, u = _points(area, prover.plant.nx, _SAMPLES, prover.seed + 5)
    if within is not None and within.holds(x).sum() >= _SAMPLES // 20:
        x, u = x[within.holds(x)], u[within.holds(x)]
    return residual(prover.observer, prover.plant, x, u)


def _discretisation(plant: DiscreteSystem, area: Region, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences d of one step of the model from the reference integrator: the largest |d_i| ``(nx,)``, and all sampled."""
    if plant.system.kind == "discrete" or plant.graph is None:
        return np.zeros(plant.nx), np.zeros((1, plant.nx))
    x, u = _points(area, plant.nx, _TRUTHS, seed + 6)
    d = plant.step(x, u) - integrate_reference(plant.system, x, u[:, None, :], plant.dt)[:, 1]
    return np.abs(d).max(axis=0), d


def residual_map(observer: RENObserver, plant: DiscreteSystem, area: Region, proof: Proof) -> ResidualMap | None:
    """|r|_M over the two states whose ranges hold most of it, the rest as at the worst point found."""
    if plant.nx < 2:
        return None
    at = np.asarray(proof.residual.attained_at, dtype=float)

    def size(z: np.ndarray) -> np.ndarray:
        return metric_norm(residual(observer, plant, z[..., : plant.nx], z[..., plant.nx :]), proof.contraction.metric)

    spread = []
    for i in range(plant.nx):  # how much the residual varies along each state through the worst point
        z = np.tile(at, (25, 1))
        z[:, i] = np.linspace(area.box[i, 0], area.box[i, 1], 25)
        spread.append(np.ptp(size(z)))
    i, j = sorted(np.argsort(spread)[-2:].tolist())
    first, second = (np.linspace(area.box[s, 0], area.box[s, 1], _GRID) for s in (i, j))
    z = np.tile(at, (_GRID, _GRID, 1))
    z[..., i], z[..., j] = first[None, :], second[:, None]
    return ResidualMap((i, j), first, second, size(z))
