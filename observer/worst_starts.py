"""The worst start, found by optimisation: where must plant and observer start for the error to last longest, or to be largest late?

    z = (x0, x_hat0, u) in a box,     maximise  late(z) = max over the window of max_i |e_i| / width_i
                                      or        settling(z) = last time at which some |e_i| exceeds 2 % of width_i

x0 in the initial box, x_hat0 in that box enlarged by ``spread``, u a constant of every known input (disturbances at the middle of
their range). Random trials seldom come near the corners of such a box; here a few evolution strategies (CMA-ES) start from the best of
many random points and learn the directions in which it gets worse, all their trials in one batch of compiled rollouts. The search runs on
the discretised plant; the start that is reported, and the worst of as many random draws, are measured again on the true plant.
Source of the strategy: Hansen, The CMA evolution strategy: a tutorial, arXiv 1604.00772.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.state_observer import RENObserver, StateObserver
from observer.validation import TOLERANCE, wrap
from systems.discretization import DiscreteSystem
from systems.errors import InputError, SimulationError
from systems.trajectories import simulate

GOALS = ("settling", "late")
WORK = 1.5e9  # elementary operations that a search of either goal may take when no number of trials is given
MOST, LEAST = 4000, 120  # trials
CHUNK = 2_000_000  # samples of states simulated at once
RESTARTS, EXPLORED = 4, 0.4  # strategies side by side; share of the trials that are random
HOPELESS = 10.0  # ranges: an error beyond them has diverged, however large it is


@dataclass(frozen=True, eq=False)
class WorstStart:
    """A start and what it does on the true plant, beside the worst of equally many random starts.

    x0, x_hat0 ``(nx,)``, u ``(nu,)`` constant; ``value`` and ``random``: seconds until it settles (``settling``; infinite where it does
    not by the end), or the largest late error in ranges (``late``); ``state``: index of the state that decides. t ``(N,)``, errors
    ``(N, nx)`` of the found start and of the random one, in units. ``trials``: of the search, and as many random ones.
    """

    goal: str
    x0: np.ndarray
    x_hat0: np.ndarray
    u: np.ndarray
    value: float
    random: float
    state: int
    trials: int
    t: np.ndarray
    error: np.ndarray
    random_error: np.ndarray

    @property
    def ratio(self) -> float:
        """How much worse than the worst random start; nan where that is not a number."""
        if not (np.isfinite(self.value) and np.isfinite(self.random) and self.random > 0):
            return float("nan")
        return self.value / self.random

    @property
    def diverged(self) -> bool:
        """Whether the error ends beyond ten ranges, or is not finite."""
        return self.goal == "late" and not self.value < HOPELESS


@dataclass(frozen=True, eq=False)
class Trial:
    """The box of the search and how a point of it becomes a trial."""

    observer: StateObserver
    plant: DiscreteSystem
    low: np.ndarray
    high: np.ndarray
    steps: int
    window: int
    goal: str

    def parts(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x0, x_hat0, u), each ``(K, size)``, of points z ``(K, d)`` of the unit box."""
        nx, system = self.plant.nx, self.plant.system
        values = self.low + z * (self.high - self.low)
        u = np.tile(system.input_ranges.mean(axis=1), (len(z), 1)) if system.nu else np.zeros((len(z), 0))
        u[:, system.known] = values[:, 2 * nx :]
        return values[:, :nx], values[:, nx : 2 * nx], u

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """The goal ``(K,)`` of points z ``(K, d)``, a number that grows as things get worse; -inf where the plant itself is lost."""
        rows = max(1, CHUNK // (self.steps * self.plant.nx))
        return np.concatenate([self._some(z[k : k + rows]) for k in range(0, len(z), rows)])

    def _some(self, z: np.ndarray) -> np.ndarray:
        x0, x_hat0, u = self.parts(z)
        held = np.broadcast_to(u[:, None], (len(z), self.steps, u.shape[1]))
        with np.errstate(all="ignore"):
            x = self.plant.rollout(x0, held[:, :-1])
            lost = ~np.isfinite(x).all(axis=(1, 2))
            x = np.where(lost[:, None, None], 0.0, x)
            y = self.plant.output(x, held)
            lost |= ~np.isfinite(y).all(axis=(1, 2))
            parts = relative_error(self.observer, self.plant, x, held, np.where(np.isfinite(y), y, 0.0), x_hat0)
            value = grade(parts.max(axis=2), self.goal, self.window)
        return np.where(lost, -np.inf, value)


def relative_error(
    observer: StateObserver, plant: DiscreteSystem, x: np.ndarray, u: np.ndarray, y: np.ndarray, x_hat0: np.ndarray
) -> np.ndarray:
    """|e_i| / width_i ``(K, N, nx)``, at most ``HOPELESS``, which also stands for what is not finite."""
    system = plant.system
    periods = np.array([s.period or np.nan for s in system.states])
    error = np.abs(wrap(observer.run(x_hat0, u, y) - x, periods)) / np.ptp(system.state_ranges, axis=1)
    return np.minimum(np.where(np.isfinite(error), error, HOPELESS), HOPELESS)


def grade(worst: np.ndarray, goal: str, window: int) -> np.ndarray:
    """The goal of error curves ``(K, N)`` in ranges. Settling in samples, between samples on a straight line of the logarithm, and
    beyond the end by the logarithm of what is left, so that a search always sees which of two is worse."""
    if goal == "late":
        return np.log10(np.maximum(worst[:, window:].max(axis=1), 1e-300))
    size = np.log(np.maximum(worst / TOLERANCE, 1e-300))
    outside = size > 0
    count = worst.shape[1]
    last = count - 1 - np.argmax(outside[:, ::-1], axis=1)
    rows = np.arange(len(worst))
    following = np.minimum(last + 1, count - 1)
    here, there = size[rows, last], size[rows, following]
    part = np.where(last < count - 1, here / np.maximum(here - there, 1e-12), here)
    return np.where(outside.any(axis=1), last + part, np.minimum(size.max(axis=1), 0.0))


def settling_time(error: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``(...,)`` seconds after which every state ``(..., N, nx)``, in ranges, stays within 2 %; infinite where the end is outside."""
    outside = (error > TOLERANCE).any(axis=-1)
    last = np.where(outside.any(axis=-1), len(t) - 1 - np.argmax(outside[..., ::-1], axis=-1), -1)
    return np.append(t, np.inf)[last + 1]


def search_box(plant: DiscreteSystem, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of x0, x_hat0 and the known inputs."""
    system = plant.system
    limits = np.array([s.limits or (-np.inf, np.inf) for s in system.states])
    box = system.initial_ranges
    middle, half = box.mean(axis=1), 0.5 * np.ptp(box, axis=1)
    wide = np.stack([middle - spread * half, middle + spread * half], axis=1)
    boxes = [np.clip(b, limits[:, :1], limits[:, 1:]) for b in (box, wide)]
    low, high = np.concatenate([*boxes, system.input_ranges[system.known].reshape(-1, 2)]).T
    return low, high


def trials_worth(observer: StateObserver, plant: DiscreteSystem, steps: int) -> int:
    """How many trials of so many samples ``WORK`` allows; the same on every machine."""
    network = observer.weights if isinstance(observer, RENObserver) else None
    own = (network.nv + network.nx) * (network.nv + network.nx + network.nu) if network is not None else 50 * plant.nx
    equations = len(plant.graph.nodes) if plant.graph is not None else 1000 * plant.nx
    return int(np.clip(WORK / (steps * (own + equations)), LEAST, MOST))


def worst_starts(
    observer: StateObserver,
    plant: DiscreteSystem,
    duration: float,
    *,
    trials: int | None = None,
    seed: int = 0,
    spread: float = 1.0,
    truth: str = "oracle",
    window: float | None = None,
    goals: tuple[str, ...] = GOALS,
) -> dict[str, WorstStart]:
    """The worst starts by goal.

    Parameters
    ----------
    duration : seconds of a trial. window : seconds from which an error is late; the second half of the trial when left out.
    trials : of the search for each goal; by the size of plant and observer when left out. As many random ones stand beside them.
    spread, truth : as in :func:`observer.validate`.

    Raises :class:`InputError` for unusable arguments, and :class:`SimulationError` where the plant is lost from every start.
    """
    steps = round(duration / plant.dt) + 1
    if steps < 4:
        raise InputError(f"duration is {duration:g} s; expected at least three samples (dt = {plant.dt:g} s)")
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int) or trials < 20):
        raise InputError(f"trials is {trials!r}; expected a whole number, 20 or more")
    count = trials or trials_worth(observer, plant, steps)
    start = int(np.ceil((0.5 * duration if window is None else window) / plant.dt - 1e-9))
    if not 0 <= start < steps:
        raise InputError(f"window begins at {window} s; expected a time within the trial of {duration:g} s")
    low, high = search_box(plant, spread)
    found = {}
    for number, goal in enumerate(goals):
        trial = Trial(observer, plant, low, high, steps, start, goal)
        z, _ = maximise(trial, len(low), count, np.random.default_rng([seed, 23, number]))
        draws = np.random.default_rng([seed, 29, number]).uniform(size=(count, len(low)))
        grades = trial(draws)
        if not np.isfinite(grades).any():
            raise SimulationError(
                f"plant '{plant.system.name}' is lost from every random start; reduce its initial box"
            )
        found[goal] = _measured(trial, z, draws[int(np.argmax(grades))], count, truth)
    return found


