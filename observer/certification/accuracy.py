"""``bound_accuracy``: the residual over a region, in the shipped metric and in refined ones, over one step and many.

Where nothing can be proved (no equations as a graph, too many dimensions) there is a statistical certificate instead, which says so.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof, ResidualMap
from observer.certification.contraction import metric_norm, samples_until
from observer.certification.proving import FULL_WORK, HORIZON, TURNS, Prover
from observer.certification.refine import refine
from observer.certification.region import (
    TRAJECTORIES,
    Region,
    given_region,
    held_input,
    reached_region,
    trial_cost,
    with_input,
)
from observer.certification.residual import HorizonBound, Unprovable
from observer.certification.residual.search import CLOCK
from observer.certification.residual.search import WORK as DONE
from observer.certification.settled import Settled
from observer.certification.statistical import bound_statistically
from observer.state_observer import RENObserver
from systems.angles import angles
from systems.base.errors import InputError
from systems.detectability import residual_lower_bound
from systems.discretization import DiscreteSystem
from systems.integration import reference_motion
from systems.regions import holds, region_points

REFINED_UP_TO = 6  # states
STRUCTURAL = "structural"
# Shares of the work and of the budget; compiling, once in the life of an installation, is not counted.
_SHIPPED, _REFINED, _SETTLED, _UNFORCED, _HORIZON = 0.15, 0.15, 0.1, 0.05, 0.1
_COVER, _COVER_UNFORCED = 0.2, 0.15  # for the settled sets themselves
_REGION, _FEWEST_TRAJECTORIES = 0.05, 20  # for the trajectories that find the region
_FADED = 0.05  # share of an initial error that is left when the plant counts as settled
_SAMPLES, _TRUTHS, _GRID = 2000, 200, 41
_SAME = 1e-9  # of the largest: spreads that differ by less count as equal


def bound_accuracy(
    observer: RENObserver,
    plant: DiscreteSystem,
    *,
    region: Any = None,
    work: float = 1.0,
    budget: float = 60.0,
    gap: float = 0.05,
    seed: int = 0,
    refined: bool = True,
    progress: Callable[[str, int, float], None] | None = None,
) -> Bounds:
    """Bounds of the residual and what follows from them.

    Parameters
    ----------
    region : ``(nx, 2)`` or ``(nx + nu, 2)``; found by simulation when left out.
    work : of the searches, 1 is some five seconds; counted in operations, so that the same is found again. budget : seconds after
        which they stop all the same.
    gap : share by which a proved supremum may exceed the attained one before the search stops. A search that is cut short gives a
        bound all the same, only a looser one.
    refined : also in a metric made for small errors of all states. progress : called with what is searched, cells and seconds.
    """
    prover = Prover(observer, plant, gap, seed, work * FULL_WORK, budget, progress=progress)
    area = _reached(plant, work, seed) if region is None else given_region(plant, region)
    return _derive(prover, Bounds("none", "", area, float(work), float(gap), seed, 0.0), refined)


def repeat_accuracy(
    stated: Bounds, observer: RENObserver, plant: DiscreteSystem, *, budget: float, jitter: float = 0.0
) -> Bounds:
    """``stated`` derived again from its options and from the metrics and multipliers that it gives; see :class:`Prover`.

    jitter : relative change of what goes in, to see what rounding makes of it.
    """
    if stated.region.how == "given":
        area = given_region(plant, stated.region.box)
    else:
        area = _reached(plant, stated.work, stated.seed, jitter)
    box = stated.region.box * (1 + jitter)
    prover = Prover(observer, plant, stated.gap, stated.seed, stated.work * FULL_WORK, budget, stated)
    empty = Bounds("none", "", replace(stated.region, box=box), stated.work, stated.gap, stated.seed, 0.0)
    return replace(_derive(prover, empty, True, jitter), region=area)


def _reached(plant: DiscreteSystem, work: float, seed: int, jitter: float = 0.0) -> Region:
    """The region that trajectories reach, of as many as are within the work."""
    most = TRAJECTORIES if math.isnan(work) else int(_REGION * work * FULL_WORK / trial_cost(plant))
    return reached_region(
        plant, seed=seed, trajectories=int(np.clip(most, _FEWEST_TRAJECTORIES, TRAJECTORIES)), jitter=jitter
    )


def _derive(prover: Prover, empty: Bounds, refined: bool, jitter: float = 0.0) -> Bounds:
    observer, plant, area, seed = prover.observer, prover.plant, empty.region, prover.seed
    begin = time.monotonic()
    try:
        first = prover.proof("one step", area.box, observer.metric, observer.multipliers, _SHIPPED)
    except Unprovable as error:
        found = _statistics(prover, empty, str(error), jitter)
        return replace(found, seconds=time.monotonic() - begin)
    held = held_input(area, plant)
    calm = with_input(area, plant.nx, held)
    settled = _settled(prover, area.box, first.contraction.rate, "settled", _COVER)
    at_rest = settled
    if plant.nu:
        at_rest = _settled(prover, calm, first.contraction.rate, "settled_unforced", _COVER_UNFORCED)
    d, own = _discretisation(plant, area, seed)
    proofs = [first, *(_sharper(prover, area, settled) if refined else ())]
    proofs = [replace(p, discretisation=_largest(d, own, p.contraction.metric)) for p in proofs]
    unforced = [p for q in proofs if plant.nu for p in _unforced(prover, q, calm)]
    horizon_metric = proofs[-1]
    proofs += _settled_proofs(prover, proofs, area.box, settled, _SETTLED)
    unforced += _settled_proofs(prover, unforced, calm, at_rest, _UNFORCED)
    horizon = _horizon(prover, horizon_metric, (*proofs, *unforced), area, held, settled, at_rest)
    low = None
    if prover.earlier or prover.wanted(STRUCTURAL):
        low = residual_lower_bound(plant, observer.metric, first.contraction.rate, area.box[: plant.nx], seed=seed)
    quoted = (prover.stated.proofs if prover.stated is not None else ())[:1] or (first,)
    return replace(
        empty,
        kind="proved",
        reason=f"{_bound_text(quoted[0])} (branch and bound, {quoted[0].residual.cells} cells).{_left_out(prover.omitted)}",
        omitted=dict(prover.omitted),
        proofs=tuple(proofs),
        unforced=tuple(unforced),
        held=held,
        settled=settled,
        settled_unforced=at_rest,
        horizon=horizon,
        residual_map=residual_map(observer, plant, area, replace(first, residual=quoted[0].residual)),
        discretisation=np.abs(d).max(axis=0) + own,
        structural=math.nan if low is None else low.residual,
        structural_error=np.full(plant.nx, np.nan) if low is None else low.state_error,
        seconds=time.monotonic() - begin,
    )


def _bound_text(proof: Proof) -> str:
    if math.isinf(proof.residual.upper):
        return "no finite bound of |r|_M for all x in X and u in U was found"
    return f"|r|_M is at most {proof.residual.upper:.4g} for all x in X and u in U"


def _left_out(omitted: dict[str, str]) -> str:
    """What is said of parts that are left out."""
    why = {
        DONE: "the work given (--work) does not suffice", CLOCK: "the time given (--budget) did not suffice",
        TURNS: "an angle turns through",
    }  # fmt: skip
    names = {"settled": "settled set", "settled_unforced": "settled set under constant inputs"}
    names |= {HORIZON: "bound over many steps", STRUCTURAL: "lower bound of every observer's residual"}
    return "".join(f" No {names.get(name, f'proof ({name})')}: {why[by]}." for name, by in omitted.items())


def _sharper(prover: Prover, area: Region, settled: Settled | None) -> list[Proof]:
    """The proof in a metric refined for small errors, where one is found and its residual is bounded."""
    observer, plant, name = prover.observer, prover.plant, "refined metric"
    if plant.nx > REFINED_UP_TO or not prover.wanted(name):
        return []
    found = refine(
        observer.weights, observer.metric, observer.multipliers, state=range(plant.nx),
        residuals=_residuals(prover, area, settled), outputs=slice(prover.known, None),
        iterations=prover.iterations(300),
    )  # fmt: skip
    if found.objective == "as shipped":
        return []
    given = prover.given(name)
    metric, multipliers = (found if given is None else given.contraction).metric, found.multipliers
    multipliers = multipliers if given is None else given.contraction.multipliers
    return _bounded(prover, prover.proof(name, area.box, metric, multipliers, _REFINED))


def _unforced(prover: Prover, proof: Proof, box: np.ndarray) -> list[Proof]:
    if not prover.wanted(f"{proof.name}, unforced"):
        return []
    return _bounded(prover, prover.unforced_proof(proof, box, _UNFORCED))


def _bounded(prover: Prover, proof: Proof) -> list[Proof]:
    """``proof`` where its residual is, or is said to be."""
    return [proof] if np.isfinite(proof.residual.upper) or prover.given(proof.name) is not None else []


def _settled_proofs(
    prover: Prover, proofs: list[Proof], box: np.ndarray, within: Settled | None, share: float
) -> list[Proof]:
    if within is None or not proofs or not prover.wanted(f"{proofs[-1].name}, settled"):
        return []
    found = prover.settled_proof(proofs[-1], box, within, share)
    return [] if found is None else [found]


def _horizon(
    prover: Prover,
    proof: Proof,
    others: tuple[Proof, ...],
    area: Region,
    held: np.ndarray,
    settled: Settled | None,
    within: Settled | None,
) -> HorizonBound | None:
    """With what the ``others`` left of the work; None when that did not suffice for any bound."""
    stated = None if prover.stated is None else prover.stated.horizon
    if len(angles(prover.plant.system).turning):
        return None
    if stated is None if prover.earlier else not prover.wanted(HORIZON):
        return None
    covers = [s.operations for s in {id(s): s for s in (settled, within)}.values() if s is not None]
    left = 1 - (sum(prover.spent(p.name, p.residual) for p in others) + sum(covers)) / prover.work
    try:
        found = prover.horizon(proof, area.box, held, within, max(left, _HORIZON))
    except Unprovable:
        return None
    if found is None:
        return None
    return found if stated is not None or np.isfinite([found.upper, *found.state_upper]).all() else None


def _settled(prover: Prover, box: np.ndarray, rate: float, name: str, share: float) -> Settled | None:
    """After as many samples as errors need to fade, and up to a quarter of the plant's own duration while it pays."""
    if not rate < 1:
        return None
    plant, samples = prover.plant, samples_until(_FADED, rate)
    most = int((plant.system.duration or 0.0) / plant.dt / 4) or 4 * samples
    return prover.settled(name, box, samples, most, share)


