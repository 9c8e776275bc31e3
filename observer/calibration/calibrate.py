"""Calibration: parameters of a plant, and its unknown initial states, from logs of inputs and outputs.

Multiple shooting (:mod:`~observer.calibration.shooting`) from several starts; intervals, and what is not identifiable, from the Fisher
matrix (:mod:`~observer.calibration.identifiability`); residuals and held-out logs judge the result.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observer.calibration.filtering import filtered, likeliest_motion
from observer.calibration.identifiability import Z95, Spread, spread_of
from observer.calibration.prediction import GUESS_MOTION, MOTIONS, Prediction, predict
from observer.calibration.shooting import Shooting, ShootingSolution
from observer.calibration.stretches import SHORTEST, Stretch, stretches_of
from observer.calibration.whiteness import Whiteness, whiteness
from systems.base.errors import InputError
from systems.base.wording import nearest
from systems.discretization import DiscreteSystem
from systems.system import System
from systems.trajectories import Trajectories

STARTS, ITERATIONS = 5, 200
HELD_OUT = 0.2  # of the logs
SAME = 1e-6  # two starts that end within this share of the cost ended in the same place
CLOSED = 1e-6  # of a half range: a larger gap between two pieces is no solution
FIRST_NOISE, LEAST_NOISE = 1e-2, 1e-7  # of an output's deviation over the logs
REWEIGHT, MOST_WEIGHTINGS = 1.1, 4


@dataclass(frozen=True)
class CalibrationProgress:
    """One line of progress: ``stage`` (which start), iteration of at most ``total``, half the mean square of the residuals."""

    stage: str
    iteration: int
    total: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """A calibrated parameter: value before and after, standard deviation, 95 % interval within its range, and what is to be known of it."""

    name: str
    unit: str
    before: float
    value: float
    deviation: float
    interval: tuple[float, float]
    range: tuple[float, float]
    identified: bool
    at_end: int

    @property
    def remark(self) -> str:
        """Empty, or why the value is not to be relied on."""
        if self.at_end:
            return f"at the {'upper' if self.at_end > 0 else 'lower'} end of its range: widen it if that is possible"
        return "" if self.identified else "not identified: the interval is as wide as the range"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What :func:`calibrate` found.

    Attributes
    ----------
    system : System
        The plant with the calibrated values, and with the estimated noise where none was stated.
    estimates : tuple of Estimate
    directions : tuple of str
        A sentence for each direction of the parameters that the logs do not determine.
    noise, stated : ndarray (ny,)
        Deviation of the residuals; the noise that was stated, 0 where none was. ``system`` states the smaller of the former and the
        deviation of one-step errors, which is that of the sensor where the equations do not explain everything.
    stretches, states, residuals
        The logs that were used; on them states ``(N, nx)`` of the calibrated motion and y minus its outputs ``(N, ny)``.
    white : tuple of Whiteness
        Of the residuals, by output.
    held_out : Prediction or None
        On the logs that were not used.
    starts : tuple of (cost, converged)
    status : {"converged", "iteration_limit", "interrupted"}
    """

    system: System
    estimates: tuple[Estimate, ...]
    directions: tuple[str, ...]
    noise: np.ndarray
    stated: np.ndarray
    stretches: tuple[Stretch, ...]
    states: tuple[np.ndarray, ...]
    residuals: tuple[np.ndarray, ...]
    white: tuple[Whiteness, ...]
    held_out: Prediction | None
    starts: tuple[tuple[float, bool], ...]
    status: str
    message: str
    iterations: int
    seconds: float
    seed: int
    correlation: np.ndarray
    inflation: float
    motion: float

    @property
    def identified(self) -> bool:
        """Whether every parameter was identified, inside its range."""
        return all(item.identified and not item.at_end for item in self.estimates)

    @property
    def verdict(self) -> str:
        """``pass`` when the search converged and every parameter was identified inside its range, else ``fail``."""
        return "pass" if self.status == "converged" and self.identified else "fail"


