"""The worst initial states, found by optimisation: those of the slowest decay, and of the largest late error.

    z = (x0, x_hat0, u) in a box,     maximise   settling: the last time at which some |e_i| exceeds 2 % of width_i
                                      or         late: max over the window of max_i |e_i| / width_i

x0 in the initial box, x_hat0 in that box enlarged by ``spread``, u a constant of every known input and of every reference of a
feedback law (disturbances at the middle of their range). Random trials seldom come near the corners of such a box; here a few
evolution strategies begin at the best of many random points and learn the directions in which it gets worse. The search runs on the
discretised plant; the initial states that are reported, and the worst of as many random draws, are measured again on the true
plant. A search proves nothing: there may be worse.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.state_observer import StateObserver
from observer.validation.result import held_errors
from observer.validation.worst_cases.search import maximise
from observer.validation.worst_cases.trials import (
    HOPELESS,
    Trials,
    held_commands,
    late_error,
    settled_after,
    settling_grade,
)
from systems.angles import periods, wrap
from systems.base.errors import InputError, SimulationError
from systems.discretization import DiscreteSystem
from systems.feedback import commands_of
from systems.regions import moved_in
from systems.trajectories import simulate

GOALS = ("settling", "late")


@dataclass(frozen=True, eq=False)
class WorstInitialStates:
    """Initial states and what they do on the true plant, beside the worst of equally many random ones.

    x0, x_hat0 ``(nx,)``, u ``(nu + references,)`` constant; ``value`` and ``random``: seconds until all states are settled (infinite where
    that is not before the end), or the largest late error in ranges; ``state``: index of the state that decides. t ``(N,)``, error and
    random_error ``(N, nx)``: of the found initial states and of the random ones. ``trials`` of the search, and as many random ones.
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
        """How much worse than the worst random draw; nan where one of them is not a number above zero."""
        usable = np.isfinite([self.value, self.random]).all() and self.random > 0
        return self.value / self.random if usable else float("nan")

    @property
    def diverged(self) -> bool:
        """Whether some error went beyond ten ranges late, or was not finite."""
        return not np.isfinite(self.error).all() or (self.goal == "late" and self.value >= HOPELESS)

    def to_data(self, state_names: tuple[str, ...], input_names: tuple[str, ...]) -> dict[str, Any]:
        """JSON-able."""
        return {
            "value": self.value, "worst_random": self.random, "ratio": self.ratio, "trials": self.trials,
            "state": state_names[self.state], "x0": dict(zip(state_names, self.x0.tolist(), strict=True)),
            "x_hat0": dict(zip(state_names, self.x_hat0.tolist(), strict=True)),
            "u": dict(zip(input_names, self.u.tolist(), strict=True)),
        }  # fmt: skip


