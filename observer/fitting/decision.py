"""What a fit decides before it begins: may it begin, over which region, on which transitions, at which rate and in which metric.

Every refusal of a fit is made here, so that whoever asks beforehand gets the same answer.
"""

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from observer.fitting.linear_algebra.least_squares import parameter_count
from observer.fitting.options import FitOptions, check
from observer.fitting.problem import (
    FILLED_DIMENSIONS,
    fitting_region,
    held_out_count,
    logged_transitions,
    make_scaling,
    model_transitions,
    visited_points,
)
from observer.fitting.rate import choose_rate, range_constraints
from observer.scaling import Scaling
from systems.base import memory
from systems.base.errors import NotDetectable
from systems.detectability import MetricSearch
from systems.discretization import DiscreteSystem
from systems.observability.mirrors import mirror_sentences
from systems.trajectories import Trajectories, Transitions, within_region

_PASSES = 12  # arrays of samples by neurons that a fit holds at its peak, measured
HELD_OUT = 0.2  # of logged trajectories, for the held-out loss and for the validation by replay


@dataclass(frozen=True, eq=False)
class Decision:
    """How a fit begins: ``region`` ``(nx, 2)``, transitions, ``scaling`` of the plain states, ``rate`` and its metric (``search``)."""

    options: FitOptions
    region: np.ndarray
    train: Transitions
    held_out: Transitions
    scaling: Scaling
    rate: float
    search: MetricSearch
    warnings: tuple[str, ...]


def decide(plant: DiscreteSystem, data: Trajectories, options: FitOptions, seed: int = 0) -> Decision:
    """How a fit of ``plant`` to ``data`` with these options begins.

    Where motions leave the ranges and no observer contracts out there (a table is flat beyond its points), the fit is for the ranges
    alone, and a warning says so.

    Raises :class:`InputError` for a plant, data or options that cannot be fitted, and :class:`NotDetectable` for an impossible rate.
    """
    check(options, plant, data)
    data = within_region(plant.system, data)
    try:
        return _decided(plant, data, options, seed)
    except NotDetectable as error:
        inside = _inside(plant, data) if options.transitions == "model" else None
        if inside is None:
            raise
        try:
            found = _decided(plant, inside, options, seed)
        except NotDetectable:
            raise error from None
        left = int((inside.lengths < data.lengths).sum())
        names, place = (*plant.system.state_names, *plant.system.input_names), error.where
        where = ", ".join(f"{name}={value + 0.0:.3g}" for name, value in zip(names, place, strict=True))
        text = (
            f"{left} of {len(data)} trajectories leave the ranges, and out there, near {where}, no observer contracts; the observer is "
            "for the ranges, and the data end where they are left. Trials go on out there, where nothing is promised: with "
            f"{range_constraints(plant, place)[1]} they end there too"
        )
        return replace(found, warnings=(text, *found.warnings))


def _inside(plant: DiscreteSystem, data: Trajectories) -> Trajectories | None:
    """``data`` up to where each trajectory leaves the ranges; None where none does, or nothing would be left."""
    plain = np.array([signal.period is None for signal in plant.system.states])
    low, high = plant.system.state_ranges.T
    outside = ((data.x < low) | (data.x > high)) & plain
    stays = np.logical_and.accumulate(~outside.any(axis=2), axis=1)
    if stays.all() or not stays[:, 1:].any():
        return None
    x, u, y = (np.where(stays[:, :, None], part, np.nan) for part in (data.x, data.u, data.y))
    return replace(data, x=x, u=u, y=y, lengths=np.minimum(data.lengths, stays.sum(axis=1)))


def _decided(plant: DiscreteSystem, data: Trajectories, options: FitOptions, seed: int) -> Decision:
    """The decision over the region that the data reach."""
    region = fitting_region(plant, data)
    options = replace(options, samples=options.samples or _sample_count(plant, options.neurons))
    needed = _PASSES * memory.arrays((options.samples or 0, options.neurons + plant.nx))
    memory.require(
        needed, f"a fit of {options.neurons} neurons to {options.samples} transitions", "ask for fewer neurons"
    )
    with threadpool_limits(limits=1, user_api="blas"):  # as for the fit
        train, held_out = _draw(plant, data, region, options, seed)
        scaling = make_scaling(plant, region, train.y)
        rate, found, warnings = choose_rate(
            plant, region, options.settling_time, options.contraction_rate, options.condition, seed, _points(plant, train),
            visited_points(plant, data),
        )  # fmt: skip
        warnings = (*warnings, *mirror_sentences(plant, region))
        if found.along_trajectories and options.transitions == "model":  # the corners cannot be fitted at this rate
            train, held_out = _draw(plant, data, region, options, seed, filled=False)
    return Decision(options, region, train, held_out, scaling, rate, found, warnings)


def _sample_count(plant: DiscreteSystem, neurons: int) -> int:
    """Training transitions. A surface over more dimensions needs more before its held-out supremum is that of the points."""
    known = len(plant.system.known)
    dimensions = plant.nx + known
    spread = 1000 * min(max(dimensions - 1, 1), 3 if dimensions <= FILLED_DIMENSIONS else 2)
    return max(spread, 4 * parameter_count(plant.nx, neurons, known + plant.ny) // plant.nx)


def _draw(
    plant: DiscreteSystem,
    data: Trajectories,
    region: np.ndarray,
    options: FitOptions,
    seed: int,
    *,
    filled: bool = True,
) -> tuple[Transitions, Transitions]:
    """Transitions to fit and to hold out."""
    count = options.samples
    assert count is not None
    fewer, offset = held_out_count(count)
    if options.transitions == "data":
        train, rest = data.split(HELD_OUT, seed)
        return logged_transitions(plant, train, count, seed), logged_transitions(plant, rest, fewer, seed + offset)
    share = options.region_share
    train = model_transitions(plant, data, region, count, seed, filled=filled, region_share=share)
    return train, model_transitions(plant, data, region, fewer, seed + offset, filled=filled)


def _points(plant: DiscreteSystem, train: Transitions) -> np.ndarray | None:
    """Where the metric has to hold, where it is not all over the region."""
    if plant.nx + plant.nu <= FILLED_DIMENSIONS:
        return None
    return np.concatenate([train.x, train.u], axis=1)[:: max(1, len(train) // 512)]
