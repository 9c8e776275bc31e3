"""Periodic signals of a plant: the branch that each is told on, and angles that turn through.

An angle whose range is shorter than its period T lies on the branch around the middle of that range, and a value that was
written on another one is brought there. An angle whose range is a period or more *turns*. It runs on over the reals, where

    f(x + T e, u) = f(x, u) + T e,     h(x + T e, u) = h(x, u) + W T e,

so that one turn of it shows all there is. What is measured of it gives theta = G y + g up to whole turns (MATH 7).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from systems.regions import sample_region
from systems.signals import Signal
from systems.system import System

POINTS = 256
SAME = 1e-6  # of a period: shifts of equations that differ by less are equal
MARGIN, DEVIATIONS = 0.02, 6.0  # of a period, and of the noise: how far beyond one turn noise may take a measured angle


def periods(signals: Sequence[Signal]) -> np.ndarray:
    """The period of each signal ``(n,)``, nan where it is no angle."""
    return np.array([signal.period or np.nan for signal in signals], dtype=float)


def wrap(difference: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Differences ``(..., n)`` of angles taken to [-period/2, period/2); ``periods`` ``(n,)``, nan where there is none."""
    if not np.isfinite(periods).any():
        return difference
    safe = np.where(np.isfinite(periods), periods, 1.0)
    return np.where(np.isfinite(periods), (difference + safe / 2) % safe - safe / 2, difference)


