"""Every figure of a report in its order: when it applies, how it is drawn, and how it is read.

To add one: a function result -> Figure in this folder and an entry in ``ALL_FIGURES``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.certificates import bounds_of, compare, proved
from reports.figures.certificates import envelope_figure, residual_figure, residual_reading
from reports.figures.convergence_map import (
    convergence_map_figure,
    convergence_map_reading,
    worst_case_figure,
    worst_case_reading,
)
from reports.figures.errors import errors_figure, map_figure, norm_figure
from reports.figures.estimates import phase_figure, starts_figure, states_figure
from reports.figures.fine_tuning import fine_tuning_figure, fine_tuning_reading
from reports.figures.settling import settling_figure
from reports.figures.trade_off import curve_of, trade_off_figure
from reports.figures.training import loss_figure
from reports.results import Results
from reports.selection import MAXIMUM_STATES, hardest_states, transient_end
from reports.style import COLUMN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureKind:
    """One figure of the report.

    name : of its files. title, reading : heading, and how it is read. alt : what a person hears who cannot see it.
    applies, draw : whether these results have such a picture, and the picture.
    """

    name: str
    title: str
    applies: Callable[[Results], bool]
    draw: Callable[[Results], "Figure"]
    reading: Callable[[Results], str]
    alt: Callable[[Results], str]


@dataclass(frozen=True)
class Picture:
    """A drawn figure with its words; ``wide`` when it fills both columns."""

    name: str
    title: str
    reading: str
    alt: str
    figure: "Figure"
    wide: bool


def pictures(results: Results, kinds: "tuple[FigureKind, ...] | None" = None) -> list[Picture]:
    """Draw all figures that apply to the results."""
    drawn = []
    for kind in ALL_FIGURES if kinds is None else kinds:
        if kind.applies(results):
            figure = kind.draw(results)
            wide = figure.get_figwidth() > 1.2 * COLUMN
            drawn.append(Picture(kind.name, kind.title, kind.reading(results), kind.alt(results), figure, wide))
    return drawn


def _start_map(results: Results) -> Any:
    assert results.starts is not None
    return results.starts.map


def _validated(r: Results) -> bool:
    return r.validation is not None


def _trials(r: Results) -> Any:
    """The validation of results that have one."""
    return r.validation


def _proved(r: Results) -> bool:
    return r.certificate is not None and bool(r.certificate.holds)


def _with_decay(r: Results) -> str:
    return ", with the certified decay" if _proved(r) else ""


def _selected(r: Results) -> str:
    """The sentence that owns up to states that are not shown."""
    total = len(_trials(r).state_names)
    if total <= MAXIMUM_STATES:
        return ""
    return (
        f" Of the {total} states the {MAXIMUM_STATES} hardest are shown: those with the largest RMS error "
        "relative to range."
    )


def _names(r: Results) -> str:
    return ", ".join(_trials(r).state_names[i] for i in hardest_states(r.validation))


def _states_reading(r: Results) -> str:
    v = _trials(r)
    end = transient_end(v)
    part = f" The first {end:.3g} s of {float(v.t[-1]):.3g} s are shown." if end < v.t[-1] else ""
    return (
        "Solid: the plant. Dashed: the estimate, started elsewhere. They should meet and stay together. On the "
        "left each colour is "
        "one trial. The median and the worst trial are ranked by their largest error over the window in which "
        "errors are judged." + part + _selected(r)
    )


def _errors_reading(r: Results) -> str:
    text = (
        "Straight down is exponential convergence; the level on the right is what remains. A trial has "
        "converged when it stays below "
        "the dotted line (2 % of range). "
    )
    if _proved(r):
        text += (
            "The green line is the certified decay of the largest initial error, α*ᵏ |e₀|_M √(M⁻¹)ᵢᵢ. It "
            "bounds the part of the error "
            "that comes from the start; the purple line is the level r̂ √(M⁻¹)ᵢᵢ / (1 − α*) to which the "
            "largest residual r̂ met "
            "in these trials can raise what is left. Errors stay below the sum of the two as long as no "
            "residual exceeds r̂, which was "
            "sampled and not proved."
        )
    return text + _selected(r)


def _settling_reading(r: Results) -> str:
    text = (
        "Each curve gives the share of trials whose error is within 2 % of range from that time on. The "
        "further left and the steeper, "
        "the better; a curve that ends below 100 % has trials that never settled."
    )
    if _proved(r):
        text += (
            " The vertical lines speak of another measure: the time in which |e|_M falls to 2 % of its start, "
            "as certified and as asked for."
        )
    return text + _selected(r)


def _noise_reading(r: Results) -> str:
    return (
        "As the errors above, with noise of the stated standard deviation on every measurement. The level on "
        "the right is now that of "
        "the noise that passes through the observer; the certificate says nothing of it in this picture." + _selected(r)
    )


def _phase_reading(r: Results) -> str:
    shown = [_trials(r).state_names[i] for i in hardest_states(r.validation, 2)]
    text = (
        "Each coloured path starts at a square (where the observer believed the plant to be) and should join a "
        "grey path, that of the "
        "plant, which starts at a dot."
    )
    if len(_trials(r).state_names) > 2:
        text += f" A projection on the two states with the largest relative error, {shown[0]} and {shown[1]}."
    return text


def _trade_off_reading(r: Results) -> str:
    curve = curve_of(r.fit)
    noise = (
        "a noise of 0.5 % of the half range on every output, as none is stated" if curve.assumed else "the stated noise"
    )
    return (
        "Each point is an observer that the plant allows: further left it forgets a wrong start sooner, further up it lets "
        f"more of {noise} through (one standard deviation, of the projection observer, to first order). The ring is "
        "the metric in use; the dashed line is the rate the network was asked to keep, slower than the metric's own so "
        "that the neurons have room."
    )


def _envelope_reading(r: Results) -> str:
    trials = compare(r)
    assert trials is not None
    if trials.kind == "sampled":
        return (
            f"Green: an envelope whose rate is proved and whose residual was only sampled, along the data of the fit. {trials.crossed} of "
            f"{len(_trials(r).x)} trials cross it; one that does has met a larger residual, which is no fault of the proof."
            + _selected(r)
        )
    text = (
        f"Green: no trial may be above it while the plant is in X; {trials.crossed} of {len(_trials(r).x)} are. It starts at the first "
        "error of the trial with the widest envelope and is the smallest of the bounds that apply "
        f"({', '.join(dict.fromkeys(trials.names))} in the long run). "
    )
    text += (
        "It is proved for the discretised plant; these trials follow the ODE, so the measured discretisation error is added. "
        if trials.against_ode
        else "It is proved. "
    )
    left = f"{trials.left} trials left X and are drawn until then." if trials.left else "No trial left X."
    return text + left + _selected(r)


ALL_FIGURES: tuple[FigureKind, ...] = (
    FigureKind(
        "fine_tuning",
        "Before and after fine-tuning",
        lambda r: bool(r.metrics.get("fine_tuning", {}).get("conditions")),
        lambda r: fine_tuning_figure(r.metrics["fine_tuning"], r.plant.dt),
        lambda r: fine_tuning_reading(r.metrics["fine_tuning"]),
        lambda r: (
            "Bars of the RMS error before and after fine-tuning without noise, with noise, with bias and with missing "
            "measurements; and a plane of settling time against the noise that passes."
        ),
    ),
    FigureKind(
        "states",
        "States and estimates",
        _validated,
        lambda r: states_figure(r.validation, r.system),
        _states_reading,
        lambda r: (
            f"Time plots of {_names(r)} with their estimates, for a few trials, the median trial and the worst trial."
        ),
    ),
    FigureKind(
        "errors",
        "Error of each state",
        _validated,
        lambda r: errors_figure(r.validation, r.certificate),
        _errors_reading,
        lambda r: (
            f"Absolute estimation error of {_names(r)} over time on a log axis: median, 90 % band and worst trial"
            f"{_with_decay(r)}."
        ),
    ),
    FigureKind(
        "envelope",
        "Trials and their envelope",
        lambda r: compare(r) is not None,
        lambda r: envelope_figure(r.validation, compare(r)),  # type: ignore[arg-type]
        _envelope_reading,
        lambda r: f"Error of {_names(r)} over time on a log axis under its envelope.",
    ),
    FigureKind(
        "residual_map",
        "Where the observer departs from the plant",
        lambda r: proved(r) and bounds_of(r).residual_map is not None,
        lambda r: residual_figure(bounds_of(r), r.system),
        lambda r: residual_reading(bounds_of(r), r.system),
        lambda r: "Map of the one-step residual over two states, with its attained and its proved supremum.",
    ),
    FigureKind(
        "error_norm",
        "Error in the metric of the certificate",
        _validated,
        lambda r: norm_figure(r.validation, r.certificate),
        lambda r: (
            "|e|_M is the length in which certificates are written: where one holds, the distance between any two "
            "estimates shrinks in it at every step. On a log axis such a decay is a straight line."
        ),
        lambda r: f"The norm of the error in the metric M over time on a log axis, for all trials{_with_decay(r)}.",
    ),
    FigureKind(
        "settling",
        "Settling times",
        _validated,
        lambda r: settling_figure(r.validation, r.certificate, r.fit),
        _settling_reading,
        lambda r: f"Share of trials that have settled over time, one curve for each of {_names(r)}.",
    ),
    FigureKind(
        "worst_start",
        "Worst starts, found by search",
        lambda r: r.starts is not None,
        lambda r: worst_case_figure(r.starts, r.system),
        lambda r: worst_case_reading(r.starts),
        lambda r: "Largest error over time from the start that a search found, beside that of the worst random start.",
    ),
    FigureKind(
        "start_map",
        "Convergence map",
        lambda r: r.starts is not None,
        lambda r: convergence_map_figure(_start_map(r), r.system),
        lambda r: convergence_map_reading(_start_map(r), r.system),
        lambda r: "Settling time and late error over starts of the plant, with contours and the initial box.",
    ),
    FigureKind(
        "error_map",
        "All states at once",
        lambda r: _validated(r) and len(_trials(r).state_names) > MAXIMUM_STATES,
        lambda r: map_figure(r.validation),
        lambda r: (
            "Each row is a state, in the order of the system; dark is a small error. A row that stays bright "
            "is a state that is hard to see."
        ),
        lambda r: "Map of the median relative error of every state over time.",
    ),
    FigureKind(
        "phase",
        "Phase portrait",
        lambda r: _validated(r) and 2 <= len(_trials(r).state_names) <= MAXIMUM_STATES,
        lambda r: phase_figure(r.validation, r.system),
        _phase_reading,
        lambda r: (
            "Paths of the plant and of the estimates in the plane of two states, from several starts, with the "
            "operating range."
        ),
    ),
    FigureKind(
        "trade_off",
        "Speed against noise",
        lambda r: curve_of(r.fit) is not None,
        lambda r: trade_off_figure(r.fit, r.system),
        _trade_off_reading,
        lambda r: "Steady-state noise of the states against settling time on log axes, with the chosen metric marked.",
    ),
    FigureKind(
        "loss",
        "How the fit went",
        lambda r: r.fit is not None and r.fit.solver != "fine_tune" and len(r.fit.history.get("loss", ())) > 0,
        lambda r: loss_figure(r.fit),
        lambda r: (
            "Lower is better; where several starts raced, each is a curve of its own. The dotted line is the linear "
            "observer from which training started. Held-out transitions were never trained on: a held-out curve "
            "that turns up while training falls would be overfitting."
        ),
        lambda r: "Training and held-out loss over the iterations on a log axis, with the loss of the linear start.",
    ),
    FigureKind(
        "starts",
        "Where the trials started",
        _validated,
        lambda r: starts_figure(r.validation),
        lambda r: (
            "One point per trial: the start of the plant against the start of the observer. On the diagonal "
            "the first guess is right; far "
            "from it the observer has the longest way to go. Trials that fail in one corner point to a region "
            "that was not learnt." + _selected(r)
        ),
        lambda r: (
            f"Scatter of the starts of plant and observer for {_names(r)}, marked by whether the trial converged."
        ),
    ),
    FigureKind(
        "errors_noise",
        "Error of each state with measurement noise",
        lambda r: r.validation_noise is not None and any(y.noise for y in r.system.outputs),
        lambda r: errors_figure(r.validation_noise, r.certificate),
        lambda r: _noise_reading(Results(r.system, r.plant, validation=r.validation_noise)),
        lambda r: "Absolute estimation error of each state over time with measurement noise, on a log axis.",
    ),
)
