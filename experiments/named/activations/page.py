"""The page of ``activations``: accuracy, tightness and speed of relu, tanh and sigmoid, task by task."""

from typing import Any

import numpy as np

from experiments.runner import Measured, Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table

AXES = {"step": ("loss over the least", ""), "digits": ("errors", "%")}
TITLES = {
    "step": "LBDN, step of slope 10",
    "digits": "LBDN, digits",
    "van_der_pol": "observer of Van der Pol",
    "box": "observer of the box",
}


def page(result: Measured) -> Page:
    """Accuracy, tightness and speed, task by task."""
    size, found = result.size, result.rows
    rows = [(task, activation, runs) for task, per in found.items() for activation, runs in per.items()]
    ratios = [run["attained"] / run["certified"] for _, _, runs in rows for run in runs]
    proofs = [bool(run["proved"]) for _, _, runs in rows for run in runs]
    criteria = [
        Requirement("attained over certified, largest", Number(max(ratios), "", 7), "at most 1", max(ratios) <= 1 + 1e-9),
        Requirement("fits whose certificate holds", Number(sum(proofs)), f"all {len(proofs)}", all(proofs)),
    ]  # fmt: skip
    table = Table(
        tuple(
            (
                f"{TITLES[task]}: {activation}", runs[0]["what"], Number(middle(runs, "value"), "", 3),
                Number(max(run["value"] for run in runs), "", 3), Number(middle(runs, "ratio"), "", 4),
                Number(max(ratio(run) for run in runs), "", 4), Number(middle(runs, "seconds"), "s", 3),
                Number(1e6 * middle(runs, "speed"), "µs", 3),
            )
            for task, activation, runs in rows
        ),
        ("", "accuracy is", "median", "worst", "attained / certified, median", "largest", "training", "one evaluation"),
        f"Medians over {len(rows[0][2])} seeds; smaller is better, but for attained / certified, where 1 is a tight bound",
    )  # fmt: skip
    charts = tuple(
        Chart(
            TITLES[task], "attained / certified", AXES.get(task, ("one-step RMS", ""))[0],
            tuple(
                Series(activation, [ratio(run) for run in runs], [max(run["value"], 1e-12) for run in runs], "points")
                for activation, runs in per.items()
            ),
            y_unit=AXES.get(task, ("", ""))[1], log="y" if task != "digits" else "",
        )
        for task, per in found.items()
    )  # fmt: skip
    best = {task: min(per, key=lambda a: middle(per[a], "value")) for task, per in found.items()}
    tight = {task: max(per, key=lambda a: middle(per[a], "ratio")) for task, per in found.items()}
    sentence = "; ".join(
        f"{TITLES[task]}: {best[task]} is most accurate, the bound is tightest with {tight[task]}" for task in found
    )
    content = {
        "title": "Activations: accuracy, tightness of the bound, speed", "tables": [table], "sentence": f"{sentence}.",
        "figures": [ChartFigure("tightness", "Accuracy against tightness",
                                "One mark per seed. Low: accurate. Right: what is certified is nearly attained.", charts, 3)],
        "notes": [
            "Attained: of an LBDN the largest slope or gain found by ascent, over gamma. Of an observer the largest factor |dx+|_M / "
            "|dx|_M of one step found by climbing over states and inputs, over the certified rate alpha*.",
            "The slope of sigmoid is at most 1/4, so that an LBDN of L hidden layers with it has a gain of at most gamma / 4^L, whatever "
            "it learns: 10/256 on the step, 5/16 on the digits. It attains nearly that, and the certificate, which uses only that slopes "
            "lie in [0, 1], is loose by just this factor. tanh is the same function with slope 1.",
            "Times are processor seconds of one core; one evaluation is one sample of a batch of 1,000 (LBDN, float32), or one step of "
            "one of 100 trajectories in the compiled rollout (observers, float64).",
            "Published: the packages take relu for the box and MNIST, tanh for the PDE observer, and compare none. silu and gelu leave "
            "slopes of [0, 1]; they are refused.",
        ],
    }  # fmt: skip
    return judged(criteria, {"tasks": found, "most_accurate": best, "tightest": tight}, size, **content)


def ratio(run: dict[str, Any]) -> float:
    """Attained over certified."""
    return run["attained"] / run["certified"]


def middle(runs: list[dict[str, Any]], key: str) -> float:
    """The median over seeds."""
    return float(np.median([ratio(run) if key == "ratio" else run[key] for run in runs]))