def near(values: np.ndarray, to: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Values ``(..., n)`` shifted by whole periods to within half a period of ``to``, and exactly as they are where they are there."""
    which = np.flatnonzero(np.isfinite(periods))
    if not len(which):
        return values
    shape = np.broadcast_shapes(np.shape(values), np.shape(to))
    result, to = np.array(np.broadcast_to(values, shape)), np.broadcast_to(to, shape)
    for k in which:
        turns = np.round((to[..., k] - result[..., k]) / periods[k])
        result[..., k] += periods[k] * np.where(np.isfinite(turns), turns, 0.0)
    return result


def unwrapped(values: np.ndarray, first: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Values ``(..., N, n)`` shifted by whole periods: each near the one before it, the first near ``first`` ``(..., n)``."""
    if not values.shape[-1]:
        return values
    before = np.concatenate([first[..., None, :], values[..., :-1, :]], axis=-2)
    return values + periods * np.cumsum(np.round((before - values) / periods), axis=-2)


@dataclass(frozen=True, eq=False)
class Angles:
    """The periodic signals of a plant.

    ``periods``, ``middles`` ``(nx,)``: of the states, nan and the middle of their range. ``output_periods`` ``(ny,)``: as stated, or
    as a turning state moves an output that counts its turns. ``offsets`` ``(ny,)``: the middle of h over one turn of the region, less
    what turns, ``slopes`` W ``(ny, turning)``. ``turning``: indices of the states that turn. ``reading`` G ``(turning, ny)`` and
    ``zero`` g. ``fault``: why a state with so wide a range is not among those that turn: no observer could follow it. ``ambiguous``: why a
    reading of some output has several meanings. Both "" where all is well.
    """

    system: System
    periods: np.ndarray
    middles: np.ndarray
    output_periods: np.ndarray
    offsets: np.ndarray
    slopes: np.ndarray
    turning: np.ndarray
    reading: np.ndarray
    zero: np.ndarray
    fault: str = ""
    ambiguous: str = ""

    @property
    def any(self) -> bool:
        """Whether some state or output is periodic."""
        return bool(np.isfinite(self.periods).any() or np.isfinite(self.output_periods).any())

    @cached_property
    def turn(self) -> np.ndarray:
        """The periods of the states that turn ``(turning,)``."""
        return self.periods[self.turning]

    def states(self, x: np.ndarray) -> np.ndarray:
        """States ``(..., nx)`` on the branches around the middle of their ranges; of one that turns, in its one turn."""
        return near(x, self.middles, self.periods)

    def initial(self, x_hat: np.ndarray) -> np.ndarray:
        """Initial estimates ``(..., nx)`` on the branches of the ranges; a state that turns stays where it is."""
        return near(
            x_hat, self.middles, np.where(np.isin(np.arange(len(self.periods)), self.turning), np.nan, self.periods)
        )

    def outputs(self, y: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Outputs ``(..., ny)`` on the branches where the turning states are ``angle`` ``(..., turning)``."""
        return near(y, self.offsets + angle @ self.slopes.T, self.output_periods)

    def angle(self, y: np.ndarray) -> np.ndarray:
        """What y ``(..., ny)`` tells of the angles that turn ``(..., turning)``, up to whole turns; nan where that is missing."""
        used = (self.reading != 0).any(axis=0)
        return y[..., used] @ self.reading[:, used].T + self.zero

    def turns(self, angle: np.ndarray) -> np.ndarray:
        """Whole turns of angles ``(..., turning)`` away from the one of the region."""
        return np.round((angle - self.middles[self.turning]) / self.turn)

    def shift(self, turns: np.ndarray) -> np.ndarray:
        """Whole turns ``(..., turning)`` as differences of states ``(..., nx)``."""
        result = np.zeros((*turns.shape[:-1], len(self.periods)))
        result[..., self.turning] = turns * self.turn
        return result

    def transitions(
        self, x: np.ndarray, y: np.ndarray, x_next: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logged x, y and x_next ``(m, size)`` on the branches of the region, x_next beside its x."""
        x = self.states(x)
        return x, self.outputs(y, x[..., self.turning]), near(x_next, x, self.periods)

    def reached(self, x: np.ndarray) -> np.ndarray:
        """``(nx, 2)``: the smallest box that holds states ``(K, N, nx)`` on the branches of their ranges."""
        x = self.states(x)
        return np.stack([np.nanmin(x, axis=(0, 1)), np.nanmax(x, axis=(0, 1))], axis=1)

    @cached_property
    def margin(self) -> np.ndarray:
        """By how much noise may take a measured angle beyond its one turn within the region ``(turning,)``."""
        noise = np.abs(self.reading) @ np.array([s.noise for s in self.system.outputs])
        return np.maximum(MARGIN * self.turn, DEVIATIONS * noise)

    def region(self, box: np.ndarray) -> np.ndarray:
        """A box ``(nx, 2)`` with one turn, and what noise adds, in place of the ranges of states that turn."""
        middle, half, box = self.middles[self.turning], self.turn / 2 + self.margin, box.copy()
        box[self.turning] = np.stack([middle - half, middle + half], axis=1)
        return box


class Branches:
    """Logged values on their branches, piece by piece: of a range around its middle, of what turns each beside the one before it."""

    def __init__(self, system: System) -> None:
        self._known = known = angles(system)
        middles = known.middles[known.turning] if len(known.turning) else np.zeros(0)
        self._x = known.middles.copy()
        self._y = known.offsets + middles @ known.slopes.T
        self._turning = np.isin(np.arange(system.nx), known.turning), (known.slopes != 0).any(axis=1)

    def states(self, x: np.ndarray) -> np.ndarray:
        """Of states ``(n, nx)``, nan where missing."""
        return _continued(x, self._x, self._known.periods, self._turning[0])

    def outputs(self, y: np.ndarray) -> np.ndarray:
        """Of outputs ``(n, ny)``, nan where missing."""
        return _continued(y, self._y, self._known.output_periods, self._turning[1])


def _continued(values: np.ndarray, last: np.ndarray, periods: np.ndarray, turning: np.ndarray) -> np.ndarray:
    """Values ``(n, size)`` near ``last``, which moves along where they turn; changed in place."""
    for k in np.flatnonzero(np.isfinite(periods)):
        column = values[:, k, None]
        if turning[k]:
            there = np.isfinite(values[:, k])
            column = unwrapped(values[there, k, None], last[k, None], periods[k])
            values[there, k] = column[:, 0]
            last[k] = column[-1, 0] if len(column) else last[k]
        else:
            values[:, k] = near(column, last[k, None], periods[k, None])[:, 0]
    return values


def angles(system: System) -> Angles:
    """The periodic signals of a plant, worked out once for each."""
    known = vars(system)  # as cached properties are kept
    if "_angles" not in known:
        known["_angles"] = _angles(system, turning_states(system))
    return known["_angles"]


def turning_states(system: System) -> np.ndarray:
    """Indices of the angles whose range is a period or more."""
    width = np.array([s.range[1] - s.range[0] for s in system.states if s.range is not None])
    return np.flatnonzero(width >= periods(system.states) * (1 - SAME))


def _angles(system: System, turning: np.ndarray) -> Angles:
    """With these states as those that turn; without those of them of which that cannot be, and with the reason."""
    count = len(turning)
    found = Angles(
        system, periods(system.states), system.state_ranges.mean(axis=1), periods(system.outputs), np.zeros(system.ny),
        np.zeros((system.ny, count)), turning, np.zeros((count, system.ny)), np.zeros(count),
    )  # fmt: skip
    if not found.any:
        return found
    box = np.concatenate([system.state_ranges, system.input_ranges])
    points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
    x, u = points[:, : system.nx], points[:, system.nx :]
    y = system.measure(x, u)
    good = np.isfinite(y).all(axis=1)
    x, u, y = x[good], u[good], y[good]
    if not len(x):
        return found
    slopes, faults = _slopes(found, x, u, y)
    counted = np.abs(slopes * found.turn).max(axis=1, initial=0.0)  # an output that counts turns has their period
    output_periods = np.where(np.isnan(found.output_periods) & (counted > 0), counted, found.output_periods)
    rest = y - x[:, turning] @ slopes.T
    low, high = rest.min(axis=0), rest.max(axis=0)
    found = replace(found, output_periods=output_periods, offsets=0.5 * (low + high), slopes=slopes)
    if not faults:
        found, faults = _read(found, np.flatnonzero(high - low <= SAME * np.nan_to_num(output_periods)))
    if faults:
        kept = np.array([i for i in turning if i not in faults], dtype=int)
        return replace(_angles(system, kept), fault=next(iter(faults.values())))
    swinging = high - low >= output_periods * (1 - SAME)
    if swinging.any():
        text = (
            f"output '{system.output_names[int(np.argmax(swinging))]}' swings through more than its period within the ranges, so a "
            "reading has several meanings: narrow the ranges of the states in it, or leave its period out where the sensor counts turns"
        )
        found = replace(found, ambiguous=text)
    return found


def _slopes(found: Angles, x: np.ndarray, u: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """W ``(ny, turning)``; and states of which some equation is not the same after a turn, each with that reason."""
    system, slopes, faults = found.system, np.zeros_like(found.slopes), {}
    f = system.derivative(x, u)
    for k, i in enumerate(found.turning.tolist()):
        name, step = system.states[i].name, found.turn[k] * np.eye(system.nx)[i]
        moved = system.measure(x + step, u) - y
        size = np.fmax(np.abs(moved).max(axis=0), np.ptp(y, axis=0))
        size = SAME * np.where(size > 0, size, 1.0)
        slope = np.median(moved, axis=0)
        slopes[:, k] = np.where(np.abs(slope) < size, 0.0, slope) / found.turn[k]
        again = system.derivative(x + step, u) - f - (step if system.kind == "discrete" else 0.0)
        if (np.abs(again) > SAME * np.maximum(np.ptp(f, axis=0), 1e-300)).any():
            faults[i] = (
                f"the equations are not the same after a turn of '{name}' by its period {found.turn[k]:g}, so it is no angle that "
                "turns: leave its period out, or keep it within less than one period"
            )
        elif (np.ptp(moved, axis=0) > size).any():
            faults[i] = (
                f"output '{system.output_names[int(np.argmax(np.ptp(moved, axis=0) / size))]}' changes by another amount in each turn of "
                f"'{name}'; expected an equation that repeats, or that adds a constant for each turn"
            )
    return slopes, faults


def _read(found: Angles, exact: np.ndarray) -> tuple[Angles, dict[int, str]]:
    """``found`` with its reading from the outputs ``exact``, which are W theta + c; and states that they do not give."""
    system, slopes, turning = found.system, found.slopes, found.turning.tolist()
    rows: list[int] = []
    for j in exact:
        if np.linalg.matrix_rank(slopes[[*rows, j]]) > len(rows):
            rows.append(int(j))
    told = np.linalg.pinv(slopes[rows]) @ slopes[rows] if rows else np.zeros((len(turning), len(turning)))
    faults = {
        i: f"'{system.states[i].name}' turns through a full period, and no output measures it as an angle: add one such as {{ equation = "
        f'"{system.states[i].name}", period = {found.turn[k]:.10g} }} (atan2 of its sine and cosine, where these are measured), or keep '
        "it within less than one period"
        for k, i in enumerate(turning)
        if abs(told[k, k] - 1) > SAME
    }
    if faults or not turning:
        return found, faults
    winding = slopes * found.turn / np.where(np.isfinite(found.output_periods), found.output_periods, 1.0)[:, None]
    if (np.abs(winding - np.round(winding)) > SAME).any() or abs(abs(np.linalg.det(winding[rows])) - 1) > SAME:
        names = " and ".join(f"'{system.states[i].name}'" for i in turning)
        text = f"a turn of {names} is not one period of the output that measures it; expected one for one, so correct one of the periods"
        return found, dict.fromkeys(turning, text)
    reading = np.zeros(slopes.T.shape)
    reading[:, rows] = np.linalg.inv(slopes[rows])
    return replace(found, reading=reading, zero=-reading @ found.offsets), {}
