"""The comparison of estimators on a page: an overview, then one table and one figure per scenario.

Computes nothing: it is given numbers, curves and sentences, and draws them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.estimator_choice import CHOICE, ChoicePoint, choice_figure
from reports.figures.scorecard import SCORECARD, Need, scorecard_figure
from reports.published import Line
from reports.quantities import Number, time_unit
from reports.selection import thin
from reports.style import CYCLE, GREY, INK, WIDE, label, log_axis, new_figure, plain, styled
from reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
SCORE, CHOOSE, OVERVIEW = "scorecard", "choice", "overview"


@dataclass(frozen=True)
class Bar:
    """A value and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class EstimatorRow:
    """One estimator in one scenario: per state RMS, its interval and the settling time; ``score`` in per cent of the ranges."""

    name: str
    rms: tuple[float, ...]
    rms_interval: tuple[tuple[float, float], ...]
    score: Bar
    settling: tuple[float, ...]
    diverged: int
    trials: int
    microseconds: float


@dataclass(frozen=True)
class EstimatorSection:
    """One scenario: a word for its files, its title, what the numbers say, rows, and median errors over time in per cent."""

    name: str
    title: str
    sentence: str
    rows: tuple[EstimatorRow, ...]
    curves: tuple[Line, ...]


def scenario_table(section: EstimatorSection, states: Sequence[tuple[str, str]]) -> Table:
    """Rows of estimators under heads for each state."""
    heads = ["estimator", "error, % of ranges", "95 % interval"]
    for name, _ in states:
        heads += [f"RMS of {name}", "95 % interval"]
    heads += [f"settling of {name}" for name, _ in states] + ["diverged", "µs per step"]
    rows = []
    for row in section.rows:
        cells: list[Any] = [row.name, Number(row.score.value, "", 3), _interval(row.score.low, row.score.high, "")]
        for (_, unit), value, (low, high) in zip(states, row.rms, row.rms_interval, strict=True):
            cells += [Number(value, unit, 3), _interval(low, high, unit)]
        cells += [Number(v, time_unit(), 3) if np.isfinite(v) else "never" for v in row.settling]
        cells += [f"{row.diverged} of {row.trials}", Number(row.microseconds, "", 3)]
        rows.append(tuple(cells))
    return Table(tuple(rows), tuple(heads))


def _interval(low: float, high: float, unit: str) -> Any:
    return (Number(low, "", 3), Number(high, unit, 3)) if np.isfinite(low) else Number(None)


@styled()
def scenario_figure(section: EstimatorSection) -> "Figure":
    """Left: median error over time. Right: the error of the second half with its interval; crosses lost trials."""
    figure = new_figure(WIDE, 3.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    extremes: list[float] = [2.0]
    left.axhline(2.0, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)))
    for n, curve in enumerate(section.curves):
        x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
        shown = thin(len(x))
        y = np.where(np.isfinite(y) & (y > 0), np.minimum(y, 1e4), np.nan)[shown]
        width = 1.6 if curve.name.startswith("REN") else 0.9  # the learned ones must be found at once
        left.plot(x[shown], y, color=_colour(n), linestyle=_dashes(n), linewidth=width, label=plain(curve.name, 30))
        if np.isfinite(y).any():
            extremes += [float(np.nanquantile(y, 0.02)), float(np.nanmax(y))]
    log_axis(left, max(min(extremes) / 2, 1e-10), min(2 * max(extremes), 2e3))
    left.set_xlabel(label("time", time_unit()))
    left.set_ylabel("median of the largest error\n[% of range]")
    names, values = [], []
    for n, row in enumerate(section.rows):
        names.append(plain(row.name, 24))
        bar = row.score
        if np.isfinite(bar.value) and bar.value > 0:
            span = [[max(bar.value - bar.low, 0)], [max(bar.high - bar.value, 0)]]
            marker = "x" if row.diverged else "o"
            right.errorbar(
                [bar.value], [n], xerr=span, fmt=marker, color=_colour(n), markersize=4, linewidth=1.0, capsize=2
            )
            values += [bar.low, bar.high]
        else:
            right.plot([], [])
    right.set_xscale("log")
    good = [v for v in values if np.isfinite(v) and v > 0]
    if good:
        right.set_xlim(min(good) / 2, max(max(good) * 2, min(good) * 20))
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set_xlabel("RMS error, second half [% of ranges]")
    figure.legend(loc="outside lower center", ncols=4, fontsize=6.5)
    return figure


