"""``fit``: from a plant and its trajectories to a contracting observer."""

import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from observer.fitting.initial.linear import choose_rate, initial_network
from observer.fitting.initial.networks import check_start
from observer.fitting.linear_algebra.least_squares import parameter_count
from observer.fitting.problem import (
    FILLED_DIMENSIONS,
    Problem,
    fitting_region,
    logged_samples,
    make_samples,
    make_scaling,
    to_samples,
    visited_points,
)
from observer.fitting.result import FitResult, Progress, Status
from observer.fitting.solvers.solver import Monitor, Solution, Solver
from observer.networks.activations import get_activation
from observer.networks.ren.direct_map import DirectMap
from observer.state_observer import RENObserver
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

#: name -> (module, function, default iterations). ``auto`` takes the first up to ``LARGE`` weights.
SOLVERS: dict[str, tuple[str, str, int]] = {
    "gauss_newton": ("observer.fitting.solvers.gauss_newton", "gauss_newton", 300),
    "levenberg_marquardt": ("observer.fitting.solvers.levenberg_marquardt", "levenberg_marquardt", 300),
    "lbfgs": ("observer.fitting.solvers.lbfgs", "lbfgs", 2000),
    "adam": ("observer.fitting.solvers.adam", "adam", 2000),
}
LARGE = 60_000
UNTIL_THE_BUDGET_ENDS = 1_000_000  # iterations, where a time budget is the only limit
EPS = 1e-9  # of the direct parameters: H = X'X + eps I
HELD_OUT = 0.2  # of logged trajectories, for the held-out loss and for the validation by replay


