"""Logs of inputs and outputs as stretches without a gap in the inputs: what can be simulated in one go from one initial state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from systems.base.errors import InputError
from systems.system import System
from systems.trajectories import Trajectories

SHORTEST = 5  # samples


@dataclass(frozen=True, eq=False)
class Stretch:
    """t ``(N,)``, u ``(N, nu)`` without gaps, y ``(N, ny)``, nan where missing; ``log``: the index of the log that it is a part of."""

    t: np.ndarray
    u: np.ndarray
    y: np.ndarray
    log: int

    def __len__(self) -> int:
        return len(self.t)


def stretches_of(data: Trajectories, system: System) -> list[Stretch]:
    """The stretches of all logs. Gaps of y inside one are bridged by the equations; an input that is missing ends it.

    Raises :class:`InputError` where an output is never measured, or no stretch is long enough.
    """
    found = []
    for k, length in enumerate(data.lengths):
        u, y = data.u[k, :length], data.y[k, :length]
        whole = np.isfinite(u).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(int))).reshape(-1, 2)
        for start, stop in edges:
            seen = np.flatnonzero(np.isfinite(y[start:stop]).any(axis=1))
            if len(seen) >= SHORTEST:  # what lies before the first measurement, or after the last, says nothing
                rows = slice(start + seen[0], start + seen[-1] + 1)
                found.append(Stretch(data.t[rows], u[rows], y[rows], k))
    measured = np.zeros(system.ny, bool)
    for item in found:
        measured |= np.isfinite(item.y).any(axis=0)
    for signal, there in zip(system.outputs, measured, strict=True):
        if found and not there:
            raise InputError(f"output '{signal.name}' has no value in the logs; log it, or take it out of [outputs]")
    if not found:
        raise InputError(
            f"no log has {SHORTEST} measured samples without a gap in the inputs; expected logs of inputs and outputs"
        )
    return found


def samples_of(stretches: Sequence[Stretch]) -> np.ndarray:
    """Measured values of each output ``(ny,)``."""
    return np.sum([np.isfinite(item.y).sum(axis=0) for item in stretches], axis=0)
