"""An extended Kalman filter along the logs, as one CasADi function of the parameters: it guesses states, and predicts one step ahead.

The estimators of :mod:`observer.estimators` are made for one plant and long runs; this one is evaluated for many parameter values.
Scaled by half ranges and by the deviations of the outputs, which are taken in one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import casadi as ca
import numpy as np

from observer.calibration.shooting import Shooting

FIRST = 0.8  # half ranges: deviation of an initial state about which nothing is known
REACH = 3.0  # half ranges that an estimate is kept within, unless it is an angle


@dataclass(frozen=True, eq=False)
class FilteredLogs:
    """Of each stretch the predicted states ``(N, nx)`` and one-step errors of the outputs ``(N, ny)``; minus the mean log likelihood."""

    states: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]
    loss: float


def filtered(
    problem: Shooting, p: np.ndarray, deviation: np.ndarray, motion: float, x0: np.ndarray | None = None
) -> FilteredLogs:
    """``motion``: of a half range per sample, what the equations do not explain. ``x0`` ``(S, nx)``: known initial states."""
    system, stretches = problem.system, problem.stretches
    longest = max(map(len, stretches))
    parts = []
    for values in ([s.t[:, None] for s in stretches], [s.u for s in stretches], [s.y for s in stretches]):
        parts.append([np.concatenate([v, np.repeat(v[-1:], longest - len(v), axis=0)]) for v in values])
    t, u, y = (np.concatenate(part) for part in parts)
    real = np.concatenate([np.arange(longest) < len(s) for s in stretches])[:, None]
    there = np.isfinite(y) & real
    w = np.where(there, 1 / deviation, 0.0)
    start = system.initial_ranges.mean(axis=1) if x0 is None else x0
    z = np.broadcast_to((start - problem.x_middle) / problem.x_half, (len(stretches), system.nx))
    spread = FIRST if x0 is None else motion
    first = np.tile(np.eye(system.nx) * spread**2, (1, len(stretches)))
    q = np.tile(((p - problem.p_middle) / problem.p_half)[:, None], (1, longest * len(stretches)))
    over = _step(problem).mapaccum("over", longest, 2).map(len(stretches))
    data = [ca.DM(a.T) for a in (t, u, np.where(there, y, 0.0), w)]
    size = ca.DM.ones(1, longest * len(stretches)) * motion**2
    found = over(ca.DM(z.T), ca.DM(first), ca.DM(q), size, *data)
    states, errors, loss = (found[k].full().T for k in (2, 3, 4))
    middle = system.state_ranges.mean(axis=1)
    x = np.where(np.isfinite(states), states, 0.0) * problem.x_half + middle
    errors = np.where(there, errors, np.nan)
    rows = [slice(k * longest, k * longest + len(s)) for k, s in enumerate(stretches)]
    whole = bool(np.isfinite(loss[real[:, 0]]).all())
    return FilteredLogs(
        tuple(x[r] for r in rows),
        tuple(errors[r] for r in rows),
        float(loss[real[:, 0]].mean()) if whole else float("inf"),
    )


def _step(problem: Shooting) -> ca.Function:
    """One sample: predicted state and covariance to the next, with the state, errors and likelihood of this one."""
    s, system = problem.symbols, problem.system
    nx, z, p = system.nx, s["z"], ca.SX.sym("P", system.nx, system.nx)
    size = ca.SX.sym("size")
    slope, c = ca.jacobian(s["after"], z), ca.jacobian(s["r"], z)  # of y - h, so minus that of h
    mean, cover, loss = z, p, ca.SX(0)
    for k in range(system.ny):
        row = -c[k, :].T
        gain = cover @ row
        total = 1 + ca.dot(row, gain)
        error = s["r"][k] - ca.dot(row, mean - z)
        mean, cover = mean + gain * (error / total), cover - gain @ gain.T / total
        loss += 0.5 * (error**2 / total + ca.log(total))
    low, high = problem.limits
    for k, signal in enumerate(system.states):
        reach = ca.inf if signal.period is not None else REACH
        mean[k] = ca.fmin(ca.fmax(mean[k], max(low[k], -reach)), min(high[k], reach))
    after = ca.substitute([s["after"], slope], [z], [mean])
    cover = after[1] @ (0.5 * (cover + cover.T)) @ after[1].T + size * ca.SX.eye(nx)
    return ca.Function(
        "filter",
        [z, p, s["q"], size, s["t"], s["u"], s["y"], s["w"]],
        [after[0], ca.densify(cover), z, s["error"], loss],
    )


def likeliest_motion(
    problem: Shooting, p: np.ndarray, deviation: np.ndarray, x0: np.ndarray, motions: Sequence[float]
) -> float:
    """The candidate under which the outputs along the logs are likeliest."""
    losses = [filtered(problem, p, deviation, motion, x0).loss for motion in motions]
    return float(motions[int(np.argmin(losses))])
