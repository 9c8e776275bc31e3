"""Estimators by needs: one row per estimator, one column per question that a person choosing one asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reports.style import INK, WIDE, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALIKE = 0.02  # of the best value: what is bold with it
PALEST = 1.5  # decades from the best, where a cell is palest


@dataclass(frozen=True)
class Need:
    """One column: ``title``, ``values`` by estimator, smaller is better; infinite where trials were lost, nan where not measured.

    ``kind``: "ratio" (times the smallest error), "plain" (a number with its own unit), "count" (0 is best, anything else is
    shaded as bad), or "flag" (1 is good, 0 is not).
    """

    title: str
    values: Mapping[str, float]
    kind: str = "ratio"


def scorecard_figure(names: Sequence[str], needs: Sequence[Need]) -> "Figure":
    """Cells dark where good; the best of each column is bold."""
    with styled():
        figure = new_figure(WIDE, 0.75 + 0.24 * len(names))
        figure.get_layout_engine().set(rect=(0.02, 0.0, 0.98, 1.0))  # type: ignore[union-attr]
        axes = figure.subplots()
        axes.grid(False)
        values = np.array([[need.values.get(name, np.nan) for need in needs] for name in names], dtype=float)
        shade = np.stack([_shade(need.kind, column) for need, column in zip(needs, values.T, strict=True)], axis=1)
        axes.imshow(shade, cmap="Blues_r", vmin=-0.35, vmax=1.1, aspect="auto")
        for j, need in enumerate(needs):
            best = _best(need.kind, values[:, j])
            for i in range(len(names)):
                bold = need.kind != "count" and np.isfinite(values[i, j]) and abs(values[i, j] - best) <= ALIKE * best
                axes.text(
                    j, i, _text(need.kind, values[i, j]), ha="center", va="center", fontsize=7,
                    fontweight="bold" if bold else "normal", color="white" if shade[i, j] < 0.35 else INK,
                )  # fmt: skip
        axes.set_xticks(range(len(needs)), [need.title for need in needs], fontsize=6.8)
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(names)), [plain(name, 24) for name in names], fontsize=7)
        axes.tick_params(length=0)
        for edge in axes.spines.values():
            edge.set_visible(False)
        axes.set_xticks(np.arange(1, len(needs)) - 0.5, minor=True)
        axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
        axes.grid(True, which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
    return figure


def _best(kind: str, column: np.ndarray) -> float:
    finite = column[np.isfinite(column)]
    if not finite.size:
        return np.nan
    return float(finite.max() if kind == "flag" else finite.min())


def _shade(kind: str, column: np.ndarray) -> np.ndarray:
    """0 for the best, 1 for the palest."""
    if kind == "flag":
        return np.where(column > 0, 0.0, 1.0)
    if kind == "count":
        return np.where(column > 0, 1.0, 0.0)
    with np.errstate(all="ignore"):
        decades = np.log10(column / max(_best(kind, column), 1e-300))
    return np.where(np.isfinite(decades), np.clip(decades / PALEST, 0.0, 1.0), 1.0)


def _text(kind: str, value: float) -> str:
    if kind == "flag":
        return "yes" if value > 0 else "no"
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "lost" if kind == "ratio" else "never"
    if kind == "count":
        return f"{value:.0f}"
    if kind == "ratio":
        return f"{value:.1f}" if value < 9.95 else f"{value:.0f}" if value < 1000 else f"{value:.0e}"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


SCORECARD = (
    "One row per estimator, one column per question; dark is good, the best of a column is bold. Errors are RMS over the second half of "
    "the trials as multiples of the smallest one in the same scenario, the worst where a column stands for several; “lost”: a trial "
    "diverged there. “settles”: median time until the slowest state stays within 2 % of its range. “lost runs”: over all scenarios. "
    "“proved”: convergence from every initial state is a theorem about the shipped weights, not an observation."
)
