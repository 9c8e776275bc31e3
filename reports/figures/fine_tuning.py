"""Before and after fine-tuning: errors in each scenario, and the trade-off between speed and noise."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import time_unit
from reports.style import BLUE, GREEN, GREY, VERMILION, WIDE, label, log_axis, new_figure, styled
from systems.detectability import settling_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {
    "before": "before: fitted for speed",
    "after": "after: tuned for noise",
    "constant gain": "best constant gain, not certified",
}
_COLOURS = {"before": VERMILION, "after": BLUE, "constant gain": GREEN}
_MARKS = {"before": "s", "after": "o", "constant gain": "^"}


def relative(values: Any, widths: Any) -> float:
    """One number for all states: the root mean square of error / range, in percent."""
    share = np.asarray([math.nan if v is None else v for v in values], dtype=float) / np.asarray(widths, dtype=float)
    return float(100 * np.sqrt(np.mean(share**2)))


def seconds_to_settle(rate: float | None, dt: float) -> float:
    """Time in which an error that shrinks by ``rate`` per sample falls to 2 %."""
    return settling_time(rate, dt) if rate is not None and rate < 1 else math.nan


def trade_off(curve: Mapping[str, Any], widths: Any, dt: float) -> tuple[list[float], list[float]]:
    """(settling times, noise) of the constant gains that no other gain beats in both, the fastest first."""
    points = sorted(
        (seconds_to_settle(rate, dt), relative(row, widths))
        for rate, row in zip(curve["rate"], curve["deviation"], strict=True)
    )
    kept: list[tuple[float, float]] = []
    for time, level in points:
        if not kept or level < kept[-1][1]:
            kept.append((time, level))
    return [time for time, _ in kept], [level for _, level in kept]


def fine_tuning_figure(content: Mapping[str, Any], dt: float) -> "Figure":
    """Left: RMS error in each scenario. Right: noise in the estimate against settling time, with the constant gains."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    conditions, widths = content["conditions"], content["widths"]
    observers = [name for name in NAMES if name in conditions[0]["rms"]]
    with styled():
        figure = new_figure(WIDE, 3.2)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        levels: list[float] = []
        for k, name in enumerate(observers):
            values = [relative(item["rms"][name], widths) for item in conditions]
            levels += values
            at = np.arange(len(values)) + 0.8 * (k - (len(observers) - 1) / 2) / len(observers)
            left.bar(at, np.nan_to_num(values), 0.75 / len(observers), color=_COLOURS[name], label=NAMES[name])
        drawn = [value for value in levels if math.isfinite(value) and value > 0]
        if drawn:  # an exact model without noise has no error to speak of: three decades are enough
            log_axis(left, max(min(drawn) / 2, max(drawn) / 1e3), 2 * max(drawn))
        left.set_xticks(range(len(conditions)), [_broken(item["name"]) for item in conditions])
        left.grid(False, axis="x")
        left.set_ylabel("RMS error / range [%]")
        noisy = next((item for item in conditions if item["name"] == "noise"), conditions[0])
        if content.get("curve"):
            times, passed = trade_off(content["curve"], widths, dt)
            right.plot(times, passed, color=GREY, linewidth=1.0, label="constant gains, linearised plant")
        for name in observers:
            time, level = seconds_to_settle(content["rates"].get(name), dt), relative(noisy["rms"][name], widths)
            style = {"color": _COLOURS[name], "marker": _MARKS[name], "linestyle": "", "markersize": 6}
            right.plot([time], [level], **style)
        right.set(
            xscale="log",
            yscale="log",
            xlabel=label("time to 2 %", time_unit()),
            ylabel="RMS error / range with noise [%]",
        )
        for axis in (right.xaxis, right.yaxis):
            axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        handles = [*left.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def fine_tuning_reading(content: Mapping[str, Any]) -> str:
    """How to read the figure."""
    text = (
        "Left: the error over the second half of the same trials, all states together; lower is better. Right: a faster observer (left) "
        "amplifies more noise (up). Squares and dots are at the time in which the certified rate brings |e|_M to 2 %; an error may fall "
        "faster."
    )
    if content.get("curve"):
        text += (
            " The grey line is the noise in the estimate of constant gains for the plant linearised at the middle of its region; the "
            "triangle is the one with the smallest error in simulation. Its rate is that of the linearised plant and is not proved."
        )
    return text


def _broken(text: str) -> str:
    return text.replace(" and ", "\nand ").replace(", ", ",\n").replace(" (", "\n(")
