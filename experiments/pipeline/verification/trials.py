"""The trials of a run again: random ones, those on logs, and the worst that were found by search."""

import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from experiments.pipeline.decision import shown_by_logs
from experiments.pipeline.recipe import Recipe
from experiments.pipeline.validation import random_trials, study, worth
from experiments.pipeline.verification.agreement import EPS, compared
from experiments.pipeline.verification.data import motion_findings
from experiments.pipeline.verification.findings import DIFFERS, UNCONFIRMED, UNEXAMINED, Finding
from observer import runs
from observer.networks.ren.explicit import ExplicitREN
from observer.runs import Run
from observer.state_observer import RENObserver
from observer.validation.on_logs import validate_on_logs
from observer.validation.result import Validation
from observer.validation.validate import LOGGED, estimates, initial_estimates, judged, trial_seconds
from observer.validation.worst_cases import GOALS, WorstInitialStates
from observer.validation.worst_cases.worst_case import errors_along, judge_worst, late_from
from systems.angles import periods, wrap
from systems.base.records import to_plain
from systems.feedback import commands_of
from systems.integration import RTOL
from systems.trajectories import Trajectories

FEW = 8  # trials whose samples are integrated again in a fast verification


def estimate_rounding(observer: RENObserver, x_hat: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What rounding may change of estimates along stored inputs ``(nx,)``: that of one step, and of all steps before it, which
    contraction forgets: in all at most sqrt(cond M) / (1 - rate) times, and never more than one for each sample."""
    w: ExplicitREN = observer.weights
    x, inputs = np.nanmax(np.abs(x_hat), axis=(0, 1)), np.nanmax(np.abs(v), axis=(0, 1), initial=0.0)
    terms = (w.nx + w.nv + w.nu + 2) * EPS
    argument = np.abs(w.C1) @ x + np.abs(w.D12) @ inputs + np.abs(w.bv) + np.abs(w.D11).sum(axis=1)
    neurons = np.linalg.solve(np.eye(w.nv) - np.tril(np.abs(w.D11), -1), terms * argument)
    step = (
        terms * (np.abs(w.A) @ x + np.abs(w.B1).sum(axis=1) + np.abs(w.B2) @ inputs + np.abs(w.bx))
        + np.abs(w.B1) @ neurons
    )
    rate, samples = observer.contraction_rate, x_hat.shape[1]
    lasting = samples if rate >= 1 else min(samples, np.sqrt(np.linalg.cond(observer.metric)) / (1 - rate))
    return np.full(w.nx, 8 * lasting) * np.maximum(step, step.max() * EPS)


def trial_findings(run: Run, recipe: Recipe, *, fast: bool) -> Iterator[Finding]:
    """Both validations: what their seed draws, every sample from the one before it, the estimates, and the judgement."""
    assert run.observer is not None and run.validation is not None
    if recipe.data.files and not shown_by_logs(recipe, run.plant, run.trajectories, run.observer.contraction_rate):
        yield from _on_logs(run, recipe)
        return
    noisy = not recipe.validation.noise and run.system.has_noise
    if noisy != (run.validation_noise is not None):
        yield Finding(
            DIFFERS,
            runs.VALIDATION_NOISE,
            "missing" if noisy else "no output states any noise, so there is no such trial",
        )
    for part, check in ((runs.VALIDATION, run.validation), (runs.VALIDATION_NOISE, run.validation_noise)):
        if check is not None:
            yield from _random(
                part, check, run, recipe, noise=recipe.validation.noise or part != runs.VALIDATION, fast=fast
            )


def _random(part: str, check: Validation, run: Run, recipe: Recipe, *, noise: bool, fast: bool) -> Iterator[Finding]:
    options, seed, observer = recipe.validation, recipe.validation_seed + 1, run.observer
    assert observer is not None
    trials = random_trials(options.trials, extra=part != runs.VALIDATION)
    duration = trial_seconds(run.plant, observer, options.duration)
    data = Trajectories(check.t, check.x, check.u, check.y, check.lengths, "", check.warnings, check.plant_method)
    rows = np.unique(np.linspace(0, trials - 1, FEW).astype(int)) if fast else slice(None)
    yield from motion_findings(
        part, run, data, seed, options.excitation, trajectories=trials, duration=duration, truth=options.truth, noise=noise, rows=rows,
    )  # fmt: skip
    if len(check.x) != trials or len(check.t) != round(duration / run.plant.dt) + 1:
        return
    if fast and trials > FEW:
        yield Finding(
            UNEXAMINED, part, f"samples of {trials - FEW} of {trials} trials; without --fast all are integrated again"
        )
    first = initial_estimates(run.system, options.estimate_start, trials, seed, options.spread)
    yield from compared(
        part, {"x_hat[:, 0]": check.x_hat[:, 0]}, {"x_hat[:, 0]": first}, what="initial estimates of its seed"
    )
    yield from _judgement(
        part, check, data, run, truth=options.truth, seed=seed, noise=noise, window=options.window, peak=options.peak
    )


def _judgement(part: str, check: Validation, data: Trajectories, run: Run, **how: Any) -> Iterator[Finding]:
    """Estimates along the stored measurements, and all that is computed from them."""
    observer = run.observer
    assert observer is not None
    x_hat = estimates(observer, check.x_hat[:, 0], data)
    allowed = estimate_rounding(
        observer, check.x_hat, np.concatenate([check.u[..., run.system.known], check.y], axis=2)
    )
    yield from compared(
        part,
        {"x_hat": check.x_hat},
        {"x_hat": x_hat},
        what="estimates along its measurements",
        near={"x_hat": allowed},
        roundings=16.0,
    )
    anew = judged(observer, run.plant, data, check.x_hat, **how)
    names = [item.name for item in fields(Validation) if item.name not in ("t", "x", "x_hat", "u", "y")]
    stored, again = ({name: _plain(getattr(each, name)) for name in names} for each in (check, anew))
    made = {} if how["truth"] in LOGGED else {"warnings": _plain(check.warnings)}  # compared with the motion
    yield from compared(
        part, stored, again | made, what="errors, settling times, criteria and verdict", near=_of_differences(run, check.x),
        roundings=1e4 * np.linalg.cond(observer.metric),
    )  # fmt: skip


def _of_differences(run: Run, x: np.ndarray) -> dict[str, Any]:
    """What rounding may change of errors and residuals: they are small differences of states."""
    assert run.observer is not None
    size = 1e3 * EPS * np.nanmax(np.abs(x), axis=(0, 1))
    norm = float(np.linalg.norm(np.abs(np.linalg.cholesky(run.observer.metric)).T @ size))
    return {"rms_error": size, "max_error": size, "error_norm": norm, "residual_level": norm, "residual": norm}


def _plain(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else to_plain(value if not isinstance(value, tuple) else [
        vars(item) if hasattr(item, "requirement") else item for item in value
    ])  # fmt: skip


def _on_logs(run: Run, recipe: Recipe) -> Iterator[Finding]:
    """Trials on held-out logs: the stretches are those of ``trajectories.npz``."""
    check, options, observer = run.validation, recipe.validation, run.observer
    assert check is not None and observer is not None
    again = validate_on_logs(
        observer, run.plant, run.trajectories, options.trials, options.duration, recipe.validation_seed,
        spread=options.spread, window=options.window, learned=recipe.data.learned, peak=options.peak,
    )  # fmt: skip
    names = ("t", "x", "u", "y")
    yield from compared(
        runs.VALIDATION, {name: getattr(check, name) for name in names} | {"x_hat[:, 0]": check.x_hat[:, 0]},
        {name: getattr(again, name) for name in names} | {"x_hat[:, 0]": again.x_hat[:, 0]}, what="stretches and initial estimates",
    )  # fmt: skip
    if check.x_hat.shape != again.x_hat.shape:
        return
    data = Trajectories(
        again.t, again.x, again.u, again.y, np.full(len(again.x), len(again.t)), warnings=again.warnings
    )
    yield from _judgement(
        runs.VALIDATION,
        check,
        data,
        run,
        truth="equations" if run.trajectories.by_equations else "logs",
        seed=recipe.validation_seed,
        noise=True,
        window=options.window,
        peak=options.peak,
    )


def worst_findings(run: Run, recipe: Recipe, *, fast: bool, end: float) -> Iterator[Finding]:
    """``starts.npz``: what its initial states do, measured again; the search and the map, by doing them again."""
    stored, check, part = run.worst_cases, run.validation, runs.STARTS
    if stored is None or check is None or run.observer is None:
        return
    expected = {
        "goals": list(GOALS),
        "trials": [worth(recipe, run, len(check.t))] * len(GOALS),
        "residual": _residual(run),
    }
    yield from compared(
        part, {"goals": list(stored.worst), "trials": [case.trials for case in stored.worst.values()], "residual": stored.residual},
        expected, what="goals, trials and sampled residual", near=_of_differences(run, check.x),
    )  # fmt: skip
    bent = 0.0  # what another rounding may bend, in ranges
    for goal, case in stored.worst.items():
        nx, held, whole = run.plant.nx, len(commands_of(run.system)), check.x.shape[1:]
        wanted = {"x0": (nx,), "x_hat0": (nx,), "u": (held,), "error": whole, "random_error": whole}
        shapes = {name: np.shape(getattr(case, name)) for name in wanted}
        if shapes != wanted:
            yield Finding(DIFFERS, part, f"worst.{goal} has entries of shape {shapes}; expected {wanted}")
            return
        again = _again(run, case, check, recipe)
        near = _bent(run, case, recipe.validation.truth)
        bent = max(bent, float(near["value"]))
        yield from compared(
            part, {goal: vars(case)}, {goal: vars(again)}, what=f"worst initial state for {goal}, simulated again",
            near={f"{goal}.{name}": value for name, value in near.items()},
        )  # fmt: skip
    what = "worst initial states and convergence map"
    if fast or time.monotonic() > end:
        why = "without --fast they are" if fast else "the time given was used up"
        yield Finding(UNEXAMINED if fast else UNCONFIRMED, part, f"{what}: not searched again; {why}")
        return
    found = study(run, recipe, check)
    near = {"settling": bent * float(check.t[-1]), "late": bent}
    yield from compared(part, vars(stored.map), vars(found.map), what="convergence map", near=near)
    for goal, case in stored.worst.items():
        yield from _searched(part, case, found.worst[goal], _bent(run, case, recipe.validation.truth))


def _searched(
    part: str, case: WorstInitialStates, again: WorstInitialStates, near: dict[str, Any]
) -> Iterator[Finding]:
    """What a search found, against the same search."""
    what = f"worst initial state for {case.goal}"
    found = all(
        np.allclose(getattr(case, name), getattr(again, name), rtol=1e-9, atol=1e-12) for name in ("x0", "x_hat0", "u")
    )
    if found:
        stored, anew = ({f"{case.goal}.{name}": value for name, value in vars(each).items()} for each in (case, again))
        near = {f"{case.goal}.{name}": value for name, value in near.items()}
        yield from compared(part, stored, anew, what=f"{what}, searched again", near=near)
        return
    yield Finding(
        UNCONFIRMED, part, f"{what}: what it does was simulated again, but the search, done again, ended elsewhere (at {again.value:.9g}; "
        f"{case.value:.9g} there); it repeats to the bit only on the same kind of processor",
    )  # fmt: skip


def _residual(run: Run) -> float:
    """The largest residual along the data of the fit, in the metric of the observer."""
    from observer.validation.envelopes import sampled_residual

    assert run.observer is not None
    if not (run.path / runs.TRAJECTORIES).is_file() or not np.isfinite(run.trajectories.x).any():
        return float("nan")
    return sampled_residual(run.observer, run.plant, run.trajectories, run.observer.metric)


def _again(run: Run, case: WorstInitialStates, check: Validation, recipe: Recipe) -> WorstInitialStates:
    """The found initial states simulated again, beside the errors of the random ones as they are stored."""
    assert run.observer is not None
    x0, x_hat0, u = case.x0[None], case.x_hat0[None], case.u[None]
    error = errors_along(run.observer, run.plant, x0, x_hat0, u, len(check.t), recipe.validation.truth)[0]
    late = late_from(float(check.t[-1]), float(check.window[0]), run.plant.dt)
    t = run.plant.dt * np.arange(len(check.t))
    return judge_worst(
        run.plant, case.goal, case.x0, case.x_hat0, case.u, error, case.random_error, t, late, case.trials
    )


def _bent(run: Run, case: WorstInitialStates, truth: str) -> dict[str, Any]:
    """What another rounding, or other steps of the reference integrator, may change of errors along a trajectory: measured, by
    nudging the initial state by as much. Of a chaotic plant that grows."""
    assert run.observer is not None
    width = np.ptp(run.system.state_ranges, axis=1)
    nudge = (RTOL if truth != "model" else 64 * EPS) * width
    plain, nudged = (
        errors_along(run.observer, run.plant, x[None], case.x_hat0[None], case.u[None], len(case.t), "model")[0]
        for x in (case.x0, case.x0 + nudge)
    )
    grown = np.maximum.accumulate(np.abs(wrap(nudged - plain, periods(run.system.states))), axis=0)
    near = 10 * (grown + nudge)
    share = float((near / width).max())
    return {"error": near, "random_error": near, "value": share * max(1.0, float(case.t[-1])), "random": share}
