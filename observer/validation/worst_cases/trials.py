"""Many trials from given initial states at once: the discretised plant under constant inputs, an observer beside it, and how it went.

A trial is graded by its settling time or by its late error, both of max_i |e_i| / width_i.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from observer.state_observer import RENObserver, StateObserver
from observer.validation.validate import TOLERANCE
from systems.angles import periods, wrap
from systems.closed_loop import driven
from systems.discretization import DiscreteSystem
from systems.feedback import commands_of
from systems.regions import DRIFT, holds_along

WORK = 6e8  # elementary operations that one set of trials may take where no number of them is given
MOST, LEAST = 4000, 120  # trials
CHUNK = 2_000_000  # samples of states simulated at once
COMPILED_FROM = 2e7  # operations of a whole study; less is done before a compiler has begun
HOPELESS = 10.0  # ranges: an error beyond them has diverged, however large it is


@dataclass(frozen=True, eq=False)
class Trials:
    """Plant and observer, how long a trial is, from which sample on an error is late, and how many trials are going to be asked for."""

    observer: StateObserver
    plant: DiscreteSystem
    steps: int
    window: int
    expected: int = 0

    def graded(
        self, x0: np.ndarray, x_hat0: np.ndarray, u: np.ndarray, grade: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """What ``grade`` makes of curves ``(k, N)``, for all trials from initial states ``(K, nx)`` under constant commands.

        A curve is max_i |e_i| / width_i, nan where the plant is lost, or leaves its constraints. They are never all there at once.
        """
        rows = max(1, CHUNK // (self.steps * self.plant.nx))
        cuts = [slice(k, k + rows) for k in range(0, len(x0), rows)]
        return np.concatenate([grade(self._some(x0[cut], x_hat0[cut], u[cut])) for cut in cuts])

    def _some(self, x0: np.ndarray, x_hat0: np.ndarray, u: np.ndarray) -> np.ndarray:
        held = np.broadcast_to(u[:, None], (len(u), self.steps, u.shape[1]))
        with np.errstate(all="ignore"):
            x, acting = self._moved(x0, held)
            y = self.plant.output(x, acting)
            lost = ~np.isfinite(x).all(axis=(1, 2)) | ~np.isfinite(y).all(axis=(1, 2))
            width = np.ptp(self.plant.system.state_ranges, axis=1)
            middle = self.plant.system.state_ranges.mean(axis=1)
            lost |= (np.abs(x - middle) > HOPELESS * width).any(axis=(1, 2))
            lost |= ~holds_along(self.plant.system, x, acting, DRIFT).all(axis=1)
            x, acting, y = (np.where(lost[:, None, None], 0.0, a) for a in (x, acting, y))
            worst = relative_error(self.observer, self.plant, x, acting, y, x_hat0).max(axis=2)
        return np.where(lost[:, None], np.nan, worst)

    def _moved(self, x0: np.ndarray, commands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The plant's states and inputs; as machine code where that pays for a whole study: it is simulated over and over."""
        work = self.steps * max(self.expected, len(x0)) * len(self.plant.graph.nodes if self.plant.graph else ())
        return driven(self.plant, x0, commands, compiled=work >= COMPILED_FROM)


def held_commands(plant: DiscreteSystem) -> np.ndarray:
    """Every input, and every reference of a feedback law, at the middle of its range."""
    return np.array([np.mean(signal.range) for signal in commands_of(plant.system)])  # type: ignore[arg-type]


def relative_error(
    observer: StateObserver, plant: DiscreteSystem, x: np.ndarray, u: np.ndarray, y: np.ndarray, x_hat0: np.ndarray
) -> np.ndarray:
    """|e_i| / width_i ``(K, N, nx)``, at most ``HOPELESS``, which also stands for what is not finite."""
    system = plant.system
    angles = periods(system.states)
    with np.errstate(all="ignore"):
        error = np.abs(wrap(observer.run(x_hat0, u, y) - x, angles)) / np.ptp(system.state_ranges, axis=1)
    return np.minimum(np.where(np.isfinite(error), error, HOPELESS), HOPELESS)


def settled_after(curves: np.ndarray) -> np.ndarray:
    """``(K,)`` samples after which curves ``(K, N)`` stay within 2 %, between samples on a straight line of the logarithm; infinite
    where the last sample is outside."""
    inside = curves[:, -1] <= TOLERANCE
    return np.where(inside, np.maximum(settling_grade(np.where(np.isfinite(curves), curves, HOPELESS)), 0.0), np.inf)


def settling_grade(curves: np.ndarray) -> np.ndarray:
    """Samples until curves ``(K, N)`` stay within 2 %, as a number that always ranks two curves.

    Between samples: on a straight line of the logarithm. Beyond the end, and where nothing was ever outside: plus, or instead, the
    logarithm of the error in parts of the tolerance.
    """
    size = np.log(np.maximum(curves / TOLERANCE, 1e-300))
    outside, count, rows = size > 0, curves.shape[1], np.arange(len(curves))
    last = count - 1 - np.argmax(outside[:, ::-1], axis=1)
    here, there = size[rows, last], size[rows, np.minimum(last + 1, count - 1)]
    part = np.where(last < count - 1, here / np.maximum(here - there, 1e-12), here)
    return np.where(outside.any(axis=1), last + part, np.minimum(size.max(axis=1), 0.0))


def late_error(curves: np.ndarray, window: int) -> np.ndarray:
    """The largest value ``(K,)`` of curves ``(K, N)`` from a sample on."""
    return curves[:, window:].max(axis=1)


def trials_worth(observer: StateObserver, plant: DiscreteSystem, steps: int) -> int:
    """How many trials of so many samples ``WORK`` allows; the same on every machine."""
    network = observer.weights if isinstance(observer, RENObserver) else None
    own = (network.nv + network.nx) * (network.nv + network.nx + network.nu) if network is not None else 50 * plant.nx
    equations = len(plant.graph.nodes) if plant.graph is not None else 1000 * plant.nx
    return int(np.clip(WORK / (steps * (own + equations)), LEAST, MOST))
