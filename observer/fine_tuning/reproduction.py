"""A network that reproduces a reference observer: the initial network of fine-tuning.

The fit for speed copies the plant and takes the gain that its metric favours; from there to an observer of low noise gain leads a
long curved valley. A reference observer (:mod:`observer.fine_tuning.reference_observer`) states that observer outright, so that the
network is trained on x_hat+ for x_hat away from x, and lands there:

    z = x_hat + N nu over the region,   x_hat = z - N nu,   y = h(x_hat, u) + nu,     x_hat+ = F(z, u) + G nu + D s tanh(nu / s)

One-step Gauss-Newton as in the fit, at the reference observer's metric and rate. The initial network is the least-squares linear
one; its first neurons see the innovations nu / s, the others z.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import eigh

from observer.fine_tuning.descent import Descent, Tuning
from observer.fine_tuning.reference_observer import (
    EVALUATIONS,
    ProgressCallback,
    ProvedObserver,
    ReferenceObserver,
    best_reference,
    in_network_units,
)
from observer.fine_tuning.rollouts import Rollouts
from observer.fine_tuning.task import TuningTask
from observer.fitting.initial.contracting_fit import clip, contracting_fit
from observer.fitting.initial.linear import projection_gain
from observer.fitting.linear_algebra import barrier
from observer.fitting.problem import Problem, Samples, to_samples
from observer.fitting.result import Status
from observer.fitting.solvers.damping import Point
from observer.fitting.solvers.gauss_newton import turn
from observer.fitting.solvers.interior_point import Stepper
from observer.fitting.solvers.solver import Solution
from observer.networks.ren.explicit import ExplicitREN
from systems.detectability import sample_jacobians
from systems.trajectories import Transitions

RUNS, RACE, POLISH = 3, 30, 220  # initial networks, iterations of each, and of the best
LARGEST, SMALLEST = 1.0, 0.003  # innovations, in half ranges of the outputs
SHARE = 0.35  # of a time budget, for the search of a reference observer, and for its reproduction
GOOD = 0.03  # of the reference observer's error: a steady error below it does not matter


def find_reference(task: TuningTask, slowest: float, evaluations: int = EVALUATIONS) -> ProvedObserver | None:
    """The best reference observer that is proved at ``slowest`` or faster, in network units; None without the plant's equations.

    ``evaluations``: 0 keeps to constant gains.
    """
    if task.design is None or not 0 < slowest < 1:
        return None
    rollouts = task.rollouts[0]
    jacobians = in_network_units(task.plant, sample_jacobians(task.plant, task.fitted.region), rollouts)
    projection = projection_gain(task.metric, task.design.c) if task.network.nv else None
    callback = task.course.progress_callback("reference observer", SHARE)
    return best_reference(task.design, projection, jacobians, rollouts, slowest, evaluations, callback)


def reproduce(task: TuningTask, proved: ProvedObserver, descent: Descent) -> Tuning | None:
    """The network that reproduces the reference observer, as a state to begin from; None where none does."""
    train, held_out = (
        reference_samples(proved.observer, task.rollouts[0], part, task.seed + k)
        for k, part in enumerate(task.transitions)
    )
    problem = Problem(
        train=train, held_out=held_out, metric=proved.proof.metric, rate=descent.rate, fastest=proved.proof.rate,
        activation=descent.activation, neurons=descent.neurons, inputs=len(task.plant.system.known),
        scaling=task.observer.scaling, seed=task.seed,
    )  # fmt: skip
    callback = task.course.progress_callback("reproduction", 2 * SHARE)
    iterations = min(POLISH, 3 * task.course.limits.iterations)
    solution = reproducing(proved.observer, problem, float(np.sqrt(proved.loss)), iterations, callback)
    return None if solution is None else descent.tuning(solution.network, solution.metric, solution.multipliers)


def reference_samples(reference: ReferenceObserver, rollouts: Rollouts, plant: Transitions, seed: int) -> Samples:
    """Transitions of the reference observer from physical ones of the plant, with innovations even on a log scale."""
    scaling, system = rollouts.scaling, rollouts.plant
    rng = np.random.default_rng((seed, 53))
    size = LARGEST * (SMALLEST / LARGEST) ** rng.random((len(plant), 1))
    nu = size * rng.uniform(-1, 1, (len(plant), system.ny))
    inside, after = reference.corrections(nu)
    x_hat = plant.x - inside * scaling.state_scale
    y = system.output(x_hat, plant.u) + nu * scaling.input_scale[rollouts.outputs]
    x_next = plant.x_next + after * scaling.state_scale
    finite = np.isfinite(y).all(axis=1)
    return to_samples(system, scaling, Transitions(x_hat[finite], plant.u[finite], y[finite], x_next[finite]))


def reproducing(
    reference: ReferenceObserver,
    problem: Problem,
    error: float,
    iterations: int = POLISH,
    progress: ProgressCallback | None = None,
) -> Solution | None:
    """The network that comes closest to the reference observer, certified at the rate of ``problem``; None where none is certified.

    ``error``: RMS error of the reference observer. ``progress`` is called with (iteration, of how many, loss); true stops.
    """
    stepper = Stepper(problem)
    good = 0.5 * (GOOD * error * (1 - problem.rate)) ** 2

    def enough(point: Point) -> Point:
        return replace(point, done=Status.CONVERGED) if point.loss <= good else point

    points = [
        enough(stepper.point(*_initial(reference, problem, np.random.default_rng((problem.seed, 59, number)))))
        for number in range(RUNS if problem.neurons else 1)
    ]
    race = min(RACE, iterations)
    stages, total, done = [(len(points), race), (1, iterations)], race * len(points) + iterations - race, 0
    while problem.neurons and (following := turn(points, stages)) is not None:
        number = following[0]
        points[number] = enough(stepper.step(points[number]))
        done += 1
        if progress is not None and done % 5 == 0 and progress(done, total, points[number].loss):
            break
    best = min(points, key=lambda point: point.loss)
    network = stepper.network(best.theta)
    if not np.isfinite(best.loss) or barrier.factor(network, problem.metric, best.multipliers, problem.rate) is None:
        return None
    return Solution(network, problem.metric, best.multipliers, Status.ITERATION_LIMIT, best.iteration)


def _initial(
    reference: ReferenceObserver, problem: Problem, rng: np.random.Generator
) -> tuple[ExplicitREN, np.ndarray]:
    """A strictly feasible network, linear, whose neurons act on the innovations and along z, and its multipliers."""
    samples, metric, rate = problem.train, problem.metric, problem.rate
    x, v, x_next = samples.x, samples.v, samples.x_next
    n, m, q, inputs = x.shape[1], v.shape[1], problem.neurons, problem.inputs
    one = np.ones((len(x), 1))
    output = np.linalg.lstsq(np.concatenate([x, v[:, :inputs], one], axis=1), v[:, inputs:], rcond=None)[0].T
    c, d, cy = np.split(output, [n, n + inputs], axis=1)
    linear = np.linalg.lstsq(np.concatenate([x, v, one], axis=1), x_next, rcond=None)[0].T
    a, b2, bx = linear[:, :n], linear[:, n:-1], linear[:, -1]
    clipped = clip(a, metric, 0.98 * rate)
    if not np.allclose(clipped, a, rtol=0, atol=1e-12):
        a, b2, bx = contracting_fit(x, v, x_next, metric, 0.98 * rate, clipped)
    rows = rng.standard_normal((q, n))
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    seen = rows @ reference.inner  # z = (I - N C) x_hat + N (y - D u - cy)
    c1 = rows - seen @ c
    d12 = np.concatenate([rng.uniform(-0.3, 0.3, (q, inputs)) - seen @ d, seen], axis=1)
    bv = rng.uniform(-1, 1, q) - seen @ cy[:, 0]
    if reference.is_nonlinear and q >= 2 * m:
        k = np.arange(m - inputs)
        scale = 1 / reference.size[:, None]
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