def free_parameters(system: System, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The parameters to calibrate: those with a range, or ``names`` of them. Raises :class:`InputError` where there is none."""
    ranged = [name for name, item in system.parameters.items() if item.range is not None]
    if names is not None:
        for name in names:
            if name not in system.parameters:
                raise InputError(f"'{name}' is no parameter of '{system.name}'; {nearest(name, system.parameters)}")
            if name not in ranged:
                raise InputError(
                    f"parameter '{name}' has no range to look in; give it one, as in {{ value = 1.0, range = [0.5, 2] }}"
                )
        ranged = [name for name in ranged if name in names]
    if not ranged:
        raise InputError(
            f"no parameter of '{system.name}' has a range, so there is nothing to calibrate; write {{ value = 1.0, range = [0.5, 2] }}"
        )
    used = system.dynamics.used("p") | system.output.used("p")
    order = list(system.parameters)
    unused = [name for name in ranged if order.index(name) not in used]
    if unused:
        raise InputError(
            f"parameter '{unused[0]}' is used by no equation, so no log says anything about it; take its range away"
        )
    return tuple(ranged)


def calibrate(
    plant: DiscreteSystem,
    data: Trajectories,
    *,
    parameters: Sequence[str] | None = None,
    starts: int = STARTS,
    iterations: int = ITERATIONS,
    held_out: float = HELD_OUT,
    seed: int = 0,
    progress: Callable[[CalibrationProgress], None] | None = None,
) -> Calibration:
    """Parameters with a range, and the initial state of every log, from inputs and outputs; states in ``data`` are not looked at.

    Parameters
    ----------
    plant : DiscreteSystem
        By ``rk4``, ``euler`` or of a discrete system: its sample must be a graph of the parameters.
    data : Trajectories
        Logs; nan where y is missing. Where u is, a log is cut in two.
    parameters : sequence of str, optional
        Only these of the parameters that have a range.
    starts : int
        At most so many starts: the plant's own values, then drawn from the ranges, until two end in the same place.
    iterations : int
        Of the solver, for each start.
    held_out : float
        Share of the logs (of a single one, its end) that judges the result; 0 for none.
    seed : int
        Of the starts and of the logs that are held out.
    progress : callable, optional
        Receives a :class:`CalibrationProgress` after each iteration. A KeyboardInterrupt in it ends the search with the best start that
        was finished, or is raised where there is none.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        For a plant without free parameters, or logs that cannot be used.

    Notes
    -----
    Outputs are weighted by their stated noise; where none is stated it is estimated with the parameters. Deviations use the estimated
    level. Residuals that are not white make them larger, by the square root of the time over which they are correlated.
    """
    begun = time.perf_counter()
    system, free = plant.system, free_parameters(plant.system, parameters)
    train, rest = _split(stretches_of(data, system), held_out, seed)
    problem = Shooting(plant, train, free)
    search = _Search(problem, free, iterations, progress, begun)
    stated = np.array([signal.noise for signal in system.outputs])
    spread = np.array([max(np.nanstd(np.concatenate([s.y[:, k] for s in train])), 1e-12) for k in range(system.ny)])
    deviation = np.where(stated > 0, stated, FIRST_NOISE * spread)
    interrupted = False
    try:
        search.run(_starts(problem, system, free, starts, seed), deviation)
        search.reweight(stated, spread, deviation)
    except KeyboardInterrupt:
        if search.best is None:
            raise
        interrupted = True
    best = search.best
    if best is None:
        raise InputError(
            "the equations give no finite motion along the logs from any start; check the equations, the units of the logs and the ranges"
        )
    noise = _noise(problem, best, free, spread)
    found = spread_of(problem, best.p, best.z, noise)
    x, errors = problem.along(best.p, best.z)
    residuals = problem.by_stretch(errors)
    white = tuple(whiteness([e[:, k] for e in residuals]) for k in range(system.ny))
    inflation = max(w.inflation for w in white)
    calibrated = system.with_parameters(**dict(zip(free, map(float, best.p), strict=True)))
    states = problem.by_stretch(x)
    motion, sensor = (0.0, noise) if interrupted else _sensor(problem, best.p, noise, np.stack([s[0] for s in states]))
    levels = dict(zip(system.output_names, sensor, strict=True))
    unstated = [signal.name for signal in system.outputs if not signal.noise]
    calibrated = calibrated.with_outputs(**{name: {"noise": float(f"{levels[name]:.4g}")} for name in unstated})
    judged = predict(replace(plant, system=calibrated), rest, motion) if rest and not interrupted else None
    status = (
        "interrupted" if interrupted else "converged" if best.converged and best.gap < CLOSED else "iteration_limit"
    )
    return Calibration(
        calibrated, _estimates(problem, system, free, best, found, inflation), found.directions, noise, stated,
        tuple(train), tuple(states), tuple(residuals), white, judged, tuple(search.ends), status, best.message, search.iterations,
        time.perf_counter() - begun, seed, _correlation(found), inflation, motion,
    )  # fmt: skip


class _Search:
    """Starts one after the other; the best solution so far."""

    def __init__(
        self, problem: Shooting, free: tuple[str, ...], iterations: int,
        progress: Callable[[CalibrationProgress], None] | None, begun: float,
    ) -> None:  # fmt: skip
        self.problem, self.free, self.limit = problem, free, iterations
        self.progress, self.begun = progress, begun
        self.best: ShootingSolution | None = None
        self.ends: list[tuple[float, bool]] = []
        self.iterations = 0
        self.values = int(problem.there.sum())
        system = problem.system
        self.nominal = np.array([system.parameters[name].value for name in free])

    def run(self, starts: Sequence[np.ndarray], deviation: np.ndarray) -> None:
        """All starts, until two end in the same place."""
        for k, p in enumerate(starts):
            guess = filtered(self.problem, p, deviation, GUESS_MOTION).states
            found = self.once(p, self.problem.beginnings(guess), deviation, f"start {k + 1}")
            closed = found.gap < CLOSED
            self.ends.append((found.cost if closed else float("inf"), found.converged))
            if not closed and self.best is not None:
                continue
            before = self.best
            if before is None or before.gap >= CLOSED or found.cost < before.cost:
                self.best = found if np.isfinite(found.cost) else before
            if before is not None and closed and found.converged and before.converged:
                if abs(found.cost - before.cost) <= SAME * max(before.cost, 1.0):
                    return

    def reweight(self, stated: np.ndarray, spread: np.ndarray, deviation: np.ndarray) -> None:
        """Once more, with the noise that the residuals show where none is stated, until it no longer changes."""
        for _ in range(MOST_WEIGHTINGS):
            if self.best is None:
                return
            weights = np.where(stated > 0, stated, _noise(self.problem, self.best, self.free, spread))
            if np.max(np.maximum(weights / deviation, deviation / weights)) < REWEIGHT:
                return
            deviation = weights
            self.best = self.once(self.best.p, self.best.z, deviation, "weights")

    def once(self, p: np.ndarray, z: np.ndarray, deviation: np.ndarray, stage: str) -> ShootingSolution:
        """One run of the solver."""

        def report(k: int, cost: float) -> None:
            if self.progress is not None:
                seconds = time.perf_counter() - self.begun
                self.progress(CalibrationProgress(stage, k, self.limit, cost / max(self.values, 1), seconds))

        found = self.problem.solve(p, z, deviation, iterations=self.limit, report=report, about=self.nominal)
        self.iterations += found.iterations
        return found


def _split(stretches: Sequence[Stretch], share: float, seed: int) -> tuple[list[Stretch], list[Stretch]]:
    """(used, held out): by whole logs; of a single one the end."""
    if not 0 <= share < 1:
        raise InputError(f"held_out is {share!r}; expected a share of the logs, from 0 to below 1")
    logs = sorted({item.log for item in stretches})
    if share == 0:
        return list(stretches), []
    if len(logs) == 1:
        last = max(stretches, key=len)
        cut = round((1 - share) * len(last))
        if min(cut, len(last) - cut) < 4 * SHORTEST:
            return list(stretches), []
        head, tail = (replace(last, t=last.t[r], u=last.u[r], y=last.y[r]) for r in (slice(0, cut), slice(cut, None)))
        return [head if item is last else item for item in stretches], [tail]
    order = np.random.default_rng([seed, 11]).permutation(len(logs))
    count = min(len(logs) - 1, max(1, round(share * len(logs))))
    away = {logs[k] for k in order[:count]}
    return [s for s in stretches if s.log not in away], [s for s in stretches if s.log in away]


def _starts(problem: Shooting, system: System, free: Sequence[str], count: int, seed: int) -> list[np.ndarray]:
    """The plant's own values, kept inside the ranges, and points drawn from the ranges."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"starts is {count!r}; expected a whole number, 1 or more")
    own = np.array([system.parameters[name].value for name in free])
    inner = problem.p_middle + 0.98 * problem.p_half * np.array([[-1], [1]])
    rng = np.random.default_rng([seed, 12])
    drawn = problem.p_middle + 0.9 * problem.p_half * rng.uniform(-1, 1, (count - 1, len(free)))
    return [np.clip(own, *inner), *drawn]


def _noise(problem: Shooting, found: ShootingSolution, free: Sequence[str], spread: np.ndarray) -> np.ndarray:
    """Deviation of the residuals ``(ny,)``, with the degrees of freedom that the unknowns take."""
    _, errors = problem.along(found.p, found.z)
    count = np.isfinite(errors).sum(axis=0)
    unknowns = len(free) + problem.system.nx * len(problem.first)
    left = max(1.0 - unknowns / count.sum(), 0.1)
    return np.maximum(np.sqrt(np.nansum(errors**2, axis=0) / (count * left)), LEAST_NOISE * spread)


def _sensor(problem: Shooting, p: np.ndarray, noise: np.ndarray, first: np.ndarray) -> tuple[float, np.ndarray]:
    """(what the equations do not explain, noise of the sensors ``(ny,)``), from initial states ``(S, nx)``.

    Residuals that are not white are larger than the noise of the sensor: the errors one step ahead show that.
    """
    motion, sensor = 0.0, noise
    for _ in range(2):
        motion = likeliest_motion(problem, p, sensor, first, MOTIONS)
        one = np.concatenate(filtered(problem, p, sensor, motion, first).errors)
        sensor = np.minimum(noise, np.sqrt(np.nanmean(one**2, axis=0)))
    return motion, sensor


def _estimates(
    problem: Shooting, system: System, free: Sequence[str], found: ShootingSolution, spread: Spread, inflation: float
) -> tuple[Estimate, ...]:
    deviations = np.sqrt(np.maximum(np.diag(spread.covariance), 0)) * problem.p_half * inflation
    result = []
    for k, name in enumerate(free):
        item, value, (low, high) = system.parameters[name], float(found.p[k]), problem.p_range[k]
        ends = max(low, value - Z95 * deviations[k]), min(high, value + Z95 * deviations[k])
        result.append(Estimate(
            name, item.unit, float(item.value), value, float(deviations[k]), (float(ends[0]), float(ends[1])), (float(low), float(high)),
            bool(spread.identified[k]), int(spread.at_end[k]),
        ))  # fmt: skip
    return tuple(result)


def _correlation(spread: Spread) -> np.ndarray:
    """``(K, K)``, nan for a parameter at an end of its range."""
    root = np.sqrt(np.diag(spread.covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Any = spread.covariance / np.outer(root, root)
    return result
