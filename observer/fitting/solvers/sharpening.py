"""Less supremum for a little more mean: samples are weighted up where the residual is large (MATH 3, step 9).

    w <- w sqrt(|r|_M^2 / mean |r|_M^2),   mean w = 1,      then some iterations on (1/2m) sum w_k |r_k|_M^2

Steady errors and certificates go by sup|r|_M / (1 - alpha), fits by the mean: without this the corners of the region pay.
Judged by the supremum over training and held-out transitions; what does not lower it is thrown away.
"""

from dataclasses import replace

import numpy as np

from observer.fitting.bounds import metric_norms, supremum
from observer.fitting.result import Status
from observer.fitting.solvers.interior_point import Run, Stepper
from observer.fitting.solvers.solver import Monitor, Solution

ROUNDS, ITERATIONS = 4, 25  # fewer iterations where a tenth of the fit's own is less
DEARER = 2.0  # how much the mean square may grow in exchange


def sharpen(stepper: Stepper, monitor: Monitor, best: Run) -> tuple[Solution | None, Status | None]:
    """(the sharpened network or None, why it stopped early or None); ``best`` is left as it is."""
    problem = stepper.problem
    norms = metric_norms(stepper.network(best.theta), problem.train, problem.metric)
    each = min(ITERATIONS, monitor.iterations // 10)
    if each == 0 or not norms.any() or not np.isfinite(norms).all():
        return None, None
    weights = np.ones(len(norms))
    run, kept, iterations, stage = best, None, 0, int(max(monitor.rows["stage"], default=0)) + 1
    smallest = supremum(stepper.network(best.theta), problem, problem.metric)
    status: Status | None = None
    for _ in range(ROUNDS):
        weights = weights * norms / np.sqrt(np.mean(norms**2))
        weights = np.maximum(weights / weights.mean(), 1e-3)
        weighted = Stepper(replace(problem, train=replace(problem.train, weights=weights / weights.mean())))
        run = Run(run.number, run.theta, run.multipliers, weighted.loss(weighted.network(run.theta)))
        for _ in range(each):
            if monitor.out_of_time:
                status = Status.BUDGET
                break
            if run.done:
                break
            weighted.step(run)
            iterations += 1
        network = stepper.network(run.theta)
        found, loss = supremum(network, problem, problem.metric), stepper.loss(network)
        if found < smallest and loss <= DEARER * best.loss:
            smallest, kept = found, Solution(network, problem.metric, run.multipliers, Status.CONVERGED, 0)
            monitor.look(
                problem, network, problem.metric, run.multipliers,
                stage, f"sharpen {run.number + 1}", iterations, ROUNDS * each, run.damping,
            )  # fmt: skip
            if monitor.reached:
                status = Status.TOLERANCE
        if status is not None:
            break
        norms = metric_norms(network, problem.train, problem.metric)
    if kept is None:
        return None, status
    return replace(kept, iterations=iterations), status
