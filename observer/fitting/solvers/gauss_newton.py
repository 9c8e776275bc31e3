"""Gauss-Newton: several initial networks race, half of them drop out at each round, the best is driven to convergence and sharpened.

What one iteration does is in :mod:`observer.fitting.solvers.interior_point`. Initial networks differ in what their neurons look at,
and after some iterations by orders of magnitude in loss. Last the weights of the samples are moved to where the residual is largest
(:mod:`observer.fitting.solvers.sharpening`), since certificates and worst errors depend on the supremum.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.damping import Point
from observer.fitting.solvers.interior_point import Stepper
from observer.fitting.solvers.loop import Look, Monitor, drive
from observer.fitting.solvers.sharpening import sharpen
from observer.fitting.solvers.solver import Solution, ended, look_at, look_is_due, problem_key

ITERATIONS = 300
RUNS, ROUNDS = 8, (10, 25, 60)  # iterations after which half of the runs drop out
LARGE_RUNS, LARGE_ROUNDS = 2, (8,)  # by conjugate gradients
RACE_SHARE = 0.4  # of a time budget, at most


@dataclass(frozen=True, eq=False)
class Race:
    """Runs by number, and whose turn it was: its number, the stage and the iterations that end its part of the stage."""

    runs: tuple[Point, ...]
    number: int = 0
    stage: int = 0
    limit: int = 0

    @property
    def best(self) -> Point:
        """The run with the lowest loss."""
        return min(self.runs, key=_loss)


def _loss(run: Point) -> float:
    return run.loss


def rounds(runs: int, ends: tuple[int, ...]) -> list[tuple[int, int]]:
    """[(runs, iterations)]: successive halving, without the last run's way to the end."""
    result = []
    for end in ends:
        if runs == 1:
            break
        result.append((runs, end))
        runs = (runs + 1) // 2
    return result


def turn(runs: Sequence[Point], stages: list[tuple[int, int]]) -> tuple[int, int, int] | None:
    """(run, stage, iterations that end its part) of who is next; None at the end. ``stages``: [(runs in front, iterations)].

    Losses only fall, so that the runs in front at the beginning of a stage are those in front all the way through it.
    """
    order = sorted(range(len(runs)), key=lambda number: runs[number].loss)
    for stage, (count, limit) in enumerate(stages):
        for number in order[:count]:
            if ended(runs[number], limit) is None:
                return number, stage, limit
    return None


def _cost(race: list[tuple[int, int]]) -> int:
    """Iterations of a race in all."""
    before = [0, *(end for _, end in race[:-1])]
    return sum(runs * (end - start) for (runs, end), start in zip(race, before, strict=True))


def gauss_newton(problem: Problem, monitor: Monitor) -> Solution:
    """Race, polish, sharpen; ``monitor.iterations`` counts those of the winner before the sharpening.

    Deterministic for a seed without a time budget; with one, the number of runs depends on the time of an iteration.
    """
    method = _Method(problem, monitor)
    race, status = drive(method, monitor)
    iterations = sum(run.iteration for run in race.runs)
    if method.stepper.dense and status in (Status.ITERATION_LIMIT, Status.CONVERGED, Status.STALLED):
        rows = len(monitor.rows)
        try:
            sharpened, stopped = sharpen(
                method.stepper, monitor, race.best, f"sharpen {race.runs.index(race.best) + 1}"
            )
        except KeyboardInterrupt:  # the sharpening begins anew when the fit is resumed
            del monitor.rows[rows:]
            monitor.save(method, race)
            sharpened, stopped = None, Status.INTERRUPTED
        status = stopped or status
        if sharpened is not None:
            return replace(sharpened, status=status, iterations=iterations + sharpened.iterations)
    return Solution(*method.stepper.certified(race.best), status, iterations)


class _Method:
    name, kind = "gauss_newton", Race

    def __init__(self, problem: Problem, monitor: Monitor) -> None:
        self.stepper, self.monitor, self.key = Stepper(problem), monitor, problem_key(problem)

    def initial(self) -> Race:
        """As many runs as the budget has time for."""
        first = self.stepper.initial_point()
        runs, ends = (RUNS, ROUNDS) if self.stepper.dense else (LARGE_RUNS, LARGE_ROUNDS)
        try:
            if self.monitor.limits.budget is not None:
                began = time.perf_counter()
                for _ in range(2):
                    if not self.monitor.out_of_time and first.done is None:
                        first = self.stepper.step(first)
                each = max((time.perf_counter() - began) / max(first.iteration, 1), 1e-6)
                while runs > 1 and _cost(rounds(runs, ends)) * each > RACE_SHARE * self.monitor.seconds_left:
                    runs //= 2
            return Race((first, *(self.stepper.initial_point(number) for number in range(1, runs))))
        except KeyboardInterrupt:
            return Race((replace(first, done=Status.INTERRUPTED),))

    def _stages(self, race: Race) -> list[tuple[int, int]]:
        ends, total = ROUNDS if self.stepper.dense else LARGE_ROUNDS, self.monitor.iterations
        return [*((count, min(end, total)) for count, end in rounds(len(race.runs), ends)), (1, total)]

    def finished(self, race: Race) -> Status | None:
        following = turn(race.runs, self._stages(race))
        return race.best.done or Status.ITERATION_LIMIT if following is None else None

    def step(self, race: Race) -> Race:
        following = turn(race.runs, self._stages(race))
        assert following is not None
        runs = list(race.runs)
        runs[following[0]] = self.stepper.step(runs[following[0]])
        return Race(tuple(runs), *following)

    def look(self, race: Race) -> Look | None:
        run = race.runs[race.number]
        if not look_is_due(run, race.limit):
            return None
        label = "polish" if race.stage == len(self._stages(race)) - 1 else "race"
        return look_at(
            self.stepper.problem, self.monitor.limits, self.stepper.certified(run), f"{label} {race.number + 1}",
            run.iteration, race.limit, run.damping, race.stage,
        )  # fmt: skip
