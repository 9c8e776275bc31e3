"""A network that is a given teacher: where fine-tuning begins when noise asks for another observer than the fitted one.

The fit for speed copies the plant and takes the gain that its metric favours; from there to a quiet observer leads a long
curved valley. A teacher (:mod:`observer.fine_tuning.reference_observer`) states the quiet observer outright, so that the fit is
told x_hat+ for x_hat away from x, and lands there:

    z = x_hat + N nu over the region,   x_hat = z - N nu,   y = h(x_hat, u) + nu,     x_hat+ = F(z, u) + G nu + D s tanh(nu / s)

One-step Gauss-Newton as in the fit, at the teacher's metric and rate. The linear start is the least-squares one; the first
neurons see the innovations nu / s, the others z.
"""

import time
from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh

from observer.fine_tuning.constant_gain import GainDesign
from observer.fine_tuning.descent import Point, Tuner
from observer.fine_tuning.reference_observer import EVALUATIONS, Teacher, best_teacher, in_network_units
from observer.fine_tuning.rollouts import Rollouts
from observer.fitting.initial.contracting_fit import clip, contracting_fit
from observer.fitting.initial.linear import projection_gain
from observer.fitting.linear_algebra import barrier
from observer.fitting.linear_algebra.least_squares import pack
from observer.fitting.problem import Problem, Samples, logged_samples, make_samples, to_samples
from observer.fitting.result import FitResult, Progress, Status
from observer.fitting.solvers.interior_point import Run, Stepper
from observer.fitting.solvers.solver import Solution
from observer.networks.ren.explicit import ExplicitREN
from systems.detectability import MetricSearch, sample_jacobians
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

STARTS, RACE, POLISH = 3, 30, 220  # starts, iterations of each, and of the best
LARGEST, SMALLEST = 1.0, 0.003  # innovations, in half ranges of the outputs
HEADROOM = 0.5  # of a teacher's distance to 1 that its network's bound keeps: neurons need room to turn in
TEACHING = 0.35  # of a time budget, for the teacher, and for what it teaches
GOOD = 0.03  # of the teacher's error: a steady error below it is not seen


Told = tuple[Teacher, MetricSearch, float]  # a teacher, the metric that proves it, and its loss


def _teller(
    label: str, share: float, budget: float | None, progress: Callable[[Progress], None] | None, started: float
) -> Callable[[int, int, float], bool]:
    """Progress for what comes before the iterations; true once ``share`` of the budget is used."""

    def tell(done: int, total: int, loss: float) -> bool:
        seconds = time.perf_counter() - started
        if progress is not None and done and done % 5 == 0:
            progress(Progress(label, done, total, loss, loss, np.nan, seconds, np.nan))
        return budget is not None and seconds > share * budget

    return tell


def find_teacher(
    fitted: FitResult, plant: DiscreteSystem, found: GainDesign, rollouts: Rollouts, slowest: float,
    iterations: int, budget: float | None, progress: Callable[[Progress], None] | None, started: float,
) -> Told | None:  # fmt: skip
    """The best proved observer with the plant's equations, in network units."""
    if not 0 < slowest < 1:
        return None
    size = rollouts.scaling.state_scale
    jacobians = in_network_units(plant, sample_jacobians(plant, fitted.region), rollouts)
    metric = fitted.observer.metric * np.outer(size, size)
    projection = projection_gain(metric, found.c) if fitted.observer.weights.nv else None
    tell = _teller("teacher", TEACHING, budget, progress, started)
    return best_teacher(found, projection, jacobians, rollouts, slowest, min(EVALUATIONS, 3 * iterations), tell)


def teach(
    plant: DiscreteSystem, physical: list[tuple[np.ndarray, ...]], told: Told, tuner: Tuner,
    iterations: int, budget: float | None, progress: Callable[[Progress], None] | None, started: float, seed: int,
) -> Point | None:  # fmt: skip
    """The network that is taught the teacher, as a point to begin from. ``physical``: (x, u, y, x+) to fit and to hold out."""
    teacher, search, loss = told
    train, held_out = (
        taught_samples(teacher, tuner.train, x, u, x_next, seed + k) for k, (x, u, _, x_next) in enumerate(physical)
    )
    problem = Problem(
        train,
        held_out,
        search.metric,
        tuner.rate,
        search.rate,
        tuner.activation,
        tuner.neurons,
        tuner.train.scaling,
        seed,
    )
    tell = _teller("teach", 2 * TEACHING, budget, progress, started)
    solution = taught(
        teacher, problem, len(plant.system.known), float(np.sqrt(loss)), min(POLISH, 3 * iterations), tell
    )
    return None if solution is None else tuner.start(solution.network, solution.metric, solution.multipliers)


