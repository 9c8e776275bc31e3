"""The page of a calibration: parameters with their intervals, fits, residuals and whiteness, prediction of held-out logs."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np

from observer.calibration.calibrate import Calibration
from observer.calibration.stretches import Stretch, samples_of
from observer.calibration.whiteness import LEVEL
from reports.experiment_page import Chart, ChartFigure, Requirement, Series, write_experiment_page
from reports.quantities import Number
from reports.tables import Table, interval

SHOWN = 2  # logs of each figure
POINTS = 600  # of a curve


def write_calibration(folder: str | Path, result: Calibration, *, command: str = "", toy: bool = False) -> Path:
    """Write ``report.html`` and its figures into ``folder``; returns the path of the page."""
    names = ", ".join(f"{item.name} = {item.value:.4g}" for item in result.estimates)
    inputs = "inputs and outputs" if result.system.nu else "outputs"
    return write_experiment_page(
        folder, title=f"Calibration of {result.system.name}", eyebrow="Calibration", sentence=sentence(result),
        criteria=criteria(result),
        summary=f"From {inputs} alone: {names}. Initial states were estimated with the parameters; states were not compared with anything.",
        tables=tables(result), figures=list(figures(result)), notes=notes(result), command=command, toy=toy,
    )  # fmt: skip


def sentence(result: Calibration) -> str:
    """What the verdict says."""
    if result.status == "interrupted":
        return "The search was stopped; these are the values of the best start that was finished."
    if result.status != "converged":
        said = f"The search did not converge ({result.message}); more iterations, or narrower ranges, may help."
        return " ".join([said, *(f"{text[0].upper()}{text[1:]}." for text in result.directions)])
    poor = [f"{item.name} ({item.remark})" for item in result.estimates if item.remark]
    if poor:
        return "Not every parameter is known from these logs: " + "; ".join([*poor, *result.directions]) + "."
    return "Every parameter is identified, inside its range."


def criteria(result: Calibration) -> list[Requirement]:
    """The verdict in numbers."""
    count = len(result.estimates)
    known = sum(item.identified for item in result.estimates)
    inside = sum(not item.at_end for item in result.estimates)
    return [
        Requirement("starts that ended in a solution", Number(sum(done for _, done in result.starts)), "at least 1, and the last solve",
                    result.status == "converged"),
        Requirement("parameters whose interval is narrower than the range", Number(known), f"all {count}", known == count),
        Requirement("parameters inside their range", Number(inside), f"all {count}", inside == count),
    ]  # fmt: skip


def tables(result: Calibration) -> list[Table]:
    """Parameters, outputs, held-out logs, starts."""
    found = [
        Table(
            tuple(
                (e.name, Number(e.before, e.unit, 4), Number(e.value, e.unit, 6), Number(e.deviation, e.unit, 2),
                 interval(e.interval, e.unit), interval(e.range, e.unit), e.remark or "identified")
                for e in result.estimates
            ),
            ("parameter", "before", "calibrated", "deviation", "95 % interval", "range", ""), "Parameters",
        ),
        Table(
            tuple(
                (s.name, Number(int(n)), Number(level, s.unit, 3), Number(stated, s.unit, 3) if stated else "not stated",
                 Number(w.probability, "", 2), "white" if w.white else "NOT white")
                for s, n, level, stated, w in zip(
                    result.system.outputs, samples_of(result.stretches), result.noise, result.stated, result.white, strict=True)
            ),
            ("output", "measured values", "deviation of the residuals", "stated noise", "p of Ljung and Box", "residuals"),
            "Residuals of the logs that were used",
        ),
    ]  # fmt: skip
    if result.held_out is not None:
        h = result.held_out
        found.append(
            Table(
                tuple(
                    (s.name, Number(free, s.unit, 3), Number(one, s.unit, 3), Number(free / level, "", 3), Number(one / level, "", 3),
                     "white" if w.white else "NOT white")
                    for s, free, one, level, w in zip(
                        result.system.outputs, h.free_run_rms, h.one_step_rms, result.noise, h.white, strict=True)
                ),
                ("output", "free-run RMS", "one-step RMS", "free-run / noise", "one-step / noise", "one-step errors"),
                f"Prediction of {len(h.stretches)} held-out logs",
            )
        )  # fmt: skip
    starts = tuple((f"start {k}", Number(cost, "", 6), "converged" if done else "did not converge")
                   for k, (cost, done) in enumerate(result.starts, 1))  # fmt: skip
    return [*found, Table(starts, ("", "half the sum of squares", ""), "Starts")]


def notes(result: Calibration) -> list[str]:
    """What is to be known of the numbers."""
    text = [f"{t[0].upper()}{t[1:]}." for t in result.directions]
    if result.inflation > 1:
        text.append(
            f"The residuals are not white, so the equations do not explain all of y: deviations and intervals are "
            f"{result.inflation:.2g} times "
            "those of white residuals, and are an estimate of their size only."
        )
    for signal, level, stated in zip(result.system.outputs, result.noise, result.stated, strict=True):
        if stated and not 0.8 < level / stated < 1.25:
            text.append(f"Residuals of {signal.name} are {level / stated:.3g} times the stated noise.")
    if result.held_out is not None:
        text.append(
            "Held-out logs: the first quarter of each determines its initial state; free-run is the equations alone from there, one-step "
            f"an extended Kalman filter that leaves {result.motion:.1g} of a half range per sample to what the equations do not explain."
        )
    return text


def figures(result: Calibration) -> Iterator[ChartFigure]:
    """Fits, residuals, whiteness, held-out logs."""
    outputs = result.system.outputs
    chosen = sorted(np.argsort([-len(s) for s in result.stretches], kind="stable")[:SHOWN].tolist())
    fits, rest = [], []
    for k in chosen:
        s = cast("Stretch", result.stretches[k])
        e = result.residuals[k]
        for i, signal in enumerate(outputs):
            some, where = _thin(s), f", log {s.log + 1}" if len(result.stretches) > 1 else ""
            fits.append(Chart(f"{signal.name}{where}", "time", signal.name, (
                Series("measured", s.t[some], s.y[some, i], "points", colour=1),
                Series("calibrated", s.t[some], (s.y - e)[some, i], colour=0),
            ), "s", signal.unit))  # fmt: skip
            rest.append(Chart(f"{signal.name}{where}", "time", "residual", (Series("", s.t[some], e[some, i]),), "s", signal.unit,
                              levels=((f"1.96 of {result.noise[i]:.3g}", 1.96 * result.noise[i]),
                                      ("", -1.96 * result.noise[i]))))  # fmt: skip
    yield ChartFigure(
        "fit",
        "Fits",
        "Measured values, and the motion of the calibrated equations from the estimated initial state.",
        tuple(fits),
    )
    yield ChartFigure(
        "residuals",
        "Residuals",
        "Measured minus calibrated; nineteen of twenty lie between the dotted lines.",
        tuple(rest),
    )
    yield ChartFigure(
        "whiteness", "Whiteness of the residuals",
        "Correlation of residuals that are so many samples apart. White ones stay between the dotted lines, nineteen of twenty; "
        f"below a probability of {LEVEL:g} the test of Ljung and Box calls them not white: the equations leave something unexplained.",
        tuple(
            Chart(f"{s.name}: p = {w.probability:.2g}", "lag", "autocorrelation",
                  (Series("", np.arange(1, len(w.rho) + 1), w.rho, "both"),), "samples", limits=_limits(w.rho, w.bound),
                  levels=(("95 % bound", w.bound), ("", -w.bound)))
            for s, w in zip(outputs, result.white, strict=True)
        ),
    )  # fmt: skip
    if result.held_out is not None:
        yield _held_out(result)


def _held_out(result: Calibration) -> ChartFigure:
    h, charts = result.held_out, []
    assert h is not None
    for k, s in list(enumerate(h.stretches))[:SHOWN]:
        some = _thin(s)
        for i, signal in enumerate(result.system.outputs):
            charts.append(Chart(f"{signal.name}, log {s.log + 1}", "time", "error of y", (
                Series("free-run", s.t[some], h.free_run[k][some, i]), Series("one-step", s.t[some], h.one_step[k][some, i]),
            ), "s", signal.unit, levels=((f"begins at {s.t[h.begin[k]]:.3g} s", 0.0),)))  # fmt: skip
    return ChartFigure(
        "held_out", "Held-out logs", "Errors of predictions of y. The first quarter determined the initial state; from there on free-run "
        "uses the inputs only, one-step also every earlier measurement.", tuple(charts),
    )  # fmt: skip


def _limits(rho: np.ndarray, bound: float) -> tuple[float, float]:
    high = 1.2 * max(float(np.max(np.abs(rho))), bound if np.isfinite(bound) else 0.0, 1e-3)
    return -high, high


def _thin(stretch: Stretch) -> slice:
    return slice(None, None, max(1, len(stretch) // POINTS))
