"""The pipeline and its run folder: simulate (or read logs) -> fit -> certify -> validate -> report.

Each step takes a Run, writes its files, and returns the Run with one part more. What depends on a part is removed
before the part is replaced, so that a file that is there is always up to date: finished steps can be skipped.
"""

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.pipeline.console import Console, Interrupted
from experiments.pipeline.job import CHECKPOINT, REPORT, STEPS, Job, clear, needed, size_of, with_metrics
from experiments.pipeline.logs import changed_logs
from experiments.pipeline.options import command_for
from experiments.pipeline.recipe import Recipe, differences, read_recipe, to_toml
from experiments.pipeline.validation import checked_map, validate_step
from observer import runs
from observer.runs import Run, load_run
from observer.storage import write_bytes, write_json, write_text
from systems.base.errors import InputError

if TYPE_CHECKING:
    from systems import DiscreteSystem, System


def plan(recipe: Recipe, console: Console) -> "tuple[Recipe, System, DiscreteSystem]":
    """Load the plant of a recipe and resolve what follows from it: dt, substeps, duration of the data.

    Raises InputError for everything that cannot be used; nothing is written.
    """
    from systems import discretize, load_system

    if recipe.data.files:
        from experiments.pipeline.logs import learned_plant

        learned = learned_plant(recipe, console)
    else:
        learned = None
    system = learned or load_system(recipe.system)
    recipe = recipe.changed(**{"data.learned": learned is not None})
    plant = discretize(system, dt=recipe.dt, method=recipe.method, substeps=recipe.substeps)
    checked_map(recipe, system)
    duration = None if recipe.data.files else recipe.data.duration or system.duration
    return recipe.changed(dt=plant.dt, substeps=plant.substeps, **{"data.duration": duration}), system, plant


def prepare(recipe: Recipe, out: Path, *, fresh: bool, console: Console) -> tuple[Run, Job]:
    """The Run in folder ``out`` to go on from, or a new one of which nothing is written yet.

    Raises InputError when ``out`` is something else than a run folder, or holds a run with another recipe or plant.
    """
    recipe, system, plant = plan(recipe, console)
    job = Job(recipe, command_for(recipe, out), console)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder that is new, empty or a run")
    names = {item.name for item in out.iterdir()} if out.is_dir() else set()
    ours = runs.SYSTEM in names or runs.CONFIG in names
    if not ours:  # a new run that was killed while it wrote its very first file
        names = {name for name in names if not fnmatch(name, f".{Path(runs.SYSTEM).stem}.*.partial*")}
    if names and not ours:
        raise InputError(f"{out}: holds other files and is no run folder; give a folder that is new, empty or a run")
    begun = not (out / runs.CONFIG).exists() and not (out / runs.TRAJECTORIES).exists()
    if not ours or fresh or begun:
        return Run(out, system, plant), job
    for leftover in out.rglob(".*.partial*"):  # of a run that was killed while it wrote
        leftover.unlink(missing_ok=True)
    run = load_run(out)
    if done("fit", run):  # and of one that was killed just before it let go of its checkpoint
        (out / CHECKPOINT).unlink(missing_ok=True)
    differing = differences(read_recipe(out / runs.CONFIG), recipe)
    if run.fit is None and not (out / CHECKPOINT).exists():
        # Nothing depends on these yet: after a refusal ("that rate is impossible") a person asks for another rate.
        differing = [text for text in differing if not text.startswith(("fit.", "validation."))]
    changed = changed_logs(out) if run.logs else []
    if run.system.fingerprint != system.fingerprint:
        differing = [f"system ('{run.system.name}' there; '{system.name}', or its content, differs)"]
        if changed and recipe.data.learned:
            differing = [f"the logs ({', '.join(changed)} changed since)"]
    if differing:
        raise InputError(
            f"{out}: holds a run that differs in {', '.join(differing)}; "
            "add --fresh to start again, or give another --out"
        )
    for log in changed:
        console.warn(f"{log} changed since {out} learned from it; add --fresh to learn from it anew")
    return run, job