def _measured(trial: Trial, z: np.ndarray, other: np.ndarray, count: int, truth: str) -> WorstStart:
    """Both starts on the true plant."""
    plant = trial.plant
    x0, x_hat0, u = trial.parts(np.stack([z, other]))
    held = np.broadcast_to(u[:, None], (2, trial.steps, u.shape[1])).copy()
    data = simulate(plant, duration=(trial.steps - 1) * plant.dt, x0=x0, u=held, truth=truth)
    periods = np.array([s.period or np.nan for s in plant.system.states])
    with np.errstate(all="ignore"):
        error = wrap(trial.observer.run(x_hat0, data.u, data.y) - data.x, periods)
        relative = np.abs(error) / np.ptp(plant.system.state_ranges, axis=1)
        relative = np.where(np.isfinite(relative), relative, np.inf)
    if trial.goal == "settling":
        values = settling_time(relative, data.t)
        index = min(int(np.searchsorted(data.t, values[0])), len(data.t) - 1)
        deciding = int(np.argmax(relative[0, max(index - 1, 0)]))
    else:
        late = relative[:, trial.window :]
        values = late.max(axis=(1, 2))
        deciding = int(np.argmax(late[0].max(axis=0)))
    return WorstStart(
        trial.goal,
        x0[0],
        x_hat0[0],
        u[0],
        float(values[0]),
        float(values[1]),
        deciding,
        count,
        data.t,
        error[0],
        error[1],
    )


