"""Validation: does the estimation error really converge? Random initial states, the true plant, and a verdict.

Each trial draws the initial states of plant and observer independently. The reference integrator (DOP853 or CVODES) simulates the plant
with held inputs, not the model that was fitted, unless asked. The verdict rests on printed criteria.
"""

from typing import Any

import numpy as np

from observer.known_plant import chosen_plant
from observer.state_observer import RENObserver, StateObserver
from observer.validation.result import Criterion, Validation, held_errors, largest_peak
from systems.angles import angles, periods, wrap
from systems.base import memory
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.regions import DRIFT, holds_along
from systems.system import System
from systems.trajectories import Trajectories, draw_initial_states, simulate

TOLERANCE = 0.02  # of each state's range: what counts as settled
ESTIMATE_STARTS = ("random", "zero", "centre")
SETTLING_TIMES_PER_TRIAL = 10.0
PIECE = 1 << 22  # samples of states and neurons that are worked on at once
#: truths that are logs -> what their states are: measured, or those of the equations along logs without states
LOGGED = {"logs": "logged data", "equations": "motion of the equations along the logs"}
PREDICTION = 3.0  # deviations of the noise: a fast observer, which follows the noise, predicts y to about two
DIVERGED = 10.0  # ranges: an error beyond them in the window has diverged; before, it is a peak
TRUTHS = ("reference", "model", "oracle")  # the last is what "reference" was called once


def initial_estimates(system: System, kind: Any, trials: int, seed: int, spread: float) -> np.ndarray:
    """``(trials, nx)`` initial estimates, as ``estimate_start`` of :func:`validate`, angles on the branches of their ranges."""
    return angles(system).initial(_drawn(system, kind, trials, seed, spread))


def _drawn(system: System, kind: Any, trials: int, seed: int, spread: float) -> np.ndarray:
    if isinstance(kind, str):
        if kind == "random":
            return draw_initial_states(system, trials, seed + 7919, spread)
        if kind == "zero":
            return np.zeros((trials, system.nx))
        if kind == "centre":
            return np.tile(system.initial_ranges.mean(axis=1), (trials, 1))
        raise InputError(f"estimate_start is {kind!r}; expected one of {', '.join(ESTIMATE_STARTS)}, or an array")
    given = np.asarray(kind, dtype=float)
    try:
        return np.broadcast_to(given, (trials, system.nx)).copy()
    except ValueError as error:
        raise InputError(f"estimate_start has shape {given.shape}; expected ({trials}, {system.nx})") from error


def validate(
    observer: StateObserver,
    plant: DiscreteSystem | None = None,
    trials: int = 200,
    duration: float | None = None,
    seed: int = 1,
    *,
    spread: float = 1.0,
    estimate_start: Any = "random",
    truth: str = "reference",
    noise: bool = False,
    excitation: str | dict[str, str] | None = None,
    x0: np.ndarray | None = None,
    window: tuple[float, float] | None = None,
    required_fraction: float = 0.99,
    peak: float | None = None,
) -> Validation:
    """Run ``trials`` random trials and judge them.

    Parameters
    ----------
    plant : the plant to validate against; the observer's own when left out.
    duration : seconds; ten settling times of the observer, or the system's usual duration, when left out.
    spread : factor by which the initial estimates reach beyond the initial box (the plant's initial states stay in it).
    estimate_start : ``random`` (independent of the plant's initial state), ``zero``, ``centre``, or an array ``(trials, nx)``.
    truth : ``reference`` integrates the continuous plant; ``model`` steps the discretised one. Discrete plants are their own truth.
    noise : measure with each output's stated noise, and move the plant by the stated process noise. The verdict is then about the
        noisy errors: a trial has converged when their RMS over the window is within 2 % of every range.
    window : seconds (from, to) over which errors are judged; the second half of the trial when left out.
    peak : ranges that no error may exceed at any time, for the verdict; when left out the peak is stated and not judged.

    Raises
    ------
    InputError
        For unusable arguments.
    SimulationError
        Where the plant itself leaves its ranges at once. A trial of which it leaves them later ends there.
    """
    plant = chosen_plant(observer, plant)
    system = plant.system
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise InputError(f"trials is {trials!r}; expected a whole number, 1 or more")
    if not (np.isfinite(spread) and spread > 0):
        raise InputError(f"spread is {spread!r}; expected a positive number")
    if truth not in TRUTHS:
        raise InputError(f"truth is {truth!r}; expected reference or model")
    duration = trial_seconds(plant, observer, duration)
    samples, wide = duration / plant.dt, 2 * (2 * system.nx + system.nu + system.ny + 1)
    memory.require(
        memory.arrays((trials, samples, wide)),
        f"{trials} trials of {duration:g} {system.time_unit} in samples of {plant.dt:g} {system.time_unit}",
        "ask for fewer or shorter ones, or a larger dt",
    )
    data = simulate(plant, trials, duration, seed, excitation, noise=noise, x0=x0, truth=truth, leave=True)
    x_hat0 = initial_estimates(system, estimate_start, len(data), seed, spread)
    x_hat = estimates(observer, x_hat0, data)
    return judged(
        observer, plant, data, x_hat, truth=truth, seed=seed, noise=noise, window=window, required_fraction=required_fraction,
        peak=peak,
    )  # fmt: skip


