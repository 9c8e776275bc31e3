"""The convergence map over two states (or a curve over one), and the worst initial states that a search found, beside random ones."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import number_text, time_unit
from reports.style import COLUMN, INK, LINES, VERMILION, WIDE, label, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from observer.validation.worst_cases import ConvergenceMap, WorstCaseStudy, WorstInitialStates
    from systems.system import System

FLOOR = 1e-12  # of a late error on a log axis
TITLES = {"settling": "lasts longest", "late": "largest late"}


def convergence_map_figure(area: "ConvergenceMap", system: "System") -> "Figure":
    """Settling time and late error over the initial states of the plant, in two of them, with contours; for one state two curves."""
    with styled():
        if len(area.states) == 1:
            return _curves(area, system)
        from matplotlib.colors import LogNorm, Normalize
        from matplotlib.patches import Rectangle

        i, j = area.states
        figure = new_figure(WIDE, 3.1)
        panels = figure.subplots(1, 2, sharey=True)
        late = np.maximum(100 * area.late, 100 * FLOOR)
        settling = np.where(np.isinf(area.settling), np.nan, area.settling)
        for axes, values, text, scale in (
            (panels[0], settling, label("settles after", time_unit()), Normalize(0, _top(settling, area.duration))),
            (panels[1], late, "late error [% of range]", _log(late, LogNorm)),
        ):
            axes.grid(False)
            axes.set_facecolor("#d1d5db")
            image = axes.pcolormesh(
                area.first, area.second, values.T, norm=scale, cmap="cividis", shading="nearest", rasterized=True
            )
            _contours(axes, area, values, scale)
            box = system.initial_ranges[[i, j]]
            axes.add_patch(
                Rectangle((box[0][0], box[1][0]), np.ptp(box[0]), np.ptp(box[1]), fill=False, **_REGION, zorder=4)
            )
            axes.set(xlim=_ends(area.first), ylim=_ends(area.second))
            axes.set_xlabel(label(system.states[i].name, system.states[i].unit))
            bar = figure.colorbar(image, ax=axes, label=text, location="top", aspect=32, pad=0.02)
            low, high = float(scale.vmin or 0.0), float(scale.vmax or 1.0)
            if isinstance(scale, LogNorm) and high < 1000 * low:  # between decades there are no good ticks
                ticks = np.geomspace(low, high, 5)[1:-1].tolist()
                bar.set_ticks(ticks, labels=[number_text(v, 3) for v in ticks], minor=False)
                bar.minorticks_off()
        panels[0].set_ylabel(label(system.states[j].name, system.states[j].unit))
    return figure


_REGION = {"edgecolor": "white", "linewidth": 1.0, "linestyle": (0, (3, 2))}


def _ends(values: np.ndarray) -> tuple[float, float]:
    half = 0.5 * (values[1] - values[0])
    return float(values[0] - half), float(values[-1] + half)


def _top(values: np.ndarray, otherwise: float) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size and known.max() > 0 else otherwise


def _log(values: np.ndarray, norm: Any) -> Any:
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (1e-6, 1.0)
    short = max(1.0, np.sqrt(10 * low / high))  # at least a decade: no differences where there are none
    return norm(low / short, high * short)


def _contours(axes: Any, area: "ConvergenceMap", values: np.ndarray, scale: Any) -> None:
    """A few lines with their values, where there is something between lowest and highest."""
    known = values[np.isfinite(values)]
    if not known.size or min(values.shape) < 3 or not known.max() > 1.2 * max(known.min(), 1e-300):
        return
    low, high = scale((known.min(), known.max()))
    spaced = np.linspace(low, high, 7)[1:-1]
    levels = np.unique(scale.inverse(spaced))
    lines = axes.contour(
        area.first, area.second, np.ma.masked_invalid(values.T), levels=levels, colors="white", linewidths=0.6
    )
    axes.clabel(lines, fmt=lambda value: number_text(value, 2), fontsize=6.5)


def _curves(area: "ConvergenceMap", system: "System") -> "Figure":
    state = system.states[area.states[0]]
    figure = new_figure(COLUMN, 3.4)
    panels = figure.subplots(2, 1, sharex=True)
    panels[0].plot(area.first, area.settling[:, 0], **LINES["median"])
    panels[0].set_ylabel(label("settles after", time_unit()))
    panels[0].set_ylim(bottom=0)
    panels[1].semilogy(area.first, np.maximum(100 * area.late[:, 0], 100 * FLOOR), **LINES["median"])
    panels[1].set_ylabel("late error [% of range]")
    low, high = system.initial_ranges[area.states[0]]
    for axes in panels:
        for edge in (low, high):
            axes.axvline(edge, **LINES["region"])
    panels[1].set_xlabel(label(state.name, state.unit))
    return figure


def convergence_map_reading(area: "ConvergenceMap", system: "System") -> str:
    """How the map is read."""
    names = " and ".join(system.states[k].name for k in area.states)
    share = area.settled_share
    lost = int(np.isnan(area.settling).sum())
    never = int(np.isinf(area.settling).sum())
    text = (
        f"Each point is an initial state of the plant in {names}; the estimate and all other states begin at the middle of the initial "
        f"box, inputs are held at the middle of their ranges. The dashed frame is the initial box. From {100 * share:.4g} % of them all "
        "states settle to 2 % of their ranges before the end. "
    )
    if len(area.states) == 2:
        text += "Left: how long that takes. Right: the largest error from "
    else:
        text += "Top: how long that takes. Bottom: the largest error from "
    text += f"{number_text(area.window)} {time_unit()} on. "
    if never or lost:
        text += f"Grey: {never} initial states from which the error does not settle, {lost} from which the plant itself leaves all bounds."
    return text.strip()


def worst_case_figure(study: "WorstCaseStudy", system: "System") -> "Figure":
    """Largest error of any state in per cent of its range over time: found by search against the worst random one, per goal."""
    width = np.ptp(system.state_ranges, axis=1)
    goals = list(study.worst.items())
    with styled():
        figure = new_figure(WIDE, 2.6)
        panels = figure.subplots(1, len(goals), squeeze=False)[0]
        for axes, (goal, worst) in zip(panels, goals, strict=True):
            for error, style, text in (
                (worst.random_error, LINES["median"], "worst of as many random ones"),
                (worst.error, {"color": VERMILION, "linewidth": 1.2, "linestyle": (0, (5, 1.5))}, "found by search"),
            ):
                shown = worst.t <= _shown(goal, worst)
                size = 100 * np.max(np.abs(error[shown]) / width, axis=1)
                axes.semilogy(worst.t[shown], np.maximum(size, 1e-10), **style, label=text)
            axes.axhline(2.0, **LINES["tolerance"])
            if goal == "late":
                axes.axvline(study.map.window, **LINES["region"])
            axes.set_title(plain(TITLES[goal], 40))
            axes.set_xlabel(label("time", time_unit()))
            axes.set_xlim(0, _shown(goal, worst))
        panels[0].set_ylabel("largest error [% of range]")
        handles = panels[0].get_legend_handles_labels()[0]
        figure.legend(handles=handles, loc="outside upper center", ncols=2, labelcolor=INK)
    return figure


def _shown(goal: str, worst: "WorstInitialStates") -> float:
    end = float(worst.t[-1])
    latest = max([v for v in (worst.value, worst.random) if np.isfinite(v)] or [end])
    return min(end, max(2.5 * latest, 4 * float(worst.t[1]))) if goal == "settling" else end


def worst_case_reading(study: "WorstCaseStudy") -> str:
    """What the search found, in words."""
    settling, late = study.worst["settling"], study.worst["late"]
    parts = [
        f"A search over {settling.trials} initial states of plant and observer, with constant inputs, looked for the error that lasts "
        f"longest and for the one that is largest late; both are shown beside the worst of {settling.trials} random ones."
    ]
    for worst, unit, scale in ((settling, f" {time_unit()}", 1.0), (late, " % of range", 100.0)):
        what = "Settling" if worst is settling else "Late error"
        found = number_text(scale * worst.value) if np.isfinite(worst.value) else "not within the trial"
        random = number_text(scale * worst.random) if np.isfinite(worst.random) else "never"
        parts.append(f"{what}: {found}{unit if np.isfinite(worst.value) else ''} against {random}{unit}.")
    return " ".join(parts) + " A search proves nothing: there may be worse ones still."
