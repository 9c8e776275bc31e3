"""The page of a short experiment: verdict with its criteria, tables, and charts of lines and points. Computes nothing.

An experiment gives numbers and curves; ``write_experiment_page`` draws and writes. See ``experiments/named/curve_fit/page.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import Number
from reports.style import COLUMN, CYCLE, GREY, INK, WIDE, label, new_figure, plain, styled
from reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
_MARKERS = "osD^vP"


@dataclass(frozen=True)
class Requirement:
    """One requirement and what was found; an experiment passes when all of them are met."""

    name: str
    value: Number
    requirement: str
    passed: bool

    def to_data(self) -> dict[str, Any]:
        """Plain numbers, for ``metrics.json``."""
        return {
            "name": self.name, "value": self.value.value, "requirement": self.requirement, "passed": bool(self.passed),
        }  # fmt: skip


@dataclass(frozen=True)
class Series:
    """y over x. ``kind``: line, points, both, or band (between ``y`` and ``upper``). ``role``: published (black), bound
    (grey, dotted) or empty (a colour of its own; curves with the same ``colour`` number share it).
    """

    name: str
    x: Any
    y: Any
    kind: str = "line"
    role: str = ""
    colour: int | None = None
    upper: Any = None


@dataclass(frozen=True)
class Chart:
    """One pair of axes; ``log`` holds the letters of the axes on a log scale ("", "x", "y" or "xy").

    ``limits``: of y, where the data should not set them. ``levels``: (name, value) of horizontal lines.
    """

    title: str
    x_name: str
    y_name: str
    curves: tuple[Series, ...]
    x_unit: str = ""
    y_unit: str = ""
    log: str = ""
    limits: tuple[float, float] | None = None
    levels: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class ChartFigure:
    """Charts that make one figure, two abreast. ``name``: of its files. ``reading``: how it is read."""

    name: str
    title: str
    reading: str
    charts: tuple[Chart, ...]
    legend_columns: int = 2


def write_experiment_page(
    folder: str | Path,
    *,
    title: str,
    sentence: str,
    criteria: Sequence[Requirement],
    summary: str = "",
    tables: Sequence[Table] = (),
    figures: Sequence[ChartFigure] = (),
    notes: Sequence[str] = (),
    command: str = "",
    toy: bool = False,
    eyebrow: str = "Experiment",
) -> Path:
    """Write ``report.html`` and ``figures/<name>.pdf, .png`` into ``folder``; returns the path of the page.

    sentence : what the verdict says. criteria : each with its number. summary : a paragraph under the verdict. notes :
    remarks under the tables; `code` between backticks. command : the command line that makes it again. toy : the size is
    that of a test, and the page says so. eyebrow : the line above the title: what kind of page it is.
    """
    from reports.figures.catalogue import Picture
    from reports.page import embed, page_of
    from reports.writing import publish

    embedded = [
        embed(Picture(f.name, f.title, f.reading, _spoken(f), charts_figure(f), len(f.charts) > 1)) for f in figures
    ]
    page = page_of(
        "experiment", title=title, status="pass" if all(c.passed for c in criteria) else "fail", sentence=sentence,
        criteria=criteria, summary=summary, tables=tables, notes=notes, command=command, pictures=embedded, toy=toy, eyebrow=eyebrow,
    )  # fmt: skip
    return publish(Path(folder), page, embedded, [f.name for f in figures])


@styled()
def charts_figure(content: ChartFigure) -> "Figure":
    """The charts of one figure; legends stand below, where no line crosses them."""
    columns = min(2, len(content.charts))
    rows = -(-len(content.charts) // columns)
    longest = max(sum(1 for c in chart.curves if c.name) + len(chart.levels) for chart in content.charts)
    legend = 0.16 * -(-longest // content.legend_columns)
    figure = new_figure(WIDE if columns > 1 else COLUMN, rows * (2.5 + legend))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, chart in zip(grid, content.charts, strict=False):
        _draw(axes, chart, content.legend_columns)
    for axes in grid[len(content.charts) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Any, chart: Chart, legend_columns: int) -> None:
    own = 0
    for curve in chart.curves:
        number = own if curve.colour is None else curve.colour
        own += curve.role == "" and curve.colour is None
        _curve(axes, curve, number, positive="y" in chart.log)
    for name, value in chart.levels:
        axes.axhline(value, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)), label=plain(name, 44))
    if "x" in chart.log:
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=7)  # long tick labels would touch
    if "y" in chart.log:
        axes.set_yscale("log")
    if chart.limits is not None:
        axes.set_ylim(*chart.limits)
    axes.set_title(plain(chart.title, 60))
    axes.set_xlabel(label(chart.x_name, chart.x_unit))
    axes.set_ylabel(label(chart.y_name, chart.y_unit))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            fontsize=6.5, ncols=legend_columns, loc="upper center", bbox_to_anchor=(0.5, -0.2), borderaxespad=0.0
        )


def _curve(axes: Any, curve: Series, number: int, positive: bool) -> None:
    colour = {"published": INK, "bound": GREY}.get(curve.role, CYCLE[number % len(CYCLE)])
    y = np.asarray(curve.y, dtype=float)
    y = np.where(np.isfinite(y) & (y > 0), y, np.nan) if positive else y
    name = plain(curve.name, 44) if curve.name else "_"
    if curve.kind == "band":
        axes.fill_between(curve.x, y, curve.upper, color=colour, alpha=0.15, linewidth=0, label=name)
        return
    dashes = (0, (1, 1.5)) if curve.role == "bound" else _DASHES[number // len(CYCLE) % len(_DASHES)]
    marker = _MARKERS[number % len(_MARKERS)] if curve.kind in ("points", "both") else ""
    axes.plot(
        curve.x, y, color=colour, label=name, linewidth=1.2, linestyle="" if curve.kind == "points" else dashes,
        marker=marker, markersize=3.2, zorder=3 if curve.role else 2.5,
    )  # fmt: skip


def _spoken(content: ChartFigure) -> str:
    charts = "; ".join(
        f"{c.title}: {c.y_name} over {c.x_name}, {', '.join(k.name for k in c.curves if k.name)}"
        for c in content.charts
    )
    return f"{charts}."