def _solver(name: str, parameters: int) -> tuple[str, Solver, int]:
    if name == "auto":
        name = "gauss_newton" if parameters <= LARGE else "adam"
    if name not in SOLVERS:
        raise InputError(f"solver is {name!r}; expected auto, {' or '.join(SOLVERS)}")
    module, function, iterations = SOLVERS[name]
    return name, getattr(import_module(module), function), iterations


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
        (:func:`observer.fitting.initial.linear.choose_rate`).
    activation : tanh (default), relu or sigmoid.
    solver : ``auto``, ``gauss_newton`` (interior-point Gauss-Newton, up to some 60,000 weights) or ``adam``.
    iterations, budget : limits, in iterations and in seconds of wall time for the whole fit. Only iterations keep the
        result independent of the machine; with a budget alone the iterations are not limited.
    tolerance : steady error at which to stop: a share of each state's range, or {state: error in its unit}. Judged by
        sqrt((M^-1)_ii) sup|r|_M / (1 - alpha) with the supremum over the transitions at hand.
    dtype : precision of the shipped weights; the fit and the certificate are always computed in float64.
    condition : bound on the metric's condition number; the smallest that allows the rate when left out.
    samples : training transitions; 1000 to 3000 by the dimensions, or more for large networks, when left out.
    transitions : ``model`` takes next states from ``plant``; ``data`` takes them as logged, for a plant that is itself
        learned from logs, and holds out a fifth of the trajectories (of a single one, its end).
    start, region_share : for ablations. Where the neurons begin (:mod:`observer.fitting.initial.networks`), and the share of training
        transitions that fill the region; held-out transitions are half and half whatever it is.
    progress : called with :class:`Progress`. checkpoint : ``.npz`` from which an interrupted fit resumes.

    Returns a :class:`FitResult`, whose observer is never worse on the held-out transitions than the linear start.
    Raises :class:`NotDetectable` before training where the rate is impossible, :class:`InputError` for unusable arguments.
    """
    system = plant.system
    if system.time_dependent:
        raise InputError(
            f"system '{system.name}' depends on t explicitly, and a time-invariant observer cannot; "
            "name the time-dependent signal as a known input"
        )
    if isinstance(neurons, bool) or not isinstance(neurons, int) or neurons < 0:
        raise InputError(f"neurons is {neurons!r}; expected a whole number, 0 or more")
    for name, value in (("iterations", iterations), ("budget", budget), ("samples", samples)):
        if value is not None and not value > 0:
            raise InputError(f"{name} is {value!r}; expected a positive number")
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype is {dtype!r}; expected float32 or float64")
    if transitions not in ("model", "data"):
        raise InputError(f"transitions is {transitions!r}; expected model or data")
    if not 0 <= region_share <= 1:
        raise InputError(f"region_share is {region_share!r}; expected a number from 0 to 1")
    get_activation(activation)
    check_start(start)
    wide = [
        s.name
        for s, (low, high) in zip(system.states, data.reached, strict=True)
        if s.period and high - low >= s.period
    ]
    if wide:
        raise InputError(
            f"state '{wide[0]}' is an angle that turns through a full period: no constant metric contracts on a circle; "
            "use its sine and cosine as states and outputs, or narrow its range below one period"
        )
    started = time.perf_counter()
    with threadpool_limits(limits=1, user_api="blas"):  # small factorisations are 5-100 times slower on two threads
        region = fitting_region(plant, data)
        parameters = parameter_count(system.nx, neurons, len(system.known) + system.ny)
        # A surface over more dimensions needs more points before its held-out supremum is that of the points.
        dimensions = system.nx + len(system.known)
        spread = 1000 * min(max(dimensions - 1, 1), 3 if dimensions <= FILLED_DIMENSIONS else 2)
        count = samples or max(spread, 4 * parameters // system.nx)
        if transitions == "data":
            train, rest = data.split(HELD_OUT, seed)
            physical = logged_samples(plant, train, count, seed)
            held_out = logged_samples(plant, rest, max(1000, count // 4), seed + 1_000_003)
        else:
            physical = make_samples(plant, data, region, count, seed, region_share=region_share)
            held_out = make_samples(plant, data, region, max(1000, count // 4), seed + 1_000_003)
        scaling = make_scaling(plant, region, physical[2])
        allowed = _tolerance(tolerance, plant, region)
        points = None
        if plant.nx + plant.nu > FILLED_DIMENSIONS:
            points = np.concatenate([physical[0], physical[1]], axis=1)[:: max(1, len(physical[0]) // 512)]
        rate, found, warnings = choose_rate(
            plant, region, settling_time, contraction_rate, condition, seed, points, visited_points(data)
        )
        if (
            found.along_trajectories and transitions == "model"
        ):  # the corners of the region cannot be fitted at this rate
            physical = make_samples(plant, data, region, count, seed, filled=False)
            held_out = make_samples(plant, data, region, max(1000, count // 4), seed + 1_000_003, filled=False)
        scaling, basis = scaling.in_coordinates(found.coordinates), found.coordinates
        problem = Problem(
            to_samples(plant, scaling, *physical, basis), to_samples(plant, scaling, *held_out, basis),
            found.metric, rate, found.rate, activation, neurons, scaling, seed, start,
        )  # fmt: skip
        inputs = len(system.known)
        linear_network, multipliers = initial_network(
            problem.train,
            problem.metric,
            rate,
            fastest=found.rate,
            inputs=inputs,
            neurons=0,
            activation=activation,
            seed=seed,
        )
        linear = Solution(linear_network, problem.metric, multipliers, Status.LINEAR, 0)
        name, solve, default = _solver(solver, parameters)
        monitor = Monitor(
            iterations or (default if budget is None else UNTIL_THE_BUDGET_ENDS), budget, progress,
            Path(checkpoint) if checkpoint else None, allowed, started=started,
        )  # fmt: skip
        solution = solve(problem, inputs, monitor) if neurons else linear
        start_loss = problem.physical_loss(_residual(linear, problem))
        if not problem.physical_loss(_residual(solution, problem)) <= start_loss:
            solution = Solution(linear_network, problem.metric, multipliers, solution.status, solution.iterations)
            warnings = (
                *warnings,
                "training did not improve on the linear start on held-out transitions; the linear observer was kept",
            )
        observer = make_observer(solution, problem, plant, dtype)
    x, u, y, x_next = held_out
    residual = observer.step(x, u, y) - x_next
    return FitResult(
        observer=observer,
        status=solution.status.value,
        message=solution.status.sentence,
        solver=name if neurons else "linear",
        history={key: np.array(values) for key, values in monitor.rows.items()},
        one_step_loss=float(np.mean(np.sum(residual**2, axis=1))),
        one_step_rms=np.sqrt(np.mean(residual**2, axis=0)),
        start_loss=start_loss,
        seconds=monitor.elapsed_before + time.perf_counter() - started,
        iterations=solution.iterations,
        seed=seed,
        options={
            "neurons": neurons, "settling_time": settling_time, "contraction_rate": contraction_rate,
            "activation": activation, "solver": solver, "iterations": iterations, "budget": budget,
            "tolerance": dict(tolerance) if isinstance(tolerance, Mapping) else tolerance,
            "dtype": dtype, "condition": condition, "samples": count, "transitions": transitions,
            "start": start, "region_share": region_share,
        },
        search=found,
        region=region,
        warnings=(*data.warnings, *warnings),
    )  # fmt: skip


def _tolerance(
    tolerance: float | Mapping[str, float] | None, plant: DiscreteSystem, region: np.ndarray
) -> np.ndarray | None:
    """Steady error per state ``(nx,)`` in physical units at which to stop; states that are not named never stop a fit."""
    if tolerance is None:
        return None
    names = plant.system.state_names
    values = tolerance if isinstance(tolerance, Mapping) else {"tolerance": tolerance}
    for name, value in values.items():
        if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf):
            raise InputError(f"tolerance of {name} is {value!r}; expected a positive number")
    if not isinstance(tolerance, Mapping):
        return np.ptp(region, axis=1) * tolerance
    unknown = [name for name in tolerance if name not in names]
    if unknown or not tolerance:
        raise InputError(
            f"tolerance names {', '.join(map(repr, unknown)) or 'no state'}; expected states of the plant: {', '.join(names)}"
        )
    return np.array([tolerance.get(name, np.inf) for name in names])


def _residual(solution: Solution, problem: Problem) -> np.ndarray:
    return solution.network.next_state(problem.held_out.x, problem.held_out.v) - problem.held_out.x_next


def make_observer(solution: Solution, problem: Problem, plant: DiscreteSystem, dtype: str = "float64") -> RENObserver:
    """Ship a solution: exact direct parameters, weights folded to physical units, and the metric that proves them.

    float32 weights are rounded first, so that the certificate speaks of the numbers that are shipped.
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
