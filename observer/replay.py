"""Validation on logs, for a plant of which nobody knows the ODE: the observer is replayed over what was held out of its fit.

The held-out logs are cut into complete stretches of equal length. Each trial is one stretch and a first estimate drawn
from the initial box. What was logged stands for the truth, with its noise. The fit never learned from these logs, but it
did choose the best of its iterates by their one-step loss.
"""

import numpy as np

from observer.fitting.fit import HELD_OUT
from observer.state_observer import RENObserver
from observer.validation import SETTLING_TIMES_PER_TRIAL, Validation, judge
from systems.discretization import DiscreteSystem
from systems.errors import InputError
from systems.trajectories import Trajectories, draw_starts

SHORTEST = 20  # samples of a stretch that can show convergence


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
) -> Validation:
    """Replay ``observer`` over the part of ``data`` that ``fit(..., transitions="data", seed=seed)`` held out.

    duration : seconds of a stretch; ten settling times, or as long as the logs have without a gap, when left out.
    trials : at most this many; stretches are used again, with other first estimates, when there are fewer of them.

    Raises :class:`InputError` when a stretch is too short to see convergence in.
    """
    held_out, runs, longest = held_out_stretches(data, seed)
    if duration is None and observer.contraction_rate < 1:
        duration = SETTLING_TIMES_PER_TRIAL * np.log(0.02) / np.log(observer.contraction_rate) * plant.dt
    length = longest if duration is None else min(longest, round(duration / plant.dt) + 1)
    if length < SHORTEST:
        raise InputError(
            f"duration is {duration:g} s, {length} samples; expected at least {SHORTEST} to see convergence"
        )
    cuts = [(k, first) for k, start, stop in runs for first in range(start, stop - length + 1, length)]
    rows = [cuts[i % len(cuts)] for i in range(trials)]
    x, u, y = (
        np.stack([part[k, first : first + length] for k, first in rows])
        for part in (held_out.x, held_out.u, held_out.y)
    )
    warnings = (
        f"validated on {len(cuts)} held-out stretch{'es' if len(cuts) > 1 else ''} of the logs, {trials} first estimates in all; "
        "what was logged stands for the truth",
    )
    t = plant.dt * np.arange(length)
    trial_data = Trajectories(t, x, u, y, np.full(trials, length), data.source, warnings)
    starts = draw_starts(plant.system, trials, seed + 7919, spread)
    with np.errstate(over="ignore", invalid="ignore"):
        x_hat = observer.run(starts, u, y)
        return judge(observer, plant, trial_data, x_hat, seed, True, "logs", window)


def held_out_stretches(data: Trajectories, seed: int) -> tuple[Trajectories, list[tuple[int, int, int]], int]:
    """(what the fit holds out, its complete stretches (trajectory, start, stop), the samples of the longest).

    Raises :class:`InputError` when no stretch is long enough to see convergence in.
    """
    _, held_out = data.split(HELD_OUT, seed)
    complete = np.all(np.isfinite(np.concatenate([held_out.x, held_out.u, held_out.y], axis=2)), axis=2)
    runs = [(k, start, stop) for k in range(len(held_out)) for start, stop in _stretches(complete[k])]
    longest = max((stop - start for _, start, stop in runs), default=0)
    if longest < SHORTEST:
        raise InputError(
            f"the longest complete stretch of the held-out logs has {longest} samples, and {SHORTEST} are needed to see "
            f"convergence ({100 * HELD_OUT:g} % of the logs are held out); log more or longer, or fill gaps"
        )
    return held_out, runs, longest


def _stretches(complete: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of every run of True in ``(N,)``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], complete, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
