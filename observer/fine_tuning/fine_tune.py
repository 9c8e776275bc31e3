"""``fine_tune``: lower the noise gain of a fitted observer, and keep its proof.

The one-step fit ignores noise: of all observers that reproduce the plant it finds the one that its metric favours, usually one whose
high gain amplifies noise. Fine-tuning minimises the estimation error itself,

    mean |x_hat[k] - x[k]|^2   in simulation, with initial errors, noise, bias and missing measurements,

inside the same certificate at a slower rate bound. It begins with a network that reproduces the best proved reference observer, which
uses the plant's own equations (:mod:`observer.fine_tuning.reference_observer`); with one that reproduces a constant gain where the
first is not accurate enough; and with the fitted observer itself where neither helps. The method is that of
:mod:`observer.fine_tuning.descent`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from observer.fine_tuning.constant_gain import gain_losses, slower_rate
from observer.fine_tuning.descent import Anchor, Descent, Tuning
from observer.fine_tuning.reference_observer import EVALUATIONS, ProvedObserver
from observer.fine_tuning.reproduction import find_reference, reproduce
from observer.fine_tuning.task import Course, TuningOptions, TuningTask, check, make_task
from observer.fitting.fit import make_observer
from observer.fitting.problem import Problem
from observer.fitting.result import FitResult, Progress, Status, one_step_errors
from observer.fitting.solvers.loop import Limits, Monitor, drive
from observer.fitting.solvers.solver import Solution
from observer.known_plant import chosen_plant
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

MARGIN = 0.5  # of a reference observer's distance to 1 that its network's bound keeps
FAR = 3.0  # times the reference observer's loss: where the network stays above it, another one is tried
SLOW = 300  # samples in which a proved error halves at least: a slower observer accumulates the residual of its model
LASTING = 1 / 6  # of the horizon: how long an error lasts at most, in what a residual is counted as
ITERATIONS = 120
NOTABLE = 0.81  # of the loss of the network: a constant gain that stays below errs notably less
NAME = "fine_tune"  # the solver of the result
KEPT = "fine-tuning did not improve on the fitted observer in held-out simulations; it was kept"


def fine_tune(
    fitted: FitResult,
    data: Trajectories,
    *,
    plant: DiscreteSystem | None = None,
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
    fitted : the fit to tune. data : the true trajectories, without noise; a fifth of them is held out.
    plant : to tune for instead of the fitted observer's own, with the same signals and dt.
    noise, bias : standard deviations in the units of the outputs, one number or one for each: of white noise (as stated
        with the outputs when left out) and of a constant drawn for each trajectory.
    dropout : chance that a measurement is missing; h(x_hat, u) stands in for it.
    initial_error : initial estimates are off by up to this many half widths of the initial ranges; 2, as two independent draws
        from the initial box may be.
    horizon : samples of a rollout; four settling times of ``fitted``, 100 to 400, when left out.
    skip : share of the horizon that is not counted. By default errors count in the second half, as in a validation: the
        certified rate bounds the initial transient. 0 counts all, and trades noise for a faster transient.
    contraction_rate : bound per sample to keep, not faster than certified. Left out: the rate of the best observer that knows
        the plant, with half of its distance to 1 as a margin; slow enough that its gain may be low.
    iterations, budget : limits, in iterations and seconds. Only iterations keep the result independent of the machine.
    progress : called with :class:`Progress`. checkpoint : ``.npz`` from which an interrupted fine-tuning resumes, after the
        search for the reference observer has been repeated (with the same result).

    Returns
    -------
    FitResult
        With ``solver`` "fine_tune", and an observer that is never worse than ``fitted`` on what is held out: rollouts, and
        transitions of the plant over the region and all inputs, as steady errors. ``history`` holds the sum of both, in squares
        of half a range. ``options`` holds the losses on held-out rollouts as ``simulation_loss`` and ``simulation_loss_before``,
        that of the best constant gain as ``gain_loss``, and whether the network began as the "fitted" one or reproduced the
        "reference" observer as ``start`` ("taught" in older files).

    Raises
    ------
    InputError
        For unusable arguments, for a network above some 3000 weights, where nothing states a noise, and for an observer in
        observability coordinates.

    Notes
    -----
    Missing measurements are outside the certificate: it holds for samples at which y is measured.
    """
    course = Course(Limits(iterations, budget), progress, Path(checkpoint) if checkpoint else None)
    options = TuningOptions(
        noise, bias, dropout, initial_error, horizon, skip, rollouts, contraction_rate, iterations, budget
    )
    check(options, fitted)
    plant = chosen_plant(fitted.observer, plant)
    with threadpool_limits(limits=1, user_api="blas"):  # as in ``fit``: the matrices are small
        task = make_task(fitted, plant, data, options, course, seed)
        attempt = _best_attempt(task)
        observer = _tuned_observer(task, attempt)
        losses = {
            name: task.rollouts[1].loss(each.scaling.inverse().fold(each.weights))
            for name, each in (("simulation_loss", observer), ("simulation_loss_before", fitted.observer))
        }
        warnings = _better_gain(task, losses["simulation_loss"])
        warnings += (KEPT,) if observer is fitted.observer else ()
    one_step_loss, one_step_rms = one_step_errors(observer, task.transitions[1])
    return replace(
        fitted, observer=observer, status=attempt.status, message=attempt.status.sentence, solver=NAME,
        history=attempt.monitor.history, one_step_loss=one_step_loss, one_step_rms=one_step_rms,
        seconds=attempt.monitor.seconds, iterations=attempt.state.point.iteration, seed=seed,
        options=fitted.options | _stored_options(task, options, attempt, observer) | losses,
        warnings=warnings,
    )  # fmt: skip


