"""Less supremum for a little more mean: samples are weighted up where the residual is large (MATH 3, step 9).

    w <- w sqrt(|r|_M^2 / mean |r|_M^2),   mean w = 1,      then some iterations on (1/2m) sum w_k |r_k|_M^2

Steady errors and certificates depend on sup|r|_M / (1 - alpha), fits on the mean, which neglects the corners of the region.
Judged by the supremum over training and held-out transitions; what does not lower it is thrown away.
"""

from dataclasses import replace

import numpy as np

from observer.fitting.bounds import metric_norms, supremum
from observer.fitting.result import HISTORY, Status
from observer.fitting.solvers.damping import Point
from observer.fitting.solvers.interior_point import Stepper
from observer.fitting.solvers.loop import Monitor
from observer.fitting.solvers.solver import Solution, look_at

ROUNDS, ITERATIONS = 4, 25  # fewer iterations where a tenth of the fit's own is less
DEARER = 2.0  # how much the mean square may grow in exchange


def sharpen(stepper: Stepper, monitor: Monitor, best: Point, label: str) -> tuple[Solution | None, Status | None]:
    """(the sharpened network or None, why it stopped early or None)."""
    problem = stepper.problem
    norms = metric_norms(stepper.network(best.theta), problem.train, problem.metric)
    each = min(ITERATIONS, monitor.iterations // 10)
    if each == 0 or not norms.any() or not np.isfinite(norms).all():
        return None, None
    weights, stage = np.ones(len(norms)), 1 + int(max((row[HISTORY.index("stage")] for row in monitor.rows), default=0))
    point, kept, iterations = best, None, 0
    smallest = supremum(stepper.network(best.theta), problem, problem.metric)
    status: Status | None = None
    for _ in range(ROUNDS):
        weights = weights * norms / np.sqrt(np.mean(norms**2))
        weights = np.maximum(weights / weights.mean(), 1e-3)
        weighted = Stepper(replace(problem, train=replace(problem.train, weights=weights / weights.mean())))
        point = weighted.point(stepper.network(point.theta), point.multipliers)
        for _ in range(each):
            if monitor.out_of_time:
                status = Status.BUDGET
            if status is not None or point.done is not None:
                break
            point = weighted.step(point)
            iterations += 1
        network = stepper.network(point.theta)
        found, loss = supremum(network, problem, problem.metric), stepper.loss(network)
        if found < smallest and loss <= DEARER * best.loss:
            smallest, kept = found, Solution(network, problem.metric, point.multipliers, Status.CONVERGED, 0)
            look = look_at(
                problem,
                monitor.limits,
                stepper.certified(point),
                label,
                iterations,
                ROUNDS * each,
                point.damping,
                stage,
            )
            monitor.record(look)
            if look.within:
                status = Status.TOLERANCE
        if status is not None:
            break
        norms = metric_norms(network, problem.train, problem.metric)
    if kept is None:
        return None, status
    return replace(kept, iterations=iterations), status
