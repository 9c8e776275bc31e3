"""What a fine-tuning is given: options checked in one place, rollouts and transitions drawn once, and the constant gains."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from observer.fine_tuning.constant_gain import GainDesign, best_gain, design
from observer.fine_tuning.reference_observer import ProgressCallback
from observer.fine_tuning.rollouts import Rollouts, Sensing, make_rollouts, make_sensing
from observer.fitting.decision import HELD_OUT
from observer.fitting.linear_algebra.least_squares import parameter_count
from observer.fitting.options import check_positive
from observer.fitting.problem import Samples, held_out_count, logged_transitions, model_transitions, to_samples
from observer.fitting.result import FitResult, Progress
from observer.fitting.solvers.loop import Limits, Monitor
from observer.networks.ren.explicit import ExplicitREN
from observer.state_observer import RENObserver
from systems.angles import angles
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, Transitions

SHORTEST, LONGEST = 100, 400  # samples of a rollout by default, but for short trajectories
ROWS, FEWEST = 36_000, 64  # samples of all training rollouts together, and rollouts at least
LARGEST = 3000  # weights
TRANSITIONS = 2000  # where the fit does not say how many


@dataclass(frozen=True, eq=False)
class TuningOptions:
    """The keyword arguments of :func:`observer.fine_tuning.fine_tune.fine_tune`, where they are explained."""

    noise: Any
    bias: Any
    dropout: float
    initial_error: float
    horizon: int | None
    skip: float
    rollouts: int | None
    contraction_rate: float | None
    iterations: int
    budget: float | None


@dataclass(frozen=True, eq=False)
class Course:
    """Limits, progress and checkpoint of a fine-tuning, and when it began."""

    limits: Limits
    progress: Callable[[Progress], None] | None
    checkpoint: Path | None
    started: float = field(default_factory=time.perf_counter)

    def monitor(self) -> Monitor:
        """For one run of the loop."""
        return Monitor(self.limits, self.progress, self.checkpoint, self.started)

    def progress_callback(self, label: str, share: float) -> ProgressCallback:
        """Progress of what comes before the iterations; returns True (stop) once ``share`` of the budget is used."""

        def callback(done: int, total: int, loss: float) -> bool:
            seconds = time.perf_counter() - self.started
            if self.progress is not None and done and done % 5 == 0:
                self.progress(Progress(label, done, total, loss, loss, np.nan, seconds, np.nan))
            return self.limits.budget is not None and seconds > share * self.limits.budget

        return callback


@dataclass(frozen=True, eq=False)
class TuningTask:
    """One fine-tuning. Pairs are (training, held out); ``transitions`` in physical units, ``samples`` the same in network units;
    ``network`` and ``metric`` are the fitted observer's in network units. ``design``, ``gain``: constant gains, and the best one
    with its loss; None for a plant without equations."""

    fitted: FitResult
    plant: DiscreteSystem
    sensing: Sensing
    rollouts: tuple[Rollouts, Rollouts]
    transitions: tuple[Transitions, Transitions]
    samples: tuple[Samples, Samples]
    network: ExplicitREN
    metric: np.ndarray
    design: GainDesign | None
    gain: tuple[np.ndarray, float] | None
    contraction_rate: float | None
    course: Course
    seed: int

    @property
    def observer(self) -> RENObserver:
        """The fitted observer."""
        return self.fitted.observer

    @property
    def horizon(self) -> int:
        """Samples of a rollout."""
        return self.rollouts[0].steps


def check(options: TuningOptions, fitted: FitResult) -> None:
    """Raises :class:`InputError` for what cannot be meant, or for an observer that cannot be tuned."""
    if fitted.observer.scaling.state_scale.ndim == 2:
        raise InputError(
            "this observer works in observability coordinates, which fine-tuning does not support; keep it as it is, or fit again "
            "with a longer settling time, for which the plain states may suffice"
        )
    system = fitted.observer.system
    turning = [system.states[k].name for k in angles(system).turning]
    if turning:
        raise InputError(
            f"state '{turning[0]}' turns through, which fine-tuning does not support; keep the observer as it is, or fit again with a "
            "longer settling time, which lets less noise through"
        )
    check_positive({name: getattr(options, name) for name in ("horizon", "rollouts", "iterations", "budget")})
    if not 0 <= options.skip < 1:
        raise InputError(
            f"skip is {options.skip!r}; expected the share of the horizon that is not counted, from 0 to below 1"
        )
    weights = fitted.observer.weights
    size = parameter_count(weights.nx, weights.nv, weights.nu)
    if size > LARGEST:
        raise InputError(
            f"the observer has {size} weights; fine-tuning takes at most {LARGEST} (its sensitivities grow with their square): "
            "fit one with fewer neurons"
        )


def make_task(
    fitted: FitResult, plant: DiscreteSystem, data: Trajectories, options: TuningOptions, course: Course, seed: int
) -> TuningTask:
    """Draw rollouts and transitions."""
    observer = fitted.observer
    sensing = make_sensing(plant, options.noise, options.bias, options.dropout, options.initial_error)
    horizon = options.horizon
    if horizon is None:
        settling = np.log(0.02) / np.log(min(observer.contraction_rate, 0.9999))
        horizon = min(int(np.clip(4 * settling, SHORTEST, LONGEST)), int(data.lengths.max()) - 1)
    count = options.rollouts or max(FEWEST, ROWS // horizon)
    logged = fitted.options.get("transitions") == "data"
    train, rest = data.split(HELD_OUT, seed)
    drawn = tuple(
        make_rollouts(
            plant, part, observer.scaling, sensing, horizon, count, (seed, 31, k), int(options.skip * horizon), logged
        )
        for k, part in enumerate((train, rest))
    )
    found = None if logged else design(plant, observer.scaling, sensing, horizon)
    transitions = task_transitions(fitted, plant, train, rest, seed)
    size = observer.scaling.state_scale
    return TuningTask(
        fitted=fitted, plant=plant, sensing=sensing, rollouts=(drawn[0], drawn[1]), transitions=transitions,
        samples=(to_samples(plant, observer.scaling, transitions[0]), to_samples(plant, observer.scaling, transitions[1])),
        network=observer.scaling.inverse().fold(observer.weights), metric=observer.metric * np.outer(size, size),
        design=found, gain=None if found is None else best_gain(found, drawn[0]),
        contraction_rate=None if options.contraction_rate is None else float(options.contraction_rate), course=course, seed=seed,
    )  # fmt: skip


def task_transitions(
    fitted: FitResult, plant: DiscreteSystem, train: Trajectories, rest: Trajectories, seed: int
) -> tuple[Transitions, Transitions]:
    """For training, and as ``fit`` holds them out."""
    count = int(fitted.options.get("samples") or TRANSITIONS)
    fewer, offset = held_out_count(count)
    if fitted.options.get("transitions") == "data":
        return logged_transitions(plant, train, count, seed), logged_transitions(plant, rest, fewer, seed + offset)
    return (
        model_transitions(plant, train, fitted.region, count, seed),
        model_transitions(plant, rest, fitted.region, fewer, seed + offset),
    )
