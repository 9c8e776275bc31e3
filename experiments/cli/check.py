"""What is known about a plant before a fit: signals, discretisation, observability, and how fast an observer can be.

:func:`examine` gathers the findings as plain data, :mod:`experiments.cli.check_text` prints them; ``docs/check.md`` explains every line.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.cli.check_text import lines as lines
from experiments.pipeline.console import Console
from experiments.pipeline.recipe import Recipe
from systems.base.records import to_plain

if TYPE_CHECKING:
    from systems.discretization import DiscreteSystem
    from systems.observability import Observability, UnobservableModes

NOISY = 0.5  # of a half range: a direction that a window of samples determines no better than this is barely observable


def examine(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Findings as plain data; ``detectable`` is the result. Raises InputError for a plant that cannot be used.

    The rate is that of the recipe (``fit.settling_time``, ``fit.contraction_rate``), or the one that a fit would choose. The
    decision is that of a run (:mod:`experiments.pipeline.decision`), on the same data; unobservable directions are searched more
    thoroughly, for information.
    """
    from experiments.pipeline.decision import decide_fit, simulated_data
    from experiments.pipeline.prepare import plan
    from observer.fitting.problem import fitting_region
    from observer.fitting.rate import requested_rate
    from systems.base.errors import NotDetectable
    from systems.detectability import MetricSearch, settling_time
    from systems.observability import examine_observability

    refused: NotDetectable | None = None
    found: MetricSearch | None = None
    chosen: float | None = None
    notes: tuple[str, ...] = ()
    with console.step("check", recipe.system):
        recipe, plant = plan(recipe, console)
        system, fit = plant.system, recipe.fit
        asked = requested_rate(fit.settling_time, fit.contraction_rate, fit.condition, plant.dt)
        data = simulated_data(recipe, plant)
        region = fitting_region(plant, data)
        try:
            decision = decide_fit(recipe, plant, data)
            region = decision.region
            chosen, found, notes = decision.rate, decision.search, decision.warnings
            table = found.trade_off
        except NotDetectable as error:
            refused, table = error, error.trade_off
        seen = examine_observability(plant, data, region=region, seed=recipe.seed)
    among = tuple(text for text in notes if text.startswith("unobservable: "))  # they are findings of their own
    for text in (*system.unused, *plant.warnings, *(text for text in notes if text not in among)):
        console.warn(text)
    assert table is not None
    best = int(np.argmin(table.rate))
    direction, where = (refused.direction, refused.where) if refused is not None else (found.direction, found.where)  # type: ignore[union-attr]
    bound = None if refused is None else refused.residual_bound
    signals = [("state", system.states), ("input", system.inputs), ("output", system.outputs)]
    modes = seen.modes
    return to_plain(
        {
            "system": system.name,
            "description": system.description,
            "kind": system.kind,
            "signals": [
                {"kind": kind, "name": s.name, "unit": s.unit, "range": s.range, "noise": s.noise, "role": s.role}
                for kind, group in signals
                for s in group
            ],
            "parameters": {name: parameter.value for name, parameter in system.parameters.items()},
            "time_unit": system.time_unit,
            "region": [] if system.region is None else system.region.sentences,
            "dt": plant.dt,
            "method": plant.method,
            "substeps": plant.substeps,
            "discretization_error": dict(zip(system.state_names, plant.error, strict=True)),
            "fastest_time_constant": None if modes is None else modes.fastest,
            "typical_time_constant": None if modes is None else modes.typical,
            "modes": None if modes is None else vars(modes),
            "time_dependent": system.time_dependent,
            "feedback": None if system.feedback is None else system.feedback.found or "given",
            "observability": _observability(plant, seen),
            "requested_rate": asked,
            "requested_settling_time": fit.settling_time,
            "rate": table.rate[best],
            "settling_time": table.settling_time[best] if refused is None else None,
            "condition": table.condition[best],
            "slowest_direction": dict(zip(system.state_names, direction, strict=True)),
            "where": dict(zip((*system.state_names, *system.input_names), where, strict=True)),
            "detectable": refused is None,
            "verdict": "pass" if refused is None else "fail",
            "reason": "" if refused is None else str(refused),
            "unavoidable_error": None
            if bound is None
            else dict(zip(system.state_names, bound.state_error, strict=True)),
            "chosen_rate": chosen,
            "chosen_settling_time": None if chosen is None else settling_time(chosen, plant.dt),
            "trade_off": {**vars(table), "chosen": -1 if found is None else found.trade_off.chosen},  # type: ignore[union-attr]
            "observability_coordinates": found is not None and found.coordinates is not None,
            "advice": _advice(plant, seen, refused is None, chosen if asked is None else asked),
        }
    )


