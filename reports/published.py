"""The published tables on a page: ours (median and worst over seeds), the published value, the bar, and a figure each.

Computes nothing: it is given numbers and curves, and draws them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import Number
from reports.style import CYCLE, GREY, INK, WIDE, label, log_axis, new_figure, plain, styled
from reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 2
STATUS_MARKS = {"pass": "✓ pass", "median only": "median only", "fail": "✗ fail", "not measured": "–"}


@dataclass(frozen=True)
class PublishedRow:
    """One line of a table; smaller values are better. ``strict``: the bar is to be undercut. ``extra``: further cells.

    ``seconds``, ``processor_seconds``: medians over the seeds of a fit's wall time and of what it got of the processor.
    """

    name: str
    unit: str
    median: float
    worst: float
    published: float | None
    bar: float | None
    strict: bool
    status: str
    seconds: float
    processor_seconds: float
    seeds: int
    extra: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Line:
    """A curve of a panel over seconds, or points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    points: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line; ``kind`` is ``published`` or ``bar``."""

    name: str
    value: float
    kind: str


@dataclass(frozen=True)
class Panel:
    """One pair of axes: error over time on a log scale."""

    title: str
    axis: str
    lines: tuple[Line, ...]
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True)
class PublishedSection:
    """One protocol: its table with the heads of the extra columns, remarks (reasons), recipes, and its figure's panels."""

    name: str
    title: str
    intro: str
    rows: tuple[PublishedRow, ...]
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()


def published_table(section: PublishedSection) -> Table:
    """The section's rows under column heads."""
    heads = (
        "entry",
        "ours, median",
        "ours, worst",
        "published",
        "bar",
        *section.extra,
        "verdict",
        "fit",
        "its processor time",
        "seeds",
    )
    rows = tuple(
        (
            row.name, Number(row.median, row.unit, 3), Number(row.worst, row.unit, 3), Number(row.published, row.unit, 3),
            _bar(row), *row.extra, STATUS_MARKS.get(row.status, row.status), Number(row.seconds, "s", 3),
            Number(row.processor_seconds, "s", 3), Number(row.seeds),
        )
        for row in section.rows
    )  # fmt: skip
    return Table(rows, heads)


def _bar(row: PublishedRow) -> Any:
    if row.bar is None:
        return Number(None)
    return f"< {row.bar:.3g}" if row.strict else f"≤ {row.bar:.3g}"


@styled()
def panels_figure(panels: Sequence[Panel]) -> "Figure":
    """The panels of one protocol, two abreast; published values solid and bars dotted across them."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(WIDE, 2.9 * rows)
    for axes, panel in zip(np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel(), panels, strict=False):
        _draw(axes, panel)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def _draw(axes: Any, panel: Panel) -> None:
    extremes: list[float] = []
    for n, line in enumerate(panel.lines):
        y = np.asarray(line.y, dtype=float)
        y = np.where(np.isfinite(y) & (y > 0), y, np.nan)
        style = {"linestyle": "", "marker": "o", "markersize": 4, "color": INK} if line.points else {
            "linewidth": 1.0, "color": CYCLE[n % len(CYCLE)], "linestyle": ("-", (0, (4, 1.5)))[n // len(CYCLE) % 2],
        }  # fmt: skip
        axes.plot(line.x, y, label=plain(line.name, 40), **style)
        if np.isfinite(y).any():
            extremes += [float(np.nanquantile(y, 0.02)), float(np.nanmax(y))]
    for n, level in enumerate(panel.levels):
        dashes = (0, (1, 1.5)) if level.kind == "bar" else ("-", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (2, 1)))[n % 4]
        colour = GREY if level.kind == "bar" else INK
        axes.axhline(level.value, color=colour, linewidth=0.8, linestyle=dashes, label=plain(level.name, 44))
        extremes.append(level.value)
    log_axis(axes, min(extremes, default=1e-3) / 2, 2 * max(extremes, default=1.0))
    axes.set_title(plain(panel.title, 40))
    axes.set_xlabel(label("time", "s"))
    axes.set_ylabel(plain(panel.axis, 40))
    axes.legend(fontsize=6, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below: lines cross every corner


def write_published_report(
    folder: str | Path, *, sections: Sequence[PublishedSection], command: str = "", size: str = "full"
) -> Path:
    """Write ``report.html`` and ``figures/<section>.pdf, .png`` into ``folder``; returns the path of the page."""
    from reports.figures.catalogue import Picture
    from reports.page import embed, page_of
    from reports.writing import publish

    embedded, contents = [], []
    for section in sections:
        picture = None
        if section.panels:
            picture = embed(
                Picture(
                    section.name, f"Errors over time: {section.title}", _READING,
                    f"Errors over time on a log axis, one panel per {'plant' if len(section.panels) > 1 else 'protocol'}.",
                    panels_figure(section.panels), True,
                )
            )  # fmt: skip
            embedded.append(picture)
        contents.append({"section": section, "table": published_table(section), "picture": picture})
    page = page_of("published", sections=contents, counts=_counts(sections), command=command, toy=size != "full")
    return publish(Path(folder), page, embedded, [section.name for section in sections])


def _counts(sections: Sequence[PublishedSection]) -> Mapping[str, int]:
    statuses = [row.status for section in sections for row in section.rows]
    return {name: statuses.count(name) for name in STATUS_MARKS} | {"all": len(statuses)}


_READING = (
    "The lowest measured seed. Each line is our error over time; horizontal black lines are published values, dotted grey ones the "
    "required bounds. A published value is a mean over the whole trial, so ours meets it when its mean, not every sample, lies below."
)
