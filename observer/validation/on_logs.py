"""Validation on logs: the observer is replayed over logs that the fit did not use.

For a plant with equations a fifth of the logs is held out (of a single one, its end). For one without: of eight logs or more
some are kept for this alone; the fit holds out others, by which it chooses its best iterate. Of fewer, one is held out (of a
single one, its end), and serves both purposes: its errors may be slightly too small, and the result states that. The judged
logs are cut into complete stretches of equal length. Each trial is one stretch and an initial estimate drawn from the initial
box. The logged states are taken as the true ones, with their noise.
"""

from dataclasses import replace

import numpy as np

from observer.fitting.decision import HELD_OUT
from observer.state_observer import RENObserver
from observer.validation.result import Validation
from observer.validation.validate import estimates, judged, trial_duration
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories, draw_initial_states

SHORTEST = 20  # samples of a stretch that can show convergence
FEWEST = 8  # logs, of which a fifth is two


def validate_on_logs(
    observer: RENObserver,
    plant: DiscreteSystem,
    data: Trajectories,
    trials: int = 200,
    duration: float | None = None,
    seed: int = 0,
    *,
    spread: float = 1.0,
    window: tuple[float, float] | None = None,
    learned: bool = True,
    peak: float | None = None,
) -> Validation:
    """Replay ``observer`` over ``data``, the logs of which :func:`part` gave the fit all but what is judged here.

    learned : the plant has no equations but what was learned from the logs.

    duration : seconds of a stretch; ten settling times, or as long as the logs have without a gap, when left out.
    trials : at most this many; stretches are used again, with other initial estimates, when there are fewer of them.

    Raises :class:`InputError` when a stretch is too short to see convergence in.
    """
    _, held_out, apart = part(data, seed, learned=learned)
    runs, longest = held_out_stretches(held_out)
    if duration is None and observer.contraction_rate < 1:
        duration = trial_duration(observer.contraction_rate, observer.dt)
    length = longest if duration is None else min(longest, round(duration / plant.dt) + 1)
    if length < SHORTEST:
        raise InputError(
            f"duration is {duration:g} {plant.system.time_unit}, {length} samples; expected at least {SHORTEST} to see convergence"
        )
    cuts = [(k, first) for k, start, stop in runs for first in range(start, stop - length + 1, length)]
    rows = [cuts[i % len(cuts)] for i in range(trials)]
    x, u, y = (
        np.stack([part[k, first : first + length] for k, first in rows])
        for part in (held_out.x, held_out.u, held_out.y)
    )
    stretches = f"{len(cuts)} stretch{'es' if len(cuts) > 1 else ''}"
    if apart:
        some = f"{len(held_out)} of the {len(data)} logs" if len(data) > 1 else "the end of the only log"
        where = f"{stretches} of {some}, which the fit did not use"
    else:
        what = "the one held-out log" if len(data) > 1 else "the held-out end of the only log"
        where = (
            f"{stretches} of {what}, by which the fit also chose its best iterate, so that the errors may be slightly too "
            f"small (with {FEWEST} logs or more, separate logs are used)"
        )
    truth, states = "logs", "the logged states are taken as the true ones"
    if data.by_equations:
        truth, states = (
            "equations",
            "the logs hold no states, so y is judged by its prediction, and states are not compared with anything",
        )
    warnings = (f"validated on {where}; {trials} initial estimates in all; {states}",)
    t = plant.dt * np.arange(length)
    trial_data = Trajectories(t, x, u, y, np.full(trials, length), data.source, warnings)
    x_hat0 = draw_initial_states(plant.system, trials, seed + 7919, spread)
    x_hat = estimates(observer, x_hat0, trial_data)
    return judged(observer, plant, trial_data, x_hat, truth=truth, seed=seed, noise=True, window=window)


def judged_apart(count: int) -> bool:
    """Whether of so many logs some are kept for the validation alone: when at least two would be held out."""
    return count >= FEWEST


def part(data: Trajectories, seed: int, *, learned: bool = True) -> tuple[Trajectories, Trajectories, bool]:
    """(what the fit is given, what the observer is judged on, whether the two have nothing in common).

    learned : by a fit that holds out by itself, as it has no equations; one that has them holds out nothing of the logs.

    ``fit(..., transitions="data", seed=seed)`` holds out :data:`HELD_OUT` of what it is given. Where that is a single
    log, it is the one that is judged on too.
    """
    if learned and not judged_apart(len(data)):
        return data, data.split(HELD_OUT, seed)[1], False
    rest, judged = data.split(HELD_OUT / 2 if learned else HELD_OUT, seed)
    return replace(rest, warnings=data.warnings), judged, True


def held_out_stretches(held_out: Trajectories) -> tuple[list[tuple[int, int, int]], int]:
    """(the complete stretches (trajectory, start, stop) of what is judged on, the samples of the longest).

    Raises :class:`InputError` when no stretch is long enough to see convergence in.
    """
    complete = np.all(np.isfinite(np.concatenate([held_out.x, held_out.u, held_out.y], axis=2)), axis=2)
    runs = [(k, start, stop) for k in range(len(held_out)) for start, stop in _stretches(complete[k])]
    longest = max((stop - start for _, start, stop in runs), default=0)
    if longest < SHORTEST:
        raise InputError(
            f"the longest complete stretch of the held-out logs has {longest} samples, and {SHORTEST} are needed to see "
            f"convergence ({100 * HELD_OUT:g} % of the logs are held out); log more or longer, or fill gaps"
        )
    return runs, longest


def _stretches(complete: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every run of True in ``(N,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], complete, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
