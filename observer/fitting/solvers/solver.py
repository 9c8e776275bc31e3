"""The interface of the solvers: a problem goes in, a certified network and how it was found come out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from observer.fitting.bounds import steady_bound
from observer.fitting.linear_algebra.least_squares import residual
from observer.fitting.problem import Problem
from observer.fitting.result import Status
from observer.fitting.solvers.checkpoints import digest
from observer.fitting.solvers.damping import Point
from observer.fitting.solvers.loop import LOOK, Limits, Look, Monitor
from observer.networks.ren.explicit import ExplicitREN


@dataclass(frozen=True, eq=False)
class Solution:
    """A network in network units with the metric and multipliers that prove ``problem.rate``, and how the solver ended."""

    network: ExplicitREN
    metric: np.ndarray
    multipliers: np.ndarray
    status: Status
    iterations: int


class Solver(Protocol):
    """A member of the family: one file of its name, with its default ``ITERATIONS``, and one name in ``SOLVERS``."""

    def __call__(self, problem: Problem, monitor: Monitor) -> Solution:
        """Fit. KeyboardInterrupt ends it with the best so far."""
        ...


def problem_key(problem: Problem) -> str:
    """A hash of everything that decides the course of a fit."""
    train = problem.train
    return digest(
        [train.x, train.v, train.x_next, problem.metric],
        problem.rate, problem.activation, problem.neurons, problem.seed, problem.initial,
    )  # fmt: skip


def ended(point: Point, iterations: int) -> Status | None:
    """How a run of at most ``iterations`` ended; None while there is a way on."""
    return point.done or (Status.ITERATION_LIMIT if point.iteration >= iterations else None)


def look_is_due(point: Point, iterations: int) -> bool:
    """Every ``LOOK`` iterations, and at the end."""
    return point.iteration % LOOK == 0 or ended(point, iterations) is not None


def look_at(
    problem: Problem,
    limits: Limits,
    certified: tuple[ExplicitREN, np.ndarray, np.ndarray],
    label: str,
    iteration: int,
    total: int,
    damping: float = 1.0,
    stage: int = 0,
) -> Look:
    """The losses of a network in physical units, and the steady error estimated from its sampled residuals.

    ``certified``: the network with its metric and multipliers.
    """
    bound = steady_bound(certified[0], problem, *certified[1:])
    loss, held_out = (
        problem.physical_loss(residual(certified[0], samples)) for samples in (problem.train, problem.held_out)
    )
    return Look(
        label, iteration, total, loss, held_out, damping, problem.rate, stage,
        bound=float(np.max(bound / problem.half_ranges)) / 2,
        within=limits.error is not None and bool((bound <= limits.error).all()),
    )  # fmt: skip
