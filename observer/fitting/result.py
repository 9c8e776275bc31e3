"""What a fit returns: the observer, and how it went."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from observer.state_observer import RENObserver
from systems.detectability import MetricSearch
from systems.discretization import DiscreteSystem
from systems.trajectories import Transitions

HISTORY = ("iteration", "seconds", "loss", "held_out", "damping", "stage", "bound")


class Status(StrEnum):
    """How a fit ended. ``sentence`` explains it, with the next step to try."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration_limit"
    BUDGET = "budget"
    STALLED = "stalled"
    INTERRUPTED = "interrupted"
    TOLERANCE = "tolerance"
    NON_FINITE = "non_finite"
    LINEAR = "linear"

    @property
    def sentence(self) -> str:
        """What happened and what to try."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.CONVERGED: "The loss no longer falls: this is the best fit of the solver with this network; more neurons would lower it.",
    Status.ITERATION_LIMIT: "The iteration limit was reached while the loss was still falling; more iterations would lower it.",
    Status.BUDGET: "The time budget was used up while the loss was still falling; a larger budget would lower it.",
    Status.STALLED: "No step improved the loss any more; try another seed, tanh neurons, or a longer settling time.",
    Status.INTERRUPTED: "The fit was interrupted; the best observer so far was kept. Run the same command again to continue.",
    Status.TOLERANCE: "The steady error estimated from the sampled residuals is within the tolerance; see the certificate for the proof.",
    Status.NON_FINITE: "The loss kept becoming non-finite even with the smallest steps; the best observer so far was kept. "
    "Check the plant for poles inside its ranges, or narrow them.",
    Status.LINEAR: "Without neurons the observer is the best linear one for this metric; nothing was trained.",
}


@dataclass(frozen=True)
class Progress:
    """One line of progress: where the fit is and how well it does.

    ``bound``: steady error estimated from the sampled residuals, as the largest share of a state's range; nan where
    not computed.
    """

    stage: str
    iteration: int
    total: int
    loss: float
    held_out: float
    rate: float
    seconds: float
    bound: float = float("nan")


@dataclass(frozen=True)
class FitResult:
    """A fitted observer and how the fit went.

    ``one_step_loss``: held-out mean of |x+ - f_o(x, u, y)|_2^2 in physical units; ``one_step_rms`` ``(nx,)``: per state;
    ``start_loss``: the same of the linear observer that the fit begins from. ``history``: columns ``HISTORY`` as
    arrays, losses in physical units. ``search``: metric and fastest rate; ``region`` ``(nx, 2)``: the box of states it was fitted on.
    """

    observer: RENObserver
    status: Status
    message: str
    solver: str
    history: dict[str, np.ndarray]
    one_step_loss: float
    one_step_rms: np.ndarray
    start_loss: float
    seconds: float
    iterations: int
    seed: int
    options: dict[str, Any]
    search: MetricSearch
    region: np.ndarray
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))  # files hold its value

    @property
    def plant(self) -> DiscreteSystem:
        """The plant that it was fitted to."""
        return self.observer.plant


def one_step_errors(observer: RENObserver, transitions: Transitions) -> tuple[float, np.ndarray]:
    """(mean of |x+ - f_o(x, u, y)|_2^2, RMS per state ``(nx,)``) in physical units."""
    residual = observer.step(transitions.x, transitions.u, transitions.y) - transitions.x_next
    return float(np.mean(np.sum(residual**2, axis=1))), np.sqrt(np.mean(residual**2, axis=0))