def search_box(plant: DiscreteSystem, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of x0, x_hat0, the known inputs and the references of a feedback law."""
    system = plant.system
    limits = np.array([s.limits or (-np.inf, np.inf) for s in system.states])
    box = system.initial_ranges
    middle, half = box.mean(axis=1), 0.5 * np.ptp(box, axis=1)
    wide = np.stack([middle - spread * half, middle + spread * half], axis=1)
    boxes = [np.clip(b, limits[:, :1], limits[:, 1:]) for b in (box, wide)]
    held = [signal.range for signal in commands_of(system) if signal.role == "known"]
    low, high = np.concatenate([*boxes, np.array(held, dtype=float).reshape(-1, 2)]).T
    return low, high


def held_range(plant: DiscreteSystem) -> np.ndarray:
    """``(nu, 2)``: ranges of the known inputs, disturbances at the middle of theirs."""
    box = np.stack([plant.system.input_ranges.mean(axis=1)] * 2, axis=1)
    box[plant.system.known] = plant.system.input_ranges[plant.system.known]
    return box


def worst_initial_states(
    observer: StateObserver,
    plant: DiscreteSystem,
    duration: float,
    trials: int,
    *,
    seed: int = 0,
    spread: float = 1.0,
    truth: str = "reference",
    window: float | None = None,
) -> dict[str, WorstInitialStates]:
    """The worst initial states by goal.

    Parameters
    ----------
    duration : seconds of a trial. window : seconds from which an error is late; the second half of the trial when left out.
    trials : of the search for each goal; as many random ones stand beside them.
    spread, truth : as in :func:`observer.validate`.

    Raises
    ------
    InputError
        For unusable arguments.
    SimulationError
        Where the plant leaves all bounds from every random initial state.
    """
    steps, unit = round(duration / plant.dt) + 1, plant.system.time_unit
    if steps < 4:
        raise InputError(f"duration is {duration:g} {unit}; expected at least three samples (dt = {plant.dt:g} {unit})")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 20:
        raise InputError(f"trials is {trials!r}; expected a whole number, 20 or more")
    late = late_from(duration, window, plant.dt)
    if not 0 <= late < steps:
        unit = plant.system.time_unit
        raise InputError(f"window begins at {window:g} {unit}; expected a time within the trial of {duration:g} {unit}")
    some, (low, high) = Trials(observer, plant, steps, late, 3 * trials), search_box(plant, spread)
    box, inputs = np.stack([low, high], axis=1), held_range(plant)
    initial = np.concatenate([box[: plant.nx], inputs])
    guessed = np.concatenate([box[plant.nx : 2 * plant.nx], inputs])

    known = [k for k, signal in enumerate(commands_of(plant.system)) if signal.role == "known"]

    def parts(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, nx = low + z * (high - low), plant.nx
        u = np.tile(held_commands(plant), (len(z), 1))
        u[:, known] = values[:, 2 * nx :]
        if plant.system.region is None:
            return values[:, :nx], values[:, nx : 2 * nx], u
        inputs, references = np.split(u, [plant.nu], axis=1)
        starts = moved_in(plant.system, np.concatenate([values[:, :nx], inputs], axis=1), initial)
        guesses = moved_in(plant.system, np.concatenate([values[:, nx : 2 * nx], starts[:, nx:]], axis=1), guessed)
        return starts[:, :nx], guesses[:, :nx], np.concatenate([starts[:, nx:], references], axis=1)

    def grade(curves: np.ndarray, goal: str) -> np.ndarray:
        lost = np.asarray(np.isnan(curves).any(axis=1))
        known = np.where(lost[:, None], 0.0, curves)
        found = settling_grade(known) if goal == "settling" else np.log(np.maximum(late_error(known, late), 1e-300))
        return np.where(lost, -np.inf, found)

    draws = np.random.default_rng([seed, 29]).uniform(size=(trials, len(low)))
    grades = some.graded(*parts(draws), lambda curves: np.stack([grade(curves, goal) for goal in GOALS], axis=1))
    if np.isneginf(grades).all():
        raise SimulationError(
            f"plant '{plant.system.name}' leaves all bounds from every random initial state; reduce its initial box"
        )
    found = {}
    for number, goal in enumerate(GOALS):
        rng = np.random.default_rng([seed, 23, number])
        z, _ = maximise(
            lambda z, goal=goal: some.graded(*parts(z), lambda curves: grade(curves, goal)), len(low), trials, rng
        )
        other = draws[int(np.argmax(grades[:, number]))]
        found[goal] = _measured(some, goal, parts(np.stack([z, other])), trials, truth)
    return found


def _measured(some: Trials, goal: str, initial: tuple[np.ndarray, ...], count: int, truth: str) -> WorstInitialStates:
    """The found and the random initial states on the true plant."""
    x0, x_hat0, u = initial
    error = errors_along(some.observer, some.plant, x0, x_hat0, u, some.steps, truth)
    t = some.plant.dt * np.arange(some.steps)
    return judge_worst(some.plant, goal, x0[0], x_hat0[0], u[0], error[0], error[1], t, some.window, count)


def errors_along(
    observer: StateObserver, plant: DiscreteSystem, x0: np.ndarray, x_hat0: np.ndarray, u: np.ndarray, samples: int, truth: str
) -> np.ndarray:  # fmt: skip
    """x_hat - x ``(K, N, nx)`` from initial states ``(K, nx)`` of the true plant under constant commands."""
    held = np.broadcast_to(u[:, None], (len(u), samples, u.shape[1])).copy()
    data = simulate(plant, duration=(samples - 1) * plant.dt, x0=x0, commands=held, truth=truth)
    with np.errstate(all="ignore"):
        error = wrap(observer.run(x_hat0, data.u, data.y) - data.x, periods(plant.system.states))
    return held_errors(error, data.lengths)


def judge_worst(
    plant: DiscreteSystem, goal: str, x0: np.ndarray, x_hat0: np.ndarray, u: np.ndarray, error: np.ndarray,
    random_error: np.ndarray, t: np.ndarray, window: int, count: int,
) -> WorstInitialStates:  # fmt: skip
    """Initial states with the values that follow from their errors ``(N, nx)``; ``window``: the sample from which an error is late."""
    with np.errstate(all="ignore"):
        relative = np.abs(np.stack([error, random_error])) / np.ptp(plant.system.state_ranges, axis=1)
    relative = np.where(np.isfinite(relative), relative, np.inf)
    curves = relative.max(axis=2)
    if goal == "settling":
        after = settled_after(curves)
        values = after * plant.dt
        decides = relative[0, int(min(after[0], len(t) - 1))]
    else:
        values = late_error(curves, window)
        decides = relative[0, window:].max(axis=0)
    value, random = (float(v) for v in values)
    return WorstInitialStates(
        goal, x0, x_hat0, u, value, random, int(np.argmax(decides)), count, t, error, random_error
    )


def late_from(duration: float, window: float | None, dt: float) -> int:
    """The sample from which an error is late: in the second half when no window is given."""
    return int(np.ceil((0.5 * duration if window is None else window) / dt - 1e-9))