def reopen(out: Path, changes: dict[str, Any], *, step: str, fresh: bool, console: Console) -> tuple[Run, Job]:
    """The run in folder ``out`` for one more step, with options of that step changed.

    Raises InputError when other options are to be changed, or options of a fit that is done already (unless ``fresh``).
    """
    run = load_run(out)
    recipe = read_recipe(out / runs.CONFIG)
    if step == "fit" and recipe.fine_tune.source is not None:
        raise InputError(f"{out}: holds a fine-tuned observer; `{command_for(recipe, out)} --fresh` tunes it again")
    asked = recipe.changed(**changes)
    differing = differences(recipe, asked)
    if differing and step == "fit" and done("fit", run) and not fresh:
        raise InputError(f"{out}: holds a fit that differs in {', '.join(differing)}; add --fresh to fit again")
    return run, Job(asked, command_for(asked, out), console)


def done(step: str, run: Run) -> bool:
    """True when the step has been finished in the folder of ``run``."""
    if step == "simulate":
        return bool(run.config) and (run.path / runs.TRAJECTORIES).is_file()  # a new Run in an old folder has no config
    if step == "fit":
        return run.fit is not None and run.fit.status != "interrupted"
    if step == "certify":
        return run.certificate is not None
    if step == "validate":
        return run.validation is not None and "validation" in run.metrics
    return (run.path / REPORT).is_file()


def run_all(run: Run, job: Job) -> Run:
    """Every step that is not done yet; what is done already is said in one line."""
    finished = [step for step in STEPS if done(step, run)]
    if finished:
        job.console.say(f"resuming {run.path}: {', '.join(finished)} done already")
    for step in STEPS:
        if not done(step, run):
            run = STEP[step](run, job)
    return run


def simulate_step(run: Run, job: Job) -> Run:
    """Simulate the data, or read it from logs; only when that went well, make the folder with plant, recipe and data."""
    from systems import simulate

    options = job.recipe.data
    length, logs = f" of {options.duration:g} s" if options.duration else "", {}
    if options.files:
        from experiments.pipeline.logs import learn_from, log_record

        logs = log_record(options.files, run.path)  # before they are read: one that changes meanwhile differs later
        with job.console.step("read", f"logs {options.files}, dt {run.plant.dt:g} s"):
            data = learn_from(options.files, run.system, run.plant.dt, options.columns, outputs=options.learned)
    else:
        with job.console.step(
            "simulate", f"{options.trajectories} trajectories{length}, dt {run.plant.dt:g} s ({run.plant.method})"
        ):
            data = simulate(run.plant, options.trajectories, options.duration, job.recipe.seed, options.excitation)
    for text in data.warnings:
        job.console.warn(text)
    run.path.mkdir(parents=True, exist_ok=True)
    clear(run.path, *STEPS, room=size_of(data))
    runs.save_system(run.path, run.system, run.plant, command=job.command)  # first: it makes the folder a run folder
    given = Path(job.recipe.system)
    if given.suffix.lower() in (".toml", ".py") and given.is_file():
        write_bytes(run.path / f"source{given.suffix.lower()}", given.read_bytes())
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))
    if logs:
        logs["trajectories"] = len(data)
        write_json(run.path / runs.LOGS, logs, command=job.command)
    runs.save_trajectories(run.path, data)
    return Run(run.path, run.system, run.plant, config=job.recipe.model_dump(exclude_none=True), logs=logs)


