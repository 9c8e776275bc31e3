"""The fit of a run: its algebra and its closed forms at once, and the training by doing it again.

A training repeats to the bit on the same kind of processor. On another one rounding leads it elsewhere, and that it ended elsewhere refutes
nothing: then what only the training gives is not confirmed.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import observer as library
from experiments.pipeline.console import Console
from experiments.pipeline.decision import fit_arguments
from experiments.pipeline.fine_tuning import side_by_side, tuning_arguments
from experiments.pipeline.fitting import fitted_data
from experiments.pipeline.job import Job
from experiments.pipeline.recipe import Recipe
from experiments.pipeline.verification.agreement import EPS as EPSILON
from experiments.pipeline.verification.agreement import compared
from experiments.pipeline.verification.findings import ABSENT, DIFFERS, UNCONFIRMED, UNEXAMINED, Finding
from observer import FitResult, runs
from observer.fine_tuning.task import task_transitions
from observer.fitting.decision import HELD_OUT, decide
from observer.fitting.fit import EPS, NOT_IMPROVED, held_out_loss, linear_solution, make_problem, solver_name
from observer.fitting.options import FitOptions
from observer.fitting.result import HISTORY, one_step_errors
from observer.networks.ren.direct_map import DirectMap
from observer.runs import Run, load_run
from observer.storage import file_hash
from systems.base.errors import InputError
from systems.base.records import to_plain

TIMES = ("seconds",)  # of the wall clock: stated, and not compared
HEADER = ("format_version", "package_version", "command", "hashes", "recipe")  # of every JSON file
NEAR = 1e-9  # relative; weights that a training ends in along the same path
SEARCHED = 1e6  # roundings of a search for a metric, relative to its largest number


class TimeUp(Exception):
    """The time given for a repetition is used up."""


def until(end: float) -> Callable[[Any], None]:
    """A progress callback that raises TimeUp."""

    def check(_: Any) -> None:
        if time.monotonic() > end:
            raise TimeUp

    return check


def algebra_findings(run: Run) -> Iterator[Finding]:
    """The weights against the direct parameters that they were made of, and the header of their file."""
    observer, part = run.observer, runs.OBSERVER
    assert observer is not None
    try:
        network = observer.scaling.inverse().fold(observer.weights)
        size = observer.scaling.matrix
        metric = size.T @ observer.metric @ size
        direct = DirectMap(observer.contraction_rate, polar=False, eps=observer.eps).direct(
            network, metric, observer.multipliers
        )
    except (ValueError, InputError, np.linalg.LinAlgError) as error:
        yield Finding(DIFFERS, part, " ".join(str(error).split()))
        return
    A = observer.weights.A
    rounded = np.array_equal(A, A.astype(np.float32))  # to float32, before it was shipped
    roundings = (64 * 2.0**29 if rounded else 1e4) * np.linalg.cond(size)
    scale = np.linalg.norm(direct["X"], axis=0)
    stored, anew = _forms(observer.direct, scale), _forms(direct, scale)
    yield from compared(part, stored, anew, what="weights, by their direct parameters", roundings=roundings)
    if np.tril(observer.direct["X"], -1).any():
        yield Finding(DIFFERS, part, "direct.X is not the triangular root that it is made as")
    if not observer.weights.has_identity_output:
        yield Finding(DIFFERS, part, "its output is not its state")
    yield from compared(part, {"eps": observer.eps}, {"eps": EPS}, what="margin of its parameters")
    yield from compared(part, _meta(run.path / part), to_plain(observer.meta()), what="its header", roundings=0.0)


def _forms(direct: Mapping[str, Any], scale: np.ndarray) -> dict[str, np.ndarray]:
    """Direct parameters with X'X, its columns over ``scale``, in place of its root X, which is ill-conditioned."""
    values = {name: np.asarray(value) for name, value in direct.items()}
    root = values.pop("X") / scale
    return values | {"X'X": root.T @ root}


