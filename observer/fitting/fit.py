"""``fit``: from a plant and its trajectories to a contracting observer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from observer.fitting.initial.linear import projected_network
from observer.fitting.linear_algebra.least_squares import parameter_count, residual
from observer.fitting.options import FitOptions, check
from observer.fitting.problem import (
    FILLED_DIMENSIONS,
    Problem,
    fitting_region,
    held_out_count,
    logged_transitions,
    make_scaling,
    model_transitions,
    to_samples,
    visited_points,
)
from observer.fitting.rate import choose_rate
from observer.fitting.result import FitResult, Progress, Status, one_step_errors
from observer.fitting.solvers.loop import Limits, Monitor
from observer.fitting.solvers.solver import Solution, Solver
from observer.networks.ren.direct_map import DirectMap
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from systems.detectability import MetricSearch
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, Transitions

LARGE = 60_000  # weights up to which ``auto`` takes Gauss-Newton
UNTIL_THE_BUDGET_ENDS = 1_000_000  # iterations, where a time budget is the only limit
EPS = 1e-9  # of the direct parameters: H = X'X + eps I
NOT_IMPROVED = "training did not improve on the linear observer on held-out transitions; the linear observer was kept"
HELD_OUT = 0.2  # of logged trajectories, for the held-out loss and for the validation by replay


def fit(
    plant: DiscreteSystem,
    data: Trajectories,
    neurons: int = 20,
    settling_time: float | str | None = None,
    *,
    contraction_rate: float | None = None,
    activation: str = "tanh",
    solver: str = "auto",
    iterations: int | None = None,
    budget: float | None = None,
    tolerance: float | Mapping[str, float] | None = None,
    seed: int = 0,
    dtype: str = "float64",
    condition: float | None = None,
    samples: int | None = None,
    transitions: str = "model",
    start: str = "projected",
    region_share: float = 0.5,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: Path | str | None = None,
) -> FitResult:
    """Fit a contracting REN as observer of ``plant`` by the one-step-ahead loss.

    Parameters
    ----------
    data : trajectories of the plant; half of the training transitions are theirs, half are uniform over the region.
    neurons : nv; 0 gives the best linear observer.
    settling_time : seconds in which |e|_M falls to 2 %, or "auto"; or ``contraction_rate``, the bound per sample in (0, 1).
        Left out, or "auto": four of the plant's own time constants, or as fast as its outputs and their noise allow
        (:func:`observer.fitting.rate.choose_rate`).
    activation : tanh (default), relu or sigmoid.
    solver : ``auto``, ``gauss_newton`` (interior-point Gauss-Newton, up to some 60,000 weights), ``adam``, or another of
        :data:`observer.fitting.solvers.SOLVERS`.
    iterations, budget : limits, in iterations and in seconds of wall time for the whole fit. Only iterations keep the
        result independent of the machine; with a budget alone the iterations are not limited.
    tolerance : steady error at which to stop: a share of each state's range, or {state: error in its unit}. Judged by
        sqrt((M^-1)_ii) sup|r|_M / (1 - alpha) with the supremum over the transitions at hand.
    dtype : precision of the shipped weights; the fit and the certificate are always computed in float64.
    condition : bound on the metric's condition number; the smallest that allows the rate when left out.
    samples : training transitions; 1000 to 3000 by the dimensions, or more for large networks, when left out.
    transitions : ``model`` takes next states from ``plant``; ``data`` takes them as logged, for a plant that is itself
        learned from logs, and holds out a fifth of the trajectories (of a single one, its end).
    start, region_share : for ablations. The initial network (:mod:`observer.fitting.initial.networks`), and the share of training
        transitions that fill the region; held-out transitions are half and half whatever it is.
    progress : called with :class:`Progress`. checkpoint : ``.npz`` from which an interrupted fit resumes.

    Returns
    -------
    FitResult
        Its observer is never worse on the held-out transitions than the linear observer that the fit begins from.

    Raises
    ------
    NotDetectable
        Before training, where the rate is impossible.
    InputError
        For unusable arguments.
    """
    started = time.perf_counter()
    options = FitOptions(
        neurons, settling_time, contraction_rate, activation, solver, iterations, budget, tolerance, dtype, condition,
        samples, transitions, start, region_share,
    )  # fmt: skip
    check(options, plant, data)
    task = begin(plant, data, options, seed)
    with threadpool_limits(limits=1, user_api="blas"):  # small factorisations are 5-100 times slower on two threads
        options, problem, linear, warnings = task.options, task.problem, task.linear, task.warnings
        solve, default = _solver(task.solver)
        most = iterations or (default if budget is None else UNTIL_THE_BUDGET_ENDS)
        limits = Limits(most, budget, options.allowed_error(plant, task.region))
        monitor = Monitor(limits, progress, Path(checkpoint) if checkpoint else None, started=started)
        solution = solve(problem, monitor) if neurons else linear
        if not _held_out_loss(solution, problem) <= task.start_loss:
            solution = replace(linear, status=solution.status, iterations=solution.iterations)
            warnings = (*warnings, NOT_IMPROVED)
        observer = make_observer(solution, problem, plant, dtype)
    one_step_loss, one_step_rms = one_step_errors(observer, task.held_out)
    return FitResult(
        observer=observer, status=solution.status, message=solution.status.sentence, solver=task.solver if neurons else "linear",
        history=monitor.history, one_step_loss=one_step_loss, one_step_rms=one_step_rms, start_loss=task.start_loss,
        seconds=monitor.seconds, iterations=solution.iterations, seed=seed, options=options.to_data(), search=task.found,
        region=task.region, warnings=(*data.warnings, *warnings),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FitTask:
    """A fit before its training: all that follows from plant, data, options and seed in closed form or by a short search.

    ``solver``: its name, "auto" resolved. ``found``: metric and fastest rate. ``linear``: the linear observer, and ``start_loss`` its
    held-out loss.
    """

    options: FitOptions
    solver: str
    region: np.ndarray
    held_out: Transitions
    problem: Problem
    found: MetricSearch
    linear: Solution
    start_loss: float
    warnings: tuple[str, ...]


def begin(plant: DiscreteSystem, data: Trajectories, options: FitOptions, seed: int) -> FitTask:
    """Everything of :func:`fit` that comes before the training."""
    with threadpool_limits(limits=1, user_api="blas"):
        region = fitting_region(plant, data)
        options = replace(options, samples=options.samples or _sample_count(plant, options.neurons))
        train, held_out = _draw(plant, data, region, options, seed)
        scaling = make_scaling(plant, region, train.y)
        rate, found, warnings = choose_rate(
            plant, region, options.settling_time, options.contraction_rate, options.condition, seed, _points(plant, train),
            visited_points(data),
        )  # fmt: skip
        if found.along_trajectories and options.transitions == "model":  # the corners cannot be fitted at this rate
            train, held_out = _draw(plant, data, region, options, seed, filled=False)
        problem = _problem(plant, train, held_out, scaling, rate, found, options, seed)
        linear = _linear_solution(problem)
        solver = options.solver
        if solver == "auto":
            size = parameter_count(plant.nx, options.neurons, problem.train.v.shape[1])
            solver = "gauss_newton" if size <= LARGE else "adam"
        start_loss = _held_out_loss(linear, problem)
        return FitTask(options, solver, region, held_out, problem, found, linear, start_loss, warnings)


def _solver(name: str) -> tuple[Solver, int]:
    """(function, default iterations) of a solver."""
    module = import_module(f"observer.fitting.solvers.{name}")
    return getattr(module, name), module.ITERATIONS


def _sample_count(plant: DiscreteSystem, neurons: int) -> int:
    """Training transitions. A surface over more dimensions needs more before its held-out supremum is that of the points."""
    known = len(plant.system.known)
    dimensions = plant.nx + known
    spread = 1000 * min(max(dimensions - 1, 1), 3 if dimensions <= FILLED_DIMENSIONS else 2)
    return max(spread, 4 * parameter_count(plant.nx, neurons, known + plant.ny) // plant.nx)


def _draw(
    plant: DiscreteSystem,
    data: Trajectories,
    region: np.ndarray,
    options: FitOptions,
    seed: int,
    *,
    filled: bool = True,
) -> tuple[Transitions, Transitions]:
    """Transitions to fit and to hold out."""
    count = options.samples
    assert count is not None
    fewer, offset = held_out_count(count)
    if options.transitions == "data":
        train, rest = data.split(HELD_OUT, seed)
        return logged_transitions(plant, train, count, seed), logged_transitions(plant, rest, fewer, seed + offset)
    share = options.region_share
    train = model_transitions(plant, data, region, count, seed, filled=filled, region_share=share)
    return train, model_transitions(plant, data, region, fewer, seed + offset, filled=filled)


def _points(plant: DiscreteSystem, train: Transitions) -> np.ndarray | None:
    """Where the metric has to hold, where it is not all over the region."""
    if plant.nx + plant.nu <= FILLED_DIMENSIONS:
        return None
    return np.concatenate([train.x, train.u], axis=1)[:: max(1, len(train) // 512)]


def _problem(
    plant: DiscreteSystem, train: Transitions, held_out: Transitions, scaling: Scaling, rate: float,
    found: MetricSearch, options: FitOptions, seed: int,
) -> Problem:  # fmt: skip
    """The fit in network units."""
    scaling, basis = scaling.in_coordinates(found.coordinates), found.coordinates
    return Problem(
        train=to_samples(plant, scaling, train, basis), held_out=to_samples(plant, scaling, held_out, basis),
        metric=found.metric, rate=rate, fastest=found.rate, activation=options.activation, neurons=options.neurons,
        inputs=len(plant.system.known), scaling=scaling, seed=seed, initial=options.start,
    )  # fmt: skip


def _linear_solution(problem: Problem) -> Solution:
    """The linear observer that the fit begins from."""
    network, multipliers = projected_network(
        problem.train, problem.metric, problem.rate,
        fastest=problem.fastest, inputs=problem.inputs, neurons=0, activation=problem.activation, seed=problem.seed,
    )  # fmt: skip
    return Solution(network, problem.metric, multipliers, Status.LINEAR, 0)


def _held_out_loss(solution: Solution, problem: Problem) -> float:
    return problem.physical_loss(residual(solution.network, problem.held_out))


def make_observer(solution: Solution, problem: Problem, plant: DiscreteSystem, dtype: str = "float64") -> RENObserver:
    """Ship a solution: exact direct parameters, weights folded to physical units, and the metric that proves them.

    float32 weights are rounded first, so that the certificate refers to the numbers that are shipped.
    """
    network = solution.network.to_numpy()
    direct = DirectMap(problem.rate, polar=False, eps=EPS).direct(network, solution.metric, solution.multipliers)
    weights = problem.scaling.fold(solution.network)
    if dtype == "float32":
        weights = weights.to_numpy(np.float32).to_numpy(np.float64)
    return RENObserver(
        weights=weights,
        metric=problem.scaling.fold_metric(solution.metric),
        multipliers=solution.multipliers,
        contraction_rate=problem.rate,
        scaling=problem.scaling,
        direct=direct,
        plant=plant,
        eps=EPS,
    )