def _observability(plant: "DiscreteSystem", seen: "Observability") -> dict[str, Any]:
    """Rank, Gramian and unobservable directions as plain data, directions by state name."""
    from systems.observability.words import decay_text, direction_text, point_text

    system, rank, gramian = plant.system, seen.rank, seen.gramian
    points = (*system.state_names, *system.input_names)

    def named(direction: np.ndarray) -> dict[str, Any]:
        return dict(zip(system.state_names, direction, strict=True))

    return {
        "simulated": seen.simulated,
        "rank": None
        if rank is None
        else {
            "smallest": rank.smallest, "states": plant.nx, "share_lost": rank.share, "samples": rank.samples,
            "motions": len(rank.ranks), "tolerance": rank.tolerance,
            "where": dict(zip(points, rank.where, strict=True)), "where_text": point_text(system, rank.where),
            "singular_values": rank.weakest_values, "weakest_direction": named(rank.weakest),
            "text": direction_text(system, rank.weakest),
            "lost_texts": [direction_text(system, row) for row in _spoken(rank.lost)], "lost_directions": [named(row) for row in rank.lost],
            "lost_growth": rank.growth,
        },
        "gramian": None
        if gramian is None
        else {
            "samples": gramian.samples, "starts": gramian.initial_states, "eigenvalues": gramian.eigenvalues,
            "condition": gramian.condition, "worst_direction": named(gramian.directions[0]),
            "text": direction_text(system, gramian.directions[0]), "deviation": gramian.deviation,
            "output_noise": dict(zip(system.output_names, gramian.output_noise, strict=True)),
            "noise_assumed": gramian.assumed,
        },
        "hidden": {
            "rate": seen.unobservable.rate, "places": seen.unobservable.places, "tolerance": seen.unobservable.tolerance,
            "dimension": seen.unobservable.dimension,
            "modes": [
                {
                    "kind": mode.kind, "everywhere": mode.everywhere, "share": mode.share,
                    "point": dict(zip(points, mode.point, strict=True)), "rate": mode.rate,
                    "decay_per_second": mode.decay, "angular_frequency": mode.frequency,
                    "eigenvalues": [[value.real, value.imag] for value in mode.eigenvalues],
                    "direction": named(mode.direction), "text": mode.text(system),
                    "decay_text": decay_text(mode.rate, plant.dt, system.time_unit),
                }
                for mode in seen.unobservable.modes
            ],
        },
    }  # fmt: skip


def _spoken(lost: np.ndarray) -> np.ndarray:
    """The lost directions that are named: all of them in their simplest basis, of more than three the weakest."""
    from systems.observability.words import plain_basis

    return plain_basis(lost) if 0 < len(lost) <= 3 else lost[:1]


def _advice(plant: "DiscreteSystem", seen: "Observability", detectable: bool, rate: float | None) -> list[str]:
    """What to do, in sentences; ``rate`` is the one in question, None where none was found."""
    limit = 1.0 - 2e-4 if rate is None else rate
    text = []
    mode = seen.unobservable.slowest()
    if mode is not None and mode.rate >= limit * (1 - 1e-12):
        text += _against_unobservable(plant, mode, limit)
    elif not detectable:
        whole = seen.rank is not None and seen.rank.share == 0
        if whole:
            text.append(
                f"{seen.rank.samples} samples determine every state, but an observer with the states of the plant cannot reach this rate: "  # type: ignore[union-attr]
                "ask for a longer settling time, measure one more state, or give the observer more states than the plant "
                "(immersion), so that it stores past outputs"
            )
        else:
            text.append(
                "measure one more state, narrow the ranges to where the outputs are more informative, or ask for a longer settling time"
            )
    if mode is None and seen.gramian is not None and NOISY < seen.gramian.deviation < np.inf:
        text.append(
            "within one window the noise masks the weakest direction of the Gramian: use a better sensor, one more output, or a "
            "slower observer, which averages over more samples"
        )
    if not seen.simulated:
        text.append(
            "from some initial states the plant leaves ten times its ranges: narrow initial, or correct the equations"
        )
    return [*text, *(seen.modes.advice if seen.modes is not None else ())]


def _against_unobservable(plant: "DiscreteSystem", mode: "UnobservableModes", limit: float) -> list[str]:
    """Remedies for an unobservable direction that does not decay at the rate ``limit``."""
    from systems.detectability import settling_time
    from systems.observability.remedies import revealing_states

    text = []
    states = revealing_states(plant, mode, limit)
    if states:
        text.append(
            f"measure {' or '.join(states)} as well: whatever then remains unobservable decays at the required rate"
        )
    else:
        text.append("measure several of the states in this direction: no single one is enough")
    if mode.rate < 1 - 2e-4:
        text.append(
            f"or ask for a settling time of {settling_time(mode.rate, plant.dt):.3g} {plant.system.time_unit} or more: "
            "no gain makes an unobservable direction decay faster"
        )
    elif mode.everywhere:
        text.append("or remove this direction from the model: no output ever depends on it")
    else:
        text.append(
            f"or narrow the ranges so that the plant stays away from {mode.where(plant.system).removeprefix('at ')}"
        )
    return text
