"""A stated accuracy, verified from the shipped matrices and the plant: every search is repeated, no stored number is trusted.

Chosen over shipping the closed cover of cells (megabytes, and just as much to compute): the branch and bound runs again in every
metric until its upper bound is at most the stated one, within ``budget`` seconds in all, or an attained residual refutes the
statement. What time did not suffice for is a difference too, and is called "not confirmed".
"""

import time
from collections.abc import Iterator

import numpy as np

from observer.certification.bounds import Bounds, Proof
from observer.certification.contraction import find_fault
from observer.certification.gains import proved_step_gains
from observer.certification.proving import Prover
from observer.certification.region import reached_region, with_input
from observer.certification.residual import HorizonBound, ResidualBound
from observer.certification.settled import Settled, settled_set
from observer.certification.statistical import bound_statistically, covered
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem

TOLERANCE = 1e-6  # relative: for another BLAS, never for another statement
_FINEST_GAP = 1e-3
Finding = tuple[bool, str]


def verify_bounds(
    bounds: Bounds, observer: RENObserver, plant: DiscreteSystem, *, budget: float = 60.0
) -> list[Finding]:
    """(agrees, what) for the region, each proof, the many-step bound and the statistics of ``bounds``."""
    findings = list(_region(bounds, plant))
    if bounds.kind == "statistical":
        return [*findings, *_statistics(bounds, observer, plant)]
    end, prover = time.monotonic() + budget, Prover(observer, plant, bounds.gap, bounds.seed)
    calm = with_input(bounds.region, plant.nx, bounds.held)
    settled = _settled(bounds.settled, bounds.region.box, plant, findings)
    at_rest = _settled(bounds.settled_unforced, calm, plant, findings)
    proofs = [(p, bounds.region.box, settled) for p in bounds.proofs] + [(p, calm, at_rest) for p in bounds.unforced]
    parts = len(proofs) + (bounds.horizon is not None)
    for k, (p, box, within) in enumerate(proofs):
        share = max(1.0, (end - time.monotonic()) / (parts - k))
        findings += _contraction(p, prover)
        findings += _residual(p, box, within, prover, max(share, min(2 * p.residual.seconds, budget)))
        findings += _after(p, within, bounds)
    if bounds.horizon is not None:
        findings.append(_horizon(bounds.horizon, at_rest, bounds, prover, max(1.0, end - time.monotonic())))
    return findings


def _settled(stated: Settled | None, box: np.ndarray, plant: DiscreteSystem, findings: list[Finding]) -> Settled | None:
    """The set found again, with its cells; None where there is none or another one."""
    if stated is None:
        return None
    found = settled_set(plant, box, stated.samples, stride=stated.stride, shape=tuple(stated.shape))
    same = found is not None and found.samples <= stated.samples and found.count <= stated.count
    what = f"settled set after {stated.samples} samples"
    seen = "all of X" if found is None else f"{found.count} cells after {found.samples} samples"
    findings.append((same, what if same else f"{what}: {stated.count} cells there, {seen} by the plant"))
    return found


def _region(bounds: Bounds, plant: DiscreteSystem) -> Iterator[Finding]:
    stated = bounds.region
    if stated.how == "given":
        yield True, "region, as it was given"
        return
    found = reached_region(
        plant, seed=stated.seed, trajectories=stated.trajectories, duration=stated.duration, margin=stated.margin
    )
    if stated.box.shape != found.box.shape:
        yield False, f"region: has shape {stated.box.shape}, the plant needs {found.box.shape}"
        return
    off = (np.abs(stated.box - found.box) > TOLERANCE * np.ptp(found.box, axis=1, keepdims=True) + 1e-300).any(axis=1)
    names = (*plant.system.state_names, *plant.system.input_names)
    for i in np.flatnonzero(off):
        (low, high), (lowest, highest) = stated.box[i], found.box[i]
        yield (
            False,
            f"region: {names[i]} is from {low:.6g} to {high:.6g} there, and from {lowest:.6g} to {highest:.6g} by the "
            "stated simulation",
        )
    if not off.any():
        yield True, "region"


def _contraction(p: Proof, prover: Prover) -> Iterator[Finding]:
    """The closed-form numbers of one metric."""
    stated = p.contraction
    fault = find_fault(prover.weights, stated.metric, stated.multipliers)
    if fault:
        yield False, f"proof '{p.name}': {fault}"
        return
    found = prover.contraction(stated.metric, stated.multipliers)
    gains = proved_step_gains(prover.weights, stated.metric, p.gains, prover.known)
    pairs = {name: (getattr(stated, name), getattr(found, name)) for name in ("rate", "gain_y", "gain_u", "state_gain")}
    pairs |= {
        f"gain of {name} in a step": (getattr(p.gains, name), getattr(gains, name)) for name in ("error", "noise")
    }
    wrong = [name for name, (said, anew) in pairs.items() if not _at_most(anew, said)]
    for name in wrong:
        said, anew = pairs[name]
        yield False, f"proof '{p.name}': {name} is {said} there and {anew} from the shipped matrices"
    if not wrong:
        yield True, f"proof '{p.name}': rate and gains"


