"""A stored certificate, verified from the shipped matrices and the plant: all of it is derived again, and no field is exempt.

Its inputs are the matrices, the plant, the options, and what its searches found and no rule gives again (metrics, multipliers): these have
fingerprints in it. Everything else is derived from them once more, by the same calls and with the same counted work, and
compared as one structure. Only declared timings are left out.

What rounding, threads or another processor may change is not guessed but measured: where a number differs in any digit, all is
derived a few times more from inputs that are changed in their last digits, and the number agrees when it is as near as these are
to each other, up to a factor. So a search whose decisions hang on last digits is told from a statement that was changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from observer.certification.accuracy import repeat_accuracy, residual
from observer.certification.bounds import Bounds, Proof
from observer.certification.certificate import Certificate, certify, proved_sentence
from observer.certification.contraction import find_fault, metric_norm
from observer.certification.identity import changed, identity
from observer.certification.residual import HorizonBound, ResidualBound
from observer.certification.residual.flow import OutOfTimeError
from observer.certification.residual.search import CLOCK, STOPPED
from observer.certification.statistical import StatisticalBound
from observer.networks.ren.explicit import WEIGHTS
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.base.wording import distinguished
from systems.discretization import DiscreteSystem

AGREES, DIFFERS, UNCONFIRMED = "agrees", "differs", "unconfirmed"
TIMINGS = ("seconds",)
_LAST_DIGITS = (
    16 * np.finfo(float).eps
)  # by which inputs are changed: the algorithms are backward stable, to a few of these
_REPETITIONS, _FACTOR = 3, 16.0
_MOST_CELLS = 100_000  # of a settled set that is found again
_UP = 1 + 1e-9  # bounds of earlier formats are searched again until they are at most this much above
_SEARCHES = (ResidualBound, HorizonBound, StatisticalBound)
_NOT_EARLIER = ("work", "residual_map", "reason", "sentence")  # what earlier formats have not, or in other words
_PARTS = {"horizon": "many-step bound", "settled": "settled set", "settled_unforced": "settled set, unforced"}
_FROM = "from the shipped matrices and the plant"
_INPUTS = {
    "plant": "the plant and its discretisation are",
    "options": "the options of its bounds are",
    "found": "what its searches found (metrics, multipliers, points) is",
}
_WORDS = str | bool | None | dict
_ABSENT = object()
_OUTPUT = ("C2", "D21", "D22", "by")  # of a network whose output is its state


@dataclass(frozen=True)
class Finding:
    """``answer`` : "agrees", "differs", or "unconfirmed" in the time given. ``part`` of the certificate, and a sentence ``text``."""

    answer: str
    part: str
    text: str


def verify_certificate(
    stored: Certificate, observer: RENObserver, plant: DiscreteSystem, *, budget: float = 60.0
) -> list[Finding]:
    """Every part of ``stored`` against what its inputs give.

    Parameters
    ----------
    stored : as it was read. observer, plant : those that are shipped.
    budget : seconds for all searches, in each repetition. What they do not suffice for is "unconfirmed", never "differs".
    """
    return list(_findings(stored, observer, plant, budget))


def _findings(stored: Certificate, observer: RENObserver, plant: DiscreteSystem, budget: float) -> Iterator[Finding]:
    anew = certify(observer, plant, residual=False)
    reason = proved_sentence(stored.rate, stored.dt, plant.system.time_unit) if anew.holds else anew.reason
    earlier = bool(stored.bounds is None and not stored.identity) or _is_earlier(stored.bounds)
    closed = _Comparison(lambda jitter: certify(_nudged(observer, jitter), plant, residual=False), budget, earlier)
    yield from closed.findings(_closed(stored), replace(_closed(anew), reason=reason))
    found = identity(observer, plant, stored.bounds)
    others = [name for name in changed(stored.identity, found) if not (earlier and name not in stored.identity)]
    for name in others:
        what = _INPUTS.get(name, f"{name} is")
        yield Finding(DIFFERS, "identity", f"{what} not what was certified (its fingerprint differs)")
    if not others:
        yield Finding(AGREES, "identity", "identity of the matrices and of the plant")
    if stored.bounds is None:
        return
    fault = _unusable(stored.bounds, observer, plant)
    if fault:
        yield Finding(DIFFERS, "bounds", fault)
    elif others:
        text = "its bounds were derived from something else, so they were not derived again"
        yield Finding(DIFFERS, "bounds", text)
    else:
        yield from _bounds(stored.bounds, observer, plant, budget)


def _bounds(stored: Bounds, observer: RENObserver, plant: DiscreteSystem, budget: float) -> Iterator[Finding]:
    def derive(jitter: float) -> Bounds:
        return repeat_accuracy(stored, _nudged(observer, jitter), plant, budget=budget, jitter=jitter)

    try:
        anew = derive(0.0)
    except InputError as error:
        yield Finding(DIFFERS, "bounds", str(error))
        return
    except OutOfTimeError:
        text = f"not confirmed in {budget:.3g} s: its settled set takes longer; a longer --budget goes on"
        yield Finding(UNCONFIRMED, "bounds", text)
        return
    comparison = _Comparison(derive, budget, _is_earlier(stored))
    try:
        yield from comparison.findings(stored, anew)
    except OutOfTimeError:
        text = f"not confirmed in {budget:.3g} s: what rounding makes of it takes longer; a longer --budget goes on"
        yield Finding(UNCONFIRMED, "bounds", text)
    for p in (*stored.proofs, *stored.unforced) if comparison.earlier else ():
        yield from _attained(p, observer, plant)


def _closed(certificate: Certificate) -> Certificate:
    return replace(certificate, bounds=None, identity={})


def _is_earlier(bounds: Bounds | None) -> bool:
    """Whether no work was counted."""
    return bounds is not None and bool(np.isnan(bounds.work))


def _nudged(observer: RENObserver, jitter: float) -> RENObserver:
    """Every number of it changed in its last digits, up or down; ``jitter`` seeds it."""
    if jitter == 0:
        return observer
    rng = np.random.default_rng(int(abs(jitter) / np.finfo(float).eps))

    def nudge(array: Any) -> np.ndarray:
        array = np.asarray(array, dtype=float)
        return array * (1 + jitter * rng.choice([-1.0, 1.0], size=array.shape))

    ren = observer.weights
    weights = replace(ren, **{name: nudge(getattr(ren, name)) for name in WEIGHTS if name not in _OUTPUT})
    metric = np.tril(nudge(observer.metric))
    metric = metric + np.tril(metric, -1).T
    return replace(observer, weights=weights, metric=metric, multipliers=nudge(observer.multipliers))


class _Comparison:
    """One structure against another. again : jitter -> the second, derived from inputs with other last digits."""

    def __init__(self, again: Callable[[float], Any], budget: float, earlier: bool) -> None:
        self.again, self.budget, self.earlier = again, budget, earlier
        self._found: list[Finding] = []

    @cached_property
    def repetitions(self) -> list[Any]:
        """What other last digits give."""
        return [self.again(_LAST_DIGITS * (1 + k / 8) * (-1) ** k) for k in range(_REPETITIONS)]

    def findings(self, stored: Any, found: Any) -> list[Finding]:
        """One that agrees for every part in which nothing else was found."""
        for part, path in self._parts(stored, found):
            before = len(self._found)
            self._visit(part, part, path, _at(stored, path), _at(found, path))
            if len(self._found) == before:
                self._found.append(Finding(AGREES, part, part))
        return self._found

    def _parts(self, stored: Any, found: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for name in self._compared(stored):
            value, anew = getattr(stored, name), getattr(found, name)
            if name in ("proofs", "unforced"):
                longer = value if len(value) >= len(anew) else anew
                yield from ((f"proof '{p.name}'", (name, k)) for k, p in enumerate(longer))
            else:
                yield _PARTS.get(name, name.replace("_", " ")), (name,)

    def _visit(self, part: str, what: str, path: tuple[Any, ...], stored: Any, found: Any) -> None:
        alike = is_dataclass(stored) and type(found) is type(stored)
        if alike and isinstance(stored, _SEARCHES) and self._searched(part, what, stored, found):
            return
        if alike:
            for name in self._compared(stored):
                inner = f"{what}, {name.replace('_', ' ')}"
                self._visit(part, inner, (*path, name), getattr(stored, name), getattr(found, name))
        elif is_dataclass(stored) or is_dataclass(found) or found is _ABSENT:
            self._differs(part, f"{what} is {_brief(stored)} there and {_brief(found)} {_FROM}")
        elif not _same(stored, found) and not self._within_rounding(path, stored, found):
            said, anew = _texts(stored, found)
            self._differs(part, f"{what} is {said} there and {anew} {_FROM}")

    def _compared(self, record: Any) -> list[str]:
        """Fields that are stored and no timing."""
        left_out = (*TIMINGS, *(_NOT_EARLIER if self.earlier else ()))
        return [f.name for f in fields(record) if f.metadata.get("stored", True) and f.name not in left_out]

    def _differs(self, part: str, text: str) -> None:
        self._found.append(Finding(DIFFERS, part, text))

    def _searched(self, part: str, what: str, stored: Any, found: Any) -> bool:
        """Judge a search that the clock ended here and not there, or that has no counted work; False for any other."""
        count = "trials" if isinstance(stored, StatisticalBound) else "cells"
        by_clock = found.status in (CLOCK, STOPPED) and getattr(found, count) != getattr(stored, count)
        if isinstance(stored, StatisticalBound):
            text = f"{found.trials} of {stored.trials} trials were repeated"
        else:
            if found.lower > stored.upper:  # an upper bound covers the rounding of whoever evaluates it
                said, reached = distinguished(stored.upper, found.lower)
                self._differs(part, f"{what}: stated as at most {said}, but {reached} is reached")
                return True
            if (
                self.earlier
                and found.upper <= stored.upper * _UP
                and (found.state_upper <= stored.state_upper * _UP).all()
            ):
                return True
            said, anew = distinguished(stored.upper, found.upper)
            text = f"stated {said}, proved anew {anew} with {found.cells} cells, where {stored.cells} are stated"
        if not by_clock and not (self.earlier and not isinstance(stored, StatisticalBound)):
            return False
        text = f"{what}: not confirmed in {self.budget:.3g} s: {text}; a longer --budget goes on"
        self._found.append(Finding(UNCONFIRMED, part, text))
        return True

    def _within_rounding(self, path: tuple[Any, ...], stored: Any, found: Any) -> bool:
        if isinstance(stored, _WORDS) and path[-1] != "status":
            return False
        others = [_at(other, path) for other in self.repetitions]
        if path[-1] == "status":
            return stored in others
        try:
            one, two, *more = (np.asarray(value, dtype=float) for value in (stored, found, *others))
        except (TypeError, ValueError):  # a word
            return False
        if any(value.shape != two.shape for value in (one, *more)):
            return False
        with np.errstate(invalid="ignore"):
            allowed = _FACTOR * np.max(np.abs(np.array(more) - two), axis=0) + 8 * np.finfo(float).eps * np.abs(two)
            return bool(((np.abs(one - two) <= allowed) | (one == two) | (np.isnan(one) & np.isnan(two))).all())


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        try:
            value = value[step] if isinstance(step, int) else getattr(value, step)
        except (AttributeError, IndexError, TypeError):
            return _ABSENT
    return value


def _same(stored: Any, found: Any) -> bool:
    """To the last bit; nan is nan."""
    if isinstance(stored, _WORDS) or isinstance(found, _WORDS):
        return type(stored) is type(found) and stored == found
    one, two = np.asarray(stored), np.asarray(found)
    if not one.size and not two.size:  # of a plant without inputs; a list of JSON has no shape then
        return True
    return one.shape == two.shape and bool(np.array_equal(one, two, equal_nan=one.dtype.kind == "f" == two.dtype.kind))


def _texts(stored: Any, found: Any) -> tuple[str, str]:
    """Both for a message: of arrays the first entry that differs."""
    if isinstance(stored, _WORDS) or isinstance(found, _WORDS):
        return repr(stored), repr(found)
    one, two = np.asarray(stored, dtype=float), np.asarray(found, dtype=float)
    if one.shape != two.shape:
        return f"of shape {one.shape}", f"of shape {two.shape}"
    if not one.shape:
        return distinguished(float(one), float(two))
    at = tuple(int(k) for k in np.argwhere(~((one == two) | (np.isnan(one) & np.isnan(two))))[0])
    said, anew = distinguished(float(one[at]), float(two[at]))
    return f"{said} at {list(at)}", anew


def _brief(value: Any) -> str:
    return "missing" if value is None or value is _ABSENT else "present" if is_dataclass(value) else repr(value)


def _attained(p: Proof, observer: RENObserver, plant: DiscreteSystem) -> Iterator[Finding]:
    """Whether the lower bound is what is found at its point; of certificates whose searches are not repeated."""
    at = p.residual.attained_at
    there = metric_norm(residual(observer, plant, at[: plant.nx], at[plant.nx :]), p.contraction.metric)
    if not abs(float(there) - p.residual.lower) <= 2 * p.residual.rounding + 1e-9 * p.residual.lower:
        said, found = distinguished(p.residual.lower, float(there))
        yield Finding(
            DIFFERS, f"proof '{p.name}'", f"proof '{p.name}': stated to attain {said}, but it is {found} there"
        )


def _unusable(stored: Bounds, observer: RENObserver, plant: DiscreteSystem) -> str | None:
    """Why this cannot be derived again: an input of a shape or size that no certificate has."""
    nx, nu, nv = plant.nx, plant.nu, observer.weights.nv
    box = stored.region.box
    if box.shape != (nx + nu, 2) or not np.isfinite(box).all() or (box[:, 0] > box[:, 1]).any():
        return f"region: is {_texts(box, np.zeros((nx + nu, 2)))[0]}; expected {nx + nu} finite pairs, low before high"
    numbers = {"gap": stored.gap, "work": 1.0 if np.isnan(stored.work) else stored.work}
    for name, value in numbers.items():
        if not 0 < value < np.inf:
            return f"{name}: is {value!r}; expected a number above 0"
    if stored.seed < 0:
        return f"seed: is {stored.seed}; expected 0 or more"
    for p in (*stored.proofs, *stored.unforced):
        fault = find_fault(observer.weights, p.contraction.metric, p.contraction.multipliers)
        shapes = {"error multipliers": p.gains.error_multipliers, "noise multipliers": p.gains.noise_multipliers}
        wrong = [f"{n} of shape {v.shape}; expected {(nx, nv)}" for n, v in shapes.items() if v.size != nx * nv]
        if fault or wrong:
            return f"proof '{p.name}': {fault or wrong[0]}"
    for s in (stored.settled, stored.settled_unforced):
        if s is not None and not (len(s.shape) == nx and all(n > 0 for n in s.shape) and prod(s.shape) <= _MOST_CELLS):
            return f"settled set: of {s.shape} cells; expected {nx} numbers, {_MOST_CELLS} cells at most"
    return None
