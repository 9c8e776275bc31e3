"""``bound_accuracy``: the residual over a region, in the shipped metric and in refined ones, over one step and many.

What cannot be proved (no equations as a graph, too many dimensions) gets the statistical certificate instead, and says so.
"""

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof, ResidualMap
from observer.certification.proving import prove, prove_horizon, prove_settled
from observer.certification.refine import refine
from observer.certification.region import Region, given_region, held_input, reached_region, with_input
from observer.certification.residual import Unprovable
from observer.certification.settled import Settled, settled_set
from observer.certification.statistical import bound_statistically
from systems.base.errors import InputError
from systems.detectability import residual_lower_bound
from systems.integration import integrate_reference, sample_region

REFINED_UP_TO = 6  # states
# Shares of the budget; compiling, once in the life of an installation, is not counted.
_SHIPPED, _REFINED, _SETTLED, _UNFORCED = 0.2, 0.2, 0.15, 0.05
_CELLS_PER_SECOND, _CELLS = 2500, (4000, 60_000)  # of the settled set, by the budget
_FADED = 0.05  # share of a first error that is left when the plant counts as settled
_SAMPLES, _TRUTHS, _GRID = 2000, 200, 41


def bound_accuracy(
    observer: Any,
    plant: Any,
    *,
    region: Any = None,
    budget: float = 5.0,
    gap: float = 0.05,
    seed: int = 0,
    refined: bool = True,
    trials: int | None = None,
) -> Bounds:
    """Bounds of the residual and what follows from them, within about ``budget`` seconds of searching.

    region : ``(nx, 2)`` or ``(nx + nu, 2)``; found by simulation when left out. gap : share by which a proved supremum may exceed
    the attained one before the search stops. refined : also in a metric made for small errors of all states. trials : of the
    statistical certificate. A bound that was cut short by the budget is a bound all the same, only a looser one.
    """
    begin = time.monotonic()
    area = reached_region(plant, seed=seed) if region is None else given_region(plant, region)
    system = plant.system
    nothing = np.full(system.nx, np.nan)
    empty = Bounds(
        "none", "", area, (), None, None, None, nothing, float("nan"), nothing, float(budget), float(gap), seed, 0.0
    )
    how: dict[str, Any] = {"gap": gap, "seed": seed}
    try:
        first = prove(
            observer,
            plant,
            area.box,
            "one step",
            observer.metric,
            observer.multipliers,
            budget=_SHIPPED * budget,
            **how,
        )
    except Unprovable as error:
        return _statistics(observer, plant, empty, str(error), budget, trials, begin)
    held = held_input(area, plant)
    calm = with_input(area, plant.nx, held)
    settled = _settled(plant, area.box, first.rate, budget)
    at_rest = _settled(plant, calm, first.rate, budget) if plant.nu else settled
    proofs = [first]
    if refined and system.nx <= REFINED_UP_TO:
        found = refine(
            observer.weights, observer.metric, observer.multipliers, state=range(system.nx),
            residuals=_residuals(observer, plant, area, settled, seed), outputs=slice(len(system.known), None),
        )  # fmt: skip
        if found.objective != "as shipped":
            pair = (found.metric, found.multipliers)
            sharper = prove(observer, plant, area.box, "refined metric", *pair, budget=_REFINED * budget, **how)
            proofs += [sharper] if np.isfinite(sharper.residual_upper) else []
    error, d = _discretisation(plant, area, seed)
    proofs = [replace(p, discretisation=float(np.max(_norms(d, p.metric), initial=0.0))) for p in proofs]
    unforced = []
    for p in proofs if plant.nu else ():
        name = f"{p.name}, unforced"
        one = prove(observer, plant, calm, name, p.metric, p.multipliers, budget=_UNFORCED * budget, **how)
        unforced += [replace(one, discretisation=p.discretisation)] if np.isfinite(one.residual_upper) else []
    sharpest = proofs[-1]
    for area_box, within, group in ((area.box, settled, proofs), (calm, at_rest, unforced)):
        if within is not None and group:
            share = (_SETTLED if group is proofs else _UNFORCED) * budget
            group.append(prove_settled(observer, plant, area_box, group[-1], within, budget=share, **how))
    left = budget - sum(p.seconds for p in (*proofs, *unforced))  # what was not needed goes to the hardest
    horizon = prove_horizon(observer, plant, area.box, held, sharpest, at_rest, budget=max(left, 0.1 * budget), **how)
    low = residual_lower_bound(plant, observer.metric, first.rate, area.box[: system.nx], seed=seed)
    return replace(
        empty,
        kind="proved",
        reason=f"|r|_M is at most {first.residual_upper:.4g} for all x in X and u in U (branch and bound, {first.cells} cells).",
        proofs=tuple(proofs),
        horizon=horizon,
        residual_map=residual_map(observer, plant, area, first),
        discretisation=error,
        structural=low.residual,
        structural_error=low.state_error,
        seconds=time.monotonic() - begin,
        unforced=tuple(unforced),
        held=held,
        settled=None if settled is None else replace(settled, mask=np.zeros(0, dtype=bool)),
        settled_unforced=None if at_rest is None else replace(at_rest, mask=np.zeros(0, dtype=bool)),
    )


