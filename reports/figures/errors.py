"""The error over time: per state, in the metric of the certificate, and as a map of all states."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import time_unit
from reports.selection import (
    absolute_error,
    hardest_states,
    largest_initial_error,
    metric_norm,
    omitted,
    quantiles,
    thin,
    widths,
    window_mask,
    worst_trial,
)
from reports.style import BAND, COLUMN, INK, LINES, WIDE, label, log_axis, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOOR = 1e-9  # of a range: below it stands the accuracy of the simulation, not of the observer
NAMES = {
    "median": "median of the trials",
    "band": "90 % of the trials",
    "worst": "worst trial",
    "tolerance": "2 % of range",
    "certified": "certified decay of the initial error",
    "sampled": "ultimate bound (residual sampled, not proved)",
}


def errors_figure(validation: Any, certificate: Any = None) -> "Figure":
    """|error| of each state on a log axis (hardest 6), with the certified decay and the ultimate bound that the sampled residual gives.

    certified: alpha*^k |e_0|_M sqrt((M^-1)_ii) from the largest initial error of the trials.
    sampled:   r sqrt((M^-1)_ii) / (1 - alpha*), r the largest residual |r|_M met along the trials (not with noise).
    """
    error, t = absolute_error(validation), np.asarray(validation.t, dtype=float)
    states, width, worst = hardest_states(validation), widths(validation), worst_trial(validation)
    columns = 2 if len(states) in (2, 4) else min(len(states), 3)
    rows = -(-len(states) // columns)
    window = window_mask(validation)
    with styled():
        figure = new_figure(WIDE, 0.85 + rows * (2.2 if rows == 1 else 1.9))
        grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        roles: set[str] = set()
        for axes in grid[len(states) :]:
            axes.set_visible(False)
        for axes, i in zip(grid, states, strict=False):
            lines = _certified(validation, certificate, certificate.state_gain[i] if certificate else 0.0)
            lines["tolerance"] = np.full(len(t), 0.02 * width[i])
            _curves(axes, t, error[..., i], lines, worst, window, FLOOR * width[i], 20 * width[i])
            axes.set_ylabel(label(validation.state_names[i], validation.units[i], "|error of {}|"))
            roles |= lines.keys()
        figure.supxlabel(label("time", time_unit()))
        _legend(figure, roles, columns=3)
    return figure


def norm_figure(validation: Any, certificate: Any = None) -> "Figure":
    """|e|_M over time, the length in which every step contracts: the trials against the certified decay."""
    t = np.asarray(validation.t, dtype=float)
    if certificate is None:
        values = np.asarray(validation.error_norm, dtype=float)
    else:  # the metric of the certificate may be sharper than the one that was fitted
        with np.errstate(all="ignore"):
            values = metric_norm(np.asarray(validation.error, dtype=float), np.asarray(certificate.metric, dtype=float))
    values = np.where(np.isfinite(values), values, np.inf)
    lines = _certified(validation, certificate, 1.0)
    start = values[:, 0][np.isfinite(values[:, 0])]
    size = float(start.max()) if start.size and start.max() > 0 else 1.0
    with styled():
        figure = new_figure(COLUMN, 3.2)
        axes = figure.subplots()
        _curves(axes, t, values, lines, worst_trial(validation), window_mask(validation), FLOOR * size, 20 * size)
        axes.set(xlabel=label("time", time_unit()), ylabel=r"$|e|_M$  [–]")
        _legend(figure, set(lines), columns=2 if len(lines) < 2 else 1)
    return figure


def map_figure(validation: Any) -> "Figure":
    """All states at once: the median |error| / range of every state over time, in colour on a log scale."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    relative = absolute_error(validation) / widths(validation)
    shown = thin(relative.shape[1])
    median = quantiles(relative[:, shown], (0.5,))[0].T
    finite = median[np.isfinite(median) & (median > 0)]
    high = min(float(finite.max()), 10.0) if finite.size else 1.0
    low = max(float(finite.min()), FLOOR, high * 1e-6) if finite.size else 1e-3
    t, nx = np.asarray(validation.t, dtype=float)[shown], median.shape[0]
    with styled():
        figure = new_figure(COLUMN, 3.2)
        axes = figure.subplots()
        axes.grid(False)
        image = axes.pcolormesh(
            t,
            np.arange(1, nx + 1),
            np.clip(median, low, high),
            norm=LogNorm(low, max(high, 10 * low)),
            cmap="cividis",
            shading="nearest",
            rasterized=True,
        )
        axes.set(xlabel=label("time", time_unit()), ylabel=f"state, 1 to {nx} in the order of the system")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.colorbar(image, ax=axes, label="median |error| / range  [–]", location="top", aspect=40)
    return figure


