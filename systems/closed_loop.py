"""A plant under its feedback law, and motions that end where they leave the ranges.

    u[k] = law(t_k, x[k], y[k], commands[k]),   x[k+1] = F(x[k], u[k])

``commands`` are what is drawn: inputs, and references of the law. A plant without feedback takes its inputs from them as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.base.errors import SimulationError
from systems.discretization import DiscreteSystem
from systems.feedback import applied, looped
from systems.integration import reference_motion
from systems.regions import DRIFT, holds_along, tightened
from systems.system import System

PIECE = 64  # samples, after which trajectories that have left are given up
LEFT = 1.0  # ranges from its middle: where a motion has left a range for good, which is then doubled


@dataclass(frozen=True, eq=False)
class Motion:
    """States x ``(K, N, nx)``, inputs u ``(K, N, nu)``, outputs y ``(K, N, ny)``; nan from where a trajectory ended.
    ``method``, ``warning``: as of :class:`systems.integration.ReferenceMotion`."""

    x: np.ndarray
    u: np.ndarray
    y: np.ndarray
    method: str = ""
    warning: str = ""


def ends_of(system: System) -> np.ndarray:
    """``(nx, 2)``: where a motion has left: the doubled ranges, enlarged to hold the initial states; an angle never leaves."""
    middle, width = system.state_ranges.mean(axis=1), np.ptp(system.state_ranges, axis=1)
    initial, slack = system.initial_ranges, 0.1 * width
    low = np.minimum(middle - LEFT * width, initial[:, 0] - slack)
    high = np.maximum(middle + LEFT * width, initial[:, 1] + slack)
    turns = np.array([signal.period is not None for signal in system.states])
    return np.stack([np.where(turns, -np.inf, low), np.where(turns, np.inf, high)], axis=1)


def inside(box: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Whether states x ``(..., nx)`` lie in a box ``(nx, 2)``; what is not finite does not."""
    return np.asarray(((x >= box[:, 0]) & (x <= box[:, 1]) & np.isfinite(x)).all(axis=-1))


