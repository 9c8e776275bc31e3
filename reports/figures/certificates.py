"""The proved envelope over the trials, and the residual over two states with its proved and attained suprema."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.errors import FLOOR, _curves
from reports.selection import absolute_error, hardest_states, widths, window_mask, worst_trial
from reports.style import BAND, COLUMN, INK, LINES, VERMILION, WIDE, label, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from observer.validation.envelopes import TrialEnvelopes


def envelope_figure(validation: Any, trials: "TrialEnvelopes") -> "Figure":
    """|error| of each state (hardest 6) with the largest envelope of the trials, proved while the plant is in X.

    Samples after a trial left X are not drawn: nothing is claimed of them.
    """
    error = np.where(trials.inside[..., None], absolute_error(validation), np.nan)
    t, states, width = np.asarray(validation.t, dtype=float), hardest_states(validation), widths(validation)
    columns = 2 if len(states) in (2, 4) else min(len(states), 3)
    rows = -(-len(states) // columns)
    with styled():
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        figure = new_figure(WIDE, 0.85 + rows * (2.2 if rows == 1 else 1.9))
        grid = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axes in grid[len(states) :]:
            axes.set_visible(False)
        for axes, i in zip(grid, states, strict=False):
            lines = {
                "certified": np.max(trials.bound[..., i], axis=0),
                "limit": np.full(len(t), trials.steady[i]),
            }
            seen = np.where(np.isnan(error[..., i]), 0.0, error[..., i])
            _curves(
                axes, t, seen, lines, worst_trial(validation), window_mask(validation), FLOOR * width[i], 20 * width[i]
            )
            axes.set_ylabel(label(validation.state_names[i], validation.units[i], "|error of {}|"))
        figure.supxlabel("time [s]")
        proved = f"{trials.kind} envelope, largest of the trials"
        limit = "its level in the long run"
        handles = [
            Line2D([], [], **LINES["median"], label="median of the trials"),
            Patch(**BAND, label="90 % of the trials"),
            Line2D([], [], **LINES["worst"], label="worst trial"),
            Line2D([], [], **LINES["certified"], label=proved),
            Line2D([], [], **LINES["limit"], label=limit),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, labelcolor=INK)
    return figure


def residual_figure(bounds: Any, system: Any) -> "Figure":
    """|r|_M over two states, everything else as at the worst point found; that point, and both suprema on the scale."""
    from matplotlib.colors import Normalize

    area, p = bounds.residual_map, bounds.proof.residual
    i, j = area.states
    top = max(p.upper if p.upper < 3 * p.lower else 1.2 * p.lower, 1e-300)
    with styled():
        figure = new_figure(COLUMN, 3.4)
        axes = figure.subplots()
        axes.grid(False)
        image = axes.pcolormesh(
            area.first,
            area.second,
            area.values,
            norm=Normalize(0, top),
            cmap="cividis",
            shading="nearest",
            rasterized=True,
        )
        axes.plot(
            p.attained_at[i], p.attained_at[j], "o", mfc="none", mec=VERMILION, mew=1.4, ms=8, clip_on=False, zorder=5
        )
        axes.set_xlabel(label(system.states[i].name, system.states[i].unit))
        axes.set_ylabel(label(system.states[j].name, system.states[j].unit))
        bar = figure.colorbar(image, ax=axes, label=r"$|r|_M$  [–]", location="top", aspect=30)
        bar.ax.axvline(p.lower, color=VERMILION, linewidth=1.4)
        if p.upper <= top:
            bar.ax.axvline(p.upper, color=INK, linewidth=1.6, linestyle=(0, (2, 1)))
    return figure


def residual_reading(bounds: Any, system: Any) -> str:
    """How the map is read, with both suprema in figures."""
    p, (i, j) = bounds.proof.residual, bounds.residual_map.states
    names = [*(s.name for s in system.states), *(s.name for s in system.inputs)]
    rest = ", ".join(
        f"{n} = {v:.3g}" for k, (n, v) in enumerate(zip(names, p.attained_at, strict=True)) if k not in (i, j)
    )
    return (
        f"A slice of X × U{f' at {rest}' if rest else ''}: how far one step of the observer is from the plant. The ring, and the red mark "
        f"on the scale, are the largest residual that was found (attained): {p.lower:.4g}. No point of X × U, in this slice or "
        f"outside it, exceeds {p.upper:.4g} (proved; dashed on the scale where it is within reach)."
    )
