"""Irregular stamps onto the uniform grid of dt. States and outputs are joined by straight lines; inputs are held.

u[k] is held over [t_k, t_k + dt), so it is the last input logged at or before t_k. Loggers round their stamps: one that
comes at most 5 % of dt late counts as on time, or a rounded stamp would shift an input by a whole sample. Rows come and samples go
in blocks; where the blocks end changes no number.

A sensor that writes rows of its own is resampled on its own stamps, as if it had a log to itself.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

LATE = 0.05  # of dt: an input whose stamp comes this much after t_k still belongs to t_k
SAME = 1e-6  # of dt: a stamp and a grid point this close are the same instant
BLOCK = 1 << 16  # samples that are made at once
USUAL, MOSTLY = (
    1.6,
    0.8,
)  # a gap that is no longer than so many usual ones; the share of a column's empty cells in such gaps
SLOW = 1.5  # of dt: values farther apart are not joined where other columns have rows between them


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
    own: Sequence[float | None] | None = None,
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
    own : sequence of length m, optional
        Of a column with rows of its own, the gap that is bridged between two of its values, 0 for none; None of the others.
    """
    stamps, values, done = np.zeros(0), np.zeros((0, len(held))), 0
    alone = {k: _Alone(gap, periods[k]) for k, gap in enumerate(own or ()) if gap is not None and not held[k]}
    filled = [k for k, gap in enumerate(own or ()) if gap is not None and held[k]]
    wait = 1 + max((2 + int(sensor.bridge / dt) for sensor in alone.values()), default=0)
    last = np.full(len(held), np.nan)
    for new_stamps, new_values, end in _with_end(rows, samples):
        for k, sensor in alone.items():
            sensor.add(new_stamps, new_values[:, k])
        for k in filled:
            new_values[:, k] = _carried(new_values[:, k], last[k])
        last = new_values[-1] if len(new_values) else last
        stamps, values = np.concatenate([stamps, new_stamps]), np.concatenate([values, new_values])
        # A sample is due when the row after it is there; the last two wait, since a stamp may be late.
        due = samples if end else min(samples, max(done, int(stamps[-1] / dt) - wait if len(stamps) else 0))
        while done < due:
            t = dt * np.arange(done, min(due, done + BLOCK))
            result = np.empty((len(t), len(held)))
            for k, hold_it in enumerate(held):
                if k in alone:
                    result[:, k] = alone[k].at(t, dt)
                    continue
                column = np.ascontiguousarray(values[:, k])
                result[:, k] = (
                    hold(stamps, column, t, dt, bridge) if hold_it else join(stamps, column, t, dt, bridge, periods[k])
                )
            done += len(t)
            yield t, result
        first = max(0, int(np.searchsorted(stamps, dt * done, side="right")) - 2)
        stamps, values = stamps[first:], values[first:]


class _Alone:
    """The values of a sensor that has rows of its own: joined over gaps up to ``bridge``, each at the sample nearest to it at least."""

    def __init__(self, bridge: float, period: float | None) -> None:
        self.bridge, self.period = bridge, period
        self.stamps, self.values = np.zeros(0), np.zeros(0)

    def add(self, stamps: np.ndarray, values: np.ndarray) -> None:
        known = np.isfinite(values)
        self.stamps, self.values = (
            np.concatenate([self.stamps, stamps[known]]),
            np.concatenate([self.values, values[known]]),
        )

    def at(self, t: np.ndarray, dt: float) -> np.ndarray:
        """Values at t ``(n,)``, nan where there are none. What lies before them is not needed again."""
        stamps, values = self.stamps, self.values
        if not len(stamps):
            return np.full(len(t), np.nan)
        right = np.searchsorted(stamps, t)
        left, right = np.maximum(right - 1, 0), np.minimum(right, len(stamps) - 1)
        nearest = np.where(np.abs(stamps[right] - t) < np.abs(t - stamps[left]), right, left)
        result = np.where(np.abs(stamps[nearest] - t) <= (0.5 + SAME) * dt, values[nearest], np.nan)
        if len(stamps) > 1 and self.bridge > 0:
            inside = (t >= stamps[0]) & (t <= stamps[-1])
            line = join(stamps, values, t, dt, self.bridge, self.period)
            result = np.where(inside & np.isfinite(line), line, result)
        first = max(0, int(np.searchsorted(stamps, t[-1], side="right")) - 2)
        self.stamps, self.values = stamps[first:], values[first:]
        return result


def _carried(values: np.ndarray, before: float) -> np.ndarray:
    """Missing values replaced by the last known one."""
    known = np.concatenate([[True], np.isfinite(values)])
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), 0))
    return np.concatenate([[before], values])[last][1:]


def rows_of_their_own(
    stamps: np.ndarray, values: np.ndarray, held: Sequence[bool], dt: float, max_gap: int
) -> list[tuple[float, float] | None]:
    """For each column of the first rows ``(N, m)`` that has rows of its own: (time from value to value, gap to bridge); else None.

    It has where nearly all of its empty cells lie between values as far apart as usual: then nothing is missing there. A column that
    comes much slower than dt is not bridged; nor is one with hardly a value in these rows, whose time from value to value is inf.
    """
    found: list[tuple[float, float] | None] = []
    for k, hold_it in enumerate(held):
        known = np.flatnonzero(np.isfinite(values[:, k]))
        empty = len(values) - len(known)
        gaps = np.diff(stamps[known])
        if not empty or len(known) < 2:
            found.append((np.inf, 0.0) if empty else None)
            continue
        spacing = float(np.median(gaps))
        between = np.diff(known) - 1
        usual = int(between[gaps <= USUAL * spacing].sum())
        enough = usual >= MOSTLY * between.sum() and between.sum() >= empty / 2
        if not (enough and between.sum()) and not (hold_it and 2 * empty > len(values)):
            found.append(None)
        else:
            found.append((spacing, max_gap * max(dt, spacing) * (1 + SAME) if spacing <= SLOW * dt else 0.0))
    return found


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
