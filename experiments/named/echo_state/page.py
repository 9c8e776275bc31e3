"""The page of the control under a limited input."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.named.echo_state.program import LIMIT, STATIC
from experiments.named.echo_state.run import LATE, EchoStateSize
from experiments.runner import Measured, Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table

SETTLED = 0.05  # of the range of z over the last samples of a level


def page(result: Measured) -> Page:
    """The closed loops, and the rounds of the programs."""
    size, found = result.size, result.rows
    ren, linear = found["REN"], found["linear"]
    squares, fresh = ren["tests"]["squares"], ren["tests"]["fresh"]
    moves = SETTLED * STATIC * 10
    better = fresh["mean"] / linear["tests"]["fresh"]["mean"]
    criteria = [
        Requirement("largest |u| on the squares of the published test", Number(squares["largest"], "", 5), f"at most {LIMIT:g}",
                  bool(squares["largest"] <= LIMIT * (1 + 1e-6))),
        Requirement(f"largest |u| on {50 * size.fresh:,} fresh samples".replace(",", " "), Number(fresh["largest"], "", 5),
                  f"at most {LIMIT:g}", bool(fresh["largest"] <= LIMIT * (1 + 1e-6))),
        Requirement(f"how far z still moves in the last {LATE} samples of a level", Number(max(squares["moves"], fresh["moves"]), "", 3),
                  f"at most {moves:.2g}, 5 % of what the largest disturbance does without control",
                  bool(max(squares["moves"], fresh["moves"]) <= moves)),
        Requirement("mean |z| on fresh steps over that of the linear one", Number(better, "", 3), "less than 1", bool(better < 1)),
        Requirement("margin of the proof that the REN contracts", Number(ren["margin"], "", 3), "proved", bool(ren["proved"])),
    ]  # fmt: skip
    content = {
        "title": "Control under a limited input: a random contracting network and a convex program",
        "sentence": f"With the REN the mean |z| on fresh disturbances is {better:.3g} times that of the best linear parameter, and |u| "
        f"stays at or below {max(squares['largest'], fresh['largest']):.4g}.",
        "summary": "z = T d + T u, the disturbance is measured through -T, and u = theta' (x, w, y, 1) of a contracting REN with "
        f"{size.nx} states and {size.neurons} neurons whose dynamics are random and fixed. Its contraction rate {size.rate:g} is "
        "guaranteed, so that the closed loop is stable for every theta.",
        "tables": [closed_loops(found), rounds(size, found)],
        "notes": [
            "Published (arXiv 2104.05942, section IX): nx = 50, nv = 500, |u| ≤ 5 imposed on the samples of the program alone, and a "
            "figure of squares of amplitude 0 to 8 on which the limit holds and z settles; no numbers.",
            f"Here nv = {size.neurons} and the cost has fewer samples; the biases of the neurons are spread over the range of the input. "
            f"The linear parameter is a finite impulse response of {size.taps} samples under the same program.",
        ],
        "figures": [squares_figure(ren, linear)],
    }  # fmt: skip
    metrics = {
        "designs": {kind: {k: v for k, v in item.items() if k not in ("z", "u", "d")} for kind, item in found.items()},
        "better": better,
    }
    return judged(criteria, metrics, size, **content)


def closed_loops(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """One line per design and disturbance."""
    names = {"squares": "squares of amplitude 0 to 8", "fresh": "fresh steps", "training": "the steps of the program"}
    rows = [
        (
            f"{kind}: {names[name]}", Number(test["mean"], "", 4), Number(test["largest"], "", 5), Number(100 * test["violated"], "%", 2),
            Number(test["moves"], "", 3), Number(test["off_mean"], "", 3), Number(test["off_largest"], "", 3),
        )
        for kind, item in found.items() for name, test in item["tests"].items()
    ]  # fmt: skip
    return Table(
        tuple(rows),
        (
            "",
            "mean |z|",
            "largest |u|",
            "samples above 5",
            f"moves in the last {LATE}",
            "from the attainable rest, mean",
            "largest",
        ),
        "The closed loop",
    )


def rounds(size: EchoStateSize, found: Mapping[str, Mapping[str, Any]]) -> Table:
    """How the programs went."""
    return Table(
        tuple(
            (
                f"{kind}, round {k}", row["status"], Number(row["cuts"]), Number(row["objective"], "", 5),
                Number(row["largest"], "", 5), Number(100 * row["violated"], "%", 2), Number(row["seconds"], "s", 3),
            )
            for kind, item in found.items() for k, row in enumerate(item["course"])
        ),
        ("program", "ended", "samples added", "objective", "largest |u| on those", "of them above 5", "solver"),
        f"Rounds: the limit on {50 * size.levels} samples of the cost, then also where it failed between {size.grid} levels of a "
        f"grid and {size.more} random ones",
    )  # fmt: skip


def squares_figure(ren: Mapping[str, Any], linear: Mapping[str, Any]) -> ChartFigure:
    """Both designs under squares of growing amplitude."""
    t = list(range(len(ren["d"])))
    return ChartFigure(
        "squares", "Squares of growing amplitude",
        "Left: the controlled z; up to an amplitude of 5 it can return to 0, beyond it rests where the limited input leaves it (dotted). "
        "Right: the input, which must stay between the dotted lines. The linear parameter, to keep its input within them for the "
        "largest disturbance, does too little for all others.",
        (
            Chart("z", "sample", "z", (
                Series("rest that |u| ≤ 5 allows", t, STATIC * np.sign(ren["d"]) * np.maximum(np.abs(ren["d"]) - LIMIT, 0), role="bound"),
                Series("linear", t, linear["z"]), Series("REN", t, ren["z"]))),
            Chart("u", "sample", "u", (Series("linear", t, linear["u"]), Series("REN", t, ren["u"])),
                  levels=(("limit", LIMIT), ("", -LIMIT))),
        ),
    )  # fmt: skip
