"""The loop of all solvers: limits, progress, history, Ctrl-C and checkpoints. A solver adds only what is its own (:class:`Method`).

The state of a solver is a frozen value and an iteration makes a new one, so that an interruption undoes the iteration that it
hits, and a checkpoint of any state resumes exactly.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from observer.fitting.result import HISTORY, Progress, Status
from observer.fitting.solvers.checkpoints import flatten, load
from systems.base.atomic_files import write_arrays

SAVE_EVERY = 2.0  # seconds between checkpoints
LOOK = 10  # iterations between looks at all losses
RESERVE = 0.01  # of the budget, for what comes after the solver

S = TypeVar("S")


@dataclass(frozen=True)
class Look:
    """A row of history: where a solver is, and how well it does.

    ``loss``, ``held_out``: in physical units; ``bound``: estimated steady error, the largest share of a state's range; ``within``:
    whether it is within the tolerance.
    """

    label: str
    iteration: int
    total: int
    loss: float
    held_out: float
    damping: float
    rate: float
    stage: int = 0
    bound: float = np.nan
    within: bool = False


@dataclass(frozen=True)
class Limits:
    """What ends a fit: ``iterations``, ``budget`` in seconds or None, and the steady ``error`` per state ``(nx,)`` in physical
    units at which to stop, or None."""

    iterations: int
    budget: float | None = None
    error: np.ndarray | None = None


@dataclass
class Monitor:
    """What a solver reports while it runs: history, progress, checkpoints; and how much time is left."""

    limits: Limits
    progress: Callable[[Progress], None] | None = None
    checkpoint: Path | None = None
    started: float = field(default_factory=time.perf_counter)
    elapsed_before: float = 0.0
    rows: list[tuple[float, ...]] = field(default_factory=list)
    last_saved: float = field(default_factory=time.perf_counter)

    @property
    def iterations(self) -> int:
        """The limit of the whole fit."""
        return self.limits.iterations

    @property
    def seconds(self) -> float:
        """Seconds of fitting, including those before an interruption."""
        return self.elapsed_before + time.perf_counter() - self.started

    @property
    def seconds_left(self) -> float:
        """Seconds of the budget that a solver may still use; infinite without a budget."""
        budget = self.limits.budget
        return np.inf if budget is None else (1 - RESERVE) * budget - self.seconds

    @property
    def out_of_time(self) -> bool:
        """Whether the budget is used up."""
        return self.seconds_left <= 0

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Columns ``HISTORY``."""
        return {name: np.array([row[k] for row in self.rows], dtype=float) for k, name in enumerate(HISTORY)}

    def record(self, look: Look) -> None:
        """One row of history, and a line of progress."""
        seconds = self.seconds
        row = (look.iteration, seconds, look.loss, look.held_out, look.damping, look.stage, look.bound)
        self.rows.append(tuple(float(value) for value in row))
        if self.progress is not None:
            self.progress(
                Progress(
                    look.label, look.iteration, look.total, look.loss, look.held_out, look.rate, seconds, look.bound
                )
            )

    def save(self, method: "Method[S]", state: S) -> None:
        """Write ``state``, the history and the elapsed time to the checkpoint."""
        if self.checkpoint is None:
            return
        arrays = dict(flatten(state, method.name)) | {f"history.{name}": v for name, v in self.history.items()}
        write_arrays(
            self.checkpoint, compress=False, hash=np.array(method.key), elapsed=np.array(self.seconds), **arrays
        )
        self.last_saved = time.perf_counter()

    def restore(self, method: "Method[S]") -> S | None:
        """The state of an earlier, interrupted fit of the same problem, with its history and elapsed time; or None."""
        found = load(self.checkpoint, method.key, method.name, method.kind)
        if found is None:
            return None
        state, arrays = found
        columns = [arrays.get(f"history.{name}", np.zeros(0)).tolist() for name in HISTORY]
        self.rows, self.elapsed_before = list(zip(*columns, strict=True)), float(arrays["elapsed"])
        return state


class Method(Protocol[S]):
    """What is a solver's own. ``name`` marks its checkpoints, ``key`` is a hash of what decides its course, ``kind`` the type of
    its state: a frozen dataclass of arrays, numbers and further ones."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def kind(self) -> type[S]: ...

    def initial(self) -> S:
        """Where it begins."""
        ...

    def step(self, state: S, /) -> S:
        """One iteration."""
        ...

    def finished(self, state: S, /) -> Status | None:
        """How it ended; None while there is a way on."""
        ...

    def look(self, state: S, /) -> Look | None:
        """The row of history at ``state``; None where none is due."""
        ...


def drive(method: Method[S], monitor: Monitor) -> tuple[S, Status]:
    """Iterate from the checkpoint or the initial state until the method, the budget, the tolerance or Ctrl-C ends it."""
    state = monitor.restore(method) or method.initial()
    longest, rows = 0.0, len(monitor.rows)
    try:
        while (ended := method.finished(state)) is None:
            if monitor.out_of_time or monitor.seconds_left < 0.5 * longest:
                return state, Status.BUDGET
            began, rows = time.perf_counter(), len(monitor.rows)
            following = method.step(state)
            look = method.look(following)
            if look is not None:
                monitor.record(look)
            state, rows = following, len(monitor.rows)
            if look is not None and look.within:
                return state, Status.TOLERANCE
            if monitor.checkpoint is not None and time.perf_counter() - monitor.last_saved >= SAVE_EVERY:
                monitor.save(method, state)
            longest = max(0.9 * longest, time.perf_counter() - began)
    except KeyboardInterrupt:
        del monitor.rows[rows:]
        monitor.save(method, state)
        return state, Status.INTERRUPTED
    return state, ended
