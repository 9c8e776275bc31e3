"""The page of ``curve_fit``: the slope used, the loss over the least possible one, and the fitted step."""

import numpy as np

from experiments.named.curve_fit.run import POINTS, PUBLISHED, REACH, REQUIRED, least_loss, step
from experiments.runner import Measured, Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table


def page(result: Measured) -> Page:
    """Slopes against gamma, seed by seed."""
    size, seed, rows = result.size, result.seed, result.rows
    slopes = np.array([row["slope"] for row in rows])
    share = 100 * slopes / size.gamma
    criteria = [
        Requirement("slope used, worst seed", Number(share.min(), "%", 5), f"at least {100 * REQUIRED:g} % of gamma",
                  bool(share.min() >= 100 * REQUIRED)),
        Requirement("steepest slope of any seed over gamma", Number(slopes.max() / size.gamma, "", 7), "at most 1",
                  bool(slopes.max() <= size.gamma * (1 + 1e-9))),
        Requirement("seeds whose bound is proved", Number(sum(row["proved"] for row in rows)), f"all {len(rows)}",
                  all(row["proved"] for row in rows)),
    ]  # fmt: skip
    rows_ours = [
        (
            f"seed {seed + k}", Number(row["slope"], "", 5), Number(share[k], "%", 4), Number(row["loss"]),
            Number(row["loss"] / row["least_loss"], "", 5), Number(row["margin"], "", 3), Number(row["seconds"], "s", 3),
        )
        for k, row in enumerate(rows)
    ]  # fmt: skip
    published = ("published (a square wave)", "–", Number(100 * PUBLISHED, "%", 3), "–", "–", "–", "–")
    table = Table(
        (*rows_ours, published),
        ("", "largest slope", "of the bound", "mean square error", "over the least possible", "margin of the proof", "processor time"),
        f"Step on [-{REACH:g}, {REACH:g}], {POINTS} points, gamma = {size.gamma:g}, hidden layers {list(size.hidden)}",
    )  # fmt: skip
    u = np.linspace(-REACH, REACH, POINTS)
    best = least_loss(u, step(u), size.gamma)[1]
    shown = max(rows, key=lambda row: -row["loss"])
    curves = (
        Series("step", u, step(u), "points", "published"),
        Series(f"best function of slope {size.gamma:g}", u, best, "line", "bound"),
        Series("LBDN, seed of the least loss", shown["u"], shown["curve"]),
    )
    ratio = tuple(
        Series(f"seed {seed + k}", np.arange(len(row["losses"])) * row["every"] + 1,
              np.maximum(np.asarray(row["losses"]) / row["least_loss"] - 1, 1e-9))
        for k, row in enumerate(rows)
    )  # fmt: skip
    figure = ChartFigure(
        "fit",
        "The fitted step, and how fast it is found",
        "Left: the dotted line is the best that any function of this slope can do; the network should lie on it. Right: the "
        "loss over the least possible one, minus 1. A conservative bound would leave a gap that no training closes.",
        (
            Chart("Fit", "u", "y", curves),
            Chart("Loss over the least possible, minus 1", "iteration", "excess", ratio, log="y"),
        ),
    )
    content = {
        "title": "Series fit: how much of the allowed slope an LBDN uses", "tables": [table], "figures": [figure],
        "sentence": f"The bound of {size.gamma:g} holds for every value of the parameters, and the fitted networks use "
        f"{share.min():.4g} % of it or more.",
        "notes": ["The largest slope is attained (a grid of 20,001 points and ascent from the steepest places), so that it "
                  "bounds the true Lipschitz constant from below as gamma does from above.",
                  "Published: tightness of 94 % on a square wave (arXiv 2301.11526); the example of RobustNeuralNetworks.jl "
                  "is this step."],
    }  # fmt: skip
    metrics = {
        "gamma": size.gamma, "published_share": PUBLISHED, "share": share / 100,
        "seeds": [{k: v for k, v in row.items() if k not in ("u", "curve", "losses")} for row in rows],
    }  # fmt: skip
    return judged(criteria, metrics, size, **content)
