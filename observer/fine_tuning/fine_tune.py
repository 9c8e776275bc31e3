"""``fine_tune``: make a fitted observer good under noise, and keep its proof.

The one-step fit knows no noise: of all observers that copy the plant it takes the one that its metric favours, usually a
fast one that passes much of the noise on. Fine-tuning minimises what a user sees,

    mean |x_hat[k] - x[k]|^2   in simulation, from wrong first estimates, with noise, bias and missing measurements,

inside the same certificate at a slower rate bound. It begins from a network that is taught the best proved observer with the
plant's own equations (:mod:`observer.fine_tuning.reference_observer`), from one with a constant gain where the first did not come
near, and from the fitted observer itself where neither helped. Method from there: :mod:`observer.fine_tuning.descent`.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from observer.fine_tuning.constant_gain import best_gain, design, slower_rate
from observer.fine_tuning.descent import Anchor, Point, Tuner
from observer.fine_tuning.reproduction import HEADROOM, Told, find_teacher, teach, transitions
from observer.fine_tuning.rollouts import make_rollouts, make_sensing
from observer.fitting.fit import HELD_OUT, make_observer
from observer.fitting.linear_algebra.least_squares import parameter_count
from observer.fitting.problem import Problem, to_samples
from observer.fitting.result import FitResult, Progress, Status
from observer.fitting.solvers import solver
from observer.fitting.solvers.solver import Monitor, Solution
from systems.base.atomic_files import read_arrays, write_arrays
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

SHORTEST, LONGEST = 100, 400  # samples of a rollout by default, but for short trajectories
FAR = 3.0  # times the teacher's loss: where the network stays above it, another teacher is tried
SLOW = 300  # samples in which a proved error halves at least: what forgets more slowly adds up the residual of its own model
LASTING = 1 / 6  # of the horizon: how long an error lasts at most, in what a residual is counted as
SAMPLES, FEWEST = 36_000, 64  # samples of all training rollouts together, and rollouts at least
LARGEST = 3000  # weights
ITERATIONS = 120
NAME = "fine_tune"  # the solver of the result


def fine_tune(
    fitted: FitResult,
    plant: DiscreteSystem,
    data: Trajectories,
    *,
    noise: Any = None,
    bias: Any = None,
    dropout: float = 0.0,
    initial_error: float = 2.0,
    horizon: int | None = None,
    skip: float = 0.5,
    rollouts: int | None = None,
    contraction_rate: float | None = None,
    iterations: int = ITERATIONS,
    budget: float | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: Path | str | None = None,
) -> FitResult:
    """Tune a fitted observer for measurement noise, bias and dropouts; contraction stays certified.

    Parameters
    ----------
    data : the true trajectories, without noise; a fifth of them is held out.
    noise, bias : standard deviations in the units of the outputs, one number or one for each: of white noise (as stated
        with the outputs when left out) and of a constant drawn for each trajectory.
    dropout : chance that a measurement is missing; h(x_hat, u) stands in for it.
    initial_error : first estimates are off by up to this many half widths of the initial ranges; 2, as two independent draws
        from the initial box may be.
    horizon : samples of a rollout; four settling times of ``fitted``, 100 to 400, when left out.
    skip : share of the horizon that is not counted. By default errors count in the second half, as in a validation: the
        certified rate sees to the first. 0 counts all, and trades noise for a faster start.
    contraction_rate : bound per sample to keep, not faster than certified. Left out: the rate of the best observer that knows
        the plant, with half of its distance to 1 as headroom; slow enough that its gain may be low.
    iterations, budget : limits, in iterations and seconds. Only iterations keep the result independent of the machine.
    progress : called with :class:`Progress`. checkpoint : ``.npz`` from which an interrupted fine-tuning resumes; the teacher
        is found again first, which takes its time but gives the same.

    Returns a :class:`FitResult` with ``solver`` "fine_tune", whose observer is never worse than ``fitted`` on what is held out:
    rollouts, and transitions of the plant over the region and all inputs, as steady errors. ``history`` holds the sum of both,
    in squares of half a range; ``options["simulation_loss"]`` and ``["simulation_loss_before"]`` what held-out rollouts say,
    ``["gain_loss"]`` that of the best constant gain. Missing measurements are outside the certificate: it speaks of samples at
    which y is there.

    Raises :class:`InputError` for unusable arguments, for a network above some 3000 weights, where nothing states a noise, and
    for an observer in observability coordinates.
    """
    started = time.perf_counter()
    observer = fitted.observer
    if observer.scaling.state_scale.ndim == 2:
        raise InputError(
            "this observer works in observability coordinates, for which fine-tuning is not there yet; keep it as it is, or fit again "
            "with a slower settling time, at which the plain states may do"
        )
    _check(fitted, plant, skip, {"horizon": horizon, "rollouts": rollouts, "iterations": iterations, "budget": budget})
    sensing = make_sensing(plant, noise, bias, dropout, initial_error)
    if horizon is None:
        settling = np.log(0.02) / np.log(min(observer.contraction_rate, 0.9999))
        horizon = min(int(np.clip(4 * settling, SHORTEST, LONGEST)), int(data.lengths.max()) - 1)
    count = rollouts or max(FEWEST, SAMPLES // horizon)
    logged = fitted.options.get("transitions") == "data"
    with threadpool_limits(limits=1, user_api="blas"):  # as in ``fit``: the matrices are small
        train, rest = data.split(HELD_OUT, seed)
        counted = int(skip * horizon)
        drawn = [
            make_rollouts(plant, part, observer.scaling, sensing, horizon, count, (seed, 31, k), counted, logged)
            for k, part in enumerate((train, rest))
        ]
        found = design(plant, observer.scaling, sensing, horizon) if not logged else None
        gain = best_gain(found, drawn[0]) if found is not None else None
        teacher: Told | None = None
        stopped, slowest = False, 0.0  # by a person, before there was anything to keep
        if found is not None:
            slowest = (
                0.5 ** (1 / min(horizon, SLOW)) if contraction_rate is None else 1 - (1 - contraction_rate) / HEADROOM
            )
            try:
                teacher = find_teacher(fitted, plant, found, drawn[0], slowest, iterations, budget, progress, started)
            except KeyboardInterrupt:
                stopped = True
        size = observer.scaling.state_scale
        network, metric = observer.scaling.inverse().fold(observer.weights), observer.metric * np.outer(size, size)
        lasting = LASTING * horizon if teacher is None else min(1 / (1 - teacher[1].rate), LASTING * horizon)
        samples = transitions(fitted, plant, (train, rest), logged, seed)
        copies = [to_samples(plant, observer.scaling, *part) for part in samples]
        anchor = Anchor(copies[0], copies[1], lasting**2)
        best: tuple[Point, Point, Point, Status, Monitor, Tuner] | None = None
        # A taught network is tuned even where it is worse than the fitted one at first: it lies in the right valley.
        for source in ("teacher", "constant gain", "fitted") if teacher is not None else ("fitted",):
            if source == "constant gain" and found is not None:  # the network did not come near: this one is easier
                teacher = find_teacher(fitted, plant, found, drawn[0], slowest, 0, budget, progress, started) or teacher
            if source == "fitted" and best is not None and best[0].best_loss < best[1].held_out:
                break
            if contraction_rate is not None:
                rate = float(contraction_rate)
            elif teacher is not None:
                rate = max(observer.contraction_rate, 1 - HEADROOM * (1 - teacher[1].rate))
            elif found is None:
                rate = 1 - 0.5 * (1 - observer.contraction_rate)
            else:
                rate = slower_rate(found, gain and gain[0], observer.contraction_rate)
            tuner = Tuner(drawn[0], drawn[1], rate, network.activation, network.nv, anchor)
            first = tuner.start(network, metric, observer.multipliers) if 0 < rate < 1 else None
            if first is None:
                raise InputError(
                    f"contraction_rate is {rate:.6g}; expected a number below 1 and above the {observer.contraction_rate:.6g} that "
                    "the observer is certified at: fine-tuning may slow it down, a faster one needs a new fit"
                )
            begin = first
            if teacher is not None and source != "fitted":
                try:
                    taught = teach(plant, samples, teacher, tuner, iterations, budget, progress, started, seed)
                    begin = first if taught is None else taught
                except KeyboardInterrupt:
                    stopped = True
            monitor = Monitor(iterations, budget, progress, Path(checkpoint) if checkpoint else None, started=started)
            point, status = (first, Status.INTERRUPTED) if stopped else _tune(tuner, begin, monitor)
            if best is None or point.best_loss < best[0].best_loss:
                best = (point, first, begin, status, monitor, tuner)
            if status in (Status.INTERRUPTED, Status.BUDGET):
                best = (*best[:3], status, *best[4:])
                break
            if teacher is not None and point.best_loss <= FAR * teacher[2]:
                break
        assert best is not None
        point, first, begin, status, monitor, tuner = best
        rate = tuner.rate if point.best_loss < first.held_out else observer.contraction_rate
        theta, metric, multipliers = point.best
        solution = Solution(tuner.network(theta), metric, multipliers, status, point.iteration)
        problem = Problem(
            copies[0],
            copies[1],
            metric,
            rate,
            fitted.search.rate,
            network.activation,
            network.nv,
            observer.scaling,
            seed,
        )
        if point.best_loss < first.held_out:
            observer = make_observer(solution, problem, plant, str(fitted.options.get("dtype", "float64")))
            if not tuner.held_out_loss(observer.scaling.inverse().fold(observer.weights)) < first.held_out:
                observer = fitted.observer
        before, after = (drawn[1].loss(o.scaling.inverse().fold(o.weights)) for o in (fitted.observer, observer))
    x, u, y, x_next = samples[1]
    residual = observer.step(x, u, y) - x_next
    kept = observer is fitted.observer
    return replace(
        fitted,
        observer=observer,
        status=status.value,
        message=status.sentence,
        solver=NAME,
        history={key: np.array(values) for key, values in monitor.rows.items()},
        one_step_loss=float(np.mean(np.sum(residual**2, axis=1))),
        one_step_rms=np.sqrt(np.mean(residual**2, axis=0)),
        seconds=monitor.elapsed_before + time.perf_counter() - started,
        iterations=point.iteration,
        seed=seed,
        options=fitted.options | {
            "noise": sensing.noise.tolist(), "bias": sensing.bias.tolist(), "dropout": sensing.dropout,
            "initial_error": sensing.initial_error, "horizon": horizon, "skip": skip, "rollouts": count,
            "iterations": iterations, "budget": budget, "settling_time": None, "contraction_rate": observer.contraction_rate,
            "simulation_loss": after, "simulation_loss_before": before,
            "gain_loss": gain[1] if gain else None, "gain_rate": found.rate(gain[0]) if found and gain else None,
            "gain": gain[0].tolist() if gain else None,
            "start": "fitted" if begin is first else "taught", "teacher_loss": teacher[2] if teacher else None,
        },
        warnings=(
            ("fine-tuning did not improve on the fitted observer in held-out simulations; it was kept",) if kept else ()
        ),
    )  # fmt: skip


def _check(fitted: FitResult, plant: DiscreteSystem, skip: float, numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise InputError(f"{name} is {value!r}; expected a positive number")
    if not 0 <= skip < 1:
        raise InputError(f"skip is {skip!r}; expected the share of the horizon that is not counted, from 0 to below 1")
    weights, observer = fitted.observer.weights, fitted.observer
    if plant.system.state_names != observer.system.state_names or abs(plant.dt - observer.dt) > 1e-12 * plant.dt:
        raise InputError(
            f"the observer was fitted to '{observer.system.name}' at dt = {observer.dt:g} s, the plant is '{plant.system.name}' at "
            f"{plant.dt:g} s; give the plant of the fit"
        )
    size = parameter_count(weights.nx, weights.nv, weights.nu)
    if size > LARGEST:
        raise InputError(
            f"the observer has {size} weights; fine-tuning takes at most {LARGEST} (its sensitivities grow with their square): "
            "fit one with fewer neurons"
        )


def _tune(tuner: Tuner, point: Point, monitor: Monitor) -> tuple[Point, Status]:
    """Iterate from ``point``, or from the checkpoint of the same problem."""
    key = _hash(tuner, point)
    point = _restore(monitor, key) or point
    saved = monitor.seconds
    try:
        while point.iteration < monitor.iterations and not point.done:
            if monitor.out_of_time:
                return point, Status.BUDGET
            point = tuner.step(point)
            if point.iteration % 5 == 0 or point.iteration == monitor.iterations or point.done:
                monitor.record(
                    0, "fine-tune", point.iteration, monitor.iterations, point.loss, point.best_loss, point.damping, tuner.rate
                )  # fmt: skip
            if monitor.checkpoint is not None and monitor.seconds - saved > solver.SAVE_EVERY:
                _save(monitor, key, point)
                saved = monitor.seconds
    except KeyboardInterrupt:
        _save(monitor, key, point)
        return point, Status.INTERRUPTED
    return point, Status(point.done) if point.done else Status.ITERATION_LIMIT


_ARRAYS = ("theta", "metric", "multipliers")
_NUMBERS = ("loss", "held_out", "mu", "best_loss", "mark", "since", "damping", "iteration", "refused")


def _hash(tuner: Tuner, point: Point) -> str:
    """A hash of everything that decides the course of the fine-tuning."""
    digest = hashlib.sha256()
    parts: list[np.ndarray] = [getattr(point, name) for name in _ARRAYS]
    for rollouts in (tuner.train, tuner.held_out):
        parts += [rollouts.x, rollouts.v, rollouts.start]
    if tuner.anchor is not None:
        parts += [tuner.anchor.train.x, tuner.anchor.train.v, np.array(tuner.anchor.weight)]
    for array in parts:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr((tuner.rate, tuner.train.skip, tuner.activation)).encode())
    return digest.hexdigest()


def _save(monitor: Monitor, key: str, point: Point) -> None:
    if monitor.checkpoint is None:
        return
    arrays = {name: getattr(point, name) for name in _ARRAYS}
    arrays |= {f"best.{name}": value for name, value in zip(_ARRAYS, point.best, strict=True)}
    arrays |= {name: np.array(getattr(point, name)) for name in _NUMBERS}
    arrays |= {f"history.{name}": np.array(values) for name, values in monitor.rows.items()}
    write_arrays(monitor.checkpoint, compress=False, hash=np.array(key), elapsed=np.array(monitor.seconds), **arrays)


def _restore(monitor: Monitor, key: str) -> Point | None:
    if monitor.checkpoint is None or not monitor.checkpoint.exists():
        return None
    try:
        arrays = read_arrays(monitor.checkpoint)
        if str(arrays["hash"]) != key:
            return None
        numbers = {name: arrays[name].item() for name in _NUMBERS}
        best = (arrays["best.theta"], arrays["best.metric"], arrays["best.multipliers"])
        point = Point(**{name: arrays[name] for name in _ARRAYS}, best=best, **numbers)
        rows = {name: arrays[f"history.{name}"].tolist() for name in monitor.rows}
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile):
        return None  # a damaged checkpoint costs the time already spent, nothing else
    monitor.elapsed_before, monitor.rows = float(arrays["elapsed"]), rows
    return point