def _residual(p: Proof, box: np.ndarray, within: Settled | None, prover: Prover, budget: float) -> Iterator[Finding]:
    """The supremum of the residual, searched until it is at most what is stated."""
    begin, what, stated, found = time.monotonic(), f"residual bound of '{p.name}'", p.residual, None
    metric = p.contraction.metric
    if not (np.allclose(stated.metric, metric, rtol=TOLERANCE) and np.array_equal(stated.region, box)):
        yield False, f"{what}: it is that of another region or metric"
    gap = max(min(prover.gap, stated.upper / max(stated.lower, 1e-300) - 1), _FINEST_GAP)
    while True:
        left = max(budget - (time.monotonic() - begin), 0.5)
        try:
            found = prover.residual(box, metric, within if p.after else None, gap=gap, budget=left, resume=found)
        except InputError as error:
            yield False, f"{what}: {error}"
            return
        finding = _judged(what, stated, found)
        if finding is not None:
            yield finding
            return
        if time.monotonic() - begin >= budget or gap < _FINEST_GAP:
            yield False, _not_confirmed(f"{what}: not confirmed in {budget:.3g} s", stated, found)
            return
        gap /= 2


def _after(p: Proof, within: Settled | None, bounds: Bounds) -> Iterator[Finding]:
    """What a proof for the settled set takes from elsewhere: the set, and the bounds before it."""
    if not p.after:
        return
    if within is None or p.after < within.samples:
        yield False, f"proof '{p.name}': stated to hold after {p.after} samples, for which there is no settled set"
    whole = [
        q.residual
        for q in (*bounds.proofs, *bounds.unforced)
        if not q.after and np.array_equal(q.contraction.metric, p.contraction.metric)
    ]
    if not any(p.before.upper >= q.upper and (p.before.state_upper >= q.state_upper).all() for q in whole):
        yield False, f"proof '{p.name}': its bounds before sample {p.after} are those of no other proof"


def _horizon(h: HorizonBound, within: Settled | None, bounds: Bounds, prover: Prover, budget: float) -> Finding:
    what, p = "many-step bound", bounds.horizon_proof()
    if p is None:
        return False, f"{what}: it belongs to none of the proofs"
    try:
        found = prover.horizon(
            p, bounds.region.box, bounds.held, within, steps=h.steps, budget=max(budget, 2 * h.seconds)
        )
    except InputError as error:
        return False, f"{what}: {error}"
    return _judged(what, h, found) or (False, _not_confirmed(f"{what}: not confirmed", h, found))


def _judged(what: str, stated: ResidualBound | HorizonBound, found: ResidualBound | HorizonBound) -> Finding | None:
    """Refuted by what is reached, confirmed by what is proved anew, or neither."""
    if found.lower > stated.upper * (1 + TOLERANCE):
        return False, f"{what}: stated as at most {stated.upper:.6g}, but {found.lower:.6g} is reached"
    if _at_most(found.upper, stated.upper) and _at_most(found.state_upper, stated.state_upper):
        return True, what
    return None


def _not_confirmed(what: str, stated: ResidualBound | HorizonBound, found: ResidualBound | HorizonBound) -> str:
    return f"{what}: stated {stated.upper:.6g}, proved anew {found.upper:.6g}"


def _at_most(found: np.ndarray | float, stated: np.ndarray | float) -> bool:
    return bool((np.asarray(found) <= np.asarray(stated) * (1 + TOLERANCE) + 1e-300).all())


def _statistics(bounds: Bounds, observer: RENObserver, plant: DiscreteSystem) -> Iterator[Finding]:
    s = bounds.statistical
    if s is None:
        yield False, "statistics: there are none"
        return
    found = bound_statistically(observer, plant, s.trials, confidence=s.confidence, duration=s.duration, seed=s.seed)
    pairs = {"largest residual": (s.residual, found.residual), "largest errors": (s.state_error, found.state_error)}
    for name, (stated, anew) in pairs.items():
        same = np.allclose(stated, anew, rtol=1e-4, atol=0)
        differs = "" if same else f": {stated} there, {anew} from the same {s.trials} trials"
        yield bool(same), f"statistics, {name}{differs}"
    if not s.coverage <= covered(s.trials, s.confidence) * (1 + TOLERANCE):
        yield False, f"statistics: {s.trials} trials cover {covered(s.trials, s.confidence):.6g}, not {s.coverage:.6g}"
