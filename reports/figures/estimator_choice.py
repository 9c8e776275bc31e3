"""What an estimator costs and what it gives: error against time per step, and error against speed, beside all constant gains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import time_unit
from reports.style import BLUE, GREY, INK, VERMILION, WIDE, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOPELESS = 100.0  # times the smallest error: not drawn, it would flatten the rest; what is proved always is
ROOM = 0.045  # of the axes' height that a label needs


@dataclass(frozen=True)
class ChoicePoint:
    """An estimator under the stated noise: error and its interval [% of ranges], time per step [µs], settling time [s].

    ``proved``: contraction is proved. ``lost``: a trial diverged in some scenario.
    """

    name: str
    error: float
    low: float
    high: float
    microseconds: float
    settling: float
    proved: bool
    lost: bool


def choice_figure(points: Sequence[ChoicePoint], constant_gains: Sequence[tuple[float, float]] = ()) -> "Figure":
    """Left: error against processor time. Right: error against settling time; ``constant_gains``: (settling time, error)."""
    sound = [p for p in points if np.isfinite(p.error) and p.error > 0]
    shown = [p for p in sound if p.proved or p.error <= HOPELESS * min(q.error for q in sound)]
    with styled():
        figure = new_figure(WIDE, 3.6)
        left, right = figure.subplots(1, 2, sharey=True)
        levels = [v for p in shown for v in (p.low, p.high) if v > 0] or [0.1, 1.0]
        bottom, top = min(levels) / 1.6, max(levels) * 1.6
        times = [p.microseconds for p in shown if p.microseconds > 0] or [1.0]
        speeds = [p.settling for p in shown if np.isfinite(p.settling) and p.settling > 0]
        curve = sorted(
            (s, e) for s, e in constant_gains if np.isfinite(s) and s > 0 and np.isfinite(e) and bottom < e < top
        )
        speeds = speeds + [s for s, _ in curve] or [1.0]
        for axes in (left, right):
            axes.set(xscale="log", yscale="log", ylim=(bottom, top))
        left.set_xlim(min(times) / 1.7, max(times) * 9)
        right.set_xlim(min(speeds) / 1.7, max(speeds) * 4)
        if curve:
            right.plot(*zip(*_front(curve), strict=True), color=GREY, linewidth=1.1, zorder=1)
        _points(left, [(p.microseconds, p) for p in shown])
        _points(right, [(p.settling, p) for p in shown if np.isfinite(p.settling) and p.settling > 0])
        left.set_xlabel("processor time per step [µs]")
        right.set_xlabel(f"settling time, slowest state [{time_unit()}]")
        left.set_ylabel("RMS error with noise [% of ranges]")
        left.set_title("cheap and exact: down and left")
        right.set_title("fast, low noise gain: down and left")
        figure.legend(handles=_handles(bool(curve)), loc="outside lower center", ncols=4)
    return figure


def _front(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """What no other constant gain beats in both."""
    kept: list[tuple[float, float]] = []
    for speed, error in curve:
        if not kept or error < kept[-1][1]:
            kept.append((speed, error))
    return kept


def _style(point: ChoicePoint) -> dict[str, Any]:
    colour = BLUE if point.proved else VERMILION if point.lost else INK
    return {"marker": "o" if point.proved else "x" if point.lost else "s", "color": colour,
            "markerfacecolor": colour if point.proved else "white"}  # fmt: skip


def _points(axes: Any, placed: Sequence[tuple[float, ChoicePoint]]) -> None:
    """Points with their intervals, and names beside them that do not cover each other."""
    low, high = np.log(axes.get_ylim())
    free = -np.inf
    for x, point in sorted(placed, key=lambda item: item[1].error):
        style = _style(point)
        span = [[max(point.error - point.low, 0)], [max(point.high - point.error, 0)]]
        axes.errorbar([x], [point.error], yerr=span, color=style["color"], linewidth=0.9, capsize=1.5, linestyle="")
        axes.plot([x], [point.error], linestyle="", markersize=5, **style)
        at = max((np.log(point.error) - low) / (high - low), free + ROOM)
        free = at
        text = float(np.exp(low + at * (high - low)))
        axes.annotate(
            plain(point.name, 24), (x, point.error), xytext=(x * 1.35, text), fontsize=6.5, va="center", ha="left",
            color=style["color"], arrowprops={"arrowstyle": "-", "color": "#c3c8d0", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def _handles(curve: bool) -> list[Any]:
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], linestyle="", marker="o", color=BLUE, markersize=5, label="convergence proved"),
        Line2D(
            [], [], linestyle="", marker="s", color=INK, markerfacecolor="white", markersize=5, label="nothing proved"
        ),
        Line2D([], [], linestyle="", marker="x", color=VERMILION, markersize=5, label="lost runs somewhere"),
    ]
    gains = [Line2D([], [], color=GREY, linewidth=1.1, label="constant gains")] if curve else []
    return marks + gains


CHOICE = (
    "All estimators under the stated noise, with 95 % intervals. Left: what a step costs the processor and what error is left. Right: how "
    "soon a large initial error decays (median until the slowest state stays within 2 % of its range; estimators that never do "
    "are left out) and what error is left. The grey line shows constant gains on the same trials, from high to low gain. "
    "Estimators with a hundred times the smallest error are not drawn."
)
