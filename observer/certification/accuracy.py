"""``bound_accuracy``: the residual over a region, in the shipped metric and in refined ones, over one step and many.

What cannot be proved (no equations as a graph, too many dimensions) gets the statistical certificate instead, and says so.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Horizon, Proof, ResidualMap
from observer.certification.contraction import contraction_rate, input_gain
from observer.certification.gains import smallest_gain
from observer.certification.refine import refine
from observer.certification.region import Region, given_region, reached_region
from observer.certification.residual import Unprovable, bound_horizon, bound_residual
from observer.certification.statistical import bound_statistically
from systems.detectability import residual_lower_bound
from systems.errors import InputError
from systems.integration import oracle, sample_region

REFINED_UP_TO = 6  # states
_SHIPPED, _REFINED, _UNFORCED = (
    0.3,
    0.3,
    0.1,
)  # of the budget; compiling, once in the life of an installation, is not counted
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
    try:
        first = _prove(
            observer, plant, area, "one step", observer.metric, observer.multipliers, _SHIPPED * budget, gap, seed
        )
    except Unprovable as error:
        return _statistics(observer, plant, empty, str(error), budget, trials, begin)
    proofs, residuals = [first], _residuals(observer, plant, area, seed)
    if refined and system.nx <= REFINED_UP_TO:
        found = refine(
            observer.weights, observer.metric, observer.multipliers, state=range(system.nx), residuals=residuals,
            outputs=slice(len(system.known), None),
        )  # fmt: skip
        if found.objective != "as shipped":
            share = _REFINED * budget
            sharper = _prove(observer, plant, area, "refined metric", found.metric, found.multipliers, share, gap, seed)
            proofs += [sharper] if np.isfinite(sharper.residual_upper) else []
    held = held_input(area, plant)
    calm = replace(area, box=with_input(area, plant.nx, held))
    unforced = [
        _prove(observer, plant, calm, f"{p.name}, unforced", p.metric, p.multipliers, _UNFORCED * budget, gap, seed)
        for p in (proofs if plant.nu else ())
    ]
    error, d = _discretisation(plant, area, seed)
    unforced = [
        replace(p, discretisation=float(np.max(_norms(d, p.metric), initial=0.0)))
        for p in unforced
        if np.isfinite(p.residual_upper)
    ]
    proofs = [replace(p, discretisation=float(np.max(_norms(d, p.metric), initial=0.0))) for p in proofs]
    left = budget - sum(p.seconds for p in (*proofs, *unforced))  # what was not needed goes to the hardest
    horizon = _horizon(observer, plant, area, held, proofs, max(left, 0.1 * budget), gap, seed)
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
    )


def held_input(area: Region, plant: Any) -> np.ndarray:
    """No excitation, ``(nu,)``: every input at zero, or at the middle of a range that excludes it."""
    box = area.box[plant.nx :]
    return np.where((box[:, 0] <= 0) & (box[:, 1] >= 0), 0.0, box.mean(axis=1))


def with_input(area: Region, nx: int, held: np.ndarray) -> np.ndarray:
    """The box X x {held}, ``(nx + nu, 2)``."""
    return np.concatenate([area.box[:nx], np.stack([held, held], axis=1)])


def _prove(
    observer: Any, plant: Any, area: Region, name: str, M: Any, Lam: Any, budget: float, gap: float, seed: int
) -> Proof:
    weights, known = observer.weights.to_numpy(), len(plant.system.known)
    M, Lam = np.asarray(M, dtype=float), np.asarray(Lam, dtype=float)
    rate = contraction_rate(weights, M, Lam)
    found = bound_residual(observer, plant, region=area.box, metric=M, gap=gap, budget=budget, seed=seed)
    steps, noises = step_gains(weights, M, Lam, slice(known, None))
    return Proof(
        name=name, metric=M, multipliers=Lam, rate=rate,
        gain_y=input_gain(weights, M, Lam, slice(known, None)), gain_u=input_gain(weights, M, Lam, slice(0, known)),
        state_gain=np.sqrt(np.diag(np.linalg.inv(M))),
        step_gain=steps[0], step_multipliers=steps[1], step_gain_y=noises[0], step_multipliers_y=noises[1],
        residual_upper=float(found.upper), residual_lower=float(found.lower), attained_at=np.array(found.attained_at),
        state_upper=np.array(found.state_upper), rounding=float(found.rounding), status=str(found.status), gap=float(found.gap),
        cells=int(found.cells), seconds=float(found.seconds), discretisation=0.0,
    )  # fmt: skip


def step_gains(
    weights: Any, M: np.ndarray, Lam: np.ndarray, outputs: slice
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """((gains, multipliers) from |e|_M, (gains, multipliers) from |n|) to each |e_i| one step later, proved."""
    n, nv = weights.nx, weights.nv
    B2, D12 = weights.B2[:, outputs], weights.D12[:, outputs]
    result = []
    for A, C1, N in ((weights.A, weights.C1, M), (B2, D12, np.eye(B2.shape[1]))):
        gains, multipliers = np.zeros(n), np.ones((n, nv))
        for i in range(n):
            unit = np.zeros((n, n))
            unit[i, i] = 1.0
            gains[i], multipliers[i] = smallest_gain(A, weights.B1, C1, weights.D11, unit, N, Lam)
        result.append((gains, multipliers))
    return result[0], result[1]


def _horizon(
    observer: Any, plant: Any, area: Region, held: np.ndarray, proofs: list[Proof], budget: float, gap: float, seed: int
) -> Horizon | None:
    """Over many steps, without excitation."""
    best = min(proofs, key=lambda p: p.rate)
    try:
        found = bound_horizon(
            observer, plant, rate=best.rate, region=area.box, metric=best.metric,
            input=held if plant.nu else None, gap=max(gap, 0.2), budget=budget, seed=seed,
        )  # fmt: skip
    except Unprovable:
        return None
    if not np.isfinite([found.upper, *found.state_upper]).all():
        return None  # the budget did not suffice for any bound
    return Horizon(
        int(found.steps), best.rate, best.metric, float(found.upper), float(found.lower), np.array(found.state_upper),
        np.array(found.state_lower), np.array(found.steady_state), held, str(found.status), float(found.seconds),
    )  # fmt: skip


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


def _residuals(observer: Any, plant: Any, area: Region, seed: int) -> np.ndarray:
    return residual(observer, plant, *_points(area, plant.nx, _SAMPLES, seed + 5))


def _discretisation(plant: Any, area: Region, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(largest per state, all sampled) differences of one step of the model from the oracle."""
    none = np.zeros((1, plant.nx))
    if plant.system.kind == "discrete" or plant.graph is None:
        return none[0], none
    x, u = _points(area, plant.nx, _TRUTHS, seed + 6)
    d = plant.step(x, u) - oracle(plant.system, x, u[:, None, :], plant.dt)[:, 1]
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
