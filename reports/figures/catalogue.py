"""Every figure of a report in its order: when it applies, how it is drawn, and how to read it.

To add one: a function result -> Figure in this folder, with its reading, and an entry in ``ALL_FIGURES``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from observer.runs import Run
from reports.certificates import bounds_of, compare, proved
from reports.figures.certificates import envelope_figure, envelope_reading, residual_figure, residual_reading
from reports.figures.convergence_map import (
    convergence_map_figure,
    convergence_map_reading,
    worst_case_figure,
    worst_case_reading,
)
from reports.figures.errors import (
    MAP_READING,
    NORM_READING,
    errors_figure,
    errors_reading,
    map_figure,
    noise_reading,
    norm_figure,
)
from reports.figures.estimates import (
    initial_states_figure,
    initial_states_reading,
    phase_figure,
    phase_reading,
    states_figure,
    states_reading,
)
from reports.figures.fine_tuning import fine_tuning_figure, fine_tuning_reading
from reports.figures.settling import settling_figure, settling_reading
from reports.figures.trade_off import curve_of, trade_off_figure, trade_off_reading
from reports.figures.training import LOSS_READING, loss_figure
from reports.selection import MAXIMUM_STATES, hardest_names
from reports.style import COLUMN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from observer.validation.worst_cases import WorstCaseStudy


@dataclass(frozen=True)
class FigureKind:
    """One figure of the report.

    name : of its files. title, reading : heading, and how to read it. alt : the description for a reader who cannot see it.
    applies, draw : whether this run has such a picture, and the picture.
    """

    name: str
    title: str
    applies: Callable[[Run], bool]
    draw: Callable[[Run], "Figure"]
    reading: Callable[[Run], str]
    alt: Callable[[Run], str]


@dataclass(frozen=True)
class Picture:
    """A drawn figure with its words; ``wide`` when it fills both columns."""

    name: str
    title: str
    reading: str
    alt: str
    figure: "Figure"
    wide: bool


def pictures(run: Run, kinds: "tuple[FigureKind, ...] | None" = None) -> list[Picture]:
    """Draw all figures that apply to the run."""
    drawn = []
    for kind in ALL_FIGURES if kinds is None else kinds:
        if kind.applies(run):
            figure = kind.draw(run)
            wide = figure.get_figwidth() > 1.2 * COLUMN
            drawn.append(Picture(kind.name, kind.title, kind.reading(run), kind.alt(run), figure, wide))
    return drawn


def _map(run: Run) -> Any:
    assert run.worst_cases is not None
    return run.worst_cases.map


def _validated(run: Run) -> bool:
    return run.validation is not None


def _headline(run: Run) -> Any:
    """The validation whose trials are shown first: with the stated noise, where there is some."""
    return run.validation if run.validation_noise is None else run.validation_noise


def _worst(run: Run) -> "WorstCaseStudy":
    assert run.worst_cases is not None
    return run.worst_cases


def _states(run: Run) -> int:
    return 0 if run.validation is None else len(run.validation.state_names)


def _proved(run: Run) -> bool:
    return run.certificate is not None and bool(run.certificate.holds)


def _with_decay(run: Run) -> str:
    return ", with the certified decay" if _proved(run) else ""


def _names(run: Run) -> str:
    return ", ".join(hardest_names(run.validation))


ALL_FIGURES: tuple[FigureKind, ...] = (
    FigureKind(
        "fine_tuning", "Before and after fine-tuning",
        lambda r: bool(r.fine_tuning.get("conditions")),
        lambda r: fine_tuning_figure(r.fine_tuning, r.plant.dt),
        lambda r: fine_tuning_reading(r.fine_tuning),
        lambda r: "Bars of the RMS error before and after fine-tuning in each scenario; settling time against noise in the estimate.",
    ),
    FigureKind(
        "states", "States and estimates",
        _validated,
        lambda r: states_figure(_headline(r), r.system),
        lambda r: states_reading(_headline(r)),
        lambda r: f"Time plots of {_names(r)} with their estimates, for a few trials, the median trial and the worst trial.",
    ),
    FigureKind(
        "errors", "Error of each state",
        _validated,
        lambda r: errors_figure(r.validation, r.certificate),
        lambda r: errors_reading(r.validation, certified=_proved(r)),
        lambda r: f"Absolute estimation error of {_names(r)} over time on a log axis: median, 90 % band and worst trial{_with_decay(r)}.",
    ),
    FigureKind(
        "envelope", "Errors and their envelope",
        lambda r: compare(r) is not None,
        lambda r: envelope_figure(r.validation, compare(r)),  # type: ignore[arg-type]
        lambda r: envelope_reading(r.validation, compare(r)),  # type: ignore[arg-type]
        lambda r: f"Error of {_names(r)} over time on a log axis, below its envelope.",
    ),
    FigureKind(
        "residual_map", "One-step residual over the region",
        lambda r: proved(r) and bounds_of(r).residual_map is not None,  # type: ignore[union-attr]
        lambda r: residual_figure(bounds_of(r), r.system),
        lambda r: residual_reading(bounds_of(r), r.system),
        lambda r: "Map of the one-step residual over two states, with its attained and its proved supremum.",
    ),
    FigureKind(
        "error_norm", "Error in the metric of the certificate",
        _validated,
        lambda r: norm_figure(r.validation, r.certificate),
        lambda r: NORM_READING,
        lambda r: f"The norm of the error in the metric M over time on a log axis, for all trials{_with_decay(r)}.",
    ),
    FigureKind(
        "settling", "Settling times",
        _validated,
        lambda r: settling_figure(r.validation, r.certificate, r.fit),
        lambda r: settling_reading(r.validation, certified=_proved(r)),
        lambda r: f"Share of trials that have settled over time, one curve for each of {_names(r)}.",
    ),
    FigureKind(
        "worst_start", "Worst initial states, found by search",
        lambda r: r.worst_cases is not None,
        lambda r: worst_case_figure(_worst(r), r.system),
        lambda r: worst_case_reading(_worst(r)),
        lambda r: "Largest error over time from the initial states that a search found, beside the worst random trial.",
    ),
    FigureKind(
        "start_map", "Convergence map",
        lambda r: r.worst_cases is not None,
        lambda r: convergence_map_figure(_map(r), r.system),
        lambda r: convergence_map_reading(_map(r), r.system),
        lambda r: "Settling time and late error over initial states of the plant, with contours and the initial box.",
    ),
    FigureKind(
        "error_map", "All states at once",
        lambda r: _states(r) > MAXIMUM_STATES,
        lambda r: map_figure(r.validation),
        lambda r: MAP_READING,
        lambda r: "Map of the median relative error of every state over time.",
    ),
    FigureKind(
        "phase", "Phase portrait",
        lambda r: 2 <= _states(r) <= MAXIMUM_STATES,
        lambda r: phase_figure(r.validation, r.system),
        lambda r: phase_reading(r.validation),
        lambda r: "Paths of the plant and of the estimates in the plane of two states, for several trials, with the operating range.",
    ),
    FigureKind(
        "trade_off", "Speed against noise",
        lambda r: curve_of(r.fit) is not None,
        lambda r: trade_off_figure(r.fit, r.system),
        lambda r: trade_off_reading(r.fit),
        lambda r: "Steady-state noise of the estimates against settling time on log axes, with the chosen metric marked.",
    ),
    FigureKind(
        "loss", "Course of the fit",
        lambda r: r.fit is not None and r.fit.solver != "fine_tune" and len(r.fit.history.get("loss", ())) > 0,
        lambda r: loss_figure(r.fit),
        lambda r: LOSS_READING,
        lambda r: "Training and held-out loss over the iterations on a log axis, with the loss of the linear observer.",
    ),
    FigureKind(
        "starts", "Initial states and initial estimates",
        _validated,
        lambda r: initial_states_figure(r.validation),
        lambda r: initial_states_reading(r.validation),
        lambda r: f"Scatter of initial states and initial estimates of {_names(r)}, marked by whether the trial converged.",
    ),
    FigureKind(
        "errors_noise", "Error of each state with measurement noise",
        lambda r: r.validation_noise is not None,
        lambda r: errors_figure(r.validation_noise, r.certificate),
        lambda r: noise_reading(r.validation_noise),
        lambda r: "Absolute estimation error of each state over time with measurement noise, on a log axis.",
    ),
)  # fmt: skip
