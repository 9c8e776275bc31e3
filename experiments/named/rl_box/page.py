"""The page of the box under a learned controller: costs, motions, slopes, and the price of rebuilding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.named.rl_box.control import DT, GAMMA
from experiments.named.rl_box.run import PUBLISHED_RATIOS, SETTLED, Controllers, RLBoxSize
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table


def page(result: Controllers) -> Page:
    """Costs, motions, slopes, and the price of rebuilding."""
    size, trained, best, timings = result.size, result.trained, result.least_cost, result.timings
    ours = trained["LBDN"]
    slope, end = (max(row[name] for row in ours) for name in ("slope", "end_error"))
    criteria = [
        Requirement("seeds whose bound is proved", Number(sum(bool(row["proved"]) for row in ours)), f"all {len(ours)}",
                  all(row["proved"] for row in ours)),
        Requirement("steepest slope of the LBDN found", Number(slope, "N per unit", 4), f"at most {GAMMA:g}",
                  bool(slope <= GAMMA * (1 + 1e-5))),
        Requirement("largest error of the position at the end", Number(end, "m", 3), f"at most {SETTLED:g} m",
                  bool(end <= SETTLED)),
    ]  # fmt: skip
    content = {
        "title": "A controller for the box, learned through its simulation",
        "sentence": f"The LBDN's gain is at most {GAMMA:g} whatever was learned; the box settles within {end:.2g} m of every fresh "
        f"reference, at {np.median([row['test_cost'] for row in ours]) / best:.3g} times the least cost that any input can reach.",
        "summary": "Cost: mean over time and references of 10 (q - r)² + v² + 0.1 (u - kr)², from rest at 0; explicit Euler, "
        f"dt = {DT:g} s, {size.duration:g} s. The least possible cost lets every input of every reference free.",
        "tables": [costs(size, trained, best), times(size, timings)],
        "notes": [
            "The slope is the gradient of the control with respect to (q, v, r) where it was found steepest, over |q|, |v|, |r| ≤ 2: "
            "a lower bound of the Lipschitz constant.",
            "Published: the ratios of RobustNeuralNetworks.jl (arXiv 2306.12612); its figure shows no final cost. Its friction term is "
            "quadratic without the sign of the velocity; here it opposes the motion.",
            "Times are processor time on one core of the machine at hand, for an update the least of several "
            "repetitions; compare them with each other only.",
        ],
        "figures": [learning(trained), motions(trained), rebuilding(timings)],
    }  # fmt: skip
    metrics = {
        "least_cost": best, "gamma": GAMMA, "published_ratios": PUBLISHED_RATIOS, "times": timings,
        "controllers": {
            kind: [{k: v for k, v in row.items() if k not in ("motion", "costs", "references")} for row in found]
            for kind, found in trained.items()
        },
    }  # fmt: skip
    return judged(criteria, metrics, size, **content)


def costs(size: RLBoxSize, trained: Mapping[str, Sequence[Mapping[str, Any]]], best: float) -> Table:
    """One line per controller and seed."""
    rows = [
        (
            f"{kind}, seed {k}", Number(row["parameters"]), Number(row["costs"][-1], "", 4), Number(row["test_cost"], "", 4),
            Number(row["test_cost"] / best, "", 4), Number(row["end_error"], "m", 3), Number(row["slope"], "", 4),
            f"{GAMMA:g}, proved" if row["proved"] else "none" if kind == "dense" else "NOT proved", Number(row["seconds"], "s", 3),
        )
        for kind, found in trained.items() for k, row in enumerate(found)
    ]  # fmt: skip
    return Table(
        tuple(rows),
        ("controller", "parameters", "cost, training", "cost, fresh", "over the least possible", "error at the end",
         "steepest slope found", "bound", "time"),
        f"{size.iterations} iterations on {size.references} references; fresh references are as many, of another seed",
    )  # fmt: skip


def times(size: RLBoxSize, timings: Sequence[Mapping[str, Any]]) -> Table:
    """The price of rebuilding."""
    return Table(
        tuple(
            (
                str(row["width"]), Number(1e3 * row["once"], "ms", 3), Number(1e3 * row["always"], "ms", 3),
                Number(row["ratio"], "", 3), Number(PUBLISHED_RATIOS.get(row["width"]), "", 3),
            )
            for row in timings
        ),
        ("neurons per layer", "built once", "built at every call", "times as long", "published"),
        f"One update: {size.timed_steps} steps of {size.references} references, cost and gradients",
    )  # fmt: skip


def learning(trained: Mapping[str, Sequence[Mapping[str, Any]]]) -> ChartFigure:
    """Costs over iterations, and under noise."""
    shown = {kind: found[0] for kind, found in trained.items()}
    return ChartFigure(
        "learning", "Learning, and what noise does",
        "Left: the cost of the training references before each update; seeds share a colour. Right: the cost on fresh "
        "references when the controller sees position and velocity with white noise of this standard deviation.",
        (
            Chart("Cost over iterations", "iteration", "cost",
                  tuple(Series(kind if k == 0 else "", range(len(row["costs"])), row["costs"], colour=c)
                        for c, (kind, found) in enumerate(trained.items()) for k, row in enumerate(found)),
                  log="y"),
            Chart("Cost under measurement noise", "noise of q and v", "cost",
                  tuple(Series(kind, [n["deviation"] for n in row["noise"]], [n["cost"] for n in row["noise"]], "both")
                        for kind, row in shown.items())),
        ),
    )  # fmt: skip


def motions(trained: Mapping[str, Sequence[Mapping[str, Any]]]) -> ChartFigure:
    """Position and control."""
    shown = {kind: found[0] for kind, found in trained.items()}
    return ChartFigure(
        "motions", "Position and control for some fresh references",
        "One line per reference, first seed. The position should come to rest at the reference (dotted), and the control at k r.",
        tuple(
            Chart(f"{kind}: {name}", "time", name,
                  tuple(Series("", DT * np.arange(len(line)), line, colour=k) for k, line in enumerate(row["motion"][letter])),
                  "s", unit, levels=tuple(("", r) for r in row["references"]) if letter == "q" else ())
            for kind, row in shown.items() for letter, name, unit in (("q", "position", "m"), ("u", "control", "N"))
        ),
    )  # fmt: skip


def rebuilding(timings: Sequence[Mapping[str, Any]]) -> ChartFigure:
    """The price of rebuilding over the number of neurons."""
    return ChartFigure(
        "rebuilding", "The price of building the explicit weights at every call",
        "Time of an update with the weights built at every call over that with the weights built once. Squares: published.",
        (
            Chart("Rebuilt at every call / once", "neurons per layer", "times as long",
                  (Series("ours", [row["width"] for row in timings], [row["ratio"] for row in timings], "both"),
                   Series("published", list(PUBLISHED_RATIOS), list(PUBLISHED_RATIOS.values()), "points", "published")),
                  log="xy"),
        ),
    )  # fmt: skip
