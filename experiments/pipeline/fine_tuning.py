"""From a fitted run to a fine-tuned one in a folder of its own: tune, certify, compare before and after, validate, report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pipeline.console import Console, Interrupted
from experiments.pipeline.job import CHECKPOINT, SOURCES, STEPS, Job, clear
from experiments.pipeline.metrics import metrics_of
from experiments.pipeline.options import command_for
from experiments.pipeline.recipe import Recipe, differences, read_recipe, to_toml
from experiments.pipeline.steps import STEP, done
from observer import runs
from observer.runs import Run, load_run
from observer.storage import file_hash, write_bytes, write_json, write_text
from systems.base.errors import InputError

TRIALS = 100


def numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """``"0.01,0.02"`` as numbers. Raises InputError that names the option."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; expected a number, or one for each output as 0.01,0.02") from error


def tune(source: Path, out: Path, given: dict[str, Any], *, fresh: bool, console: Console) -> Run:
    """The finished run in ``out``; a part of it that is there already is kept, and an interrupted tuning goes on."""
    before = load_run(source)
    if before.fit is None or before.observer is None or before.fit.status == "interrupted":
        raise InputError(f"{source}: holds no finished fit to tune; `observer fit {source}` makes one")
    run, job = _prepare(before, out, given, fresh, console)
    if not done("fit", run):
        run = _tune_step(before, run, job)
    elif not fresh:
        console.say(f"resuming {out}: tuned already")
    if not done("certify", run):
        run = STEP["certify"](run, job)
    if not (out / runs.FINE_TUNING).is_file():
        _compare_step(before, run, job)
        clear(out, *STEPS[3:])
        run = replace(run, validation=None, validation_noise=None, starts=None)
    for step in STEPS[3:]:
        if not done(step, run):
            run = STEP[step](run, job)
    return run


def _prepare(before: Run, out: Path, given: dict[str, Any], fresh: bool, console: Console) -> tuple[Run, Job]:
    """The new folder with plant, recipe and data, or the one to go on from."""
    assert before.observer is not None
    recipe = read_recipe(before.path / runs.CONFIG)
    recipe = recipe.changed(
        **{f"fine_tune.{name}": value for name, value in given.items()} | {"fine_tune.source": str(before.path)}
    )
    for name in ("noise", "bias"):
        values = getattr(recipe.fine_tune, name)
        if values is not None and len(values) not in (1, before.system.ny):
            outputs = ", ".join(before.system.output_names)
            raise InputError(f"--{name} has {len(values)} numbers; expected one, or one for each output ({outputs})")
    system, plant = _noisy(before, recipe)
    job = Job(recipe, command_for(recipe, out), console)
    names = {item.name for item in out.iterdir()} if out.is_dir() else set()
    if out.exists() and (not out.is_dir() or (names and runs.SYSTEM not in names)):
        raise InputError(f"{out}: is no run folder; give a folder that is new, empty or a run")
    if out.resolve() == before.path.resolve():
        raise InputError(f"{out}: is the run to start from, and it is kept; give another --out")
    if runs.SYSTEM in names and not fresh:
        for leftover in out.rglob(".*.partial*"):  # of a run that was killed while it wrote
            leftover.unlink(missing_ok=True)
        found = load_run(out)
        differing = differences(read_recipe(out / runs.CONFIG), recipe) if (out / runs.CONFIG).is_file() else []
        if found.system.fingerprint != system.fingerprint:
            differing = [*differing, "the plant"]
        if differing:
            text = ", ".join(differing)
            raise InputError(
                f"{out}: holds a run that differs in {text}; add --fresh to start again, or give another --out"
            )
        if done("simulate", found):
            return found, job
    out.mkdir(parents=True, exist_ok=True)
    clear(out, *STEPS)
    runs.save_system(out, system, plant, command=job.command)
    for name in SOURCES:
        if (before.path / name).is_file():
            write_bytes(out / name, (before.path / name).read_bytes())
    runs.save_trajectories(out, before.trajectories)
    write_text(out / runs.CONFIG, to_toml(recipe))
    return Run(out, system, plant, config=recipe.model_dump(exclude_none=True)), job


def _noisy(before: Run, recipe: Recipe) -> tuple[Any, Any]:
    """The plant whose outputs state the noise that is tuned for, so that validation and report speak of it."""
    from systems import System, discretize

    if recipe.fine_tune.noise is None:
        return before.system, before.plant
    data = before.system.to_data()
    noise = np.broadcast_to(recipe.fine_tune.noise, (before.system.ny,))
    data["outputs"] = [{**signal, "noise": float(value)} for signal, value in zip(data["outputs"], noise, strict=True)]
    system = System.from_data(data)
    plant = before.plant
    return system, discretize(system, dt=plant.dt, method=plant.method, substeps=plant.substeps)


def _tune_step(before: Run, run: Run, job: Job) -> Run:
    from observer import fine_tune

    options = job.recipe.fine_tune
    asked = {
        name: getattr(options, name)
        for name in ("bias", "dropout", "horizon", "contraction_rate", "iterations", "budget")
        if getattr(options, name) is not None
    }
    assert before.fit is not None
    fitted = replace(before.fit, observer=replace(before.fit.observer, plant=run.plant))
    with job.console.step("fine-tune", f"observer of {before.path}") as progress:
        result = fine_tune(
            fitted, run.trajectories, noise=options.noise, seed=job.recipe.seed, progress=progress,
            checkpoint=run.path / CHECKPOINT, **asked,
        )  # fmt: skip
    stopped = result.status == "interrupted"
    clear(run.path, *STEPS[1:], keep=(CHECKPOINT,) if stopped else ())
    runs.save_fit(run.path, result, command=job.command)
    run = replace(
        run, observer=result.observer, fit=result, certificate=None, validation=None, validation_noise=None, starts=None
    )
    metrics = metrics_of(run, job.command)
    write_json(run.path / runs.METRICS, metrics)
    for text in result.warnings:
        job.console.warn(text)
    if stopped:
        raise Interrupted(f"stopped; the best observer so far is in {run.path}. To go on: {job.command}")
    job.console.say(f"{'fine-tune':<10} {result.status}: {result.message}")
    return replace(run, metrics=metrics)


def _compare_step(before: Run, run: Run, job: Job) -> None:
    """Errors of both observers, and of the best constant gain, on the same trials; their rates; the curve of constant gains."""
    from observer import certify
    from observer.fine_tuning.constant_gain import CURVE, ConstantGain, design
    from observer.fine_tuning.rollouts import make_sensing
    from observer.validation.side_by_side import compare_conditions

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
            "before": certify(before.observer, before.plant, residual=False).rate,
            "after": certify(run.observer, run.plant, residual=False).rate,
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
            found = compare_conditions(
                observers, run.plant, sensing, min(validation.trials, TRIALS), validation.duration or run.system.duration,
                job.recipe.seed + 1, validation.truth,
            )  # fmt: skip
        content["conditions"] = [item.to_data() for item in found]
    hashes = runs.hashes(run.path, runs.OBSERVER)
    write_json(run.path / runs.FINE_TUNING, content, command=job.command, hashes=hashes)
