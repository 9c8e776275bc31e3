"""What a faster observer costs: settling time against the noise that reaches each state."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.settling import required_settling
from reports.quantities import time_unit
from reports.selection import MAXIMUM_STATES
from reports.style import COLUMN, CYCLE, LINES, label, log_axis, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "osD^vP"


def curve_of(fit: Any) -> Any:
    """The trade-off of a fit where it has two points or more that can be drawn, else None."""
    curve = getattr(getattr(fit, "search", None), "trade_off", None)
    if curve is None or np.sum(_drawable(curve)) < 2:
        return None
    return curve


def trade_off_figure(fit: Any, system: Any) -> "Figure":
    """The largest noise among the states (percent of range, log) over settling time (log); the metric in use is ringed."""
    curve = curve_of(fit)
    widths = np.array([high - low for low, high in (signal.range for signal in system.states)], dtype=float)
    rows = np.flatnonzero(_drawable(curve))
    rows = rows[np.argsort(np.asarray(curve.settling_time)[rows])]
    time = np.asarray(curve.settling_time, dtype=float)[rows]
    share = 100 * np.asarray(curve.noise, dtype=float)[rows] / widths
    largest = np.sort(np.argsort(share.max(axis=0))[::-1][:MAXIMUM_STATES])
    asked = required_settling(fit, None, fit.plant.dt)
    with styled():
        figure = new_figure(COLUMN, 3.0)
        axes = figure.subplots()
        for n, i in enumerate(largest):
            axes.plot(
                time, share[:, i], color=CYCLE[n % len(CYCLE)], marker=_MARKERS[n % len(_MARKERS)], markersize=2.8,
                linewidth=1.1, label=plain(system.states[i].name, 18),
            )  # fmt: skip
        used = np.flatnonzero(rows == curve.chosen)
        if used.size:
            at = np.repeat(time[used[0]], len(largest))
            axes.plot(
                at, share[used[0], largest], linestyle="none", marker="o", markersize=8, markerfacecolor="none",
                markeredgecolor=LINES["worst"]["color"], label="metric in use",
            )  # fmt: skip
        if asked:
            axes.axvline(asked, **LINES["region"], label="rate required of the network")
        axes.set_xscale("log")
        positive = share[:, largest][share[:, largest] > 0]
        if positive.size:
            log_axis(axes, positive.min() / 1.5, 1.5 * positive.max())
        axes.set(xlabel=label("settling time", time_unit()), ylabel="noise in the estimate [% of range]")
        figure.legend(handles=axes.get_legend_handles_labels()[0], loc="outside upper center", ncols=2)
    return figure


def _drawable(curve: Any) -> np.ndarray:
    return np.isfinite(curve.settling_time) & np.isfinite(curve.noise).all(axis=1)


def trade_off_reading(fit: Any) -> str:
    """How to read the trade-off."""
    noise = (
        "0.5 % of the half range of every output, as none is stated" if curve_of(fit).assumed else "the stated noise"
    )
    return (
        "Each point is an observer that the plant allows: further left, an initial error decays sooner; further up, the "
        f"estimate is noisier (one standard deviation, of the projection observer, to first order; measurement noise: {noise}). The ring "
        "is the metric in use; the dashed line is the rate required of the network, slower than that of the metric to leave a rate margin."
    )
