"""Single proofs: the residual in one metric over X x U, over the part of it where the plant settles, and over many steps.

A certificate is proved and verified with the same calls. Work is counted in operations, as the terms that plant and network
add and multiply in each cell, so that a search ends at the same place whatever a machine is busy with.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observer.certification.bounds import Bounds, Proof, SettledPart
from observer.certification.contraction import prove_contraction
from observer.certification.gains import find_step_gains, proved_step_gains
from observer.certification.residual import HorizonBound, ResidualBound, Unprovable, bound_horizon, bound_residual
from observer.certification.residual.model import OutOfTimeError, OutOfWorkError
from observer.certification.residual.search import CLOCK, STOPPED, WORK
from observer.certification.settled import Settled, settled_set
from observer.networks.ren.explicit import ExplicitREN
from observer.state_observer import RENObserver
from systems.angles import angles
from systems.discretization import DiscreteSystem

FULL_WORK = 4.5e9  # operations of a certificate, some 5 s on two cores; a share of them is what callers ask for
TURNS = "turns"  # why there is no settled set: an angle leaves its turn at one end and comes back at the other
HORIZON = "horizon"
HORIZON_GAP = 0.2  # at least: over many steps a smaller gap takes too long
_FINEST_GAP = 1e-3
_CELLS, _FEWEST, _MOST = 12_500, 4000, 60_000  # of a settled set, by the work
_GAINS = 0.05  # of the work, for each search for a metric or for multipliers
_MATRIX, _ITERATION = 0.1, 4e4  # operations of a product in the algebra of a metric, and of each of its iterations


@dataclass(frozen=True, eq=False)
class Prover:
    """Bounds for one observer and plant.

    gap : proved over attained, minus 1, at which a search stops. seed : of its samples. work, budget : operations and seconds of
    all searches; each gets a share of both, and what is not begun when the seconds are over is left out.
    stated : what is to be derived again: its metrics, multipliers and gains are taken as they are (a search for them that is
    repeated on another processor ends elsewhere, and what counts is what they prove), and a search that a clock ended goes as
    far as it went. omitted : what was left out so far, and whether "work" or the "clock" was not enough for it.
    Certificates of earlier formats have no work: there a search goes on until what they state is proved.
    progress : called with what is being searched, how many cells it has bounded, and the seconds so far.
    """

    observer: RENObserver
    plant: DiscreteSystem
    gap: float
    seed: int
    work: float
    budget: float
    stated: Bounds | None = None
    omitted: dict[str, str] = field(default_factory=dict)
    progress: Callable[[str, int, float], None] | None = None
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Of the budget."""
        return max(0.0, self.budget - (time.monotonic() - self.began))

    def _seconds(self, share: float) -> float:
        """For a search that gets this share of the work: more of the clock, as most leave some of theirs."""
        return min(2 * share * self.budget, self.seconds_left)

    @property
    def weights(self) -> ExplicitREN:
        """The explicit weights, in NumPy float64."""
        return self.observer.weights.to_numpy()

    @property
    def known(self) -> int:
        """How many inputs of the network are inputs of the plant; the others are its outputs."""
        return len(self.plant.system.known)

    def given(self, name: str) -> Proof | None:
        """The stated proof of this name."""
        return next((p for p in _proofs(self.stated) if p.name == name), None)

    @property
    def earlier(self) -> bool:
        """Whether what is stated has no counted work."""
        return self.stated is not None and np.isnan(self.stated.work)

    def wanted(self, name: str) -> bool:
        """Whether to prove this: of what has no counted work only what is stated, and nothing that the clock left out."""
        if self.earlier:
            return self.given(name) is not None
        late = self.seconds_left == 0 if self.stated is None else self.stated.omitted.get(name) == CLOCK
        if late:
            self.omitted[name] = CLOCK
        return not late

    def _in_time(self, name: str, search: Callable[[], Any]) -> Any:
        """What a search finds; None where work or clock do not suffice, and ``omitted`` then says which.

        Raises OutOfTimeError where it was there when this was stated.
        """
        try:
            return search()
        except OutOfWorkError:
            self.omitted[name] = WORK
        except OutOfTimeError:
            if self.stated is not None:
                raise
            self.omitted[name] = CLOCK
        return None

    def _told(self, name: str) -> Callable[[Any], None] | None:
        if self.progress is None:
            return None
        tell = self.progress
        return lambda found: tell(name, found.cells, time.monotonic() - self.began)

    def spent(self, name: str, found: ResidualBound) -> float:
        """Operations that the search took by what is stated, or else as it was found."""
        stated = self.given(name)
        return found.operations * (1.0 if stated is None else stated.residual.cells / max(found.cells, 1))

    def _limits(self, stated: ResidualBound | HorizonBound | None, share: float, gap: float) -> dict[str, Any]:
        """Arguments of a search."""
        limits: dict[str, Any] = {
            "work": share * self.work,
            "budget": self._seconds(share),
            "gap": gap,
            "seed": self.seed,
        }
        if stated is None:
            return limits
        if self.earlier:
            until = np.append(stated.upper, stated.state_upper) * (1 + 1e-9)
            return limits | {"work": None, "gap": _FINEST_GAP, "until": until}
        return limits | ({"cells": stated.cells} if stated.status in (CLOCK, STOPPED) else {})

    def residual(
        self, name: str, box: np.ndarray, metric: np.ndarray, share: float, within: Settled | None = None
    ) -> ResidualBound:
        """|r|_M over ``box`` X x U, or over the part of it ``within`` a settled set; by a ``share`` of the work.

        Raises OutOfTimeError where the cells of a settled set are too many for the clock.
        """
        given = self.given(name)
        stated = None if given is None else given.residual
        limits = self._limits(stated, share, self.gap)
        found = bound_residual(
            self.observer, self.plant, region=box, metric=metric, within=within, progress=self._told(name), **limits
        )
        return self._ended(found, stated, share)

    def proof(self, name: str, box: np.ndarray, metric: np.ndarray, multipliers: np.ndarray, share: float) -> Proof:
        """The residual over ``box``, and the gains, in one metric."""
        contraction, given = prove_contraction(self.weights, metric, multipliers, self.known), self.given(name)
        residual = self.residual(name, box, contraction.metric, share)  # first: where it is unprovable, so is all
        if given is None:
            most = self.iterations(60, 2 * self.plant.nx)
            gains = find_step_gains(self.weights, contraction.metric, contraction.multipliers, self.known, most)
        else:
            gains = proved_step_gains(self.weights, contraction.metric, given.gains, self.known)
        return Proof(name, contraction, gains, residual)

    def iterations(self, most: int, searches: int = 1) -> int:
        """How many of each of so many searches in the weights' algebra are within the work."""
        if self.earlier:
            return most
        each = _ITERATION + _MATRIX * (self.plant.nx + self.weights.nv) ** 3
        return int(np.clip(_GAINS * self.work / each / searches, 5, most))

    def settled(self, name: str, box: np.ndarray, samples: int, most: int, share: float) -> Settled | None:
        """The settled set of ``box``; None where it is all of X, nothing can be proved, or work or clock do not suffice.

        Raises OutOfTimeError where it was there when this was stated.
        """
        if len(angles(self.plant.system).turning):
            self.omitted[name] = TURNS
            return None
        given = None if self.stated is None else getattr(self.stated, name)
        if given is None if self.earlier else not self.wanted(name):
            return None
        limits: dict[str, Any]
        if given is not None and self.earlier:
            samples, shape = given.samples, tuple(given.shape)
            limits = {"stride": given.stride, "shape": shape, "budget": self.budget}
        else:
            cells = int(np.clip(_CELLS * self.work / FULL_WORK, _FEWEST, _MOST))
            limits = {"most": most, "cells": cells, "work": share * self.work, "budget": self._seconds(share)}

        def search() -> Settled | None:
            return settled_set(self.plant, box, samples, **limits)

        try:
            return self._in_time(name, search)
        except Unprovable:
            return None

    def unforced_proof(self, before: Proof, box: np.ndarray, share: float) -> Proof:
        """``before`` over X and the one input of ``box``."""
        name = f"{before.name}, unforced"
        return replace(before, name=name, residual=self.residual(name, box, before.contraction.metric, share))

    def settled_proof(self, before: Proof, box: np.ndarray, within: Settled, share: float) -> Proof | None:
        """``before`` for the samples from which on the plant is in the settled set: the residual there, all else as it is."""
        name, whole = f"{before.name}, settled", before.residual
        found = self._in_time(name, lambda: self.residual(name, box, before.contraction.metric, share, within))
        if found is None:
            return None
        found = replace(
            found, upper=min(found.upper, whole.upper), state_upper=np.minimum(found.state_upper, whole.state_upper)
        )
        return replace(before, name=name, residual=found, settled=SettledPart(within.samples, whole))

    def horizon(
        self, proof: Proof, box: np.ndarray, held: np.ndarray, within: Settled | None, share: float
    ) -> HorizonBound | None:
        """Many steps under the constant input ``held``, in the metric of ``proof``, in all the time that is left."""
        stated = None if self.stated is None else self.stated.horizon
        limits: dict[str, Any] = self._limits(stated, share, max(self.gap, HORIZON_GAP)) | {"budget": self.seconds_left}
        found = self._in_time(HORIZON, lambda: bound_horizon(
            self.observer, self.plant, rate=proof.contraction.rate, step_gains=proof.gains.error, region=box,
            metric=proof.contraction.metric, within=within, stays=True, input=held if self.plant.nu else None,
            progress=self._told(HORIZON), **limits,
        ))  # fmt: skip
        return None if found is None else self._ended(found, stated, share)

    def _ended(self, found: Any, stated: ResidualBound | HorizonBound | None, share: float) -> Any:
        """A search that goes no further than a clock let the stated one go, with work left, was ended by that clock too.

        Raises KeyboardInterrupt where a person stopped it: a certificate is whole, or there is none.
        """
        if found.status == STOPPED:
            raise KeyboardInterrupt
        if (
            stated is None
            or stated.status not in (CLOCK, STOPPED)
            or (found.status, found.cells) != (WORK, stated.cells)
        ):
            return found
        left = share * self.work - found.operations
        return replace(found, status=stated.status) if left >= 2 * found.each else found


def _proofs(bounds: Bounds | None) -> Iterator[Proof]:
    if bounds is not None:
        yield from (*bounds.proofs, *bounds.unforced)