def _better_gain(task: TuningTask, loss: float) -> tuple[str, ...]:
    """A warning where the best constant gain, which runs the plant's equations, errs less on the held-out rollouts."""
    if task.gain is None:
        return ()
    known = float(gain_losses(task.gain[0][None], task.rollouts[1])[0])
    if not known < NOTABLE * loss:
        return ()
    what = "a constant gain" if task.gain[0].any() else "the plant's equations in open loop"
    return (
        f"{what} with the equations of the plant errs {(loss / known) ** 0.5:.3g} times less in held-out simulations than the tuned "
        "network; fit one with more neurons and tune it again, or use that observer where the equations can run",
    )


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One descent: ``fitted``, the state of the fitted observer, ``begun``, where it began, and ``state``, where it ended.

    ``proved``: the reference observer, where there is one."""

    descent: Descent
    fitted: Tuning
    begun: Tuning
    state: Tuning
    status: Status
    monitor: Monitor
    proved: ProvedObserver | None

    @property
    def loss(self) -> float:
        """The lowest held-out loss."""
        return self.state.best_loss

    @property
    def improved(self) -> bool:
        """Whether it came to less than the fitted observer."""
        return self.loss < self.fitted.held_out

    @property
    def stopped(self) -> bool:
        """Whether the budget is used up or the user has interrupted."""
        return self.status in (Status.INTERRUPTED, Status.BUDGET)

    @property
    def near(self) -> bool:
        """Whether it came near the reference observer."""
        return self.proved is not None and self.loss <= FAR * self.proved.loss


def _best_attempt(task: TuningTask) -> _Attempt:
    """From the best reference observer, then from a constant gain and from the fitted observer while that did not help.

    A network that reproduces a reference observer is tuned even where it is worse than the fitted one at first: it lies in the
    right valley.
    """
    rate = task.contraction_rate
    slowest = 0.5 ** (1 / min(task.horizon, SLOW)) if rate is None else 1 - (1 - rate) / MARGIN
    try:
        proved = find_reference(task, slowest, min(EVALUATIONS, 3 * task.course.limits.iterations))
    except KeyboardInterrupt:
        return _attempt(task, None, _anchor(task, None), interrupted=True)
    anchor = _anchor(task, proved)
    best = last = _attempt(task, proved, anchor)
    if proved is None or last.stopped or last.near:
        return best
    try:
        constant = find_reference(task, slowest, 0) or proved  # easier, where the network did not come near
    except KeyboardInterrupt:
        return replace(best, status=Status.INTERRUPTED)
    last = _attempt(task, constant, anchor)
    best = _better(best, last)
    if not (last.stopped or last.near or best.improved):
        best = _better(best, _attempt(task, constant, anchor, from_fitted=True))
    return best


def _better(one: _Attempt, other: _Attempt) -> _Attempt:
    """The one with the lower loss, ended as the other did where that was stopped."""
    best = other if other.loss < one.loss else one
    return replace(best, status=other.status) if other.stopped else best


def _anchor(task: TuningTask, proved: ProvedObserver | None) -> Anchor:
    """Transitions of the plant to reproduce; their weight depends on how many samples an error lasts."""
    lasting = LASTING * task.horizon
    if proved is not None:
        lasting = min(1 / (1 - proved.proof.rate), lasting)
    return Anchor(*task.samples, lasting**2)


def _rate(task: TuningTask, proved: ProvedObserver | None) -> float:
    """The bound to keep: as asked, or slow enough that the gain may be low."""
    certified = task.observer.contraction_rate
    if task.contraction_rate is not None:
        return task.contraction_rate
    if proved is not None:
        return max(certified, 1 - MARGIN * (1 - proved.proof.rate))
    if task.design is None:
        return 1 - 0.5 * (1 - certified)
    return slower_rate(task.design, task.gain and task.gain[0], certified)


def _attempt(
    task: TuningTask,
    proved: ProvedObserver | None,
    anchor: Anchor,
    *,
    from_fitted: bool = False,
    interrupted: bool = False,
) -> _Attempt:
    """One descent, from the network that reproduces ``proved``, or from the fitted one."""
    descent = Descent(
        *task.rollouts, _rate(task, proved), task.network.activation, task.network.nv, anchor,
        iterations=task.course.limits.iterations,
    )  # fmt: skip
    fitted = None
    if 0 < descent.rate < 1:
        fitted = descent.tuning(task.network, task.metric, task.observer.multipliers)
    if fitted is None:
        raise InputError(
            f"contraction_rate is {descent.rate:.6g}; expected a number below 1 and above the {task.observer.contraction_rate:.6g} "
            "that the observer is certified at: fine-tuning may slow it down, a faster one needs a new fit"
        )
    begun, monitor = fitted, task.course.monitor()
    if proved is not None and not from_fitted:
        try:
            begun = reproduce(task, proved, descent) or fitted
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        return _Attempt(descent, fitted, begun, fitted, Status.INTERRUPTED, monitor, proved)
    state, status = drive(replace(descent, origin=begun), monitor)
    return _Attempt(descent, fitted, begun, state, status, monitor, proved)


def _tuned_observer(task: TuningTask, attempt: _Attempt) -> RENObserver:
    """The observer of an attempt; the fitted one where it is no better, also as it is shipped."""
    if not attempt.improved:
        return task.observer
    descent, best, scaling = attempt.descent, attempt.state.best, task.observer.scaling
    solution = Solution(
        descent.network(best.theta), best.metric, best.multipliers, attempt.status, attempt.state.point.iteration
    )
    problem = Problem(
        train=task.samples[0], held_out=task.samples[1], metric=best.metric, rate=descent.rate, fastest=task.fitted.search.rate,
        activation=descent.activation, neurons=descent.neurons, inputs=len(task.plant.system.known), scaling=scaling,
        seed=task.seed,
    )  # fmt: skip
    observer = make_observer(solution, problem, task.plant, str(task.fitted.options.get("dtype", "float64")))
    better = descent.held_out_loss(scaling.inverse().fold(observer.weights)) < attempt.fitted.held_out
    return observer if better else task.observer


def _stored_options(
    task: TuningTask, options: TuningOptions, attempt: _Attempt, observer: RENObserver
) -> dict[str, Any]:
    """What a run folder keeps of the options, and of the observers that the tuned one is compared with."""
    gain, sensing, found = task.gain, task.sensing, task.design
    return {
        "noise": sensing.noise.tolist(), "bias": sensing.bias.tolist(), "dropout": sensing.dropout,
        "initial_error": sensing.initial_error, "horizon": task.horizon, "skip": options.skip,
        "rollouts": len(task.rollouts[0].x), "iterations": options.iterations, "budget": options.budget,
        "settling_time": None, "contraction_rate": observer.contraction_rate,
        "gain_loss": gain[1] if gain else None, "gain_rate": found.rate(gain[0]) if found and gain else None,
        "gain": gain[0].tolist() if gain else None,
        "start": "fitted" if attempt.begun is attempt.fitted else "reference",
        "reference_loss": attempt.proved.loss if attempt.proved else None,
    }  # fmt: skip
