"""A stated accuracy, checked again from the shipped matrices and the plant: the search is done anew, nothing is believed.

Chosen over shipping the closed cover of cells (megabytes, and just as much to compute): the branch and bound runs again in every
metric until its upper bound is at most the stated one, within ``budget`` seconds in all, or an attained residual refutes the
statement. What time did not suffice for is a difference too, and is called "not confirmed".
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from observer.certification.accuracy import with_input
from observer.certification.bounds import Bounds, Horizon, Proof
from observer.certification.contraction import contraction_rate, find_fault, input_gain
from observer.certification.gains import Failed, squared_gain
from observer.certification.region import reached_region
from observer.certification.residual import bound_horizon, bound_residual
from observer.certification.statistical import bound_statistically, covered
from systems.errors import InputError

TOLERANCE = 1e-6  # relative: another BLAS, never another claim
Finding = tuple[bool, str]


def recheck(bounds: Bounds, observer: Any, plant: Any, *, budget: float = 60.0) -> list[Finding]:
    """(agrees, what) for the region, each proof, the many-step bound and the statistics of ``bounds``."""
    findings = list(_region(bounds, plant))
    if bounds.kind == "statistical":
        return [*findings, *_statistics(bounds, observer, plant)]
    end = time.monotonic() + budget
    claims = [(p, bounds.region.box) for p in bounds.proofs]
    claims += [(p, with_input(bounds.region, plant.nx, bounds.held)) for p in bounds.unforced]
    parts = len(claims) + (bounds.horizon is not None)
    for k, (p, box) in enumerate(claims):
        findings += _proof(p, bounds, observer, plant)
        share = max(1.0, (end - time.monotonic()) / (parts - k))
        findings += _residual(p, box, bounds, observer, plant, max(share, min(2 * p.seconds, budget)))
    if bounds.horizon is not None:
        findings.append(_horizon(bounds.horizon, bounds, observer, plant, max(1.0, end - time.monotonic())))
    return findings


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


def _residual(p: Proof, box: np.ndarray, bounds: Bounds, observer: Any, plant: Any, budget: float) -> list[Finding]:
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
                observer, plant, region=box, metric=p.metric, gap=gap, budget=max(left, 0.5),
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


def _horizon(h: Horizon, bounds: Bounds, observer: Any, plant: Any, budget: float) -> Finding:
    what = "many-step bound"
    try:
        found = bound_horizon(
            observer, plant, rate=h.rate, steps=h.steps, region=bounds.region.box, metric=h.metric,
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
