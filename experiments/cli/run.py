"""The steps of a run, each as a command and all as one: ``observer fit``, ``certify``, ``validate``, ``report``, ``verify``, ``run``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments.cli.shared import (
    EVERY_OPTION,
    Config,
    Folder,
    Out,
    Reference,
    console_of,
    finish,
    print_results,
    recipe_of,
)
from experiments.pipeline.console import DONE, FAILED, show
from experiments.pipeline.options import OPTIONS, place, takes, to_keys


@takes(*EVERY_OPTION)
def run(system: Reference, out: Out, config: Config = None, **chosen: Any) -> int:
    """All steps: simulate, fit, certify, validate, report. The same command resumes what was stopped."""
    from experiments.pipeline.prepare import run_in

    recipe, fresh = recipe_of(system, config, chosen), chosen.get("fresh", False)
    reads = [config] if config is not None else []
    return finish(run_in(out, recipe, fresh=fresh, console=console_of(chosen), reads=reads), chosen)


@takes("plant", "seed", "data", "fit", "fresh", "output")
def fit(
    run_folder: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", parser=place, help="The folder of a run.")
    ] = None,
    plant: Annotated[
        str | None, typer.Option("--plant", metavar="NAME_OR_FILE", help="With --data: the plant that was logged.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="RUN", parser=place, help="With --data: the folder of the new run."),
    ] = None,
    **chosen: Any,
) -> int:
    """Fit the observer of a run; an interrupted fit continues. Or from logs: fit --data FILES --plant FILE --out RUN."""
    from experiments.pipeline.data import simulate_step
    from experiments.pipeline.fitting import fit_step
    from experiments.pipeline.prepare import prepare, reopen
    from experiments.pipeline.steps import done

    console, fresh = console_of(chosen), chosen.get("fresh", False)
    folder = _fit_folder(run_folder, plant, out, chosen)
    if plant is not None:
        opened = prepare(recipe_of(plant, None, chosen), folder, fresh=fresh, console=console)
    else:
        opened = reopen(folder, to_keys(chosen), step="fit", fresh=fresh, console=console)
    with opened as (run, job):
        if plant is not None and not done("simulate", run):
            run = simulate_step(run, job)
        if done("fit", run) and not fresh:
            console.say(f"{folder}: fitted already; --fresh fits again")
        else:
            run = fit_step(run, job, fresh=fresh)
    print_results(run, chosen)
    return FAILED if run.fit is None or run.fit.status == "non_finite" else DONE


def _fit_folder(run_folder: Path | None, plant: str | None, out: Path | None, chosen: Mapping[str, Any]) -> Path:
    """The folder of ``observer fit``. Raises InputError unless it is given either a run, or logs with plant and folder."""
    from systems.base.errors import InputError

    whole = "expected `observer fit RUN`, or `observer fit --data FILES --plant NAME_OR_FILE --out RUN`"
    if run_folder is None:
        given = (("--data", chosen.get("data")), ("--plant", plant), ("--out", out))
        absent = [flag for flag, value in given if value is None]
        if len(absent) == 3:
            raise InputError(f"no run is given; {whole}")
        if absent or out is None:
            raise InputError(f"{' and '.join(absent)} missing; {whole}")
        return out
    new = [item.flag for item in OPTIONS if item.group in ("plant", "data") and item.name in chosen]
    new += [flag for flag, value in (("--plant", plant), ("--out", out)) if value is not None]
    if new:
        raise InputError(f"{new[0]} belongs to a new run, and {run_folder} has its plant and data already; {whole}")
    return run_folder


@takes("certify", "output")
def certify(
    run_folder: Folder,
    work: float | None = None,
    budget: float | None = None,
    gap: float | None = None,
    **chosen: Any,
) -> int:
    """Certify the observer of a run: contraction rate, gains, and a proved bound of its residual over the region."""
    from experiments.pipeline.prepare import reopen
    from experiments.pipeline.steps import certify_step

    with reopen(run_folder, {}, step="certify", fresh=False, console=console_of(chosen)) as (run, job):
        run = certify_step(run, job, work=work, budget=budget, gap=gap)
    print_results(run, chosen)
    return DONE if run.certificate is not None and run.certificate.holds else FAILED


@takes("seed", "validation", "output")
def validate(run_folder: Folder, **chosen: Any) -> int:
    """Validate the observer of a run from random initial states; options given here replace those of the run."""
    from experiments.pipeline.prepare import reopen
    from experiments.pipeline.validation import validate_step

    changes = {"validation.seed" if key == "seed" else key: value for key, value in to_keys(chosen).items()}
    with reopen(run_folder, changes, step="validate", fresh=False, console=console_of(chosen)) as (run, job):
        run = validate_step(run, job)
    return finish(run, chosen)


@takes("output")
def report(run_folder: Folder, **chosen: Any) -> int:
    """Write the report of a run."""
    from experiments.pipeline.prepare import reopen
    from experiments.pipeline.steps import report_step

    with reopen(run_folder, {}, step="report", fresh=False, console=console_of(chosen)) as (run, job):
        run = report_step(run, job)
    return finish(run, chosen)


@takes("verify", "output")
def verify(
    run_folder: Folder,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Only hashes, algebra, derived numbers and samples of the trials: some seconds."),
    ] = False,
    budget: float | None = None,
    **chosen: Any,
) -> int:
    """Check a run: each of its parts is derived again from the parts before it, and compared with what is stored."""
    from experiments.pipeline.verification.findings import ANSWERS
    from experiments.pipeline.verify import BUDGET
    from experiments.pipeline.verify import verify as examine

    found = examine(run_folder, budget=budget or BUDGET, fast=fast)
    if chosen.get("json"):
        show(json.dumps(vars(found)))
    else:
        for answer in ANSWERS:
            word = answer.upper() if answer in ("differs", "unconfirmed") else answer
            for text in getattr(found, answer):
                show(f"{word:<11} {text}")
        show(f"{run_folder}: {found.conclusion}")
    return FAILED if found.differs or found.unconfirmed else DONE
