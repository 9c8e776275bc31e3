"""How the fit went: the loss of training and held-out transitions."""

import numbers
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.style import BLUE, COLUMN, GREY, LINES, VERMILION, log_axis, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAXIMUM_STAGES = 6
LOSS_READING = (
    "Lower is better; where several initial networks were trained in turn, each has a curve of its own. The dotted line is the linear "
    "observer with which training began. Held-out transitions were never trained on: a held-out curve that rises while the training "
    "curve falls shows overfitting."
)


def loss_figure(fit: Any) -> "Figure":
    """Training and held-out loss over the iterations (log axis), loss of the linear observer, and wall time on top."""
    loss = np.asarray(fit.history.get("loss", ()), dtype=float)
    held_out = np.asarray(fit.history.get("held_out", np.full(len(loss), np.nan)), dtype=float)
    stages = _stage_names(fit.history.get("stage"), len(loss))
    steps, breaks = _work(fit.history.get("iteration"), stages, len(loss))
    values = np.concatenate([loss, held_out, [fit.start_loss, fit.one_step_loss]])
    values = values[np.isfinite(values) & (values > 0)]
    with styled():
        figure = new_figure(COLUMN, 3.2)
        axes = figure.subplots()
        few = {"marker": "o", "markersize": 2.5} if len(loss) <= 15 else {}
        axes.plot(*_curve(steps, loss, breaks), color=BLUE, linewidth=1.3, label="training", **few)
        if np.isfinite(held_out).any():
            dashes = {"color": VERMILION, "linewidth": 1.0, "linestyle": (0, (4, 1.5))}
            axes.plot(*_curve(steps, held_out, breaks), label="held out", **dashes)
        if np.isfinite(fit.start_loss) and fit.start_loss > 0:
            axes.axhline(fit.start_loss, **LINES["tolerance"], label="linear observer")
        if values.size:
            log_axis(axes, max(values.min() / 2, values.max() * 1e-16), 2 * values.max())
        if len(steps) > 1:
            axes.set_xlim(steps[0], steps[-1])
        axes.set(
            xlabel="iterations of all initial networks [–]" if len(breaks) else "iteration [–]",
            ylabel="one-step loss [(state units)²]",
        )
        _stages(axes, steps, stages)
        _wall_time(axes, steps, fit.history.get("seconds"))
        figure.legend(handles=axes.get_legend_handles_labels()[0], loc="outside upper center", ncols=3)
    return figure


def _stage_names(stages: Any, count: int) -> list[str]:
    """One text per row; numbers count from 1 for a reader."""
    if stages is None or len(stages) != count:
        return [""] * count
    return [f"stage {int(s) + 1}" if isinstance(s, float | numbers.Integral) else str(s) for s in stages]


def _work(iterations: Any, stages: list[str], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Iterations done so far (count,), and the rows at which another initial network takes over: its own count begins again."""
    if iterations is None or len(iterations) != count or count < 2:
        return np.arange(count, dtype=float), np.array([], dtype=int)
    iterations = np.asarray(iterations, dtype=float)
    rise = np.diff(iterations)
    other = np.array([a != b for a, b in pairwise(stages)])
    back = ~(rise > 0)
    if not back.any():  # one initial network: stages go on where the last one ended
        return iterations, np.array([], dtype=int)
    usual = float(np.median(rise[~back])) if (~back).any() else 1.0
    fresh = back | other
    done = iterations[0] + np.concatenate([[0.0], np.cumsum(np.where(fresh, usual, rise))])
    return done, np.flatnonzero(fresh) + 1


def _curve(steps: np.ndarray, values: np.ndarray, breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y with a gap before every break; what a log axis cannot show is left out."""
    kept = np.isfinite(values) | np.isin(np.arange(len(values)), breaks)
    x, y = steps[kept], np.where(np.isfinite(values) & (values > 0), values, np.nan)[kept]
    gaps = np.searchsorted(np.flatnonzero(kept), breaks)
    return np.insert(x, gaps, x[gaps]), np.insert(y, gaps, np.nan)


def _stages(axes: "Axes", steps: np.ndarray, names: list[str]) -> None:
    """A thin line where one stage of the fit gives way to the next, where they are few."""
    changes = [k for k in range(1, len(names)) if names[k] != names[k - 1]]
    if not 0 < len(changes) <= _MAXIMUM_STAGES:
        return
    for k in changes:
        axes.axvline(steps[k], color=GREY, linewidth=0.5)
        axes.text(
            steps[k], 0.02, f" {plain(names[k], 18)}", rotation=90, ha="left", va="bottom", fontsize=6.5, color=GREY,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip


def _wall_time(axes: "Axes", steps: np.ndarray, seconds: Any) -> None:
    """A second axis on top: the wall time that had passed at the ticks below."""
    if seconds is None or len(seconds) != len(steps) or len(steps) < 2:
        return
    seconds = np.asarray(seconds, dtype=float)
    if not np.isfinite(seconds).all() or (np.diff(seconds) < 0).any():
        return
    top = axes.twiny()
    top.grid(False)
    low, high = axes.get_xlim()
    axes.locator_params(axis="x", nbins=5)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    top.set_xlim(low, high)
    top.set_xticks(ticks, [f"{np.interp(tick, steps, seconds):.2g}" for tick in ticks])
    top.set_xlabel("wall time [s]")
    top.spines["top"].set_visible(True)
    axes.set_xlim(low, high)