def fit_step(run: Run, job: Job, *, fresh: bool = False) -> Run:
    """Fit the observer, from the checkpoint of an interrupted fit unless ``fresh``.

    Raises Interrupted, with the best so far saved, when a person or the system stops it.
    """
    from observer import fit

    options, checkpoint = job.recipe.fit, run.path / CHECKPOINT
    if fresh:
        checkpoint.unlink(missing_ok=True)
    data = run.trajectories
    learned_from = data
    if job.recipe.data.learned:
        from observer.validation.on_logs import part

        learned_from = part(data, job.recipe.seed)[0]
    with job.console.step("fit", f"{options.neurons} neurons, {options.activation}") as progress:
        result = fit(
            run.plant,
            learned_from,
            options.neurons,
            options.settling_time,
            contraction_rate=options.contraction_rate,
            activation=options.activation,
            solver=options.solver,
            iterations=options.epochs,
            budget=options.budget,
            tolerance=options.tolerance,
            seed=job.recipe.seed,
            dtype=options.dtype,
            condition=options.condition,
            transitions="data" if job.recipe.data.learned else "model",
            progress=progress,
            checkpoint=checkpoint,
        )
    stopped = result.status == "interrupted"
    room = sum(np.asarray(array).nbytes for array in result.observer.to_arrays().values())
    clear(run.path, *STEPS[1:], room=room, keep=(CHECKPOINT,))
    runs.save_fit(run.path, result, command=job.command)
    write_text(run.path / runs.CONFIG, to_toml(job.recipe))
    if not stopped:  # not before: should the disk be full, the work is still there
        checkpoint.unlink(missing_ok=True)
    run = with_metrics(
        replace(
            run,
            observer=result.observer,
            fit=result,
            certificate=None,
            validation=None,
            validation_noise=None,
            starts=None,
        ),
        job,
    )
    for text in result.warnings:
        if text not in data.warnings:  # those were said when the data was simulated
            job.console.warn(text)
    if stopped:
        raise Interrupted(f"stopped; the best observer so far is in {run.path}. To go on: {job.command}")
    job.console.say(f"{'fit':<10} {result.status}: {result.message}")
    return run


def certify_step(run: Run, job: Job, *, budget: float | None = None, gap: float | None = None) -> Run:
    """Certify the shipped matrices, and bound the residual over the region within ``budget`` seconds.

    Left out, the budget is 5 s, or what the fit took where that was less (at least 1 s): a small trial stays small.
    """
    from observer import certify
    from observer.certification.certificate import BUDGET, GAP

    observer = needed(run)
    taken = run.fit.seconds if run.fit is not None else BUDGET
    time, share = budget or min(BUDGET, max(1.0, taken)), gap or GAP
    asked = f" --budget {time:g}s --gap {share:g}" if budget or gap else ""
    with job.console.step("certify", "contraction, gains, and the residual over the region"):
        certificate = certify(observer, run.plant, budget=time, gap=share, seed=job.recipe.seed)
    runs.save_certificate(
        run.path, certificate, command=f"observer certify {run.path}{asked}" if asked else job.command
    )
    if certificate.bounds is not None:
        job.console.say(f"{'certify':<10} {certificate.bounds.kind}: {certificate.bounds.reason}")
    return with_metrics(replace(run, certificate=certificate), job)


def report_step(run: Run, job: Job) -> Run:
    """Write ``report.html`` and the figures."""
    from reports import write_report

    if run.fit is None or run.certificate is None or run.validation is None:
        raise InputError(
            f"{run.path}: not finished, so there is nothing to report; "
            f"`observer run {job.recipe.system} --out {run.path}` goes on"
        )
    run = with_metrics(run, job)
    with job.console.step("report", "page and figures"):
        write_report(
            run.path,
            system=run.system,
            plant=run.plant,
            fit=run.fit,
            certificate=run.certificate,
            validation=run.validation,
            validation_noise=run.validation_noise,
            command=job.command,
            metrics=run.metrics,
            starts=run.starts,
        )
    return run


STEP: dict[str, Callable[[Run, Job], Run]] = {
    "simulate": simulate_step,
    "fit": fit_step,
    "certify": certify_step,
    "validate": validate_step,
    "report": report_step,
}