def _certified(validation: Any, certificate: Any, gain: float) -> dict[str, np.ndarray]:
    """The two lines of the certificate, (N,) each, scaled by ``gain``; none without a certificate that holds."""
    if certificate is None or not certificate.holds:
        return {}
    k = np.arange(len(validation.t))
    lines = {"certified": gain * largest_initial_error(validation, certificate.metric) * float(certificate.rate) ** k}
    if not validation.noise and certificate.rate < 1 and np.isfinite(validation.residual_level):
        lines["sampled"] = np.full(len(k), gain * float(validation.residual_level) / (1 - float(certificate.rate)))
    return lines


def _curves(
    axes: "Axes",
    t: np.ndarray,
    values: np.ndarray,
    lines: dict[str, np.ndarray],
    worst: int,
    window: np.ndarray,
    floor: float,
    ceiling: float,
) -> None:
    """Band, median and worst of values (K, N), the named lines, and log limits that show what matters of them."""
    shown = thin(len(t))
    low, median, high = quantiles(values[:, shown])
    bottom, top = floor * 1e-3, ceiling * 1e3  # a log axis draws neither zero nor infinity
    axes.fill_between(t[shown], np.clip(low, bottom, top), np.clip(high, bottom, top), **BAND)
    axes.plot(t[shown], np.clip(values[worst, shown], bottom, top), **LINES["worst"])
    axes.plot(t[shown], np.clip(median, bottom, top), **LINES["median"])
    for role, line in lines.items():
        axes.plot(t[shown], np.clip(line[shown], bottom, top), **LINES[role])
    level = quantiles(values[:, window], (0.05,))[0]
    level = level[np.isfinite(level) & (level > 0)]
    lowest = [float(np.median(level)) / 4 if level.size else floor]
    tops = [float(curve[np.isfinite(curve)].max(initial=0.0)) for curve in (high, values[worst], *lines.values())]
    for role in ("tolerance", "sampled"):
        if role in lines:
            lowest.append(float(lines[role][0]) / 2)
    axes.set_xlim(t[0], t[-1])
    log_axis(axes, max(min(lowest), floor), min(2 * max(tops), ceiling))


def _legend(figure: "Figure", roles: set[str], columns: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], **LINES["median"], label=NAMES["median"]),
        Patch(**BAND, label=NAMES["band"]),
        Line2D([], [], **LINES["worst"], label=NAMES["worst"]),
    ]
    handles += [
        Line2D([], [], **LINES[role], label=NAMES[role])
        for role in ("tolerance", "certified", "sampled")
        if role in roles
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, labelcolor=INK)


NORM_READING = (
    "|e|_M is the norm of the certificate: where it holds, the distance between any two estimates shrinks in this norm at every "
    "step. On a log axis such a decay is a straight line."
)
MAP_READING = (
    "Each row is a state, in the order of the system; dark is a small error. A row that stays bright is a state that the outputs "
    "show only weakly."
)


def errors_reading(validation: Any, *, certified: bool) -> str:
    """How to read the errors over time."""
    text = (
        "A straight line is exponential convergence; the level on the right is the error that remains. A trial has converged when it "
        "stays below the dotted line (2 % of range)."
    )
    if certified:
        text += (
            " The green line is the certified decay of the largest initial error, α*ᵏ |e₀|_M √(M⁻¹)ᵢᵢ: it bounds what the initial error "
            "contributes. The purple line is r̂ √(M⁻¹)ᵢᵢ / (1 − α*), the ultimate bound for the largest residual r̂ of these trials. "
            "Errors stay below the sum of both as long as no residual exceeds r̂, which was sampled, not proved."
        )
    return text + omitted(validation)


def noise_reading(validation: Any) -> str:
    """How to read the errors over time with measurement noise."""
    return (
        "As the errors above, with noise of the stated standard deviation on every measurement. The level on the right is now that of "
        "the noise that passes through the observer; the certificate does not cover it." + omitted(validation)
    )
