"""The region of a certificate: the operating ranges enlarged to what trajectories reach, and how that was found.

All results refer to this region: a bound over X x U holds while x stays in X, and while the plant's constraints hold. X is not
proved to be forward invariant: trajectories are simulated from a stated seed, X is the smallest box that holds them and the ranges,
and a margin is added where they leave the ranges. Trials that leave X later are counted, not covered.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from systems.angles import angles, near
from systems.base.errors import InputError, SimulationError
from systems.discretization import DiscreteSystem
from systems.regions import admits, holds_along
from systems.system import System
from systems.trajectories import draw_initial_states, simulate

MARGIN = 0.02  # of a state's range, added on each side that trajectories reach beyond
TRAJECTORIES = 100
_NODES, _STEP = 1000, 50.0  # of a step of one state that has no graph; operations of NumPy for a node, by trajectory
_CORNERS_UP_TO = 6  # states: the corners of the set of initial states are tried as well


@dataclass(frozen=True, eq=False)
class Region:
    """``box`` ``(nx + nu, 2)``: X over the states, then U over all inputs. ``how``: "reached", "ranges" or "given".

    ``seed``, ``trajectories``, ``duration`` [s], ``margin`` (share of each range): what finds the same box again.
    ``sentence``: the same for a person.
    """

    box: np.ndarray
    how: str
    seed: int = 0
    trajectories: int = 0
    duration: float = 0.0
    margin: float = 0.0
    sentence: str = ""

    def holds(
        self,
        x: np.ndarray,
        system: System | None = None,
        u: np.ndarray | None = None,
        periods: np.ndarray | None = None,
    ) -> np.ndarray:
        """Whether states x ``(..., nx)`` lie in X, ``(...)``, angles of ``periods`` ``(nx,)`` on whichever branch; with ``system``, and
        inputs u ``(..., nu)``, also in its constraints."""
        x = np.asarray(x, dtype=float)
        box = self.box[: x.shape[-1]]
        if periods is not None:
            x = near(x, box.mean(axis=1), periods)
        inside = np.all((x >= box[:, 0]) & (x <= box[:, 1]), axis=-1)
        if system is None or system.region is None:
            return inside
        return inside & (admits(system, x) if u is None else holds_along(system, x, u))


def reached_region(
    plant: DiscreteSystem,
    *,
    seed: int = 0,
    trajectories: int = TRAJECTORIES,
    duration: float | None = None,
    margin: float = MARGIN,
    jitter: float = 0.0,
) -> Region:
    """X x U around ``trajectories`` simulated with the usual inputs, from random initial states and the corners of their set.

    ``duration`` [s]: the plant's own, or 200 samples, when left out. ``margin``: share of each range. U are the ranges
    of all inputs, of disturbances too. Where the plant cannot be simulated from there, X are the ranges (``how`` says so).
    ``jitter``: relative change of the initial states, to see what rounding makes of them.
    """
    system = plant.system
    ranges = np.array(system.state_ranges, dtype=float)
    inputs = np.asarray(system.input_ranges, dtype=float).reshape(system.nu, 2)
    length = float(duration or _length(plant))
    starts = draw_initial_states(system, trajectories, seed)
    if system.nx <= _CORNERS_UP_TO:
        corners = np.array(list(product(*system.initial_ranges)), dtype=float)
        starts = np.concatenate([starts, corners[admits(system, corners)]])
    starts = starts * (1 + jitter)
    try:
        data = simulate(plant, len(starts), length, seed, x0=starts, leave=True)
    except (SimulationError, InputError) as error:
        text = f"X are the operating ranges{_where(system)}: trajectories could not be simulated ({error})."
        return Region(
            np.concatenate([angles(system).region(ranges), inputs]), "ranges", seed, trajectories, length, margin, text
        )
    known, wide = angles(system), margin * np.ptp(ranges, axis=1)
    reached = known.reached(data.x)
    low = np.where(reached[:, 0] < ranges[:, 0], reached[:, 0] - wide, ranges[:, 0])
    high = np.where(reached[:, 1] > ranges[:, 1], reached[:, 1] + wide, ranges[:, 1])
    for k, signal in enumerate(system.states):
        if signal.limits is not None:
            low[k], high[k] = (
                max(low[k], min(signal.limits[0], ranges[k, 0])),
                min(high[k], max(signal.limits[1], ranges[k, 1])),
            )
    box = np.concatenate([known.region(np.stack([low, high], axis=1)), inputs])
    turning = [system.states[k].name for k in known.turning]
    grown = [
        s.name
        for s, new, old in zip(system.states, box, ranges, strict=False)
        if (new != old).any() and s.name not in turning
    ]
    wider = f", enlarged in {', '.join(grown)}" if grown else ""
    turns = (
        f" Of {' and '.join(turning)}, which turns through, they are one turn and what noise adds: all others are like it."
        if turning
        else ""
    )
    text = (
        f"X are the operating ranges{wider}{_where(system)}: they hold {len(starts)} simulated "
        f"trajectories of {length:g} {system.time_unit} (seed {seed}; margin {100 * margin:g} % of a range where they went beyond). "
        f"It is not proved that the plant stays in X.{turns}"
    )
    return Region(box, "reached", seed, trajectories, length, margin, text)


def _where(system: System) -> str:
    """The constraints of the plant, in words."""
    return "" if system.region is None else f", where {' and '.join(system.region.sentences)}"


def trial_cost(plant: DiscreteSystem) -> float:
    """Operations of one trajectory of the plant's own duration, among several."""
    nodes = len(plant.graph.nodes) if plant.graph is not None else _NODES * plant.nx
    return _length(plant) / plant.dt * nodes * _STEP


def _length(plant: DiscreteSystem) -> float:
    return float(plant.system.duration or 200 * plant.dt)


def given_region(plant: DiscreteSystem, region: Any) -> Region:
    """A region as a person gives it: ``(nx, 2)`` (inputs keep their ranges) or ``(nx + nu, 2)``, low below high.

    Raises InputError for another shape or for bounds that are not finite or in the wrong order.
    """
    system = plant.system
    box = np.array(region, dtype=float)
    if box.shape == (system.nx, 2):
        box = np.concatenate([box, np.asarray(system.input_ranges, dtype=float).reshape(system.nu, 2)])
    names = (*system.state_names, *system.input_names)
    if box.shape != (len(names), 2):
        raise InputError(
            f"region has shape {np.shape(region)}; expected ({system.nx}, 2) for {', '.join(system.state_names)}, or "
            f"({len(names)}, 2) with the inputs below"
        )
    for name, (low, high) in zip(names, box, strict=True):
        if not (np.isfinite([low, high]).all() and low <= high):
            raise InputError(f"region of '{name}' is ({low:g}, {high:g}); expected two finite numbers, low before high")
    text = f"X and U as they were given{_where(system)}. It is not proved that the plant stays in X."
    return Region(box, "given", sentence=text)


def held_input(area: Region, plant: DiscreteSystem) -> np.ndarray:
    """No excitation, ``(nu,)``: every input at zero, or at the middle of a range that excludes it."""
    box = area.box[plant.nx :]
    return np.where((box[:, 0] <= 0) & (box[:, 1] >= 0), 0.0, box.mean(axis=1))


def with_input(area: Region, nx: int, held: np.ndarray) -> np.ndarray:
    """The box X x {held}, ``(nx + nu, 2)``."""
    return np.concatenate([area.box[:nx], np.stack([held, held], axis=1)])
