"""Irregular stamps onto the uniform grid of dt. States and outputs are joined by straight lines; inputs are held.

u[k] is held over [t_k, t_k + dt), so it is the last input logged at or before t_k. Loggers round their stamps: one that
comes at most 5 % of dt late counts as on time, or a rounded stamp would shift an input by a whole sample. Rows come and samples go
in blocks; where the blocks end changes no number.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

LATE = 0.05  # of dt: an input whose stamp comes this much after t_k still belongs to t_k
SAME = 1e-6  # of dt: a stamp and a grid point this close are the same instant
BLOCK = 1 << 16  # samples that are made at once


def samples_of(last: float, dt: float) -> int:
    """Grid points 0, dt, 2 dt, ... up to the last stamp, where the first is 0."""
    return int(np.floor(last / dt + SAME)) + 1


def longest_bridge(spacing: float, dt: float, max_gap: int) -> float:
    """Seconds between two stamps above which what lies between them is missing: ``max_gap`` samples of dt or of the log."""
    return max_gap * max(dt, spacing) * (1 + SAME)


def resample(
    rows: Iterable[tuple[np.ndarray, np.ndarray]],
    samples: int,
    dt: float,
    bridge: float,
    held: Sequence[bool],
    periods: Sequence[float | None],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (t ``(n,)``, values ``(n, m)``) on the grid, from blocks of (stamps ``(N,)``, values ``(N, m)``).

    Parameters
    ----------
    rows : iterable
        Stamps begin at 0 and increase.
    samples : int
        Points of the grid, see :func:`samples_of`.
    bridge : float
        Seconds: longer gaps are missing.
    held, periods : sequence of length m
        Columns that are held; the others are joined, on the short way round where they have a period.
    """
    stamps, values, done = np.zeros(0), np.zeros((0, len(held))), 0
    for new_stamps, new_values, end in _with_end(rows, samples):
        stamps, values = np.concatenate([stamps, new_stamps]), np.concatenate([values, new_values])
        # A sample is due when the row after it is there; the last two wait, since a stamp may be late.
        due = samples if end else min(samples, max(done, int(stamps[-1] / dt) - 1 if len(stamps) else 0))
        while done < due:
            t = dt * np.arange(done, min(due, done + BLOCK))
            result = np.empty((len(t), len(held)))
            for k, hold_it in enumerate(held):
                column = np.ascontiguousarray(values[:, k])
                result[:, k] = (
                    hold(stamps, column, t, dt, bridge) if hold_it else join(stamps, column, t, dt, bridge, periods[k])
                )
            done += len(t)
            yield t, result
        first = max(0, int(np.searchsorted(stamps, dt * done, side="right")) - 2)
        stamps, values = stamps[first:], values[first:]


def _with_end(
    rows: Iterable[tuple[np.ndarray, np.ndarray]], samples: int
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """The blocks, each with whether it is the last."""
    before = None
    for item in rows:
        if before is not None:
            yield *before, False
        before = item
    if before is not None:
        yield *before, True


def join(
    stamps: np.ndarray, values: np.ndarray, t: np.ndarray, dt: float, bridge: float, period: float | None = None
) -> np.ndarray:
    """Values ``(n,)`` at t ``(n,)`` on straight lines between values ``(N,)`` at stamps ``(N,)``; nan where they are missing.

    Missing is what lies beside a missing value, or in a gap longer than ``bridge``. Angles take the short way round.
    """
    right = np.clip(np.searchsorted(stamps, t, side="right"), 1, len(stamps) - 1)
    left = right - 1
    before, width = t - stamps[left], stamps[right] - stamps[left]
    low, high = values[left], values[right]
    step = high - low
    if period:
        step = (step + period / 2) % period - period / 2
    share = np.clip(before / width, 0.0, 1.0)
    result = np.where(share < 0.5, low + share * step, high - (1 - share) * step)
    result[width > bridge] = np.nan
    on_left, on_right = before <= SAME * dt, stamps[right] - t <= SAME * dt
    result[on_left], result[on_right] = low[on_left], high[on_right]
    return result


def hold(stamps: np.ndarray, values: np.ndarray, t: np.ndarray, dt: float, bridge: float) -> np.ndarray:
    """Values ``(n,)`` at t ``(n,)``: the last of values ``(N,)`` logged at or before; nan inside gaps longer than ``bridge``."""
    last = np.searchsorted(stamps, t + LATE * dt, side="right") - 1
    following = stamps[np.minimum(last + 1, len(stamps) - 1)]
    result = values[last].copy()
    result[(following - stamps[last] > bridge) & (t - stamps[last] > LATE * dt)] = np.nan
    return result
