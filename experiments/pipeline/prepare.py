"""Before the steps of a run: its plant as the recipe states it, and the folder to begin in or to go on from."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import systems
from experiments.pipeline.console import Console
from experiments.pipeline.job import CHECKPOINT, Job, remade
from experiments.pipeline.kinds import in_unit
from experiments.pipeline.lock import LOCK, working_in
from experiments.pipeline.logs import changed_logs, learned_plant
from experiments.pipeline.options import command_for
from experiments.pipeline.recipe import Recipe, differences, read_recipe
from experiments.pipeline.steps import done, run_all
from experiments.pipeline.validation import checked_map
from observer import runs
from observer.runs import Run, load_run
from systems import DiscreteSystem
from systems.base import memory
from systems.base.errors import InputError
from systems.base.output_places import check_folder, refuse_emptying
from systems.recordings import log_files


def plan(recipe: Recipe, console: Console) -> tuple[Recipe, DiscreteSystem]:
    """Load the plant of a recipe and resolve what follows from it: dt, substeps, duration of the data.

    Raises InputError for everything that cannot be used; nothing is written.
    """
    learned = learned_plant(recipe, console) if recipe.data.files else None
    system = learned or systems.load_system(recipe.system)
    plant = systems.discretize(system, dt=recipe.dt, method=recipe.method, substeps=recipe.substeps)
    checked_map(recipe, system)
    settling = in_unit(recipe.fit.settling_time, system.time_unit)
    if learned is None:
        plant = driven_plant(recipe, plant)
        if plant.system.feedback is not None and plant.system.feedback.found:
            console.say(f"{'feedback':<10} {plant.system.feedback.found}")
    duration = None if recipe.data.files else recipe.data.duration or system.duration
    found = {"data.learned": learned is not None, "data.duration": duration, "fit.settling_time": settling}
    _check_memory(recipe, plant, duration)
    return recipe.changed(dt=plant.dt, substeps=plant.substeps, **found), plant


def driven_plant(recipe: Recipe, plant: DiscreteSystem) -> DiscreteSystem:
    """The plant with the feedback law that its simulated motions need, where its file gives none; it does not depend on the seed."""
    from systems.found_feedback import with_found_feedback

    return with_found_feedback(plant, recipe.data.duration)


def _check_memory(recipe: Recipe, plant: DiscreteSystem, duration: float | None) -> None:
    """Refuse data and trials that would not fit, before the first is simulated: a validation comes after the fit."""
    data, trials = recipe.data, recipe.validation
    usual = plant.system.duration or 200 * plant.dt
    for flag, count, seconds in (
        ("--trajectories", 0 if data.files else data.trajectories, duration or usual),
        ("--trials", trials.trials, trials.duration or usual),
    ):
        signals = 2 * (2 * plant.nx + plant.nu + plant.ny + 1)
        memory.require(
            memory.arrays((count, seconds / plant.dt, signals)),
            f"{flag} {count}, each of {seconds:g} {plant.system.time_unit} in samples of {plant.dt:g} {plant.system.time_unit},",
            "ask for fewer or shorter ones, or a larger --dt",
        )


def run_in(out: Path, recipe: Recipe, *, fresh: bool, console: Console, reads: Iterable[Path] = ()) -> Run:
    """Every step of a run in folder ``out`` that is not done yet; see :func:`prepare`."""
    with prepare(recipe, out, fresh=fresh, console=console, reads=reads) as (run, job):
        return run_all(run, job)


@contextmanager
def prepare(
    recipe: Recipe, out: Path, *, fresh: bool, console: Console, reads: Iterable[Path] = ()
) -> Iterator[tuple[Run, Job]]:
    """The Run in folder ``out`` to go on from, or a new one of which nothing is written yet; no other process works there meanwhile.

    Raises InputError when ``out`` is something else than a run folder, or holds a run with another recipe or plant, or when it
    is to begin anew and holds what the run is made from: plant, logs, or other files that the command ``reads``.
    """
    recipe, plant = plan(recipe, console)
    job = Job(recipe, command_for(recipe, out), console)
    refuse_foreign(out)
    with working_in(out):
        run = begun(out, fresh=fresh)
        if run is None:
            logs = log_files(recipe.data.files) if recipe.data.files else []
            plant_file = [Path(recipe.system)] if Path(recipe.system).is_file() else []  # else a name of the library
            refuse_emptying(out, [*plant_file, *logs, *reads])
            yield Run(out, plant), job
        else:
            _compare(run, recipe, plant, console)
            yield run, job


def _compare(run: Run, recipe: Recipe, plant: DiscreteSystem, console: Console) -> None:
    """Raise InputError where ``run`` is not the one asked for."""
    out = run.path
    if done("fit", run):  # of a run that was killed just before it let go of its checkpoint
        (out / CHECKPOINT).unlink(missing_ok=True)
    differing = differences(read_recipe(out / runs.CONFIG), recipe)
    if run.fit is None and not (out / CHECKPOINT).exists():
        # Nothing depends on these yet: after a refusal ("that rate is impossible") a person asks for another rate.
        differing = [text for text in differing if not text.startswith(("fit.", "validation."))]
    changed = changed_logs(out) if run.logs else []
    if run.system.fingerprint != plant.system.fingerprint:
        differing = [f"system ('{run.system.name}' there; '{plant.system.name}', or its content, differs)"]
        if changed and recipe.data.learned:
            differing = [f"the logs ({', '.join(changed)} changed since)"]
    refuse_other(out, differing)
    for log in changed:
        console.warn(f"{log} changed since {out} learned from it; add --fresh to learn from it anew")


def begun(out: Path, *, fresh: bool) -> Run | None:
    """The run that folder ``out`` holds; None where a new one may begin. Raises InputError for any other folder."""
    names = refuse_foreign(out)
    if fresh or not names & {runs.CONFIG, runs.TRAJECTORIES}:
        return None
    return load_run(out)


def refuse_foreign(out: Path) -> set[str]:
    """Raise InputError where ``out`` is no place for a run: a file, a folder of other things; else the names in it."""
    check_folder(out)
    names = {item.name for item in out.iterdir() if item.name != LOCK} if out.is_dir() else set()
    # what a new run leaves that was killed while it wrote its very first file
    begun = all(fnmatch(name, f".{Path(runs.SYSTEM).stem}.*.partial*") for name in names)
    if not begun and not names & {runs.SYSTEM, runs.CONFIG}:
        raise InputError(f"{out}: holds other files and is no run folder; give a folder that is new, empty or a run")
    return names


def refuse_other(out: Path, differing: list[str]) -> None:
    """Raise InputError where the run in ``out`` differs from the one asked for."""
    if differing:
        raise InputError(
            f"{out}: holds a run that differs in {', '.join(differing)}; "
            "add --fresh to start again, or give another --out"
        )


@contextmanager
def reopen(
    out: Path, changes: dict[str, Any], *, step: str, fresh: bool, console: Console
) -> Iterator[tuple[Run, Job]]:
    """The run in folder ``out`` for one more step, with options of that step changed; no other process works there meanwhile.

    Raises InputError when other options are to be changed, or options of a fit that is done already (unless ``fresh``).
    """
    if not (out / runs.SYSTEM).is_file():
        load_run(out)  # says what is wrong with the folder
    with working_in(out):
        run = load_run(out, without=remade(step) if fresh or step != "fit" else ())
        recipe = read_recipe(out / runs.CONFIG)
        if step == "fit" and recipe.fine_tune.source is not None:
            raise InputError(f"{out}: holds a fine-tuned observer; `{command_for(recipe, out)} --fresh` tunes it again")
        asked = recipe.changed(**changes)
        differing = differences(recipe, asked)
        if differing and step == "fit" and done("fit", run) and not fresh:
            raise InputError(f"{out}: holds a fit that differs in {', '.join(differing)}; add --fresh to fit again")
        yield run, Job(asked, command_for(asked, out), console)