@styled()
def overview_figure(scores: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Estimators by scenarios: errors in per cent of the ranges, dark where small, the best of each row in bold."""
    scenarios = list(scores)
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    values = np.array([[scores[c].get(n, np.nan) for n in names] for c in scenarios], dtype=float)
    with np.errstate(all="ignore"):
        best = np.min(np.where(np.isfinite(values) & (values > 0), values, np.inf), axis=1)
        ratio = np.log10(values / best[:, None])
    figure = new_figure(WIDE, 1.2 + 0.27 * len(scenarios))
    axes = figure.subplots()
    axes.grid(False)
    shade = np.where(np.isfinite(ratio), np.clip(ratio, 0, 1.5), 1.6)
    axes.imshow(shade, cmap="Blues_r", vmin=-0.2, vmax=1.7, aspect="auto")
    for i in range(len(scenarios)):
        for j in range(len(names)):
            value = values[i, j]
            text = "lost" if np.isinf(value) else "–" if np.isnan(value) else f"{value:.2g}"
            winner = np.isfinite(value) and value <= best[i] * (1 + 1e-12)
            axes.text(j, i, text, ha="center", va="center", fontsize=6.5, fontweight="bold" if winner else "normal",
                      color="white" if shade[i, j] < 0.6 else INK)  # fmt: skip
    axes.set_xticks(range(len(names)), [plain(n, 20) for n in names], rotation=30, ha="right")
    axes.set_yticks(range(len(scenarios)), [plain(c, 60) for c in scenarios], fontsize=6.5)
    axes.tick_params(length=0)
    return figure


def _colour(n: int) -> str:
    return CYCLE[n % len(CYCLE)]


def _dashes(n: int) -> Any:
    return DASHES[n // len(CYCLE) % len(DASHES)]


def write_estimators_report(
    folder: str | Path,
    *,
    title: str,
    sections: Sequence[EstimatorSection],
    states: Sequence[tuple[str, str]],
    scores: Mapping[str, Mapping[str, float]],
    advice: Sequence[str],
    strengths: Sequence[tuple[str, str]],
    missing: Sequence[str] = (),
    tables: Sequence[Table] = (),
    needs: Sequence[Need] = (),
    choice: Sequence[ChoicePoint] = (),
    constant_gains: Sequence[tuple[float, float]] = (),
    facts: str = "",
    command: str = "",
) -> Path:
    """Write ``report.html`` and ``figures/scorecard, choice, overview, <scenario>.pdf, .png`` into ``folder``; returns the path of
    the page.

    states : (name, unit). scores : scenario -> estimator -> error in per cent, infinite where trials were lost.
    advice, strengths : sentences on when to prefer which, and (estimator, where it is best). missing : who or what is not
    shown, and why. tables : gaps, tuning and consistency. needs, choice, constant_gains : what the first two figures draw.
    """
    from reports.figures.catalogue import Picture
    from reports.page import embed, page_of
    from reports.writing import publish

    first = []
    if needs:
        names = list(dict.fromkeys(name for need in needs for name in need.values))
        first.append(embed(
            Picture(SCORE, "Which estimator for which need", SCORECARD,
                    "A table of estimators by needs, dark where good.", scorecard_figure(names, needs), True)
        ))  # fmt: skip
    if choice:
        first.append(embed(
            Picture(CHOOSE, "What each costs and what it gives", CHOICE,
                    "Error against processor time per step, and error against settling time.",
                    choice_figure(choice, constant_gains), True)
        ))  # fmt: skip
    if scores:
        first.append(embed(
            Picture(OVERVIEW, "All estimators in all scenarios", _OVERVIEW,
                    "A table of errors, scenarios by estimators, dark where small.", overview_figure(scores), True)
        ))  # fmt: skip
    contents = []
    for section in sections:
        picture = embed(
            Picture(section.name, f"Errors: {section.title}", _READING,
                    "Median errors over time on a log axis, and the errors of the second half with their intervals.",
                    scenario_figure(section), True)
        )  # fmt: skip
        contents.append({"section": section, "table": scenario_table(section, states), "picture": picture})
    embedded = [*first, *(content["picture"] for content in contents)]
    page = page_of(
        "estimators", title=title, contents=contents, first=first, advice=advice, strengths=strengths, missing=missing,
        tables=tables, facts=facts, command=command,
    )  # fmt: skip
    return publish(Path(folder), page, embedded, [SCORE, CHOOSE, OVERVIEW, *(section.name for section in sections)])


_OVERVIEW = (
    "RMS error over all states in per cent of their ranges, second half of the trials. In each row the smallest is bold and darkest; the "
    "palest are thirty times as large or more. “lost”: at least one trial diverged."
)
_READING = (
    "Left: of the largest error of any state, the median over the trials; dotted grey is 2 % of the range. Right: RMS error of the second "
    "half with its 95 % interval over the trials; overlapping intervals do not separate two estimators. A cross instead of a dot: some "
    "trials diverged, and only the others are shown."
)