def trial_seconds(plant: DiscreteSystem, observer: StateObserver, asked: float | None = None) -> float:
    """Seconds of a trial: as asked, else the plant's usual duration, ten settling times, or 200 samples."""
    duration = plant.system.duration if asked is None else asked
    if duration is None and isinstance(observer, RENObserver) and observer.contraction_rate < 1:
        duration = trial_duration(observer.contraction_rate, observer.dt)
    return 200 * plant.dt if duration is None else duration


def trial_duration(contraction_rate: float, dt: float) -> float:
    """Seconds of ten settling times at a contraction rate per sample."""
    return float(SETTLING_TIMES_PER_TRIAL * np.log(0.02) / np.log(contraction_rate) * dt)


def judged(
    observer: StateObserver,
    plant: DiscreteSystem,
    data: Trajectories,
    x_hat: np.ndarray,
    *,
    truth: str,
    seed: int,
    noise: bool,
    window: tuple[float, float] | None = None,
    required_fraction: float = 0.99,
    peak: float | None = None,
) -> Validation:
    """The verdict on estimates x_hat ``(K, N, nx)`` along ``data`` without gaps; ``truth`` may be one of :data:`LOGGED` here.

    Along logs without states (``equations``) the prediction of y is judged and not the states, which nobody measured.

    A trial counts as long as its plant stays (``data.lengths``); one that leaves before the window begins is not judged.
    """
    system, t, angles = plant.system, data.t, periods(plant.system.states)
    unit = system.time_unit
    width = np.ptp(system.state_ranges, axis=1)
    start, stop = window if window is not None else (0.5 * t[-1], t[-1])
    chosen = (t >= start - 1e-9) & (t <= stop + 1e-9)
    if not chosen.any():
        raise InputError(f"window is ({start:g}, {stop:g}) {unit} and holds no sample of a trial of {t[-1]:g} {unit}")
    counted = data.lengths > np.argmax(chosen)
    metric = observer.metric if isinstance(observer, RENObserver) else np.diag(1 / width**2)
    root = np.linalg.cholesky(metric)
    with np.errstate(over="ignore", invalid="ignore"):
        found = _measured(observer, system, data, x_hat, chosen, root, truth, noise)
        converged, settling = found["converged"], found.pop("settling")
        share = float(converged[counted].mean()) if counted.any() else 0.0
        within = "with an RMS error within" if _by_rms(noise, truth) else "within"
        criteria = [
            Criterion("trials that diverged", float(found["diverged"].sum()), "0", not found["diverged"].any()),
            Criterion(
                f"share of trials {within} {100 * TOLERANCE:g} % of every range from {start:g} {unit} to {stop:g} {unit}",
                share, f"at least {required_fraction:g}", bool(share >= required_fraction),
            ),
        ]  # fmt: skip
        if truth == "equations":
            criteria[-1] = _predicted(system, data, x_hat, chosen, f"from {start:g} {unit} to {stop:g} {unit}")
        if not counted.all():
            left = float((~counted).mean())
            criteria.append(
                Criterion(
                    "share of trials in which the plant left its ranges before that", left, "at most 0.5", left <= 0.5
                )
            )
        if peak is not None:
            error = held_errors(wrap(x_hat - data.x, angles), data.lengths)
            reached = largest_peak(error, t, system.state_ranges, system.state_names, [""] * system.nx).ranges
            criteria.append(
                Criterion("largest error at any time, in ranges", reached, f"at most {peak:g}", reached <= peak)
            )
        rate = 1.0
        if isinstance(observer, RENObserver):
            criteria.append(_proved_rate(observer, plant))
            rate = criteria[-1].value
        return Validation(
            t=t, x=data.x, x_hat=x_hat, u=data.u, y=data.y, state_names=system.state_names,
            units=tuple(s.unit for s in system.states), ranges=system.state_ranges, periods=angles, dt=plant.dt,
            trial_settling=np.where(np.isinf(settling), np.nan, settling),
            settling_time=np.median(settling[counted] if counted.any() else settling, axis=0),
            window=np.array([start, stop]), decay=np.minimum(rate, 1.0) ** np.arange(len(t)), **found,
            criteria=tuple(criteria), verdict="pass" if all(c.passed for c in criteria) else "fail",
            plant_method=LOGGED.get(truth, data.method), seed=seed, noise=noise, warnings=data.warnings,
            lengths=data.lengths,
        )  # fmt: skip


def _predicted(system: System, data: Trajectories, x_hat: np.ndarray, chosen: np.ndarray, when: str) -> Criterion:
    """How far y is from its prediction h(x_hat, u), in deviations of the noise: of the worst output.

    Where no noise is stated, that of y about the equations takes its place.
    """
    angles = periods(system.outputs)
    rms = []
    for x in (x_hat, data.x):
        error = wrap(data.y[:, chosen] - system.measure(x[:, chosen], data.u[:, chosen], data.t[chosen]), angles)
        rms.append(np.sqrt(np.nanmean(error**2, axis=(0, 1))))
    stated = np.array([signal.noise for signal in system.outputs])
    ratio = float(np.max(rms[0] / np.maximum(np.where(stated > 0, stated, rms[1]), 1e-300)))
    return Criterion(
        f"RMS error of predicted y {when}, over its noise", ratio,
        f"at most {PREDICTION:g}", ratio <= PREDICTION,
    )  # fmt: skip


