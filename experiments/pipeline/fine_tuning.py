"""From a fitted run to a fine-tuned one in a folder of its own: tune, certify, compare before and after, validate, report."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import observer
from experiments.pipeline.console import Console
from experiments.pipeline.fitting import keep_fit
from experiments.pipeline.job import CHECKPOINT, SOURCES, Job, clear
from experiments.pipeline.lock import working_in
from experiments.pipeline.options import command_for
from experiments.pipeline.prepare import begun, refuse_foreign, refuse_other
from experiments.pipeline.recipe import Recipe, differences, read_recipe, to_toml
from experiments.pipeline.steps import certify_step, done, finish
from observer import FitResult, runs
from observer.run_chain import origins
from observer.runs import Run, load_run
from observer.storage import file_hash, write_bytes, write_json, write_text
from systems import System
from systems.base.errors import InputError
from systems.base.records import to_plain

TRIALS = 100


def tune(source: Path, out: Path, given: dict[str, Any], *, fresh: bool, console: Console) -> Run:
    """The finished run in ``out``; a part of it that is there already is kept, and an interrupted tuning resumes."""
    before = load_run(source)
    if before.fit is None or before.fit.status == "interrupted":
        raise InputError(f"{source}: holds no finished fit to tune; `observer fit {source}` makes one")
    if os.path.realpath(out) == os.path.realpath(before.path):
        raise InputError(f"{out}: is the run to be tuned, and it is kept; give another --out")
    refuse_foreign(out)
    with working_in(out):
        run, job = _prepare(before, out, given, fresh, console)
        if not done("fit", run):
            run = _tune_step(before, run, job)
        elif not fresh:
            console.say(f"resuming {out}: tuned already")
        if not done("certify", run):
            run = certify_step(run, job)
        if not run.fine_tuning:
            content = side_by_side(before, run, job)
            write_json(out / runs.FINE_TUNING, content, command=job.command, **origins(out, runs.FINE_TUNING))
            clear(out, "validate")
            run = replace(run, fine_tuning=to_plain(content), validation=None, validation_noise=None, worst_cases=None)
        return finish(run, job)


def _prepare(before: Run, out: Path, given: dict[str, Any], fresh: bool, console: Console) -> tuple[Run, Job]:
    """The new folder with plant, recipe and data, or the one to go on from."""
    recipe = read_recipe(before.path / runs.CONFIG)
    recipe = recipe.changed(
        **{f"fine_tune.{name}": value for name, value in given.items()} | {"fine_tune.source": str(before.path)}
    )
    for name in ("noise", "bias"):
        values = getattr(recipe.fine_tune, name)
        if values is not None and len(values) not in (1, before.system.ny):
            outputs = ", ".join(before.system.output_names)
            raise InputError(f"--{name} has {len(values)} numbers; expected one, or one for each output ({outputs})")
    plant, noise = before.plant, recipe.fine_tune.noise
    if noise is not None:
        plant = plant.with_system(noisy(plant.system, noise))
    job = Job(recipe, command_for(recipe, out), console)
    found = begun(out, fresh=fresh)
    if found is not None:
        differing = differences(read_recipe(out / runs.CONFIG), recipe) if found.config else []
        if found.system.fingerprint != plant.system.fingerprint:
            differing = [*differing, "the plant"]
        refuse_other(out, differing)
        if done("simulate", found):
            return found, job
    out.mkdir(parents=True, exist_ok=True)
    clear(out, "simulate")
    runs.save_plant(out, plant, command=job.command)
    for name in SOURCES:
        if (before.path / name).is_file():
            write_bytes(out / name, (before.path / name).read_bytes())
    write_text(out / runs.CONFIG, to_toml(recipe))
    runs.save_trajectories(out, before.trajectories)
    return Run(out, plant, config=recipe.model_dump(exclude_none=True)), job


def noisy(system: System, noise: tuple[float, ...]) -> System:
    """The plant whose outputs state the noise of the tuning, so that validation and report refer to it."""
    values = np.broadcast_to(noise, (system.ny,)).tolist()
    return system.with_outputs(
        **{name: {"noise": value} for name, value in zip(system.output_names, values, strict=True)}
    )


def tuning_arguments(before: Run, run: Run, recipe: Recipe) -> tuple[FitResult, dict[str, Any]]:
    """(the fit that is tuned, with the plant of the new run, and the keyword arguments of :func:`observer.fine_tune`)."""
    assert before.fit is not None
    fitted = replace(before.fit, observer=replace(before.fit.observer, plant=run.plant))
    options = recipe.fine_tune.model_dump(exclude={"source"}, exclude_none=True)
    return fitted, options | {"noise": recipe.fine_tune.noise, "seed": recipe.seed}


def _tune_step(before: Run, run: Run, job: Job) -> Run:
    fitted, arguments = tuning_arguments(before, run, job.recipe)
    with job.console.step("fine-tune", f"observer of {before.path}") as progress:
        result = observer.fine_tune(
            fitted, run.trajectories, **arguments, progress=progress, checkpoint=run.path / CHECKPOINT
        )
    return keep_fit(run, result, job, "fine-tune")


def side_by_side(before: Run, run: Run, job: Job) -> dict[str, Any]:
    """Errors of both observers, and of the best constant gain, on the same trials; their rates; the curve of constant gains."""
    from observer.fine_tuning.constant_gain import CURVE, ConstantGain, design
    from observer.fine_tuning.rollouts import make_sensing
    from observer.validation.side_by_side import compare_scenarios

    assert before.observer is not None and run.observer is not None and run.fit is not None
    options = run.fit.options
    sensing = make_sensing(run.plant, options["noise"], options["bias"], options["dropout"], options["initial_error"])
    observers: dict[str, Any] = {"before": before.observer, "after": run.observer}
    content: dict[str, Any] = {
        "source": str(before.path),
        "source_observer": file_hash(before.path / runs.OBSERVER),
        "states": list(run.system.state_names),
        "units": [signal.unit for signal in run.system.states],
        "widths": np.ptp(run.system.state_ranges, axis=1),
        "rates": {
            "before": observer.certify(before.observer, residual=False).rate,
            "after": observer.certify(run.observer, residual=False).rate,
        },
        "noise": options["noise"], "bias": options["bias"], "dropout": options["dropout"],
    }  # fmt: skip
    if options.get("gain") is not None:
        scaling = run.observer.scaling
        observers["constant gain"] = ConstantGain(run.plant, scaling, np.array(options["gain"]))
        content["rates"]["constant gain"] = options["gain_rate"]
        curve = design(run.plant, scaling, sensing, int(options["horizon"])).curve(CURVE)
        content["curve"] = {"rate": curve[:, 0], "deviation": curve[:, 1:] * scaling.state_scale}
    logged = job.recipe.data.learned
    if not logged:  # a plant without equations cannot be simulated anew
        validation = job.recipe.validation
        with job.console.step("compare", f"{min(validation.trials, TRIALS)} trials under noise, bias and dropouts"):
            found = compare_scenarios(
                observers, run.plant, sensing, min(validation.trials, TRIALS), validation.duration or run.system.duration,
                job.recipe.seed + 1, validation.truth,
            )  # fmt: skip
        content["conditions"] = [item.to_data() for item in found]
    return content
