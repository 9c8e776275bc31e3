"""The step that fits the observer of a run; an interrupted one leaves a checkpoint and the best observer so far."""

from dataclasses import replace

import numpy as np

import observer
from experiments.pipeline.console import Interrupted
from experiments.pipeline.decision import decide_fit, fit_arguments
from experiments.pipeline.job import CHECKPOINT, Job, clear, with_metrics
from experiments.pipeline.recipe import Recipe, to_toml
from observer import FitResult, runs
from observer.runs import Run
from observer.storage import write_text
from systems import Trajectories
from systems.base.errors import InputError


def fitted_data(run: Run, recipe: Recipe) -> Trajectories:
    """What the observer is fitted to: of logs, those that are not kept for the validation."""
    data = run.trajectories
    if not recipe.data.files:
        return data
    from observer.validation.on_logs import held_out_stretches, part

    rest, judged, _ = part(data, recipe.seed, learned=recipe.data.learned)
    if not recipe.data.learned:
        try:
            held_out_stretches(judged)
        except InputError:  # too short to judge by: the trials are simulated
            return data
        rest = replace(rest, warnings=data.warnings)
    return rest


def fit_step(run: Run, job: Job, *, fresh: bool = False) -> Run:
    """Fit the observer, from the checkpoint of an interrupted fit unless ``fresh``.

    Raises Interrupted, with the best so far saved, when a person or the system stops it.
    """
    if fresh:
        (run.path / CHECKPOINT).unlink(missing_ok=True)
    data = fitted_data(run, job.recipe)
    options = job.recipe.fit
    with job.console.step("fit", f"{options.neurons} neurons, {options.activation}") as progress:
        result = observer.fit(
            run.plant,
            data,
            **fit_arguments(job.recipe),
            seed=job.recipe.seed,
            progress=progress,
            checkpoint=run.path / CHECKPOINT,
            decided=decide_fit(job.recipe, run.plant, data, run.trajectories),
        )
    return keep_fit(run, result, job, "fit", said=data.warnings)


def keep_fit(run: Run, result: FitResult, job: Job, step: str, said: tuple[str, ...] = ()) -> Run:
    """Write a fit in place of all that depended on an earlier one; ``said``: warnings that were printed already.

    Raises Interrupted, with the checkpoint kept, for a fit that was stopped.
    """
    stopped = result.status == "interrupted"
    room = sum(np.asarray(array).nbytes for array in result.observer.to_arrays().values())
    clear(run.path, "fit", room=room, keep=(CHECKPOINT,))
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))  # first: fit.json records the recipe that it was made by
    runs.save_fit(run.path, result, command=job.command)
    if not stopped:  # not before: should the disk be full, the work is still there
        (run.path / CHECKPOINT).unlink(missing_ok=True)
    run = with_metrics(Run(run.path, run.plant, result, config=run.config, logs=run.logs), job)
    for text in result.warnings:
        if text not in said:
            job.console.warn(text)
    if stopped:
        raise Interrupted(f"stopped; the best observer so far is in {run.path}. To go on: {job.command}")
    job.console.say(f"{step:<10} {result.status}: {result.message}")
    return run
