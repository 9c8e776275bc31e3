"""The step that validates: trials against the plant, worst initial states by search, or the logs that were held out."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import observer
from experiments.pipeline.decision import SIMULATED, shown_by_logs
from experiments.pipeline.job import Job, clear, fitted_observer, size_of, with_metrics
from experiments.pipeline.recipe import Recipe, to_toml
from observer import runs
from observer.runs import Run
from observer.storage import write_text
from systems.base.errors import InputError

if TYPE_CHECKING:
    from observer.validation.result import Validation
    from observer.validation.worst_cases import WorstCaseStudy
    from systems import System


def checked_map(recipe: Recipe, system: "System") -> tuple[int, ...]:
    """The states of the convergence map. Raises InputError that names the option."""
    from observer.validation.worst_cases.convergence_map import chosen_states

    try:
        return chosen_states(system.state_names, recipe.validation.map)
    except InputError as error:
        raise InputError(f"--{error}") from error


def validate_step(run: Run, job: Job) -> Run:
    """Validate against the plant; once more, with fewer trials, with noise, where the plant states some."""
    network, options = fitted_observer(run), job.recipe.validation
    if job.recipe.data.files:
        why = shown_by_logs(job.recipe, run.plant, run.trajectories, network.contraction_rate)
        if not why:
            return _replay_step(run, job)
        job.console.say(f"{'validate':<10} by simulated trials, not on the held-out logs: {why}")
    checked_map(job.recipe, run.system)
    shared = {
        "duration": options.duration,
        "seed": job.recipe.validation_seed + 1,
        "spread": options.spread,
        "estimate_start": options.estimate_start,
        "truth": options.truth,
        "excitation": options.excitation,
        "window": options.window,
        "peak": options.peak,
    }
    noisy = None
    with job.console.step("validate", f"{options.trials} trials from random initial states"):
        check = observer.validate(network, trials=options.trials, noise=options.noise, **shared)
        if not options.noise and run.system.has_noise:
            noisy = observer.validate(network, trials=random_trials(options.trials, extra=True), noise=True, **shared)
    found = _study(run, job, check)
    clear(run.path, "validate", room=size_of(check) + size_of(noisy))
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))  # first: every part records the recipe that it was made by
    runs.save_validation(run.path / runs.VALIDATION, check)
    if found is not None:
        runs.save_worst_cases(run.path, found)
    if noisy is not None:
        runs.save_validation(run.path / runs.VALIDATION_NOISE, noisy)
    return with_metrics(replace(run, validation=check, validation_noise=noisy, worst_cases=found), job)


def random_trials(trials: int, *, extra: bool) -> int:
    """How many trials: as asked, and fewer of the ``extra`` ones with noise."""
    return min(trials, max(20, trials // 4)) if extra else trials


def worth(recipe: Recipe, run: Run, samples: int) -> int:
    """Trials of the search for the worst initial state."""
    from observer.validation.worst_cases.trials import trials_worth

    options = recipe.validation
    # A validation of a few trials only tries the program out: its search is as small.
    most = max(20, 20 * options.trials)
    return options.worst_trials or min(trials_worth(fitted_observer(run), run.plant, samples), most)


def _study(run: Run, job: Job, check: "Validation") -> "WorstCaseStudy | None":
    """Worst initial states and convergence map, for trials as long as those of ``check``; None where the plant diverges."""
    from observer.validation.worst_cases import GOALS
    from systems.base.errors import SimulationError

    trials = worth(job.recipe, run, len(check.t))
    about = f"worst of {trials} initial states by search, for {' and '.join(GOALS)} error, and the map"
    with job.console.step("validate", about):
        try:
            return study(run, job.recipe, check)
        except SimulationError as error:
            job.console.warn(f"no worst initial state: {error}")
            return None


def study(run: Run, recipe: Recipe, check: "Validation") -> "WorstCaseStudy":
    """The worst initial states that the recipe of a run asks for. Raises SimulationError where the plant diverges."""
    from observer.validation.envelopes import sampled_residual
    from observer.validation.worst_cases import study_worst_cases

    network, options = fitted_observer(run), recipe.validation
    found = study_worst_cases(
        network, run.plant, float(check.t[-1]), trials=worth(recipe, run, len(check.t)), states=checked_map(recipe, run.system),
        seed=recipe.validation_seed + 1, spread=options.spread, truth=options.truth, window=float(check.window[0]),
    )  # fmt: skip
    data = run.trajectories if (run.path / runs.TRAJECTORIES).is_file() else None
    if data is None or not np.isfinite(data.x).any():
        return found
    return replace(found, residual=sampled_residual(network, run.plant, data, network.metric))


def _replay_step(run: Run, job: Job) -> Run:
    """Validate on the logs that were held out of the fit."""
    from observer.validation.on_logs import validate_on_logs

    network, options = fitted_observer(run), job.recipe.validation
    for name, default in SIMULATED.items():
        if getattr(options, name) != default:
            raise InputError(
                f"validation.{name} is for plants with equations; this one is validated on its held-out logs"
            )
    with job.console.step("validate", f"{options.trials} initial estimates on held-out logs"):
        check = validate_on_logs(
            network, run.plant, run.trajectories, options.trials, options.duration, job.recipe.validation_seed,
            spread=options.spread, window=options.window, learned=job.recipe.data.learned, peak=options.peak,
        )  # fmt: skip
    job.console.say(f"{'validate':<10} {check.warnings[0]}")
    clear(run.path, "validate", room=size_of(check))
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))
    runs.save_validation(run.path / runs.VALIDATION, check)
    return with_metrics(replace(run, validation=check, validation_noise=None, worst_cases=None), job)
