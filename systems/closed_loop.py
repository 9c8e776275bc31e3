"""A plant under its feedback law, and motions that end where they leave the ranges.

    u[k] = law(t_k, x[k], y[k], commands[k]),   x[k+1] = F(x[k], u[k])

``commands`` are what is drawn: inputs, and references of the law. A plant without feedback takes its inputs from them as they are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from systems.base.errors import RunawayError
from systems.discretization import DiscreteSystem
from systems.feedback import applied, looped
from systems.fixed_steps import runge_kutta
from systems.integration import reference_motion
from systems.process_noise import disturbed
from systems.regions import DRIFT, holds_along, states_and_inputs, tightened
from systems.system import System

LONG = 2000  # samples, from which on fixed steps replace the reference integrator
FINE, FINEST = 3e-10, 64  # of a range: how well they agree with it; at most so many in a sample
LEFT = 1.0  # ranges from its middle: where a motion has left a range for good, which is then doubled


@dataclass(frozen=True, eq=False)
class DrivenMotion:
    """States x ``(K, N, nx)``, inputs u ``(K, N, nu)``, outputs y ``(K, N, ny)``; nan from where a trajectory ended.
    ``method``, ``warning``: as of :class:`systems.integration.ReferenceMotion`."""

    x: np.ndarray
    u: np.ndarray
    y: np.ndarray
    method: str = ""
    warning: str = ""


def ends_of(system: System) -> np.ndarray:
    """``(nx, 2)``: where a motion has left: the doubled ranges, enlarged to hold the initial states, within the limits; an angle never
    leaves."""
    middle, width = system.state_ranges.mean(axis=1), np.ptp(system.state_ranges, axis=1)
    initial, slack = system.initial_ranges, 0.1 * width
    low = np.minimum(middle - LEFT * width, initial[:, 0] - slack)
    high = np.maximum(middle + LEFT * width, initial[:, 1] + slack)
    limits = np.array([signal.limits or (-np.inf, np.inf) for signal in system.states])
    low, high = np.maximum(low, limits[:, 0] - 1e-9 * width), np.minimum(high, limits[:, 1] + 1e-9 * width)
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
    plant: DiscreteSystem, x0: np.ndarray, commands: np.ndarray, noise: np.ndarray | None = None, truth: str = "model",
    moved: np.ndarray | None = None,
) -> DrivenMotion:  # fmt: skip
    """Sample by sample, each trajectory until it leaves (:func:`stays`); ``noise`` ``(K, N, ny)`` of what the law measures,
    ``moved`` ``(K, N - 1, nx)`` what process noise adds to each next state.

    ``truth``: "reference" integrates the continuous plant. Outputs are free of noise.
    """
    system, dt, box = plant.system, plant.dt, ends_of(plant.system)
    count, steps = commands.shape[:2]
    x, u = (np.full((count, steps, size), np.nan) for size in (system.nx, system.nu))
    asked = system.feedback is not None and bool(system.feedback.law.used("y"))
    method, warning, rows, state = plant.method, "", np.arange(count), np.array(x0, dtype=float)
    substeps = fine_steps(plant, steps) if truth != "model" else 0
    for k in range(steps):
        here, t = inside(box, state), k * dt
        rows, state = rows[here], state[here]
        c = commands[rows, k]
        measured = system.measure(state, c[:, : system.nu], t) if asked else np.zeros((len(state), system.ny))
        v = acting(system, t, state, measured if noise is None else measured + noise[rows, k], c)
        here = holds_along(system, state, v, DRIFT)
        rows, state, v = rows[here], state[here], v[here]
        if not len(rows):
            break
        x[rows, k], u[rows, k] = state, v
        if k + 1 == steps:
            break
        if truth == "model" or system.kind == "discrete":
            state = plant.step(state, v, t)
        elif substeps:
            state, method = runge_kutta(system, state, v[:, None], dt, substeps, t)[:, 1], fine_method(substeps)
        else:
            state, method, said = _reference_step(system, state, v, dt, t)
            warning = warning or said
        if moved is not None:
            state = disturbed(plant, state, moved[rows, k])
    y = system.measure(x, u, dt * np.arange(steps))
    return DrivenMotion(x, u, y, "discrete map" if system.kind == "discrete" else method, warning)


def fine_steps(plant: DiscreteSystem, samples: int) -> int:
    """Runge-Kutta steps per sample that agree with the reference integrator to ``FINE`` of every range over the region, for a long motion
    sample by sample, where starting that integrator anew takes most of the time; 0 where it is to be used itself."""
    system, known = plant.system, vars(plant)
    if samples < LONG or system.kind == "discrete":
        return 0
    if "_fine_steps" not in known:
        x, u = states_and_inputs(system, system.state_ranges, 64, seed=0)
        truth = reference_motion(system, x, u[:, None], plant.dt)
        known["_fine_steps"], count = 0, 1
        while not truth.warning and count <= FINEST:
            off = np.abs(runge_kutta(system, x, u[:, None], plant.dt, count)[:, 1] - truth.x[:, 1])
            if np.max(off / np.ptp(system.state_ranges, axis=1)) <= FINE:
                known["_fine_steps"] = count
                break
            count *= 2
    return known["_fine_steps"]


def fine_method(substeps: int) -> str:
    """How a motion by :func:`fine_steps` is called."""
    return f"RK4 in {substeps} steps per sample, within {FINE:g} of DOP853"


def _reference_step(system: System, x: np.ndarray, u: np.ndarray, dt: float, t: float) -> tuple[np.ndarray, str, str]:
    """One sample by the reference integrator; where it gets stuck, every trajectory by itself, and those that run away are nan."""
    try:
        found = reference_motion(system, x, u[:, None], dt, None, t)
        return found.x[:, 1], found.method, found.warning
    except RunawayError:
        if len(x) == 1:
            return np.full_like(x, np.nan), "", ""
    parts = [_reference_step(system, x[k : k + 1], u[k : k + 1], dt, t) for k in range(len(x))]
    method = next((m for _, m, _ in parts if m), "")
    return np.concatenate([p[0] for p in parts]), method, next((w for *_, w in parts if w), "")
