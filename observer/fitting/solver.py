"""The interface of the solvers: a problem and a feasible start go in, a certified network and its story come out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from observer.fitting.problem import Problem
from observer.fitting.result import HISTORY, Progress, Status
from observer.networks.explicit import ExplicitREN

SAVE_EVERY = 2.0  # seconds between checkpoints


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

    ``iterations``: limit of the whole fit; ``budget``: seconds or None; ``checkpoint``: file for resuming or None.
    """

    iterations: int
    budget: float | None = None
    progress: Callable[[Progress], None] | None = None
    checkpoint: Path | None = None
    elapsed_before: float = 0.0
    rows: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of fitting, including those before an interruption."""
        return self.elapsed_before + time.perf_counter() - self.started

    @property
    def out_of_time(self) -> bool:
        """Whether the budget is used up."""
        return self.budget is not None and self.seconds >= self.budget

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
    ) -> None:
        """One row of history, and a line of progress."""
        for name, value in zip(HISTORY, (iteration, self.seconds, loss, held_out, damping, stage), strict=True):
            self.rows[name].append(float(value))
        if self.progress is not None:
            self.progress(Progress(label, iteration, total, loss, held_out, rate, self.seconds))


class Solver(Protocol):
    """A member of the family: one file, one name in ``observer.fitting.fit.SOLVERS``."""

    def __call__(self, problem: Problem, inputs: int, monitor: Monitor) -> Solution:
        """Fit; ``inputs`` counts the known inputs among the columns of v. KeyboardInterrupt ends it with the best so far."""
        ...
