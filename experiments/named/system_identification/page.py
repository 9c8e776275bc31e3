"""The page of the identification: errors, times, gains against bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.named.system_identification.run import PUBLISHED, Models
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table


def page(result: Models) -> Page:
    """Errors, times, and gains against bounds."""
    size, rows, data = result.size, result.rows, result.data
    bounded = [row for row in rows if row["gamma"] is not None]
    rens = [row for row in rows if row["proved"] is not None]
    gated = [row for row in rows if row["proved"] is None]
    shares = [row["gain"] / row["gamma"] for row in bounded]
    criteria = [
        Requirement("gain found over the bound, the worst of the Lipschitz RENs", Number(max(shares), "", 4), "at most 1",
                  bool(max(shares) <= 1 + 1e-4)),
        Requirement("RENs whose guarantee is proved", Number(sum(bool(row["proved"]) for row in rens)), f"all {len(rens)}",
                  all(row["proved"] for row in rens)),
    ]  # fmt: skip
    best_ren, best_gated = min(rens, key=lambda r: r["nrmse"]), min(gated, key=lambda r: r["nrmse"])
    content = {
        "title": f"System identification: {data.name}",
        "sentence": f"The bound holds: the largest gain found is {100 * max(shares):.3g} % of its bound. Test error of the best REN "
        f"{best_ren['nrmse']:.3g} %, of the best of GRU and LSTM {best_gated['nrmse']:.3g} %."
        if max(shares) <= 1 + 1e-4
        else "A gain was found that exceeds a bound.",
        "summary": "Every model simulates the output from the input alone, from rest. Inputs and outputs are scaled to unit deviation, "
        "and bounds are in these units. NRMSE: root mean square error over the deviation of the output.",
        "tables": tables(result),
        "notes": [
            "The gain found is the largest ratio of the differences of outputs and inputs over pairs of inputs, climbed to by gradients: "
            f"{size.pairs} pairs of {size.steps} samples, {size.ascent} steps.",
            f"Each model is trained at the learning rates {', '.join(f'{rate:g}' for rate in size.learning)}; the one of the lower loss "
            "over the last tenth of its iterations is shown, with the processor time of that training on one core.",
            "The published figures are of another system unless --data gives it.",
        ],
        "figures": figures(rows, best_ren, best_gated),
    }  # fmt: skip
    metrics = {
        "data": data.name, "published": {str(g): v for g, v in PUBLISHED.items()},
        "models": [{k: v for k, v in row.items() if k not in ("losses", "shown")} for row in rows],
    }  # fmt: skip
    return judged(criteria, metrics, size, **content)


def tables(result: Models) -> list[Table]:
    """All models, and the published errors."""
    size, rows, data = result.size, result.rows, result.data
    table = Table(
        tuple(
            (
                row["model"], Number(row["parameters"]), Number(row["nrmse"], "%", 3), Number(100 - row["nrmse"], "%", 4),
                Number(max(row["each"]), "%", 3), Number(row["gain"], "", 4), Number(row["gamma"], "", 4) if row["gamma"] else "none",
                {True: "proved", False: "NOT proved", None: "–"}[row["proved"]], Number(row["learning"], "", 2),
                Number(row["seconds"], "s", 3),
            )
            for row in rows
        ),
        ("model", "parameters", "NRMSE, test", "fit", "worst record", "gain found", "bound", "guarantee", "learning rate", "training"),
        f"{data.name}: {size.iterations} iterations, {size.batch} windows of {size.window} samples each",
    )  # fmt: skip
    published = Table(
        tuple(("contracting" if g is None else f"bound {g:g}", Number(v, "%", 3)) for g, v in PUBLISHED.items()),
        ("REN", "NRMSE"),
        "Published for the F16 ground vibration test (arXiv 2104.05942, Table I)",
    )
    return [table, published]


def figures(rows: Sequence[Mapping[str, Any]], *shown: Mapping[str, Any]) -> list[ChartFigure]:
    """Training and the simulation of the models ``shown``; error against gain."""
    return [
        ChartFigure(
            "learning", "Learning, and the last test record",
            "Left: mean square error of the windows at each iteration, in deviations of the output. Right: the first output of the "
            "last test record, simulated from its input alone.",
            (
                Chart("Loss of the windows", "iteration", "mean square error",
                      tuple(Series(row["model"], np.arange(len(row["losses"])) * row["every"] + 1, row["losses"]) for row in rows),
                      log="y"),
                Chart("Simulation", "sample", "output", (
                    Series("measured", range(len(shown[0]["shown"]["y"])), shown[0]["shown"]["y"], role="published"),
                    *(Series(row["model"], range(len(row["shown"]["found"])), row["shown"]["found"]) for row in shown))),
            ),
        ),
        ChartFigure(
            "trade_off", "Error against gain",
            "Each point is a model: the gain that an adversary found, and its test error. Left and low is better; a Lipschitz REN "
            "cannot pass its bound, so that a bound below the gain of the system costs accuracy.",
            (
                Chart("Test error over gain found", "largest gain found", "NRMSE, test",
                      tuple(Series(row["model"], [row["gain"]], [row["nrmse"]], "points") for row in rows), y_unit="%", log="xy"),
            ),
        ),
    ]  # fmt: skip
