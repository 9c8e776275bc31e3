"""Irregular stamps onto the uniform grid of dt. States and outputs are joined by straight lines; inputs are held.

u[k] is held over [t_k, t_k + dt), so it is the last input logged at or before t_k. Loggers round their stamps: one that
comes at most 5 % of dt late counts as on time, or a rounded stamp would shift an input by a whole sample.
"""

import numpy as np

LATE = 0.05  # of dt: an input whose stamp comes this much after t_k still belongs to t_k
SAME = 1e-6  # of dt: a stamp and a grid point this close are the same instant


def grid(stamps: np.ndarray, dt: float) -> np.ndarray:
    """``(n,)``: 0, dt, 2 dt, ... up to the last of the stamps ``(N,)``, which start at 0."""
    return dt * np.arange(int(np.floor(stamps[-1] / dt + SAME)) + 1)


def longest_bridge(stamps: np.ndarray, dt: float, max_gap: int) -> float:
    """Seconds between two stamps above which what lies between them is missing: ``max_gap`` samples of dt or of the log."""
    return max_gap * max(dt, float(np.median(np.diff(stamps)))) * (1 + SAME)


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