def stays(system: System, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Whether states x ``(..., nx)`` under inputs u ``(..., nu)`` are in the ranges (:func:`ends_of`) and in the region of the plant."""
    return inside(ends_of(system), x) & holds_along(system, x, u, DRIFT)


def samples_inside(system: System, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """``(K,)``: how many samples of x ``(K, N, nx)`` and u ``(K, N, nu)`` there are before the first at which the plant has left."""
    return np.logical_and.accumulate(stays(system, x, u), axis=1).sum(axis=1)


def acting(system: System, t: Any, x: np.ndarray, y: np.ndarray, commands: np.ndarray) -> np.ndarray:
    """The inputs of the law (:func:`systems.feedback.applied`), drawn back to where the plant's constraints on inputs hold."""
    return tightened(system, applied(system, t, x, y, commands), x)


def is_driven(system: System) -> bool:
    """Whether inputs depend on the state: by a feedback law, or by a constraint on them."""
    return system.feedback is not None or (system.region is not None and bool(system.region.of_inputs.any()))


def driven(
    plant: DiscreteSystem, x0: np.ndarray, commands: np.ndarray, *, compiled: bool | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(x ``(K, N, nx)``, u ``(K, N, nu)``) of the discretised plant from x0 ``(K, nx)`` under commands ``(K, N, nu + references)``."""
    system = plant.system
    if system.region is not None and system.region.of_inputs.any():
        found = stepwise(plant, x0, commands)
        return found.x, found.u
    if system.feedback is None:
        return plant.rollout(x0, commands[:, :-1], compiled=compiled), commands
    if plant.graph is None:
        found = stepwise(plant, x0, commands)
        return found.x, found.u
    x = _looped(plant).rollout(x0, commands[:, :-1], compiled=compiled)
    t = plant.dt * np.arange(x.shape[1])
    return x, applied(system, t, x, system.measure(x, commands[..., : system.nu], t), commands)


def _looped(plant: DiscreteSystem) -> DiscreteSystem:
    """The map from x[k] and commands[k] to x[k+1], for rollouts alone."""
    known: dict[str, Any] = vars(plant)  # worked out once for each plant, as cached properties are
    if "_looped" not in known:
        assert plant.graph is not None
        graph = looped(plant.system, plant.graph)
        known["_looped"] = DiscreteSystem(plant.system, plant.dt, "map", 1, graph, np.zeros(plant.nx))
    return known["_looped"]


def stepwise(
    plant: DiscreteSystem, x0: np.ndarray, commands: np.ndarray, noise: np.ndarray | None = None, truth: str = "model"
) -> Motion:
    """Sample by sample, each trajectory until it leaves (:func:`stays`); ``noise`` ``(K, N, ny)`` of what the law measures.

    ``truth``: "reference" integrates the continuous plant. Outputs are free of noise.
    """
    system, dt, box = plant.system, plant.dt, ends_of(plant.system)
    count, steps = commands.shape[:2]
    x, u, y = (np.full((count, steps, size), np.nan) for size in (system.nx, system.nu, system.ny))
    method, warning, rows, state = plant.method, "", np.arange(count), np.array(x0, dtype=float)
    for k in range(steps):
        here, t = inside(box, state), k * dt
        rows, state = rows[here], state[here]
        c = commands[rows, k]
        measured = system.measure(state, c[:, : system.nu], t)
        v = acting(system, t, state, measured if noise is None else measured + noise[rows, k], c)
        here = holds_along(system, state, v, DRIFT)
        rows, state, v = rows[here], state[here], v[here]
        if not len(rows):
            break
        x[rows, k], u[rows, k], y[rows, k] = state, v, system.measure(state, v, t)
        if k + 1 == steps:
            break
        if truth == "model" or system.kind == "discrete":
            state = plant.step(state, v, t)
            continue
        found, method, said = _reference(system, state, v[:, None], dt, t)
        state, warning = found[:, 1], warning or said
    return Motion(x, u, y, "discrete map" if system.kind == "discrete" else method, warning)


def undriven(system: System, x0: np.ndarray, u: np.ndarray, dt: float) -> Motion:
    """The continuous plant under given inputs u ``(K, N, nu)``, in pieces: a trajectory that has left by the end of one ends there."""
    x, rows, method, warning = np.full((*u.shape[:2], system.nx), np.nan), np.arange(len(u)), "", ""
    x[:, 0] = x0
    for begin in range(0, u.shape[1] - 1, PIECE):
        end = min(begin + PIECE, u.shape[1] - 1)
        x[rows, begin : end + 1], method, said = _reference(system, x[rows, begin], u[rows, begin:end], dt, begin * dt)
        warning = warning or said
        rows = rows[stays(system, x[rows, begin : end + 1], u[rows, begin : end + 1]).all(axis=1)]
        if not len(rows):
            break
    return Motion(x, u, system.measure(x, u, dt * np.arange(u.shape[1])), method, warning)


def _reference(system: System, x: np.ndarray, u: np.ndarray, dt: float, t: float) -> tuple[np.ndarray, str, str]:
    """Motions ``(K, N+1, nx)`` by the reference integrator from x ``(K, nx)`` under u ``(K, N, nu)``, its name and warning; where it
    gets stuck, every trajectory by itself, in halves, and nan from where one runs away."""
    try:
        found = reference_motion(system, x, u, dt, None, t)
        return found.x, found.method, found.warning
    except SimulationError:
        if len(x) == 1 and u.shape[1] == 1:
            return np.stack([x, np.full_like(x, np.nan)], axis=1), "", ""
    if len(x) > 1:
        parts = [_reference(system, x[k : k + 1], u[k : k + 1], dt, t) for k in range(len(x))]
        whole = np.concatenate([p[0] for p in parts])
    else:
        half = u.shape[1] // 2
        parts = [_reference(system, x, u[:, :half], dt, t)]
        if np.isfinite(parts[0][0]).all():
            parts.append(_reference(system, parts[0][0][:, -1], u[:, half:], dt, t + half * dt))
        whole = np.full((1, u.shape[1] + 1, system.nx), np.nan)
        whole[:, : half + 1] = parts[0][0]
        if len(parts) > 1:
            whole[:, half:] = parts[1][0]
    return whole, next((m for _, m, _ in parts if m), ""), next((w for *_, w in parts if w), "")
