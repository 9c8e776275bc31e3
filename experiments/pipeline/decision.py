"""May this run begin? The one decision that ``observer check`` prints and that a run stops with before its fit."""

from typing import TYPE_CHECKING, Any

import systems
from systems.base.errors import InputError, SimulationError

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe
    from observer.fitting.decision import Decision
    from systems import DiscreteSystem, Trajectories


def simulated_data(recipe: "Recipe", plant: "DiscreteSystem") -> "Trajectories":
    """The trajectories that a run learns from, each until it leaves the doubled ranges. Raises SimulationError where they do so at once."""
    options = recipe.data
    return systems.simulate(
        plant, options.trajectories, options.duration, recipe.seed, options.excitation, leave=True, process_noise=True
    )


#: options of a validation that only simulated trials can have
SIMULATED = {
    "estimate_start": "random", "truth": "reference", "noise": False, "excitation": None, "map": None, "worst_trials": None,
}  # fmt: skip
SETTLING_TIMES = 2.0  # of the observer, that a held-out stretch of a log is to show


def shown_by_logs(recipe: "Recipe", plant: "DiscreteSystem", data: "Trajectories", rate: float) -> str:
    """Why an observer of contraction ``rate`` is not validated on the logs ``data`` that were held out; empty where it is.

    One of a plant without equations always is; a plant with equations can be simulated instead.
    """
    from observer.validation.on_logs import held_out_stretches, part
    from observer.validation.validate import SETTLING_TIMES_PER_TRIAL, trial_duration

    if recipe.data.learned:
        return ""
    if not recipe.data.files:
        return "there are no logs"
    asked = [name for name, usual in SIMULATED.items() if getattr(recipe.validation, name) != usual]
    if asked:
        return f"validation.{asked[0]} was asked for, which is for simulated trials"
    try:
        _, longest = held_out_stretches(part(data, recipe.seed, learned=False)[1])
    except InputError as error:
        return str(error)
    needed = SETTLING_TIMES * trial_duration(rate, plant.dt) / SETTLING_TIMES_PER_TRIAL if 0 < rate < 1 else 0.0
    unit = plant.system.time_unit
    if (longest - 1) * plant.dt < needed:
        return (
            f"the held-out logs have {(longest - 1) * plant.dt:.3g} {unit} without a gap, and the error of this observer takes "
            f"{needed:.3g} {unit} to fade and stay small"
        )
    return ""


def fit_arguments(recipe: "Recipe") -> dict[str, Any]:
    """The arguments of ``observer.fit`` that the recipe states."""
    return {**recipe.fit.model_dump(), "transitions": "data" if recipe.data.learned else "model"}


def decide_fit(
    recipe: "Recipe", plant: "DiscreteSystem", data: "Trajectories", logs: "Trajectories | None" = None
) -> "Decision":
    """How the fit to ``data`` begins, when also the trials that follow it can be simulated; or are replays of held-out ``logs``.

    Raises InputError or NotDetectable with the sentence that the person is to read.
    """
    from observer.fitting.decision import decide
    from observer.fitting.options import FitOptions
    from observer.validation.validate import trial_duration

    found = decide(plant, data, FitOptions(**fit_arguments(recipe)), recipe.seed)
    trials = recipe.validation
    if shown_by_logs(recipe, plant, data if logs is None else logs, found.rate):
        duration = trials.duration or plant.system.duration or trial_duration(found.rate, plant.dt)
        try:
            systems.simulate(plant, trials.trials, duration, recipe.seed + 1, trials.excitation, leave=True)
        except SimulationError as error:
            raise SimulationError(
                f"trials of {duration:g} {plant.system.time_unit} cannot validate an observer of this plant: {error}"
            ) from error
    return found
