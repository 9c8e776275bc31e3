"""Which trials and which states a figure shows, and the quantiles it draws. Everything here survives NaN.

A trial that diverged is not left out of a quantile: where its error is not finite it counts as infinitely large, so a
band that leaves the top of a figure says what happened.
"""

from typing import Any

import numpy as np

MAXIMUM_STATES = 6
_MAXIMUM_POINTS = 1200


def widths(validation: Any) -> np.ndarray:
    """The width (high - low) of each state's range, (nx,), in the unit of the state."""
    ranges = np.asarray(validation.ranges, dtype=float)
    return ranges[:, 1] - ranges[:, 0]


def window_mask(validation: Any) -> np.ndarray:
    """The samples (N,) of the window over which errors are judged."""
    low, high = validation.window
    t = np.asarray(validation.t, dtype=float)
    slack = 1e-9 * max(abs(high), 1.0)
    mask = (t >= low - slack) & (t <= high + slack)
    return mask if mask.any() else np.ones_like(mask)


def absolute_error(validation: Any) -> np.ndarray:
    """|error| (K, N, nx) with infinity where it is not finite."""
    error = np.abs(np.asarray(validation.error, dtype=float))
    return np.where(np.isfinite(error), error, np.inf)


def trial_scores(validation: Any) -> np.ndarray:
    """One number per trial (K,): the largest |error| / range over window and states; infinite when not finite."""
    error = absolute_error(validation)[:, window_mask(validation)] / widths(validation)
    return error.max(axis=(1, 2))


def median_trial(validation: Any) -> int:
    """Index of the trial in the middle of the scores."""
    order = np.argsort(trial_scores(validation), kind="stable")
    return int(order[(len(order) - 1) // 2])


def worst_trial(validation: Any) -> int:
    """Index of the trial with the largest score (the first of several that diverged)."""
    return int(np.argmax(trial_scores(validation)))


def example_trials(validation: Any, count: int) -> list[int]:
    """Up to ``count`` trials in the order in which they were drawn, the worst one left out unless there is no other."""
    worst = worst_trial(validation)
    others = [k for k in range(np.shape(validation.x)[0]) if k != worst]
    return others[:count] or [worst]


def hardest_states(validation: Any, limit: int = MAXIMUM_STATES) -> list[int]:
    """The states with the largest RMS error over range, in the order of the system; all of them up to ``limit``."""
    relative = np.asarray(validation.rms_error, dtype=float) / widths(validation)
    relative = np.where(np.isfinite(relative), relative, np.inf)
    return sorted(np.argsort(-relative, kind="stable")[:limit].tolist())


def hardest_names(validation: Any, limit: int = MAXIMUM_STATES) -> list[str]:
    """The names of :func:`hardest_states`."""
    return [validation.state_names[i] for i in hardest_states(validation, limit)]


def omitted(validation: Any) -> str:
    """The sentence of a figure that does not show all states; empty where it does."""
    total = len(validation.state_names)
    if total <= MAXIMUM_STATES:
        return ""
    return f" Of the {total} states, the {MAXIMUM_STATES} with the largest RMS error relative to range are shown."


def quantiles(values: np.ndarray, shares: tuple[float, ...] = (0.05, 0.5, 0.95)) -> np.ndarray:
    """Quantiles over the trials: (K, N) -> (len(shares), N). Order statistics, as infinities cannot be interpolated."""
    values = np.where(np.isnan(values), np.inf, values)
    return np.quantile(values, shares, axis=0, method="inverted_cdf")


def thin(count: int) -> np.ndarray:
    """Indices of at most 1200 samples, first and last included: more are not visible."""
    return np.unique(np.linspace(0, count - 1, min(count, _MAXIMUM_POINTS)).round().astype(int))


def transient_end(validation: Any) -> float:
    """Where a picture of the states should end [s]: three times the settling time of the slowest, at most the trial."""
    t = np.asarray(validation.t, dtype=float)
    settling = np.asarray(validation.settling_time, dtype=float)
    if not np.isfinite(settling).all() or not np.asarray(validation.converged).all():
        return float(t[-1])
    return float(np.clip(3 * settling.max(), t[min(20, len(t) - 1)], t[-1]))


def metric_norm(error: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """|e|_M = sqrt(e' M e) over the last axis: (..., nx) -> (...)."""
    return np.sqrt(np.maximum(np.einsum("...i,ij,...j->...", error, metric, error), 0.0))


def largest_initial_error(validation: Any, metric: np.ndarray) -> float:
    """The largest |e_0|_M among the trials; NaN when none is finite."""
    initial = metric_norm(np.asarray(validation.error, dtype=float)[:, 0], np.asarray(metric, dtype=float))
    initial = initial[np.isfinite(initial)]
    return float(initial.max()) if initial.size else float("nan")
