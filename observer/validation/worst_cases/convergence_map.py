"""The convergence map: settling time and late error over a grid of initial states of the plant, in two of them.

The estimate begins at the middle of the initial box and so do the other states; inputs stay at the middle of their ranges. The
grid covers the operating range, so that it also shows initial states outside the initial box. For a plant of one state it is a curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from observer.state_observer import StateObserver
from observer.validation.worst_cases.trials import Trials, held_commands, late_error, settled_after
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem


@dataclass(frozen=True, eq=False)
class ConvergenceMap:
    """``states``: indices of one or two states; ``first`` ``(n,)`` and ``second`` ``(m,)`` their values (m = 1 and nan for one state).

    ``settling`` ``(n, m)``: seconds until all states stay within 2 % of their ranges, infinite where that is not before the end;
    ``late`` ``(n, m)``: largest error in ranges after the window began. Both nan where the plant itself is lost. ``duration``,
    ``window``: seconds.
    """

    states: tuple[int, ...]
    first: np.ndarray
    second: np.ndarray
    settling: np.ndarray
    late: np.ndarray
    duration: float
    window: float

    @property
    def settled_share(self) -> float:
        """Share of the initial states from which the plant is not lost and the error settles before the end."""
        usable = ~np.isnan(self.settling)
        return float(np.isfinite(self.settling[usable]).mean()) if usable.any() else float("nan")


def chosen_states(names: Sequence[str], text: str | None) -> tuple[int, ...]:
    """``"x1,x2"`` as indices; the first two when left out. Raises :class:`InputError` for what is no state, or one or three of them."""
    wanted = min(2, len(names))
    if text is None:
        return tuple(range(wanted))
    asked = [part.strip() for part in text.split(",") if part.strip()]
    for name in asked:
        if name not in names:
            raise InputError(f"map names '{name}'; expected {wanted} of the states {', '.join(names)}")
    if len(asked) != wanted or len(set(asked)) != wanted:
        raise InputError(
            f"map is '{text}'; expected {'two states' if wanted == 2 else 'the state'}, as {','.join(names[:2])}"
        )
    return tuple(list(names).index(name) for name in asked)


def map_convergence(
    observer: StateObserver,
    plant: DiscreteSystem,
    duration: float,
    points: int,
    *,
    states: tuple[int, ...] = (0, 1),
    window: float | None = None,
) -> ConvergenceMap:
    """The map on the discretised plant, ``points`` values of each state.

    Raises :class:`InputError` for fewer than two points, or states that are none.
    """
    system = plant.system
    if points < 2:
        raise InputError(f"points is {points!r}; expected 2 or more")
    if not states or len(states) > 2 or len(set(states)) != len(states) or not all(0 <= k < plant.nx for k in states):
        raise InputError(f"states is {states!r}; expected one or two different indices below {plant.nx}")
    steps = round(duration / plant.dt) + 1
    begin = 0.5 * duration if window is None else window
    limits = np.array([s.limits or (-np.inf, np.inf) for s in system.states])
    bounds = [(k, system.state_ranges[k]) for k in states]
    axes = [np.clip(np.linspace(low, high, points), *limits[k]) for k, (low, high) in bounds]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    middle = system.initial_ranges.mean(axis=1)
    x0 = np.tile(middle, (len(grid), 1))
    x0[:, list(states)] = grid
    late = min(steps - 1, int(np.ceil(begin / plant.dt - 1e-9)))
    some = Trials(observer, plant, steps, late)

    def grade(curves: np.ndarray) -> np.ndarray:
        lost = np.isnan(curves).any(axis=1, keepdims=True)
        found = np.stack([plant.dt * settled_after(curves), late_error(curves, late)], axis=1)
        return np.where(lost, np.nan, found)

    still = np.tile(held_commands(plant), (len(grid), 1))
    grades = some.graded(x0, np.tile(middle, (len(grid), 1)), still, grade)
    settling, last = grades.T.reshape(2, points, -1)
    second = axes[1] if len(states) == 2 else np.full(1, np.nan)
    return ConvergenceMap(tuple(states), axes[0], second, settling, last, float(steps - 1) * plant.dt, float(begin))
