"""The proved envelope over the trials, and the residual over two states with its proved and attained suprema."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.errors import FLOOR, _curves
from reports.quantities import time_unit
from reports.selection import absolute_error, hardest_states, omitted, widths, window_mask, worst_trial
from reports.style import BAND, COLUMN, INK, LINES, VERMILION, WIDE, label, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from observer.validation.envelopes import TrialEnvelopes


def envelope_figure(validation: Any, trials: "TrialEnvelopes") -> "Figure":
    """|error| of each state (hardest 6) with the largest envelope of the trials, proved while the plant is in X.

    Samples after a trial left X are not drawn: the envelope does not cover them.
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
        figure.supxlabel(label("time", time_unit()))
        proved = f"{trials.kind} envelope, largest of the trials"
        limit = "its ultimate bound"
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
    """How to read the map, with both suprema as numbers."""
    p, (i, j) = bounds.proof.residual, bounds.residual_map.states
    names = [*(s.name for s in system.states), *(s.name for s in system.inputs)]
    rest = ", ".join(
        f"{n} = {v:.3g}" for k, (n, v) in enumerate(zip(names, p.attained_at, strict=True)) if k not in (i, j)
    )
    return (
        f"A slice of X × U{f' at {rest}' if rest else ''}: the distance between one step of the observer and one step of the plant. "
        f"The ring, and the red mark on the scale, are the largest residual found (attained): {p.lower:.4g}. No point of X × U, in this "
        f"slice or outside it, exceeds {p.upper:.4g} (proved; dashed on the scale where it fits)."
    )


def envelope_reading(validation: Any, trials: "TrialEnvelopes") -> str:
    """How to read the errors and their envelope."""
    count = len(validation.x)
    if trials.kind == "sampled":
        return (
            "Green: an envelope whose rate is proved and whose residual was only sampled, along the data of the fit. "
            f"{trials.crossed} of {count} trials cross it: they met a larger residual, which does not contradict the proved rate."
            + omitted(validation)
        )
    text = (
        f"Green: no trial exceeds it while the plant is in X; {trials.crossed} of {count} do. It starts at the initial error of the trial "
        "with the widest envelope and is the smallest of the bounds that apply "
        f"(ultimate bound: {', '.join(dict.fromkeys(trials.names))}). "
    )
    text += (
        "It is proved for the discretised plant; these trials follow the ODE, so the measured discretisation error is added. "
        if trials.against_ode
        else "It is proved. "
    )
    left = f"{trials.left} trials left X and are drawn until then." if trials.left else "No trial left X."
    return text + left + omitted(validation)