def maximise(
    goal: Callable[[np.ndarray], np.ndarray], size: int, evaluations: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """(best point, its value) of ``goal``, points ``(K, size)`` of the unit box -> ``(K,)``, after so many evaluations.

    The best of ``EXPLORED`` random points start ``RESTARTS`` strategies; a point outside the box is moved to its wall. A strategy that
    has shrunk to nothing starts again from a random point.
    """
    points = rng.uniform(size=(max(RESTARTS, int(EXPLORED * evaluations)), size))
    values = goal(points)
    order = np.argsort(-values)
    best, top = points[order[0]], float(values[order[0]])
    offspring = 4 + int(3 * np.log(size))
    strategies = [_Strategy(points[k].copy(), offspring) for k in order[:RESTARTS]]
    left = evaluations - len(points)
    while left >= RESTARTS * offspring:
        drawn = [s.draw(rng) for s in strategies]
        values = goal(np.concatenate(drawn))
        left -= len(values)
        for k, s in enumerate(strategies):
            own = values[k * offspring : (k + 1) * offspring]
            if own.max() > top:
                best, top = drawn[k][int(np.argmax(own))], float(own.max())
            s.learn(drawn[k], own)
            if s.sigma * np.sqrt(np.diag(s.covariance).max()) < 1e-5:
                strategies[k] = _Strategy(rng.uniform(size=size), offspring)
    return best, top


class _Strategy:
    """One CMA-ES with its mean, step size and covariance."""

    def __init__(self, mean: np.ndarray, offspring: int) -> None:
        n = len(mean)
        self.mean, self.sigma, self.covariance = mean, 0.2, np.eye(n)
        weights = np.log(offspring / 2 + 0.5) - np.log(np.arange(1, offspring // 2 + 1))
        self.weights = weights / weights.sum()
        self.mass = 1 / np.sum(self.weights**2)
        self.c_path, self.c_sigma = (
            (4 + self.mass / n) / (n + 4 + 2 * self.mass / n),
            (self.mass + 2) / (n + self.mass + 5),
        )
        self.c_one = 2 / ((n + 1.3) ** 2 + self.mass)
        self.c_rank = min(1 - self.c_one, 2 * (self.mass - 2 + 1 / self.mass) / ((n + 2) ** 2 + self.mass))
        self.damping = 1 + 2 * max(0.0, np.sqrt((self.mass - 1) / (n + 1)) - 1) + self.c_sigma
        self.length = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.path, self.path_sigma, self.generation, self.offspring = np.zeros(n), np.zeros(n), 0, offspring

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """``(offspring, n)`` points of the unit box."""
        values, self.vectors = np.linalg.eigh(self.covariance)
        self.roots = np.sqrt(np.maximum(values, 1e-20))
        steps = rng.standard_normal((self.offspring, len(self.mean))) * self.roots @ self.vectors.T
        return np.clip(self.mean + self.sigma * steps, 0.0, 1.0)

    def learn(self, points: np.ndarray, values: np.ndarray) -> None:
        """The better half of the points moves mean, step size and covariance."""
        self.generation += 1
        chosen = points[np.argsort(-values)[: len(self.weights)]]
        steps = (chosen - self.mean) / self.sigma
        move = self.weights @ steps
        self.mean = self.mean + self.sigma * move
        white = self.vectors @ ((self.vectors.T @ move) / self.roots)
        self.path_sigma = (1 - self.c_sigma) * self.path_sigma + np.sqrt(
            self.c_sigma * (2 - self.c_sigma) * self.mass
        ) * white
        size = np.linalg.norm(self.path_sigma)
        going = (
            size / np.sqrt(1 - (1 - self.c_sigma) ** (2 * self.generation)) < (1.4 + 2 / (len(move) + 1)) * self.length
        )
        self.path = (1 - self.c_path) * self.path + going * np.sqrt(self.c_path * (2 - self.c_path) * self.mass) * move
        rank = (steps * self.weights[:, None]).T @ steps
        keep = 1 - self.c_one - self.c_rank
        self.covariance = keep * self.covariance + self.c_one * np.outer(self.path, self.path) + self.c_rank * rank
        self.sigma = min(1.0, self.sigma * float(np.exp(self.c_sigma / self.damping * (size / self.length - 1))))


def to_data(
    found: Mapping[str, WorstStart], state_names: tuple[str, ...], input_names: tuple[str, ...]
) -> dict[str, Any]:
    """The entries of ``validation.worst_start`` in metrics.json."""
    return {
        goal: {
            "value": w.value, "worst_random": w.random, "ratio": w.ratio, "trials": w.trials, "state": state_names[w.state],
            "x0": dict(zip(state_names, w.x0.tolist(), strict=True)),
            "x_hat0": dict(zip(state_names, w.x_hat0.tolist(), strict=True)),
            "u": dict(zip(input_names, w.u.tolist(), strict=True)),
        }
        for goal, w in found.items()
    }  # fmt: skip