def _statistics(prover: Prover, empty: Bounds, why: str, jitter: float) -> Bounds:
    stated = None if prover.stated is None else prover.stated.statistical
    limits: dict[str, Any] = {"budget": prover.budget, "work": None if prover.earlier else prover.work}
    if stated is not None and (stated.status != DONE or prover.earlier):
        limits["trials"] = stated.trials
    try:
        found = bound_statistically(prover.observer, prover.plant, seed=prover.seed, jitter=jitter, **limits)
    except InputError as error:
        return replace(empty, reason=f"No bound: {why} And no trajectories either: {error}")
    if stated is not None and found.trials == stated.trials:
        found = replace(found, status=stated.status)
    return replace(
        empty, kind="statistical", reason=f"{found.sentence} No proof over a region: {why}", statistical=found
    )


def residual(observer: RENObserver, plant: DiscreteSystem, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """r = f_o(x, u, h(x, u)) - f(x, u), ``(..., nx)``."""
    return observer.step(x, u, plant.output(x, u)) - plant.step(x, u)


def _largest(v: np.ndarray, off: np.ndarray, M: np.ndarray) -> float:
    """|.|_M of the largest v, which may be off by ``off`` in each state, to either side."""
    return float(np.max(metric_norm(v, M), initial=0.0) + metric_norm(off, np.abs(M)))


def _points(plant: DiscreteSystem, area: Region, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    points = region_points(plant.system, area.box, count, seed)
    return points[:, : plant.nx], points[:, plant.nx :]


def _residuals(prover: Prover, area: Region, within: Settled | None) -> np.ndarray:
    """Where the plant settles, if that is known: what the sharper metric is to be good at."""
    x, u = _points(prover.plant, area, _SAMPLES, prover.seed + 5)
    if within is not None and within.holds(x).sum() >= len(x) // 20:
        x, u = x[within.holds(x)], u[within.holds(x)]
    return residual(prover.observer, prover.plant, x, u)


def _discretisation(plant: DiscreteSystem, area: Region, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """d, one step of the model from the reference integrator's: all sampled, and what the reference may be off by itself ``(nx,)``.

    The second is zero beside d, but where the reference takes steps of one length, whose accuracy is measured.
    """
    if plant.system.kind == "discrete" or plant.graph is None:
        return np.zeros((1, plant.nx)), np.zeros(plant.nx)
    x, u = _points(plant, area, _TRUTHS, seed + 6)
    truth = reference_motion(plant.system, x, u[:, None, :], plant.dt)
    d = plant.step(x, u) - truth.x[:, 1]
    return d, truth.error * np.ptp(plant.system.state_ranges, axis=1)


def residual_map(observer: RENObserver, plant: DiscreteSystem, area: Region, proof: Proof) -> ResidualMap | None:
    """|r|_M over the two states whose ranges hold most of it, the rest as at the worst point found."""
    if plant.nx < 2:
        return None
    at = np.asarray(proof.residual.attained_at, dtype=float)

    def size(z: np.ndarray) -> np.ndarray:
        found = metric_norm(residual(observer, plant, z[..., : plant.nx], z[..., plant.nx :]), proof.contraction.metric)
        return np.where(holds(plant.system, z), found, np.nan)

    spread = []
    for i in range(plant.nx):  # how much the residual varies along each state through the worst point
        z = np.tile(at, (25, 1))
        z[:, i] = np.linspace(area.box[i, 0], area.box[i, 1], 25)
        along = size(z)
        spread.append(np.ptp(along[np.isfinite(along)]) if np.isfinite(along).any() else 0.0)
    order = np.argsort(-np.round(np.array(spread) / max(max(spread), 1e-300) / _SAME), kind="stable")
    i, j = sorted(order[:2].tolist())
    first, second = (np.linspace(area.box[s, 0], area.box[s, 1], _GRID) for s in (i, j))
    z = np.tile(at, (_GRID, _GRID, 1))
    z[..., i], z[..., j] = first[None, :], second[:, None]
    return ResidualMap((i, j), first, second, size(z))
