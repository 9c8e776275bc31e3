"""The steps of a run: simulate (or read logs) -> fit -> certify -> validate -> report.

Each step takes a Run, writes its files, and returns the Run with one part more. What depends on a part is removed
before the part is replaced, so that a file that is there is always up to date: finished steps can be skipped.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import nan

import observer
import reports
from experiments.pipeline import stopping
from experiments.pipeline.data import simulate_step
from experiments.pipeline.fitting import fit_step
from experiments.pipeline.job import REPORT, Job, clear, fitted_observer, with_metrics
from experiments.pipeline.validation import validate_step
from observer import runs
from observer.fitting.result import Progress
from observer.runs import Run
from systems.base.errors import InputError


@dataclass(frozen=True)
class RunStep:
    """One step: its name, whether a run has it already, and how it is done.

    What it writes, and so what a repetition clears together with all that depends on it, are the ``FILES`` of its name.
    """

    name: str
    done: Callable[[Run], bool]
    do: Callable[[Run, Job], Run]


_LEAST_WORK, _FULL_FIT = (
    0.2,
    5e8,
)  # share of the usual work; rows x parameters x iterations of a fit that is worth all of it


def certify_step(
    run: Run, job: Job, *, work: float | None = None, budget: float | None = None, gap: float | None = None
) -> Run:
    """Certify the shipped matrices, and bound the residual over the region by ``work`` times the usual searches.

    Left out, the work goes by what the fit had to do, counted and not timed: a small trial stays small. ``budget`` [s] only stops.
    """
    from observer.certification.certificate import BUDGET, GAP

    network = fitted_observer(run)
    share, tight = work or _work(run), gap or GAP
    time = budget or job.recipe.certify_budget or BUDGET
    asked = f" --work {share:g} --budget {time:g}s --gap {tight:g}" if work or budget or gap else ""
    with job.console.step("certify", "contraction, gains, and the residual over the region") as tell:
        certificate = observer.certify(
            network, work=share, budget=time, gap=tight, seed=job.recipe.seed,
            progress=lambda name, cells, seconds: tell(Progress(f"{name}, cells", cells, 0, nan, nan, nan, seconds)),
        )  # fmt: skip
    stopping.check()  # a stopped search has a bound, but not the one of an unbroken run
    command = f"observer certify {run.path}{asked}" if asked else job.command
    clear(run.path, "certify", keep=(runs.VALIDATION, runs.VALIDATION_NOISE, runs.STARTS))
    runs.save_certificate(run.path, certificate, command=command)
    if certificate.bounds is not None:
        job.console.say(f"{'certify':<10} {certificate.bounds.kind}: {certificate.bounds.reason}")
    return with_metrics(replace(run, certificate=certificate), job)


def _work(run: Run) -> float:
    """Share of the usual work, by the size of the fit."""
    fit = run.fit
    if fit is None or not fit.options.get("samples"):
        return 1.0
    parameters = sum(array.size for array in fit.observer.direct.values())
    return float(min(1.0, max(_LEAST_WORK, fit.options["samples"] * parameters * fit.iterations / _FULL_FIT)))


def report_step(run: Run, job: Job) -> Run:
    """Write ``report.html`` and the figures."""
    if run.fit is None or run.certificate is None or run.validation is None:
        raise InputError(
            f"{run.path}: not finished, so there is nothing to report; "
            f"`observer run {job.recipe.system} --out {run.path}` goes on"
        )
    run = with_metrics(run, job)
    with job.console.step("report", "page and figures"):
        reports.write_report(run, command=job.command)
    return run


STEPS = (
    # a new Run in an old folder has no config
    RunStep("simulate", lambda run: bool(run.config) and (run.path / runs.TRAJECTORIES).is_file(), simulate_step),
    RunStep("fit", lambda run: run.fit is not None and run.fit.status != "interrupted", fit_step),
    RunStep("certify", lambda run: run.certificate is not None, certify_step),
    RunStep("validate", lambda run: run.validation is not None and "validation" in run.metrics, validate_step),
    RunStep("report", lambda run: (run.path / REPORT).is_file(), report_step),
)


def done(name: str, run: Run) -> bool:
    """True when the step has been finished in the folder of ``run``."""
    return next(step for step in STEPS if step.name == name).done(run)


def run_all(run: Run, job: Job) -> Run:
    """Every step that is not done yet."""
    finished = [step.name for step in STEPS if step.done(run)]
    if finished:
        job.console.say(f"resuming {run.path}: {', '.join(finished)} done already")
    return finish(run, job)


def finish(run: Run, job: Job) -> Run:
    """Every step that is not done yet, without a word about those that are."""
    for step in STEPS:
        if not step.done(run):
            run = step.do(run, job)
    return run