def transitions(
    fitted: FitResult, plant: DiscreteSystem, parts: tuple[Trajectories, Trajectories], logged: bool, seed: int
) -> list[tuple[np.ndarray, ...]]:
    """(x, u, y, x+) for training, and as ``fit`` holds them out."""
    count = int(fitted.options.get("samples") or 2000)
    drawn = []
    for part, size, number in zip(parts, (count, max(1000, count // 4)), (seed, seed + 1_000_003), strict=True):
        if logged:
            drawn.append(logged_samples(plant, part, size, number))
        else:
            drawn.append(make_samples(plant, part, fitted.region, size, number))
    return drawn


def taught_samples(
    teacher: Teacher, rollouts: Rollouts, x: np.ndarray, u: np.ndarray, x_next: np.ndarray, seed: int
) -> Samples:
    """Transitions of the teacher from physical x, u, x+ of the plant, with innovations even on a log scale."""
    scaling, plant = rollouts.scaling, rollouts.plant
    rng = np.random.default_rng((seed, 53))
    size = LARGEST * (SMALLEST / LARGEST) ** rng.random((len(x), 1))
    nu = size * rng.uniform(-1, 1, (len(x), plant.ny))
    inside, after = teacher.corrections(nu)
    x_hat = x - inside * scaling.state_scale
    y = plant.output(x_hat, u) + nu * scaling.input_scale[rollouts.outputs]
    finite = np.isfinite(y).all(axis=1)
    return to_samples(
        plant, scaling, x_hat[finite], u[finite], y[finite], (x_next + after * scaling.state_scale)[finite]
    )


def taught(
    teacher: Teacher,
    problem: Problem,
    inputs: int,
    error: float,
    iterations: int = POLISH,
    tell: Callable[[int, int, float], bool] | None = None,
) -> Solution | None:
    """The network that comes closest to the teacher, certified at the rate of ``problem``; None where none starts there.

    ``error``: RMS error of the teacher. ``tell`` is called with (iteration, of how many, loss); true stops.
    """
    stepper = Stepper(problem)
    runs = [_new_run(teacher, stepper, inputs, number) for number in range(STARTS if problem.neurons else 1)]
    good = 0.5 * (GOOD * error * (1 - problem.rate)) ** 2
    race = min(RACE, iterations)
    total, done, stopped = race * len(runs) + iterations - race, 0, False
    for limit in (race, iterations):
        for run in runs:
            while run.iteration < limit and not run.done and run.loss > good and not stopped and problem.neurons:
                stepper.step(run)
                done += 1
                stopped = tell is not None and done % 5 == 0 and tell(done, total, run.loss)
        runs = [min(runs, key=lambda run: run.loss)]
    best = runs[0]
    network = stepper.network(best.theta)
    if not np.isfinite(best.loss) or barrier.factor(network, problem.metric, best.multipliers, problem.rate) is None:
        return None
    return Solution(network, problem.metric, best.multipliers, Status.ITERATION_LIMIT, best.iteration)


def _new_run(teacher: Teacher, stepper: Stepper, inputs: int, number: int) -> Run:
    problem = stepper.problem
    network, multipliers = _start(teacher, problem, inputs, np.random.default_rng((problem.seed, 59, number)))
    return Run(number, pack(network), multipliers, stepper.loss(network))


def _start(teacher: Teacher, problem: Problem, inputs: int, rng: np.random.Generator) -> tuple[ExplicitREN, np.ndarray]:
    """A strictly feasible network, linear, whose neurons look at the innovations and along z, and its multipliers."""
    samples, metric, rate = problem.train, problem.metric, problem.rate
    x, v, x_next = samples.x, samples.v, samples.x_next
    n, m, q = x.shape[1], v.shape[1], problem.neurons
    one = np.ones((len(x), 1))
    c, d, cy = np.split(np.linalg.lstsq(np.concatenate([x, v[:, :inputs], one], axis=1), v[:, inputs:], rcond=None)[0].T,
                        [n, n + inputs], axis=1)  # fmt: skip
    linear = np.linalg.lstsq(np.concatenate([x, v, one], axis=1), x_next, rcond=None)[0].T
    a, b2, bx = linear[:, :n], linear[:, n:-1], linear[:, -1]
    clipped = clip(a, metric, 0.98 * rate)
    if not np.allclose(clipped, a, rtol=0, atol=1e-12):
        a, b2, bx = contracting_fit(x, v, x_next, metric, 0.98 * rate, clipped)
    rows = rng.standard_normal((q, n))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    seen = rows @ teacher.inner  # z = (I - N C) x_hat + N (y - D u - cy)
    c1 = rows - seen @ c
    d12 = np.concatenate([rng.uniform(-0.3, 0.3, (q, inputs)) - seen @ d, seen], axis=1)
    bv = rng.uniform(-1, 1, q) - seen @ cy[:, 0]
    if teacher.turns and q >= 2 * m:
        k = np.arange(v.shape[1] - inputs)
        scale = 1 / teacher.size[:, None]
        c1[k], bv[k] = -scale * c, -(scale * cy)[:, 0]
        d12[k] = np.concatenate([-scale * d, np.diag(scale[:, 0])], axis=1)
    network = ExplicitREN.with_identity_output(
        A=a, B1=np.zeros((n, q)), B2=b2, C1=c1, D11=np.zeros((q, q)), D12=d12, bx=bx, bv=bv,
        activation=problem.activation,
    )  # fmt: skip
    slack = rate**2 * metric - a.T @ metric @ a
    largest = float(eigh(c1.T @ c1, slack, eigvals_only=True)[-1]) if q else 1.0
    multipliers = np.full(q, 0.9 / max(largest, 1e-9))
    return network, barrier.centre_multipliers(network, metric, multipliers, rate, steps=8)