def _settled(plant: Any, box: np.ndarray, rate: float, budget: float) -> Settled | None:
    """After as many samples as errors need to fade, and up to a quarter of the plant's own duration while it pays."""
    samples = math.ceil(math.log(_FADED) / math.log(rate)) if 0 < rate < 1 else 0
    cells = int(np.clip(_CELLS_PER_SECOND * budget, *_CELLS))
    if not samples:
        return None
    most = int((plant.system.duration or 0.0) / plant.dt / 4) or 4 * samples
    try:
        return settled_set(plant, box, samples, most=most, cells=cells)
    except Unprovable:
        return None


def _statistics(
    observer: Any, plant: Any, empty: Bounds, why: str, budget: float, trials: int | None, begin: float
) -> Bounds:
    try:
        found = bound_statistically(observer, plant, trials, budget=budget if trials is None else None, seed=empty.seed)
    except InputError as error:
        return replace(
            empty, reason=f"No bound: {why} And no trajectories either: {error}", seconds=time.monotonic() - begin
        )
    return replace(
        empty,
        kind="statistical",
        reason=f"{found.sentence} No proof over a region: {why}",
        statistical=found,
        seconds=time.monotonic() - begin,
    )


def residual(observer: Any, plant: Any, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """r = f_o(x, u, h(x, u)) - f(x, u), ``(..., nx)``."""
    return observer.step(x, u, plant.output(x, u)) - plant.step(x, u)


def _norms(v: np.ndarray, M: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", v, M, v), 0.0))


def _points(area: Region, nx: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    points = sample_region(area.box[:, 0], area.box[:, 1], count, seed)
    return points[:, :nx], points[:, nx:]


def _residuals(observer: Any, plant: Any, area: Region, within: Settled | None, seed: int) -> np.ndarray:
    """Where the plant settles, if that is known: what the sharper metric is to be good at."""
    x, u = _points(area, plant.nx, _SAMPLES, seed + 5)
    if within is not None and within.holds(x).sum() >= _SAMPLES // 20:
        x, u = x[within.holds(x)], u[within.holds(x)]
    return residual(observer, plant, x, u)


def _discretisation(plant: Any, area: Region, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(largest per state, all sampled) differences of one step of the model from the oracle."""
    none = np.zeros((1, plant.nx))
    if plant.system.kind == "discrete" or plant.graph is None:
        return none[0], none
    x, u = _points(area, plant.nx, _TRUTHS, seed + 6)
    d = plant.step(x, u) - integrate_reference(plant.system, x, u[:, None, :], plant.dt)[:, 1]
    return np.abs(d).max(axis=0), d


def residual_map(observer: Any, plant: Any, area: Region, proof: Proof) -> ResidualMap | None:
    """|r|_M over the two states whose ranges hold most of it, the rest as at the worst point found."""
    if plant.nx < 2:
        return None
    at = np.asarray(proof.attained_at, dtype=float)
    spread = []
    for i in range(plant.nx):  # how much the residual varies along each state through the worst point
        z = np.tile(at, (25, 1))
        z[:, i] = np.linspace(area.box[i, 0], area.box[i, 1], 25)
        spread.append(np.ptp(_norms(residual(observer, plant, z[:, : plant.nx], z[:, plant.nx :]), proof.metric)))
    i, j = sorted(np.argsort(spread)[-2:].tolist())
    first, second = (np.linspace(area.box[s, 0], area.box[s, 1], _GRID) for s in (i, j))
    z = np.tile(at, (_GRID, _GRID, 1))
    z[..., i], z[..., j] = first[None, :], second[:, None]
    values = _norms(residual(observer, plant, z[..., : plant.nx], z[..., plant.nx :]), proof.metric)
    return ResidualMap((i, j), first, second, values)
