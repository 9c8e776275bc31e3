"""The states and their estimates: over time, and in the plane of two states."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import number_text, time_unit
from reports.selection import (
    example_trials,
    hardest_names,
    hardest_states,
    median_trial,
    omitted,
    thin,
    transient_end,
    worst_trial,
)
from reports.style import COLUMN, CYCLE, LINES, ORANGE, VERMILION, WIDE, label, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 4


def unwrapped(validation: Any, system: Any = None) -> np.ndarray:
    """Estimates (K, N, nx) with each angle moved by whole periods next to the true one, as the error is measured."""
    x, x_hat = np.asarray(validation.x, dtype=float), np.array(validation.x_hat, dtype=float)
    for i, signal in enumerate(getattr(system, "states", ())):
        if getattr(signal, "period", None):
            x_hat[..., i] -= signal.period * np.round((x_hat[..., i] - x[..., i]) / signal.period)
    return x_hat


def _limits(validation: Any, values: np.ndarray, i: int, generous: float) -> tuple[float, float]:
    """Axis limits of state i: what is drawn, but at most ``generous`` ranges beyond the range (a trial may diverge, but no angle)."""
    low, high = np.asarray(validation.ranges, dtype=float)[i]
    generous = np.inf if np.isfinite(np.asarray(validation.periods, dtype=float)[i]) else generous
    width = high - low
    finite = values[np.isfinite(values)]
    if finite.size:
        low = max(min(low, finite.min()), low - generous * width)
        high = min(max(high, finite.max()), high + generous * width)
    return low - 0.06 * width, high + 0.06 * width


def _initial_limits(validation: Any, values: np.ndarray, i: int) -> tuple[float, float]:
    """The whole range, or only the initial values where these fill less than half of it."""
    low, high = np.asarray(validation.ranges, dtype=float)[i]
    near, far = np.nanmin(values), np.nanmax(values)
    if not 0 < far - near < 0.5 * (high - low):
        return _limits(validation, values, i, 3.0)
    return near - 0.12 * (far - near), far + 0.12 * (far - near)


def states_figure(validation: Any, system: Any = None) -> "Figure":
    """States and estimates over time: a few trials, the median trial and the worst; one row per state (hardest 6)."""
    x, x_hat = np.asarray(validation.x, dtype=float), unwrapped(validation, system)
    t = np.asarray(validation.t, dtype=float)
    shown = np.flatnonzero(t <= transient_end(validation) + 1e-12)
    shown = shown[thin(len(shown))]
    examples, middle, worst = example_trials(validation, EXAMPLES), median_trial(validation), worst_trial(validation)
    states = hardest_states(validation)
    end = "diverged" if np.asarray(validation.diverged)[worst] else f"trial {worst + 1}"
    columns = [
        (examples, f"{len(examples)} trials" if len(examples) > 1 else f"trial {examples[0] + 1}"),
        ([middle], f"median trial (trial {middle + 1})"),
        ([worst], f"worst trial ({end})"),
    ]
    with styled():
        figure = new_figure(WIDE, 0.75 + max(1.15 * len(states), 1.7))
        grid = figure.subplots(len(states), 3, sharex=True, sharey="row", squeeze=False)
        for row, i in enumerate(states):
            for column, (trials, title) in enumerate(columns):
                axes = grid[row, column]
                for n, k in enumerate(trials):
                    colour = {"color": CYCLE[n % len(CYCLE)]} if len(trials) > 1 else {}
                    axes.plot(t[shown], x[k, shown, i], **(LINES["truth"] | colour))
                    axes.plot(t[shown], x_hat[k, shown, i], **(LINES["estimate"] | colour))
                for bound in validation.ranges[i]:
                    axes.axhline(bound, **LINES["region"])
                if row == 0:
                    axes.set_title(title)
            used = [k for trials, _ in columns for k in trials]
            grid[row, 0].set_ylim(*_limits(validation, np.stack([x[used], x_hat[used]])[:, :, shown, i], i, 0.5))
            grid[row, 0].set_ylabel(label(validation.state_names[i], validation.units[i]))
            grid[row, 0].set_xlim(t[0], t[shown[-1]])
        figure.align_ylabels(grid[:, 0])
        figure.supxlabel(label("time", time_unit()))
        _legend(figure, [("truth", "true state"), ("estimate", "estimate"), ("region", "operating range")])
    return figure


def phase_figure(validation: Any, system: Any = None, examples: int = EXAMPLES) -> "Figure":
    """Truth against estimate in the plane of two states (of the two hardest, where there are more)."""
    x, x_hat = np.asarray(validation.x, dtype=float), unwrapped(validation, system)
    i, j = hardest_states(validation, 2)
    trials = example_trials(validation, examples)
    shown = thin(x.shape[1])
    early = np.flatnonzero(np.asarray(validation.t, dtype=float) <= transient_end(validation) + 1e-12)
    early = early[thin(len(early))]
    with styled():
        figure = new_figure(COLUMN, 3.55)
        axes = figure.subplots()
        axes.locator_params(axis="x", nbins=5)  # labels of four digits overlap where there are more
        truth: dict[str, Any] = LINES["truth"] | {"linewidth": 0.7, "alpha": 0.6}
        for n, k in enumerate(trials):
            colour = CYCLE[n % len(CYCLE)]
            axes.plot(x[k, shown, i], x[k, shown, j], **truth)
            axes.plot(x_hat[k, early, i], x_hat[k, early, j], **{**LINES["estimate"], "color": colour})
            axes.plot(x[k, 0, i], x[k, 0, j], "o", color=LINES["truth"]["color"], markersize=3.5, zorder=4)
            axes.plot(x_hat[k, 0, i], x_hat[k, 0, j], "s", color=colour, markersize=4, markeredgewidth=0, zorder=4)
        (left, right), (low, high) = validation.ranges[i], validation.ranges[j]
        axes.plot([left, right, right, left, left], [low, low, high, high, low], **LINES["region"])
        axes.set_xlim(*_limits(validation, np.stack([x[trials], x_hat[trials]])[..., i], i, 0.5))
        axes.set_ylim(*_limits(validation, np.stack([x[trials], x_hat[trials]])[..., j], j, 0.5))
        axes.set_xlabel(label(validation.state_names[i], validation.units[i]))
        axes.set_ylabel(label(validation.state_names[j], validation.units[j]))
        _legend(
            figure,
            [("truth", "plant"), ("estimate", "estimate"), ("region", "operating range")],
            markers=[("o", LINES["truth"]["color"], "initial state"), ("s", CYCLE[0], "initial estimate")],
        )
    return figure


def initial_states_figure(validation: Any, system: Any = None) -> "Figure":
    """Initial states and initial estimates of every trial, and which trials converged; one panel per state (hardest 6)."""
    x0, guess = np.asarray(validation.x, dtype=float)[:, 0], unwrapped(validation, None)[:, 0]
    states = hardest_states(validation)
    columns = min(len(states), 3)
    rows = -(-len(states) // columns)
    diverged = np.asarray(validation.diverged, dtype=bool)
    converged = np.asarray(validation.converged, dtype=bool) & ~diverged
    groups = [
        (converged, "o", CYCLE[0], f"converged ({converged.sum()})"),
        (~converged & ~diverged, "s", ORANGE, f"not within 2 % ({(~converged & ~diverged).sum()})"),
        (diverged, "X", VERMILION, f"diverged ({diverged.sum()})"),
    ]
    width = COLUMN if columns == 1 else WIDE
    with styled():
        figure = new_figure(width, 0.6 + rows * (2.1 if columns == 3 else 2.5))
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        boxed = False
        for axes in grid[len(states) :]:
            axes.set_visible(False)
        for axes, i in zip(grid, states, strict=False):
            low, high = validation.ranges[i]
            for mask, marker, colour, _ in groups:
                axes.scatter(x0[mask, i], guess[mask, i], s=16, marker=marker, color=colour, alpha=0.8, linewidths=0)
            axes.plot([low, high], [low, high], color="#9ca3af", linewidth=0.8, zorder=0)
            axes.plot([low, high, high, low, low], [low, low, high, high, low], **LINES["region"])
            limits = _initial_limits(validation, np.concatenate([x0[:, i], guess[:, i]]), i)
            boxed |= limits[0] <= low and high <= limits[1]
            axes.set(xlim=limits, ylim=limits, box_aspect=1)
            axes.locator_params(nbins=4)
            axes.set_xlabel(label(validation.state_names[i], validation.units[i], "initial {}"))
            axes.set_ylabel(label(validation.state_names[i], validation.units[i], "initial estimate of {}"))
        region = [("region", "operating range")] if columns > 1 and boxed else []
        _legend(figure, region, markers=[(m, c, plain(text, 40)) for mask, m, c, text in groups if mask.any()])
    return figure


def _legend(figure: "Figure", roles: list[tuple[str, str]], markers: list[tuple[str, str, str]] | None = None) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **LINES[role], label=text) for role, text in roles]
    handles += [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=4.5, markeredgewidth=0, label=text)
        for marker, colour, text in markers or []
    ]
    columns = len(handles) if figure.get_figwidth() > 1.2 * COLUMN else 3 if roles else 2
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def states_reading(validation: Any) -> str:
    """How to read the states and estimates."""
    end = transient_end(validation)
    part = (
        f" The first {number_text(end, 3)} of {number_text(float(validation.t[-1]), 3)} {time_unit()} are shown."
        if end < validation.t[-1]
        else ""
    )
    return (
        "Solid: the plant. Dashed: the estimate, from an initial estimate of its own. The two should meet and stay together. On the left, "
        "each colour is one trial. The median and the worst trial are ranked by their largest error over the window in which errors are "
        f"judged.{' The measurements have the stated noise.' if validation.noise else ''}" + part + omitted(validation)
    )


def phase_reading(validation: Any) -> str:
    """How to read the phase portrait."""
    text = (
        "Each coloured path is an estimate: it starts at a square, the initial estimate, and should join a grey path, that of the plant, "
        "which starts at a dot."
    )
    if len(validation.state_names) > 2:
        first, second = hardest_names(validation, 2)
        text += f" A projection on the two states with the largest relative error, {first} and {second}."
    return text


def initial_states_reading(validation: Any) -> str:
    """How to read the initial states."""
    return (
        "One point per trial: the initial state of the plant against the initial estimate of the observer. On the diagonal the initial "
        "error is zero. Trials that fail in one corner point to a region where the fit is poor." + omitted(validation)
    )
