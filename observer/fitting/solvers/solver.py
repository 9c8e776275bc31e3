"""The interface of the solvers: a problem and a feasible start go in, a certified network and its story come out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from observer.fitting.bounds import steady_bound
from observer.fitting.linear_algebra.least_squares import residual
from observer.fitting.problem import Problem
from observer.fitting.result import HISTORY, Progress, Status
from observer.networks.ren.explicit import ExplicitREN

SAVE_EVERY = 2.0  # seconds between checkpoints
LOOK = 10  # iterations between looks at all losses
RESERVE = 0.01  # of the budget, for what comes after the solver


@dataclass(frozen=True, eq=False)
class Solution:
    """A network in network units with the metric and multipliers that prove ``problem.rate``, and how the solver ended."""

    network: ExplicitREN
    metric: np.ndarray
    multipliers: np.ndarray
    status: Status
    iterations: int


@dataclass
class Monitor:
    """What a solver tells the outside while it works: history, progress, checkpoints, and when to stop.

    ``iterations``: limit of the whole fit; ``budget``: seconds or None; ``checkpoint``: file for resuming or None;
    ``tolerance``: steady error per state ``(nx,)`` in physical units at which to stop, or None.
    """

    iterations: int
    budget: float | None = None
    progress: Callable[[Progress], None] | None = None
    checkpoint: Path | None = None
    tolerance: np.ndarray | None = None
    elapsed_before: float = 0.0
    rows: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    started: float = field(default_factory=time.perf_counter)
    reached: bool = False  # the tolerance, at the last look
    last_saved: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of fitting, including those before an interruption."""
        return self.elapsed_before + time.perf_counter() - self.started

    @property
    def seconds_left(self) -> float:
        """Seconds of the budget that a solver may still use; infinite without a budget."""
        return np.inf if self.budget is None else (1 - RESERVE) * self.budget - self.seconds

    @property
    def out_of_time(self) -> bool:
        """Whether the budget is used up."""
        return self.seconds_left <= 0

    @property
    def time_to_save(self) -> bool:
        """Whether a checkpoint is due; asked, it counts as written."""
        now = time.perf_counter()
        if self.checkpoint is None or now - self.last_saved < SAVE_EVERY:
            return False
        self.last_saved = now
        return True

    def look(
        self, problem: Problem, network: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray,
        stage: int, label: str, iteration: int, total: int, damping: float,
    ) -> None:  # fmt: skip
        """Record a network: its losses in physical units and the steady error they promise."""
        share = self.promise(problem, network, metric, multipliers)
        self.record(
            stage, label, iteration, total,
            problem.physical_loss(residual(network, problem.train)),
            problem.physical_loss(residual(network, problem.held_out)), damping, problem.rate,
            share,
        )  # fmt: skip

    def promise(self, problem: Problem, network: ExplicitREN, metric: np.ndarray, multipliers: np.ndarray) -> float:
        """The steady error that the samples promise, as the largest share of a state's range; sets ``reached``."""
        bound = steady_bound(network, problem, metric, multipliers)
        self.reached = self.tolerance is not None and bool((bound <= self.tolerance).all())
        return float(np.max(bound / problem.half_ranges)) / 2

    def record(
        self,
        stage: int,
        label: str,
        iteration: int,
        total: int,
        loss: float,
        held_out: float,
        damping: float,
        rate: float,
        bound: float = np.nan,
    ) -> None:
        """One row of history, and a line of progress. ``bound``: steady error, the largest share of a state's range."""
        values = (iteration, self.seconds, loss, held_out, damping, stage, bound)
        for name, value in zip(HISTORY, values, strict=True):
            self.rows[name].append(float(value))
        if self.progress is not None:
            self.progress(Progress(label, iteration, total, loss, held_out, rate, self.seconds, bound))


class Solver(Protocol):
    """A member of the family: one file, one name in ``observer.fitting.fit.SOLVERS``."""

    def __call__(self, problem: Problem, inputs: int, monitor: Monitor) -> Solution:
        """Fit; ``inputs`` counts the known inputs among the columns of v. KeyboardInterrupt ends it with the best so far."""
        ...


def drive(
    problem: Problem,
    monitor: Monitor,
    state: Any,
    step: Callable[[], None],
    certified: Callable[[], tuple[ExplicitREN, np.ndarray, np.ndarray]],
    save: Callable[[], None],
    label: str,
) -> Status:
    """Step until the iterations, the budget or the tolerance say stop, looking every ``LOOK`` iterations; how it ended.

    ``state``: has ``iteration`` and ``done`` (the name of a Status when there is no way on). ``certified`` gives the network
    with its metric and multipliers; ``save`` writes a checkpoint from which the solver resumes exactly.
    """
    longest = 0.0
    try:
        while state.iteration < monitor.iterations and not state.done:
            if monitor.seconds_left < 0.5 * longest or monitor.out_of_time:
                return Status.BUDGET
            began = time.perf_counter()
            step()
            if state.iteration % LOOK == 0 or state.iteration == monitor.iterations or state.done:
                monitor.look(
                    problem, *certified(), 0, label, state.iteration, monitor.iterations, getattr(state, "damping", 1.0)
                )
                if monitor.reached:
                    return Status.TOLERANCE
                if monitor.time_to_save:
                    save()
            longest = max(0.9 * longest, time.perf_counter() - began)
    except KeyboardInterrupt:
        save()
        return Status.INTERRUPTED
    return Status(state.done) if state.done else Status.ITERATION_LIMIT
