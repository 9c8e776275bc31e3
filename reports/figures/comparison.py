"""Several variants of one experiment, and points read off a publication, on the same axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import time_unit
from reports.selection import absolute_error, hardest_states, quantiles, thin, widths
from reports.style import CYCLE, GREY, INK, WIDE, label, log_axis, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLES = ("line", "dashed", "dotted", "points")
STATISTICS = {"max": "largest of the trials", "rms": "RMS of the trials", "median": "median of the trials"}


@dataclass(frozen=True)
class Curve:
    """An error over time to draw beside others.

    label : what the legend calls it.
    t, values : seconds, and error in the unit of the state; of one length. Not finite or not positive: not drawn.
    style : ``"line"``, ``"dashed"``, ``"dotted"`` or ``"points"`` (markers alone: digitised figures).
    """

    label: str
    t: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray
    style: str = "line"

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ValueError(f"curve '{self.label}': style is {self.style!r}; expected one of {', '.join(STYLES)}")
        if len(self.t) != len(self.values):
            raise ValueError(
                f"curve '{self.label}': {len(self.t)} times and {len(self.values)} values; give one for each"
            )


def error_curve(validation: Any, state: str, name: str, statistic: str = "max", style: str = "line") -> Curve:
    """The error of one state over the trials of a validation, by ``statistic`` (max, rms, median)."""
    if statistic not in STATISTICS:
        raise ValueError(f"statistic is {statistic!r}; expected one of {', '.join(STATISTICS)}")
    if state not in validation.state_names:
        raise ValueError(f"state {state!r} is not one of {', '.join(validation.state_names)}")
    error = absolute_error(validation)[..., list(validation.state_names).index(state)]
    if statistic == "max":
        values = error.max(axis=0)
    elif statistic == "rms":
        values = np.sqrt(np.mean(error**2, axis=0))
    else:
        values = quantiles(error, (0.5,))[0]
    return Curve(name, np.asarray(validation.t, dtype=float), values, style)


def comparison_figure(
    validations: Mapping[str, Any],
    reference: Mapping[str, Sequence[Curve]] | None = None,
    statistics: Sequence[str] = ("max",),
) -> "Figure":
    """Error of each state on a log axis, one colour per variant, one line style per statistic, reference in grey.

    validations : variant name -> Validation, all with the states of the first.
    reference : state name -> curves to add to its panel.
    """
    first = next(iter(validations.values()))
    states = hardest_states(first)
    names, units = [first.state_names[i] for i in states], first.units
    reference = reference or {}
    unknown = sorted(set(reference) - set(first.state_names))
    if unknown:
        raise ValueError(f"reference curves for {', '.join(unknown)}; expected states: {', '.join(first.state_names)}")
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    with styled():
        figure = new_figure(WIDE, 0.9 + rows * 2.4)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        handles: dict[str, Any] = {}
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        for axes, i, name in zip(grid, states, names, strict=False):
            width = widths(first)[i]
            extremes = [0.02 * width]
            handles["2 % of range"] = axes.axhline(0.02 * width, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)))
            for n, (variant, validation) in enumerate(validations.items()):
                for statistic, style in zip(statistics, ("line", "dashed", "dotted"), strict=False):
                    text = f"{plain(variant)}: {STATISTICS[statistic]}"
                    curve = error_curve(validation, name, text, statistic, style)
                    handles[text] = _draw(axes, curve, CYCLE[n % len(CYCLE)], extremes, 20 * width)
            for n, curve in enumerate(reference.get(name, ())):
                handles[curve.label] = _draw(axes, curve, (INK, GREY)[n % 2], extremes, 20 * width, n)
            axes.set_xlim(float(first.t[0]), max(float(v.t[-1]) for v in validations.values()))
            log_axis(axes, max(min(extremes) / 2, 1e-9 * width), min(2 * max(extremes), 20 * width))
            axes.set_ylabel(label(name, units[i], "|error of {}|"))
        figure.supxlabel(label("time", time_unit()))
        texts = list(handles)
        texts = [*texts[1:], texts[0]]
        figure.legend(
            [handles[text] for text in texts], [plain(text, 60) for text in texts], loc="outside upper center", ncols=2
        )
    return figure


def comparison_reading(
    validations: Mapping[str, Any],
    reference: Mapping[str, Sequence[Curve]] | None = None,
    statistics: Sequence[str] = ("max",),
) -> str:
    """How to read the figure."""
    first = next(iter(validations.values()))
    drawn = " and ".join(STATISTICS[statistic] for statistic in statistics)
    text = (
        f"One colour per variant; of its errors at each time the {drawn}. Lower is better; dotted grey is 2 % "
        "of the range."
    )
    if any(reference.values() if reference else ()):
        text += " Black and grey are the reference curves named in the legend."
    shown = len(hardest_states(first))
    if shown < len(first.state_names):
        text += f" Of the {len(first.state_names)} states the {shown} with the largest error of {next(iter(validations))} are shown."
    return text


def _draw(axes: Any, curve: Curve, colour: str, extremes: list[float], ceiling: float, n: int = 0) -> Any:
    t, values = np.asarray(curve.t, dtype=float), np.asarray(curve.values, dtype=float)
    if curve.style == "points":
        style: dict[str, Any] = {"linestyle": "", "marker": "osD^"[n % 4], "markersize": 4.5, "markeredgewidth": 0}
        shown = np.arange(len(t))
    else:
        dashes = {"line": "-", "dashed": (0, (4, 1.5)), "dotted": (0, (1, 1.2))}
        style = {"linestyle": dashes[curve.style], "linewidth": 1.2}
        shown = thin(len(t))
    drawn = np.where(values[shown] > 0, np.minimum(values[shown], ceiling * 1e3), np.nan)
    finite = drawn[np.isfinite(drawn)]
    if finite.size:
        # The low end is a quantile: an error that changes sign dips to any depth for one sample.
        extremes += [float(np.quantile(finite, 0.0 if curve.style == "points" else 0.05)), float(finite.max())]
    return axes.plot(t[shown], drawn, color=colour, zorder=4 if curve.style == "points" else 2, **style)[0]
