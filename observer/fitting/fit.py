"""``fit``: from a plant and its trajectories to a contracting observer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from observer.fitting.decision import Decision, decide
from observer.fitting.initial.linear import projected_network
from observer.fitting.linear_algebra.least_squares import parameter_count, residual
from observer.fitting.options import FitOptions
from observer.fitting.problem import (
    Problem,
    to_samples,
)
from observer.fitting.result import FitResult, Progress, Status, one_step_errors
from observer.fitting.solvers.loop import Limits, Monitor
from observer.fitting.solvers.solver import Solution
from observer.networks.ren.direct_map import DirectMap
from observer.state_observer import RENObserver
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

LARGE = 60_000  # weights up to which ``auto`` takes Gauss-Newton
UNTIL_THE_BUDGET_ENDS = 1_000_000  # iterations, where a time budget is the only limit
EPS = 1e-9  # of the direct parameters: H = X'X + eps I
NOT_IMPROVED = "training did not improve on the linear observer on held-out transitions; the linear observer was kept"


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
    decided: Decision | None = None,
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
    decided : what :func:`observer.fitting.decision.decide` found for the same arguments, when that is known already.

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
    with threadpool_limits(limits=1, user_api="blas"):  # small factorisations are 5-100 times slower on two threads
        found = decided or decide(plant, data, options, seed)
        options, region, warnings = found.options, found.region, found.warnings
        problem = make_problem(plant, found, seed)
        linear = linear_solution(problem)
        name = solver_name(options, problem)
        module = import_module(f"observer.fitting.solvers.{name}")
        solve, default = getattr(module, name), module.ITERATIONS
        most = iterations or (default if budget is None else UNTIL_THE_BUDGET_ENDS)
        limits = Limits(most, budget, options.allowed_error(plant, region))
        monitor = Monitor(limits, progress, Path(checkpoint) if checkpoint else None, started=started)
        solution = solve(problem, monitor) if neurons else linear
        start_loss = held_out_loss(linear, problem)
        if not held_out_loss(solution, problem) <= start_loss:
            solution = replace(linear, status=solution.status, iterations=solution.iterations)
            warnings = (*warnings, NOT_IMPROVED)
        observer = make_observer(solution, problem, plant, dtype)
    one_step_loss, one_step_rms = one_step_errors(observer, found.held_out)
    return FitResult(
        observer=observer, status=solution.status, message=solution.status.sentence, solver=name if neurons else "linear",
        history=monitor.history, one_step_loss=one_step_loss, one_step_rms=one_step_rms, start_loss=start_loss,
        seconds=monitor.seconds, iterations=solution.iterations, seed=seed, options=options.to_data(), search=found.search,
        region=region, warnings=(*data.warnings, *warnings),
    )  # fmt: skip


def solver_name(options: FitOptions, problem: Problem) -> str:
    """The solver that is asked for, "auto" resolved."""
    if options.solver != "auto":
        return options.solver
    parameters = parameter_count(len(problem.metric), options.neurons, problem.train.v.shape[1])
    return "gauss_newton" if parameters <= LARGE else "adam"


def make_problem(plant: DiscreteSystem, decided: Decision, seed: int) -> Problem:
    """The fit in network units."""
    search, options = decided.search, decided.options
    scaling, basis = decided.scaling.in_coordinates(search.coordinates), search.coordinates
    return Problem(
        train=to_samples(plant, scaling, decided.train, basis), held_out=to_samples(plant, scaling, decided.held_out, basis),
        metric=search.metric, rate=decided.rate, fastest=search.rate, activation=options.activation, neurons=options.neurons,
        inputs=len(plant.system.known), scaling=scaling, seed=seed, initial=options.start,
    )  # fmt: skip


def linear_solution(problem: Problem) -> Solution:
    """The linear observer that the fit begins from."""
    network, multipliers = projected_network(
        problem.train, problem.metric, problem.rate,
        fastest=problem.fastest, inputs=problem.inputs, neurons=0, activation=problem.activation, seed=problem.seed,
    )  # fmt: skip
    return Solution(network, problem.metric, multipliers, Status.LINEAR, 0)


def held_out_loss(solution: Solution, problem: Problem) -> float:
    """Mean of |x+ - f_o|_2^2 over the held-out transitions, in physical units."""
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
