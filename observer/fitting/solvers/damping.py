"""One damped step: how well the model predicted the gain decides how strongly the next step is damped.

    ratio = gain found / gain predicted by the quadratic model;      a step that gains nothing is refused

    damping <- damping * (good    where ratio > 0.7
                          1       where ratio > 0.25
                          poor    otherwise
                          refused where the step was refused)

Nocedal, Wright, "Numerical Optimization", 2nd ed., section 10.3. What a step is, and what it is damped by, is the solver's own.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from observer.fitting.result import Status

WINDOW, STALL = 60, 0.98  # converged when 60 iterations lower the loss by less than 2 %
FLOOR = 1e-26  # mean square residual in network units at which rounding is all that is left


@dataclass(frozen=True)
class DampingRule:
    """The factors, the range that damping is kept in, and how many refusals in a row end a run."""

    good: float = 0.1
    poor: float = 2.0
    refused: float = 4.0
    largest: float = 1e12
    refusals: int = 25

    def accepted(self, damping: float, gain: float, predicted: float) -> float:
        """The damping after a step that was predicted to gain ``predicted``."""
        ratio = gain / predicted if predicted > 0 else 0.0
        return self._kept(damping * (self.good if ratio > 0.7 else 1.0 if ratio > 0.25 else self.poor))

    def after_refusal(self, damping: float) -> float:
        """The damping after a refused step."""
        return self._kept(damping * self.refused)

    def _kept(self, damping: float) -> float:
        return float(np.clip(damping, 1 / self.largest, self.largest))


@dataclass(frozen=True, eq=False)
class Point:
    """Where a solver is: weights with the metric and the multipliers that prove them, their loss, and the damping.

    An iteration makes a new one. ``losses``: the last ones, as convergence is judged by them. ``derivatives``: of the solver, kept
    over refused steps, no part of a checkpoint.
    """

    theta: np.ndarray
    metric: np.ndarray
    multipliers: np.ndarray
    loss: float
    damping: float = 1.0
    iteration: int = 0
    refused: int = 0
    losses: tuple[float, ...] = ()
    done: Status | None = None
    derivatives: Any = field(default=None, repr=False, metadata={"stored": False})

    def accept(
        self, damping: float, theta: np.ndarray, metric: np.ndarray, multipliers: np.ndarray, loss: float
    ) -> "Point":
        """The point after a step, with the damping of its rule."""
        return Point(theta, metric, multipliers, loss, damping, self.iteration + 1, 0, self.losses)

    def refuse(self, rule: DampingRule) -> "Point":
        """The same point, damped more; ``stalled`` after too many refusals in a row."""
        return replace(
            self, damping=rule.after_refusal(self.damping), iteration=self.iteration + 1, refused=self.refused + 1,
            done=Status.STALLED if self.refused + 1 > rule.refusals else self.done,
        )  # fmt: skip

    def non_finite(self) -> "Point":
        """The same point, given up."""
        return replace(self, iteration=self.iteration + 1, done=Status.NON_FINITE)

    def judged(self, window: int = WINDOW, stall: float = STALL) -> "Point":
        """Converged where ``window`` iterations lowered the loss to no less than the share ``stall``, or only rounding is left."""
        losses = (*self.losses, self.loss)[-window - 1 :]
        done = self.done
        if len(losses) > window and self.loss > stall * losses[0]:
            done = done or Status.CONVERGED
        if self.loss < FLOOR:
            done = Status.CONVERGED
        return replace(self, losses=losses, done=done)
