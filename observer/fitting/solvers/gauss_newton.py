"""Gauss-Newton: several starts race, half of them drop out at each round, the best is driven to convergence and sharpened.

What one iteration does is in :mod:`observer.fitting.solvers.interior_point`. Starts differ in what their neurons look at, and after
some iterations by orders of magnitude in loss. Last the weights of the samples are moved to where the residual is largest
(:mod:`observer.fitting.solvers.sharpening`), since certificates and worst errors go by the supremum.
"""

import time

import numpy as np

from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.checkpoints import load_checkpoint, save_checkpoint
from observer.fitting.solvers.interior_point import Run, Stepper
from observer.fitting.solvers.sharpening import sharpen
from observer.fitting.solvers.solver import LOOK, Monitor, Solution

STARTS, ROUNDS = 8, (10, 25, 60)  # iterations after which half of the starts drop out
LARGE_STARTS, LARGE_ROUNDS = 2, (8,)  # by conjugate gradients
RACE_SHARE = 0.4  # of a time budget, at most


def rounds(starts: int, ends: tuple[int, ...]) -> list[tuple[int, int]]:
    """[(runs, iterations)]: successive halving, without the last run's way to the end."""
    result = []
    for end in ends:
        if starts == 1:
            break
        result.append((starts, end))
        starts = (starts + 1) // 2
    return result


def _cost(race: list[tuple[int, int]]) -> int:
    """Iterations of a race in all."""
    before = [0, *(end for _, end in race[:-1])]
    return sum(runs * (end - start) for (runs, end), start in zip(race, before, strict=True))


def gauss_newton(problem: Problem, inputs: int, monitor: Monitor) -> Solution:
    """Race, polish, sharpen; ``monitor.iterations`` counts those of the winner before the sharpening.

    Deterministic for a seed without a time budget; with one, the number of starts goes by what an iteration takes.
    """
    stepper = Stepper(problem)
    runs = _restore(problem, monitor) or []
    status: Status | None = None
    solution: Solution | None = None
    polished: int | None = None  # rows of history when the sharpening began, which starts anew when resumed
    try:
        if not runs:
            runs = _starts(stepper, inputs, monitor)
        status = _advance(stepper, monitor, runs)
        best = min(runs, key=lambda run: run.loss)
        if stepper.dense and status is None and best.done in ("", "converged", "stalled"):
            polished = len(monitor.rows["iteration"])
            solution, status = sharpen(stepper, monitor, best)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
        for values in monitor.rows.values() if polished is not None else ():
            del values[polished:]
        if runs:
            _save(problem, monitor, runs)
    if not runs:  # interrupted before anything could be computed
        runs = [stepper.new_run(inputs, 0)]
    best = min(runs, key=lambda run: run.loss)
    if status is None:
        status = Status(best.done) if best.done else Status.ITERATION_LIMIT
    iterations = sum(run.iteration for run in runs)
    if solution is not None:
        return Solution(
            solution.network, solution.metric, solution.multipliers, status, iterations + solution.iterations
        )
    return Solution(stepper.network(best.theta), problem.metric, best.multipliers, status, iterations)


def _starts(stepper: Stepper, inputs: int, monitor: Monitor) -> list[Run]:
    """As many starts as the budget has time for."""
    first = stepper.new_run(inputs, 0)
    starts, ends = (STARTS, ROUNDS) if stepper.dense else (LARGE_STARTS, LARGE_ROUNDS)
    if monitor.budget is not None:
        trial, began = first.copy(), time.perf_counter()
        for _ in range(2):
            if not monitor.out_of_time and not trial.done:
                stepper.step(trial)
        each = max((time.perf_counter() - began) / max(trial.iteration, 1), 1e-6)
        while starts > 1 and _cost(rounds(starts, ends)) * each > RACE_SHARE * monitor.seconds_left:
            starts //= 2
        first = trial
    return [first, *(stepper.new_run(inputs, number) for number in range(1, starts))]


def _advance(stepper: Stepper, monitor: Monitor, runs: list[Run]) -> Status | None:
    """Race and polish ``runs`` in place; returns why it had to stop early, or None."""
    total = monitor.iterations
    ends = ROUNDS if stepper.dense else LARGE_ROUNDS
    race = [(count, min(end, total)) for count, end in rounds(len(runs), ends)]
    longest = 0.0
    for stage, (count, limit) in enumerate([*race, (1, total)]):
        label = "race" if stage < len(race) else "polish"
        # Losses only fall, so that a resumed race finds the same runs in front.
        for run in sorted(runs, key=lambda run: run.loss)[:count]:
            while run.iteration < limit and not run.done:
                if monitor.seconds_left < 0.5 * longest:
                    return Status.BUDGET
                began = time.perf_counter()
                stepper.step(run)
                if run.iteration % LOOK == 0 or run.iteration == limit or run.done:
                    monitor.look(
                        stepper.problem, stepper.network(run.theta), stepper.problem.metric, run.multipliers,
                        stage, f"{label} {run.number + 1}", run.iteration,
                        limit, run.damping,
                    )  # fmt: skip
                    if monitor.reached:
                        return Status.TOLERANCE
                    if monitor.time_to_save:
                        _save(stepper.problem, monitor, runs)
                longest = max(0.9 * longest, time.perf_counter() - began)
    return None


def _save(problem: Problem, monitor: Monitor, runs: list[Run]) -> None:
    arrays = {
        "theta": np.stack([r.theta for r in runs]),
        "multipliers": np.stack([r.multipliers for r in runs]),
        "scalars": np.array([[r.number, r.loss, r.damping, r.iteration, r.refused] for r in runs]),
        "done": np.array([r.done for r in runs]),
        "lengths": np.array([len(r.losses) for r in runs]),
        "losses": np.concatenate([np.array(r.losses) for r in runs]),
    }
    save_checkpoint(monitor, problem, arrays)


def _restore(problem: Problem, monitor: Monitor) -> list[Run] | None:
    arrays = load_checkpoint(monitor, problem, needs="theta")
    if arrays is None:
        return None
    runs, at = [], 0
    for k, (number, loss, damping, iteration, refused) in enumerate(arrays["scalars"]):
        length = int(arrays["lengths"][k])
        runs.append(
            Run(
                int(number), arrays["theta"][k], arrays["multipliers"][k], float(loss), float(damping), int(iteration),
                int(refused), arrays["losses"][at : at + length].tolist(), str(arrays["done"][k]),
            )
        )  # fmt: skip
        at += length
    return runs
