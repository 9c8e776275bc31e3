"""Single proofs: the residual in one metric over X x U, over the part of it where the plant settles, and over many steps."""

from dataclasses import replace
from typing import Any

import numpy as np

from observer.certification.bounds import Horizon, Proof
from observer.certification.contraction import contraction_rate, input_gain
from observer.certification.gains import step_gains
from observer.certification.residual import Unprovable, bound_horizon, bound_residual
from observer.certification.settled import Settled


def prove(
    observer: Any,
    plant: Any,
    box: np.ndarray,
    name: str,
    metric: Any,
    multipliers: Any,
    *,
    budget: float,
    gap: float,
    seed: int,
) -> Proof:
    """The residual over ``box`` X x U, and the gains, in one metric."""
    weights, known = observer.weights.to_numpy(), len(plant.system.known)
    M, Lam = np.asarray(metric, dtype=float), np.asarray(multipliers, dtype=float)
    found = bound_residual(observer, plant, region=box, metric=M, gap=gap, budget=budget, seed=seed)
    steps, noises = step_gains(weights, M, Lam, slice(known, None))
    return Proof(
        name=name, metric=M, multipliers=Lam, rate=contraction_rate(weights, M, Lam),
        gain_y=input_gain(weights, M, Lam, slice(known, None)), gain_u=input_gain(weights, M, Lam, slice(0, known)),
        state_gain=np.sqrt(np.diag(np.linalg.inv(M))),
        step_gain=steps[0], step_multipliers=steps[1], step_gain_y=noises[0], step_multipliers_y=noises[1],
        residual_upper=float(found.upper), residual_lower=float(found.lower), attained_at=np.array(found.attained_at),
        state_upper=np.array(found.state_upper), rounding=float(found.rounding), status=str(found.status), gap=float(found.gap),
        cells=int(found.cells), seconds=float(found.seconds), discretisation=0.0, after=0,
        residual_before=float(found.upper), state_before=np.array(found.state_upper),
    )  # fmt: skip


def prove_settled(
    observer: Any, plant: Any, box: np.ndarray, before: Proof, within: Settled, *, budget: float, gap: float, seed: int
) -> Proof:
    """``before`` for the samples from which on the plant is in the settled set: the residual there, all else as it is."""
    found = bound_residual(
        observer, plant, region=box, metric=before.metric, within=within, gap=gap, budget=budget, seed=seed
    )
    return replace(
        before, name=f"{before.name}, settled", residual_upper=float(min(found.upper, before.residual_upper)),
        residual_lower=float(found.lower), attained_at=np.array(found.attained_at),
        state_upper=np.minimum(found.state_upper, before.state_upper), rounding=float(found.rounding),
        status=str(found.status), gap=float(found.gap), cells=int(found.cells), seconds=float(found.seconds),
        after=within.samples, residual_before=before.residual_upper, state_before=before.state_upper,
    )  # fmt: skip


def prove_horizon(
    observer: Any,
    plant: Any,
    box: np.ndarray,
    held: np.ndarray,
    proof: Proof,
    within: Settled | None,
    *,
    budget: float,
    gap: float,
    seed: int,
) -> Horizon | None:
    """Over many steps, without excitation, in the metric of ``proof``; None when the budget did not suffice for any bound."""
    try:
        found = bound_horizon(
            observer, plant, rate=proof.rate, step_gains=proof.step_gain, region=box, metric=proof.metric, within=within,
            input=held if plant.nu else None, gap=max(gap, 0.2), budget=budget, seed=seed,
        )  # fmt: skip
    except Unprovable:
        return None
    if not np.isfinite([found.upper, *found.state_upper]).all():
        return None
    return Horizon(
        int(found.steps), proof.rate, proof.metric, float(found.upper), float(found.lower), np.array(found.state_upper),
        np.array(found.state_lower), np.array(found.steady_state), held, str(found.status), float(found.seconds),
        within.samples if within is not None else 0,
    )  # fmt: skip
