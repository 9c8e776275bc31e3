"""The ablation on a page: a table per plant, and the loss over wall time, one panel per factor. Computes nothing but medians."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import Number
from reports.style import BLUE, CYCLE, WIDE, log_axis, new_figure, plain, styled
from reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 2


@dataclass(frozen=True)
class FactorTable:
    """The rows of one plant: factor, name, rate, loss and supremum (median, worst), times_the_default, seconds_to_..."""

    plant: str
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LossCourse:
    """Best held-out loss so far over seconds, for each seed."""

    name: str
    runs: Sequence[tuple[Sequence[float], Sequence[float]]]


def table(content: FactorTable) -> Table:
    """One row per variant."""
    heads = (
        "factor", "setting", "rate bound", "loss, median", "loss, worst", "times the default", "sup |r|, median",
        "s to 1/100 of the initial loss", "ended",
    )  # fmt: skip
    rows = []
    for row in content.rows:
        seconds = row["seconds_to_a_hundredth_of_the_start"]
        rows.append(
            (
                row["factor"], row["name"], Number(row["rate"], "", 4), Number(row["loss"]["median"], "", 3),
                Number(row["loss"]["worst"], "", 3), Number(row["times_the_default"], "", 3),
                Number(row["supremum"]["median"], "", 3), Number(seconds, "", 3) if np.isfinite(seconds) else "never",
                ", ".join(row["status"]),
            )
        )  # fmt: skip
    return Table(tuple(rows), heads, content.plant)


@styled()
def courses_figure(panels: Mapping[str, Sequence[LossCourse]], budget: float) -> "Figure":
    """Held-out loss against wall time: the line is the median of the seeds, the band reaches from the best to the worst."""
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(WIDE, 2.5 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    times = np.geomspace(max(budget, 1e-3) * 1e-2, max(budget, 1e-3) * 1.05, 120)
    extremes: list[float] = []
    for axes, (title, courses) in zip(grid, panels.items(), strict=False):
        for k, course in enumerate(courses):
            values = np.array([_at(times, *run) for run in course.runs])
            colour = BLUE if k == 0 else CYCLE[k % len(CYCLE)]
            dashes = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))[k % 4]
            axes.plot(
                times,
                np.median(values, axis=0),
                color=colour,
                linestyle=dashes,
                linewidth=1.3,
                label=plain(course.name, 34),
            )
            axes.fill_between(times, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.12, linewidth=0)
            extremes += [float(values.min()), float(values.max())]
        axes.set_xscale("log")
        axes.set_title(plain(title, 48))
        axes.legend(fontsize=6.5, loc="lower left")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    log_axis(grid[0], min(extremes, default=1e-6) / 3, 3 * max(extremes, default=1.0))
    figure.supxlabel("wall time [s]")
    figure.supylabel("held-out one-step loss [(state units)²]")
    return figure


def _at(times: np.ndarray, seconds: Sequence[float], losses: Sequence[float]) -> np.ndarray:
    """The value of a step curve at ``times``."""
    return np.asarray(losses, float)[np.maximum(np.searchsorted(np.asarray(seconds), times, side="right") - 1, 0)]


def write_ablation_report(
    folder: str | Path,
    *,
    tables: Sequence[FactorTable],
    courses: Mapping[str, Mapping[str, Sequence[LossCourse]]],
    budget: float,
    seeds: Sequence[int],
    command: str = "",
) -> Path:
    """Write ``report.html`` and ``figures/courses_<plant>.pdf, .png`` into ``folder``; returns the path of the page."""
    from reports.figures.catalogue import Picture
    from reports.page import embed
    from reports.writing import write_tables_report

    pictures = []
    for plant, panels in courses.items():
        reading = (
            "Each panel changes one ingredient of the fit and keeps all others. The line is the median over the seeds of the best "
            "held-out loss so far, the band reaches from the best seed to the worst; lower and further left is better. Time counts "
            "from the call, so that the search for the metric is part of it."
        )
        alt = f"Held-out loss against wall time for {plant}, one panel per factor: {', '.join(panels)}."
        figure = courses_figure(panels, budget)
        pictures.append(embed(Picture(f"courses_{plant}", f"Loss against time, {plant}", reading, alt, figure, True)))
    summary = (
        f"Every setting was fitted for {budget:g} s of wall time on the same data, for seeds {', '.join(map(str, seeds))}. The first row "
        "of a table is the default; every other row changes one thing. Losses are held-out means of |x⁺ − f_o(x, u, y)|² in physical "
        "units; sup |r| is the largest residual over fresh points of the region, in half ranges."
    )
    return write_tables_report(
        folder, title="Ablation of the fit", tables=[table(item) for item in tables], summary=summary,
        pictures=pictures, command=command,
    )  # fmt: skip
