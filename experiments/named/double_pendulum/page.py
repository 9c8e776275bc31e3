"""The page of the double pendulum: rates of held-out swings beside the classical estimators, the calibration, the curves."""

import numpy as np

from experiments.named.double_pendulum.data import SOURCE
from experiments.named.double_pendulum.run import BAR, SETTLED, WRONG, Swings
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table

STATES = (("theta1", "rad"), ("theta2", "rad"), ("omega1", "rad/s"), ("omega2", "rad/s"))


def page(result: Swings) -> Page:
    """The rates of held-out swings, beside the classical estimators of the same equations."""
    ratios, size = result.ratios, result.size
    criteria = [
        *(
            Requirement(f"RMS error of {name} after {SETTLED:g} s, over the best classical estimator's", Number(ratio, "", 4),
                        f"at most {BAR:g}", bool(ratio <= BAR))
            for name, ratio in zip(("omega1", "omega2"), ratios, strict=True)
        ),
        Requirement("certified contraction rate per sample", Number(result.fit["rate"], "", 6), "below 1, the certificate holds",
                    bool(result.fit["holds"] and result.fit["rate"] < 1)),
    ]  # fmt: skip
    ours = result.replays["REN"]["rms"]
    floor = result.reference["floor"]
    content = {
        "title": "A real double pendulum, from its angles alone",
        "sentence": f"On held-out swings, from wrong first estimates, the REN knows the rates to {ours[2]:.3g} and {ours[3]:.3g} rad/s "
        f"after {SETTLED:g} s: {ratios[0]:.3g} and {ratios[1]:.3g} times the errors of the best classical estimator.",
        "summary": f"Data: {SOURCE}, 250 Hz. Parameters were calibrated on {size.logs} swings from both angles alone; all observers have "
        f"the same calibrated equations, and begin up to {WRONG[0]:g} rad and {WRONG[1]:g} rad/s off.",
        "tables": _tables(result),
        "notes": [
            f"The reference rates are not measured but worked out from the angles, and are {floor[0]:.2g} and {floor[1]:.2g} rad/s (RMS) "
            "from their central differences: errors of this size are of the reference as much as of an observer.",
            "The RENs were fitted to states that the calibrated equations give to the fitted swings. Of the one with neurons and the "
            f"linear one, that with the smaller error against the reference rates of the last {size.tuned} fitted swings is "
            f"judged ({result.fit['neurons']} neurons); the classical estimators were tuned on the same swings.",
            f"Residuals of the calibration are not white (deviations times {result.calibration['inflation']:.2g}): the friction is not "
            "explained to the last milliradian.",
        ],
        "figures": _figures(result),
    }  # fmt: skip
    metrics = {
        "calibration": result.calibration, "fit": result.fit, "ratios": list(ratios), "reference_floor": floor,
        "rms": {name: item["rms"] for name, item in result.replays.items()},
    }  # fmt: skip
    return judged(criteria, metrics, size, **content)


def _tables(result: Swings) -> list[Table]:
    rows = tuple(
        (name, *(Number(v, unit, 3) for v, (_, unit) in zip(item["rms"], STATES, strict=True)),
         *(Number(item["largest"][k], "rad/s", 3) for k in (2, 3)))
        for name, item in result.replays.items()
    )  # fmt: skip
    found = result.calibration
    parameters = tuple(
        (name, Number(item["value"], "", 5), Number(item["deviation"], "", 2), item["remark"] or "identified")
        for name, item in found["parameters"].items()
    )
    outputs = tuple(
        (name, Number(found["residual"][name], "rad", 3), *(
            Number(found[kind][name], "rad", 3) if found[kind] else "–" for kind in ("one_step", "free_run")))
        for name in found["residual"]
    )  # fmt: skip
    return [
        Table(rows, ("observer", *(f"RMS of {name}" for name, _ in STATES), "largest, omega1", "largest, omega2"),
              f"Held-out swings, from {SETTLED:g} s on"),
        Table(parameters, ("parameter", "value", "deviation", ""), "Calibrated parameters, from the angles alone"),
        Table(outputs, ("output", "residual", "one step ahead, held out", "free run, held out"), "Outputs"),
    ]  # fmt: skip


def _figures(result: Swings) -> list[ChartFigure]:
    t, x = np.array(result.reference["t"]), np.array(result.reference["x"])
    errors, swing = [], []
    for k, (name, unit) in enumerate(STATES):
        curves = tuple(Series(kind, t, np.array(item["median"])[:, k]) for kind, item in result.replays.items())
        errors.append(Chart(name, "time", "median error", curves, "s", unit, log="y"))
        if k >= 2:
            shown = (Series("reference", t, x[:, k], role="published"),)
            swing.append(Chart(name, "time", name, (*shown, *(
                Series(kind, t, np.array(item["x_hat"])[:, k]) for kind, item in result.replays.items())), "s", unit))  # fmt: skip
    return [
        ChartFigure(
            "rates",
            "Rates of the first held-out swing",
            "Estimates from one wrong first estimate, over the reference.",
            tuple(swing),
        ),
        ChartFigure(
            "errors", "Errors over time", "The median over all held-out swings and first estimates.", tuple(errors)
        ),
    ]
