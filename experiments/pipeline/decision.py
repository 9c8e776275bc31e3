"""May this run begin? The one decision that ``observer check`` prints and that a run stops with before its fit."""

from typing import TYPE_CHECKING, Any

import systems
from systems.base.errors import SimulationError

if TYPE_CHECKING:
    from experiments.pipeline.recipe import Recipe
    from observer.fitting.decision import Decision
    from systems import DiscreteSystem, Trajectories


def simulated_data(recipe: "Recipe", plant: "DiscreteSystem") -> "Trajectories":
    """The trajectories that a run learns from, each until it leaves the doubled ranges. Raises SimulationError where they do so at once."""
    options = recipe.data
    return systems.simulate(
        plant, options.trajectories, options.duration, recipe.seed, options.excitation, leave=True
    )


def fit_arguments(recipe: "Recipe") -> dict[str, Any]:
    """The arguments of ``observer.fit`` that the recipe states."""
    return {**recipe.fit.model_dump(), "transitions": "data" if recipe.data.learned else "model"}


def decide_fit(recipe: "Recipe", plant: "DiscreteSystem", data: "Trajectories") -> "Decision":
    """How the fit to ``data`` begins, when also the trials that follow it can be simulated.

    Raises InputError or NotDetectable with the sentence that the person is to read.
    """
    from observer.fitting.decision import decide
    from observer.fitting.options import FitOptions
    from observer.validation.validate import trial_duration

    found = decide(plant, data, FitOptions(**fit_arguments(recipe)), recipe.seed)
    trials = recipe.validation
    if not recipe.data.learned:
        duration = trials.duration or plant.system.duration or trial_duration(found.rate, plant.dt)
        try:
            systems.simulate(plant, trials.trials, duration, recipe.seed + 1, trials.excitation, leave=True)
        except SimulationError as error:
            raise SimulationError(
                f"trials of {duration:g} s cannot validate an observer of this plant: {error}"
            ) from error
    return found