def _pieces(observer: StateObserver, data: Trajectories) -> list[slice]:
    """Trials that are worked on at once; what lies between two values of a network is as large as its neurons are many."""
    width = data.x.shape[2] + (observer.weights.nv if isinstance(observer, RENObserver) else 0)
    rows = max(1, PIECE // (len(data.t) * width))
    return [slice(start, start + rows) for start in range(0, len(data), rows)]


def estimates(observer: StateObserver, x_hat0: np.ndarray, data: Trajectories) -> np.ndarray:
    """x_hat ``(K, N, nx)`` from initial estimates ``(K, nx)`` along ``data``."""
    x_hat = np.empty_like(data.x)
    with np.errstate(over="ignore", invalid="ignore"):
        for some in _pieces(observer, data):
            x_hat[some] = observer.run(x_hat0[some], data.u[some], data.y[some])
    return x_hat


def _measured(
    observer: StateObserver, system: System, data: Trajectories, x_hat: np.ndarray, chosen: np.ndarray, root: np.ndarray, truth: str,
    noise: bool,
) -> dict[str, Any]:  # fmt: skip
    """What is measured of estimates x_hat ``(K, N, nx)``, as fields of a :class:`Validation`, and ``settling`` ``(K, nx)``.

    ``chosen`` ``(N,)``: samples of the window. ``root`` ``(nx, nx)``: the norm is that of error @ root.
    """
    angles, width = periods(system.states), np.ptp(system.state_ranges, axis=1)
    squares, largest, level = np.zeros(system.nx), np.zeros(system.nx), 0.0
    there = np.arange(len(data.t)) < data.lengths[:, None]
    counted = there & chosen
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("diverged", "converged", "in_region", "settling", "error_norm")
    }
    for some in _pieces(observer, data):
        x, u, y = data.x[some], data.u[some], data.y[some]
        error = held_errors(wrap(x_hat[some] - x, angles), data.lengths[some])
        relative = np.abs(error) / width
        late = np.where(counted[some][..., None], error, 0.0)
        lost = ~np.isfinite(relative).all(axis=(1, 2)) | (np.abs(late) > DIVERGED * width).any(axis=(1, 2))
        exact = y[:, :-1] if truth in LOGGED else system.measure(x[:, :-1], u[:, :-1])
        one_step = wrap(observer.step(x[:, :-1], u[:, :-1], exact) - x[:, 1:], angles)
        off = np.linalg.norm(one_step @ root, axis=-1)
        level = np.maximum(level, np.max(np.where(there[some][:, 1:], off, 0.0)))
        squares, largest = (
            squares + np.sum(late**2, axis=(0, 1)),
            np.maximum(largest, np.max(np.abs(late), axis=(0, 1))),
        )
        judged_by = relative[:, chosen]
        if _by_rms(noise, truth):
            judged_by = np.sqrt(np.mean(judged_by**2, axis=1, keepdims=True))
        inside = (judged_by <= TOLERANCE).all(axis=(1, 2)) & ~lost
        settling, norm = settling_times(relative, data.t), np.linalg.norm(error @ root, axis=-1)
        for values, new in zip(rows.values(), (lost, inside, _in_region(x, u, system), settling, norm), strict=True):
            values.append(new)
    return {name: np.concatenate(values) for name, values in rows.items()} | {
        "rms_error": np.sqrt(squares / max(1, counted.sum())), "max_error": largest, "residual_level": float(level),
    }  # fmt: skip


def _by_rms(noise: bool, truth: str) -> bool:
    """Whether a trial is judged by the RMS of its errors: single peaks of stated noise say nothing about convergence."""
    return noise and truth not in LOGGED


def settling_times(relative: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``(K, nx)``: the sample after the last one at which |e_i| / width_i ``(K, N, nx)`` exceeds 2 %, in seconds; infinite where that is
    the last sample."""
    outside = ~(relative <= TOLERANCE)
    last = np.where(outside.any(axis=1), len(t) - 1 - np.argmax(outside[:, ::-1], axis=1), -1)
    return np.append(t, np.inf)[last + 1]


def _in_region(x: np.ndarray, u: np.ndarray, system: System) -> np.ndarray:
    known = angles(system)
    x, (low, high) = known.states(x), known.region(system.state_ranges).T
    return ((x >= low) & (x <= high)).all(axis=(1, 2)) & holds_along(system, x, u, DRIFT).all(axis=1)


def _proved_rate(observer: RENObserver, plant: DiscreteSystem) -> Criterion:
    from observer.certification.certificate import certify

    proof = certify(observer, plant, residual=False)
    required = f"proved, at most {observer.contraction_rate:.6g}"
    return Criterion("certificate: contraction rate per sample", float(proof.rate), required, bool(proof.holds))
