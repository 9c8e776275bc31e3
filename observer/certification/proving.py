"""Single proofs: the residual in one metric over X x U, over the part of it where the plant settles, and over many steps.

A certificate is proved and verified with the same calls.
"""

from dataclasses import dataclass, replace

import numpy as np

from observer.certification.bounds import Proof, SettledPart
from observer.certification.contraction import Contraction, prove_contraction
from observer.certification.gains import find_step_gains
from observer.certification.residual import HorizonBound, ResidualBound, bound_horizon, bound_residual
from observer.certification.settled import Settled
from observer.networks.ren.explicit import ExplicitREN
from observer.state_observer import RENObserver
from systems.discretization import DiscreteSystem

HORIZON_GAP = 0.2  # at least: over many steps a smaller gap takes too long


@dataclass(frozen=True, eq=False)
class Prover:
    """Bounds for one observer and plant. gap : proved over attained, minus 1, at which a search stops. seed : of its samples."""

    observer: RENObserver
    plant: DiscreteSystem
    gap: float
    seed: int

    @property
    def weights(self) -> ExplicitREN:
        """The explicit weights, in NumPy float64."""
        return self.observer.weights.to_numpy()

    @property
    def known(self) -> int:
        """How many inputs of the network are inputs of the plant; the others are its outputs."""
        return len(self.plant.system.known)

    def contraction(self, metric: np.ndarray, multipliers: np.ndarray) -> Contraction:
        """Rate and gains in one metric."""
        return prove_contraction(self.weights, metric, multipliers, self.known)

    def residual(
        self,
        box: np.ndarray,
        metric: np.ndarray,
        within: Settled | None = None,
        *,
        budget: float,
        gap: float | None = None,
        resume: ResidualBound | None = None,
    ) -> ResidualBound:
        """|r|_M over ``box`` X x U, or over the part of it ``within`` a settled set."""
        return bound_residual(
            self.observer, self.plant, region=box, metric=metric, within=within, gap=gap or self.gap, budget=budget,
            seed=self.seed, resume=resume,
        )  # fmt: skip

    def proof(self, name: str, box: np.ndarray, metric: np.ndarray, multipliers: np.ndarray, budget: float) -> Proof:
        """The residual over ``box``, and the gains, in one metric."""
        contraction = self.contraction(metric, multipliers)
        residual = self.residual(box, contraction.metric, budget=budget)
        gains = find_step_gains(self.weights, contraction.metric, contraction.multipliers, self.known)
        return Proof(name, contraction, gains, residual)

    def settled_proof(self, before: Proof, box: np.ndarray, within: Settled, budget: float) -> Proof:
        """``before`` for the samples from which on the plant is in the settled set: the residual there, all else as it is."""
        found, whole = self.residual(box, before.contraction.metric, within, budget=budget), before.residual
        found = replace(
            found, upper=min(found.upper, whole.upper), state_upper=np.minimum(found.state_upper, whole.state_upper)
        )
        return replace(
            before, name=f"{before.name}, settled", residual=found, settled=SettledPart(within.samples, whole)
        )

    def horizon(
        self,
        proof: Proof,
        box: np.ndarray,
        held: np.ndarray,
        within: Settled | None,
        *,
        budget: float,
        steps: int | None = None,
    ) -> HorizonBound:
        """Many steps under the constant input ``held``, in the metric of ``proof``."""
        return bound_horizon(
            self.observer, self.plant, rate=proof.contraction.rate, step_gains=proof.gains.error, steps=steps, region=box,
            metric=proof.contraction.metric, within=within, stays=True, input=held if self.plant.nu else None,
            gap=max(self.gap, HORIZON_GAP), budget=budget, seed=self.seed,
        )  # fmt: skip
