"""A stated accuracy, checked again from the shipped matrices and the plant: the search is done anew, nothing is believed.

Chosen over shipping the closed cover of cells (megabytes, and just as much to compute): the branch and bound runs again in every
metric until its upper bound is at most the stated one, within ``budget`` seconds in all, or an attained residual refutes the
statement. What time did not suffice for is a difference too, and is called "not confirmed".
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Horizon, Proof
from observer.certification.contraction import contraction_rate, find_fault, input_gain
from observer.certification.gains import Failed, squared_gain
from observer.certification.region import reached_region, with_input
from observer.certification.residual import bound_horizon, bound_residual
from observer.certification.settled import Settled, settled_set
from observer.certification.statistical import bound_statistically, covered
from systems.base.errors import InputError

TOLERANCE = 1e-6  # relative: another BLAS, never another claim
Finding = tuple[bool, str]


def recheck(bounds: Bounds, observer: Any, plant: Any, *, budget: float = 60.0) -> list[Finding]:
    """(agrees, what) for the region, each proof, the many-step bound and the statistics of ``bounds``."""
    findings = list(_region(bounds, plant))
    if bounds.kind == "statistical":
        return [*findings, *_statistics(bounds, observer, plant)]
    end = time.monotonic() + budget
    calm = with_input(bounds.region, plant.nx, bounds.held)
    settled, at_rest = (
        _settled(stated, box, plant, findings)
        for stated, box in ((bounds.settled, bounds.region.box), (bounds.settled_unforced, calm))
    )
    claims = [(p, bounds.region.box, settled) for p in bounds.proofs] + [(p, calm, at_rest) for p in bounds.unforced]
    parts = len(claims) + (bounds.horizon is not None)
    for k, (p, box, within) in enumerate(claims):
        findings += _proof(p, bounds, observer, plant)
        share = max(1.0, (end - time.monotonic()) / (parts - k))
        area = (box, within if p.after else None)
        findings += _residual(p, area, bounds, observer, plant, max(share, min(2 * p.seconds, budget)))
        findings += _after(p, within, bounds)
    if bounds.horizon is not None:
        h, left = bounds.horizon, max(1.0, end - time.monotonic())
        findings.append(_horizon(h, at_rest if h.after else None, bounds, observer, plant, left))
    return findings


def _settled(stated: Settled | None, box: np.ndarray, plant: Any, findings: list[Finding]) -> Settled | None:
    """The set found again, with its cells; None where there is none or another one."""
    if stated is None:
        return None
    found = settled_set(plant, box, stated.samples, stride=stated.stride, shape=tuple(stated.shape))
    same = found is not None and found.samples <= stated.samples and found.count <= stated.count
    what = f"settled set after {stated.samples} samples"
    seen = "all of X" if found is None else f"{found.count} cells after {found.samples} samples"
    findings.append((same, what if same else f"{what}: {stated.count} cells there, {seen} by the plant"))
    return found


def _after(p: Proof, within: Settled | None, bounds: Bounds) -> Iterator[Finding]:
    """What a proof for the settled set takes from elsewhere: the set, and the bounds before it."""
    if not p.after:
        return
    if within is None or p.after < within.samples:
        yield False, f"proof '{p.name}': said to hold after {p.after} samples, for which there is no settled set"
    whole = [q for q in (*bounds.proofs, *bounds.unforced) if not q.after and np.array_equal(q.metric, p.metric)]
    if not any(p.residual_before >= q.residual_upper and (p.state_before >= q.state_upper).all() for q in whole):
        yield False, f"proof '{p.name}': its bounds before sample {p.after} are those of no other proof"


def _region(bounds: Bounds, plant: Any) -> Iterator[Finding]:
    stated = bounds.region
    if stated.how == "given":
        yield True, "region, as it was given"
        return
    found = reached_region(
        plant, seed=stated.seed, trajectories=int(stated.trajectories), duration=stated.duration, margin=stated.margin
    )
    names = (*plant.system.state_names, *plant.system.input_names)
    if stated.box.shape != found.box.shape:
        yield False, f"region: has shape {stated.box.shape}, the plant needs {found.box.shape}"
        return
    off = np.abs(stated.box - found.box) > TOLERANCE * np.ptp(found.box, axis=1, keepdims=True) + 1e-300
    for name, one, two in zip(
        np.array(names)[off.any(axis=1)], stated.box[off.any(axis=1)], found.box[off.any(axis=1)], strict=True
    ):
        yield (
            False,
            (
                f"region: {name} is from {one[0]:.6g} to {one[1]:.6g} there, and from {two[0]:.6g} to {two[1]:.6g} by the "
                "simulation that is said to have found it"
            ),
        )
    if not off.any():
        yield True, "region"


def _proof(p: Proof, bounds: Bounds, observer: Any, plant: Any) -> Iterator[Finding]:
    """The closed-form numbers of one metric."""
    weights, known = observer.weights.to_numpy(), len(plant.system.known)
    fault = find_fault(weights, p.metric, p.multipliers)
    if fault:
        yield False, f"proof '{p.name}': {fault}"
        return
    numbers = {
        "rate": (p.rate, contraction_rate(weights, p.metric, p.multipliers)),
        "gain_y": (p.gain_y, input_gain(weights, p.metric, p.multipliers, slice(known, None))),
        "gain_u": (p.gain_u, input_gain(weights, p.metric, p.multipliers, slice(0, known))),
        "state_gain": (p.state_gain, np.sqrt(np.diag(np.linalg.inv(p.metric)))),
        "step_gain": (p.step_gain, _step_gains(weights, weights.A, weights.C1, p.metric, p.step_multipliers)),
        "step_gain_y": (
            p.step_gain_y,
            _step_gains(weights, weights.B2[:, known:], weights.D12[:, known:], np.eye(plant.ny), p.step_multipliers_y),
        ),
    }
    wrong = [
        name
        for name, (stated, found) in numbers.items()
        if not (np.asarray(found) <= np.asarray(stated) * (1 + TOLERANCE) + 1e-300).all()
    ]
    for name in wrong:
        yield (
            False,
            f"proof '{p.name}': {name} is {numbers[name][0]} there and {numbers[name][1]} from the shipped matrices",
        )
    if not wrong:
        yield True, f"proof '{p.name}': rate and gains"


def _step_gains(weights: Any, A: np.ndarray, C1: np.ndarray, N: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
    gains = np.full(weights.nx, np.inf)
    for i in range(weights.nx):
        unit = np.zeros((weights.nx, weights.nx))
        unit[i, i] = 1.0
        try:
            gains[i] = np.sqrt(squared_gain(A, weights.B1, C1, weights.D11, unit, N, multipliers[i])[0])
        except (Failed, IndexError):
            continue
    return gains


def _residual(
    p: Proof, area: tuple[np.ndarray, Any], bounds: Bounds, observer: Any, plant: Any, budget: float
) -> list[Finding]:
    """The supremum of the residual, searched until it is at most what is stated."""
    begin, gap, found = (
        time.monotonic(),
        max(min(bounds.gap, p.residual_upper / max(p.residual_lower, 1e-300) - 1), 1e-3),
        None,
    )
    what = f"residual bound of '{p.name}'"
    while True:
        left = budget - (time.monotonic() - begin)
        try:
            found = bound_residual(
                observer, plant, region=area[0], within=area[1], metric=p.metric, gap=gap, budget=max(left, 0.5),
                seed=bounds.seed, resume=found,
            )  # fmt: skip
        except InputError as error:
            return [(False, f"{what}: {error}")]
        if found.lower > p.residual_upper * (1 + TOLERANCE):
            return [(False, f"{what}: stated as at most {p.residual_upper:.6g}, but {found.lower:.6g} is reached")]
        low = found.upper <= p.residual_upper * (1 + TOLERANCE)
        if low and (np.asarray(found.state_upper) <= p.state_upper * (1 + TOLERANCE)).all():
            return [(True, what)]
        if time.monotonic() - begin >= budget or gap < 1e-3:
            text = f"not confirmed in {budget:.3g} s: stated {p.residual_upper:.6g}, proved anew {found.upper:.6g}"
            return [(False, f"{what}: {text}")]
        gap /= 2


def _horizon(h: Horizon, within: Settled | None, bounds: Bounds, observer: Any, plant: Any, budget: float) -> Finding:
    what = "many-step bound"
    same = [p for p in bounds.proofs if np.array_equal(p.metric, h.metric) and p.rate == h.rate]
    if not same or h.after < (within.samples if within is not None else 0):
        return False, f"{what}: it belongs to none of the proofs"
    p = same[0]
    try:
        found = bound_horizon(
            observer, plant, rate=h.rate, steps=h.steps, region=bounds.region.box, metric=h.metric,
            within=within, stays=True, step_gains=p.step_gain,
            input=h.input if plant.nu else None, gap=max(bounds.gap, 0.2), budget=max(budget, 2 * h.seconds), seed=bounds.seed,
        )  # fmt: skip
    except InputError as error:
        return False, f"{what}: {error}"
    if found.lower > h.upper * (1 + TOLERANCE):
        return False, f"{what}: stated as at most {h.upper:.6g}, but {found.lower:.6g} is reached"
    if (
        found.upper <= h.upper * (1 + TOLERANCE)
        and (np.asarray(found.state_upper) <= h.state_upper * (1 + TOLERANCE)).all()
    ):
        return True, what
    return False, f"{what}: not confirmed: stated {h.upper:.6g}, proved anew {found.upper:.6g}"


def _statistics(bounds: Bounds, observer: Any, plant: Any) -> Iterator[Finding]:
    s = bounds.statistical
    if s is None:
        yield False, "statistics: there are none"
        return
    found = bound_statistically(observer, plant, s.trials, confidence=s.confidence, duration=s.duration, seed=s.seed)
    pairs = {"largest residual": (s.residual, found.residual), "largest errors": (s.state_error, found.state_error)}
    for name, (stated, anew) in pairs.items():
        same = np.allclose(stated, anew, rtol=1e-4, atol=0)
        yield (
            bool(same),
            f"statistics, {name}" + ("" if same else f": {stated} there, {anew} from the same {s.trials} trials"),
        )
    if not s.coverage <= covered(s.trials, s.confidence) * (1 + TOLERANCE):
        yield False, f"statistics: {s.trials} trials cover {covered(s.trials, s.confidence):.6g}, not {s.coverage:.6g}"
