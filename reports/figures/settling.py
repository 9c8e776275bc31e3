"""How long each state takes to settle: the share of trials against time."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.quantities import time_unit
from reports.selection import hardest_states, omitted
from reports.style import COLUMN, CYCLE, LINES, label, new_figure, plain, styled
from systems.detectability import settling_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DASHES = ("-", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 1, 1, 1, 1, 1)), (0, (2, 1)))


def certified_settling(certificate: Any, dt: float) -> float | None:
    """[s]: in this time |e|_M falls to 2 % of its initial value, up to what the residual adds; a sample at least."""
    if certificate is None or not certificate.holds or not certificate.rate < 1:
        return None
    return settling_time(float(certificate.rate), float(dt))


def required_settling(fit: Any, certificate: Any, dt: float) -> float | None:
    """The settling time [s] that was asked for: the option, or that of the rate bound of the network."""
    asked = fit.options.get("settling_time") if fit is not None and fit.options else None
    if asked and asked != "auto":
        return float(asked)
    bound = getattr(getattr(fit, "observer", None), "contraction_rate", None) or getattr(
        certificate, "rate_bound", None
    )
    return settling_time(float(bound), float(dt)) if bound and bound < 1 else None


def settling_figure(validation: Any, certificate: Any = None, fit: Any = None) -> "Figure":
    """Share of trials settled (|error| within 2 % of range for good) over time, per state (hardest 6)."""
    settling = np.asarray(validation.trial_settling, dtype=float)
    trials = settling.shape[0]
    states = hardest_states(validation)
    marks = [
        (certified_settling(certificate, validation.dt), "certified", r"certified: $|e|_M$ to 2 %"),
        (required_settling(fit, certificate, validation.dt), "region", r"asked for: $|e|_M$ to 2 %"),
    ]
    finite = settling[:, states][np.isfinite(settling[:, states])]
    latest = max([float(finite.max()) if finite.size else 0.0, *[time for time, _, _ in marks if time]])
    end = min(float(validation.t[-1]), 1.15 * latest) if latest > 0 else float(validation.t[-1])
    end = max(end, 2 * float(validation.dt))
    with styled():
        figure = new_figure(COLUMN, 3.2)
        axes = figure.subplots()
        for n, i in enumerate(states):
            times = np.sort(settling[:, i][np.isfinite(settling[:, i])])
            share = 100 * np.arange(1, len(times) + 1) / trials
            x = np.concatenate([[0.0], times, [end]])
            y = np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]])
            style = {"color": CYCLE[n % len(CYCLE)], "linestyle": _DASHES[n % len(_DASHES)], "linewidth": 1.3}
            axes.step(x, y, where="post", label=plain(validation.state_names[i], 18), **style)
        for time, role, text in marks:
            if time and time <= end:
                axes.axvline(time, **LINES[role], label=text)
            elif time:
                axes.plot([], [], **LINES[role], label=f"{text} ({time:.3g} {time_unit()}, beyond the axis)")
        axes.set(xlim=(0, end), ylim=(0, 103), xlabel=label("time", time_unit()), ylabel="trials settled [%]")
        handles = axes.get_legend_handles_labels()[0]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def settling_reading(validation: Any, *, certified: bool) -> str:
    """How to read the settling times."""
    text = (
        "Each curve gives the share of trials whose error is within 2 % of range from that time on. The further left and the steeper, "
        "the better; a curve that ends below 100 % has trials that never settled."
    )
    if certified:
        text += (
            " The vertical lines are another measure: the time for |e|_M to fall to 2 %, as certified and as required."
        )
    return text + omitted(validation)