def _meta(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as archive:
        return json.loads(archive.metadata()["meta"])


def fit_findings(run: Run, recipe: Recipe, *, fast: bool, end: float) -> Iterator[Finding]:
    """``fit.json`` and ``history.csv``."""
    assert run.fit is not None
    if recipe.fine_tune.source is not None:
        yield from _tuned(run, recipe, fast=fast, end=end)
        return
    plant, data, arguments = run.plant, fitted_data(run, recipe), fit_arguments(recipe)
    found = decide(plant, data, FitOptions(**arguments), recipe.seed)
    problem = make_problem(plant, found, recipe.seed)
    start_loss = held_out_loss(linear_solution(problem), problem)
    loss, rms = one_step_errors(run.fit.observer, found.held_out)
    kept = (NOT_IMPROVED,) if NOT_IMPROVED in run.fit.warnings and loss >= start_loss * (1 - 1e-9) else ()
    expected = replace(
        run.fit, message=run.fit.status.sentence, one_step_loss=loss, one_step_rms=rms, start_loss=start_loss, seed=recipe.seed,
        options=found.options.to_data(), search=found.search, region=found.region,
        warnings=(*data.warnings, *found.warnings, *kept), solver=solver_name(found.options, problem) if recipe.fit.neurons else "linear",
    )  # fmt: skip
    roundings = SEARCHED * max(1.0, found.search.condition)
    yield from compared(
        runs.FIT, _stated(run.fit), _stated(expected), what="metric, scales, losses and options, from data and shipped weights",
        exempt=TIMES, roundings=roundings,
    )  # fmt: skip
    yield from compared(
        runs.OBSERVER, {"scaling": vars(run.fit.observer.scaling), "contraction_rate": run.fit.observer.contraction_rate},
        {"scaling": vars(problem.scaling), "contraction_rate": problem.rate}, what="scaling and rate bound", roundings=roundings,
    )  # fmt: skip
    yield from _shape_of_history(run.fit)
    arguments |= {
        "budget": None,
        "iterations": arguments["iterations"] or (run.fit.iterations if arguments["budget"] else None),
    }
    yield from _repeated(
        run.fit,
        lambda progress: library.fit(plant, data, **arguments, seed=recipe.seed, progress=progress, decided=found),
        fast=fast, end=end, exempt=(*TIMES, "options.budget", "options.iterations"),
    )  # fmt: skip


def _stated(fit: FitResult) -> dict[str, Any]:
    """What ``fit.json`` states."""
    return to_plain(
        {item.name: getattr(fit, item.name) for item in fields(fit) if item.name not in ("observer", "history")}
    )


def _shape_of_history(fit: FitResult) -> Iterator[Finding]:
    if tuple(fit.history) != HISTORY:
        yield Finding(DIFFERS, runs.HISTORY, f"its columns are {', '.join(fit.history)}; expected {', '.join(HISTORY)}")
    if (np.diff(fit.history.get("seconds", np.zeros(1))) < 0).any():
        yield Finding(DIFFERS, runs.HISTORY, "its seconds run backwards")


def _repeated(
    fit: FitResult,
    again: Callable[[Callable[[Any], None]], FitResult],
    *,
    fast: bool,
    end: float,
    exempt: tuple[str, ...],
) -> Iterator[Finding]:
    """The training done again; ``again`` takes a progress callback."""
    what = f"history, iterations and status of the training ({fit.seconds:.3g} s there)"
    if fast:
        yield Finding(UNEXAMINED, runs.FIT, f"{what}: only a new training shows them; without --fast it is done")
        return
    try:
        until(end)(None)
        found = again(until(end))
    except TimeUp:
        yield Finding(UNCONFIRMED, runs.FIT, f"{what}: the training was not finished again in the time given")
        return
    weights, again_weights = fit.observer.to_arrays(), found.observer.to_arrays()
    off = max(_off(value, again_weights.get(name)) for name, value in weights.items())
    if off > NEAR:
        yield Finding(
            UNCONFIRMED, runs.FIT, f"{what}: the training, done again, ended elsewhere (loss {found.one_step_loss:.9g}, and "
            f"{fit.one_step_loss:.9g} there); it repeats to the bit only on the same kind of processor and number of threads",
        )  # fmt: skip
        return
    roundings = 16.0 + 1e3 * off / EPSILON  # the same steps, or steps that part by as much as the weights do
    yield from compared(
        runs.FIT, _stated(fit), _stated(found), what="the training, done again", exempt=exempt, roundings=roundings
    )
    one, two = ({name: value for name, value in each.history.items() if name != "seconds"} for each in (fit, found))
    yield from compared(runs.HISTORY, one, two, what="the training, done again", roundings=roundings)


def _off(stored: np.ndarray, again: np.ndarray | None) -> float:
    """The largest difference, relative to the largest entry; infinite for another shape."""
    if again is None or np.shape(stored) != np.shape(again):
        return float("inf")
    size = float(np.max(np.abs(again), initial=0.0))
    return float(np.max(np.abs(np.asarray(stored) - again), initial=0.0)) / (size or 1.0)


def _tuned(run: Run, recipe: Recipe, *, fast: bool, end: float) -> Iterator[Finding]:
    """A fine-tuned observer, against the run that it came from, where that is here."""
    assert run.fit is not None and recipe.fine_tune.source is not None
    yield from _shape_of_history(run.fit)
    source = Path(recipe.fine_tune.source)
    try:
        before = load_run(source)
        matches = file_hash(source / runs.OBSERVER) == run.fine_tuning.get("source_observer")
    except (InputError, OSError):
        matches = False
    if not matches:
        text = f"the run {source} that it was tuned from is not here as it was, so neither tuning nor comparison was repeated"
        yield Finding(ABSENT, runs.FIT, text)
        return
    fitted, arguments = tuning_arguments(before, run, recipe)
    train, rest = run.trajectories.split(HELD_OUT, recipe.seed)
    loss, rms = one_step_errors(run.fit.observer, task_transitions(fitted, run.plant, train, rest, recipe.seed)[1])
    expected = replace(
        run.fit, message=run.fit.status.sentence, one_step_loss=loss, one_step_rms=rms, start_loss=fitted.start_loss,
        search=fitted.search, region=fitted.region, seed=recipe.seed,
    )  # fmt: skip
    yield from compared(
        runs.FIT, _stated(run.fit), _stated(expected), what="losses from the shipped weights", exempt=TIMES
    )
    arguments |= {"budget": None}
    if arguments.get("iterations") is None:
        arguments.pop("iterations", None)
    yield from _repeated(
        run.fit, lambda progress: library.fine_tune(fitted, run.trajectories, **arguments, progress=progress), fast=fast, end=end,
        exempt=(*TIMES, "options.budget"),
    )  # fmt: skip
    if fast or time.monotonic() > end:
        answer = UNEXAMINED if fast else UNCONFIRMED
        yield Finding(answer, runs.FINE_TUNING, "errors before and after: their trials were not simulated again")
        return
    again = to_plain(side_by_side(before, run, Job(recipe, "", Console(quiet=True))))
    stored = {name: value for name, value in run.fine_tuning.items() if name in again or name not in HEADER}
    yield from compared(runs.FINE_TUNING, stored, again, what="errors before and after, simulated again", roundings=1e9)
