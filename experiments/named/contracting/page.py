"""The page of ``contracting``: distances of pairs against the certified envelope, one step against alpha*."""

import numpy as np

from experiments.named.contracting.run import ROUNDING
from experiments.runner import Measured, Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number
from reports.tables import Table


def page(result: Measured) -> Page:
    """Envelopes, network by network."""
    size, rows = result.size, result.rows
    left, excess = sum(row["left"] for row in rows), max(row["attained"] / row["rate"] for row in rows)
    criteria = [
        Requirement("pairs outside the certified envelope", Number(left), f"0 of {size.pairs * len(rows)}", left == 0),
        Requirement("networks whose certificate holds", Number(sum(row["holds"] for row in rows)), f"all {len(rows)}",
                  all(row["holds"] for row in rows)),
        Requirement("alpha* over the bound it was built for", Number(max(row["rate"] / row["bound"] for row in rows), "", 6),
                  "at most 1", all(row["rate"] <= row["bound"] * (1 + 1e-9) for row in rows)),
        Requirement("attained in one step over alpha*", Number(excess, "", 6), "at most 1", excess <= 1 + 1e-9),
    ]  # fmt: skip
    table = Table(
        tuple(
            (
                f"{row['start']}, {row['bound']:g}", Number(row["rate"], "", 5), Number(row["attained"], "", 5),
                Number(row["attained"] / row["rate"], "", 4), Number(row["closest"], "", 4), Number(row["condition"], "", 3),
                Number(row["margin"], "", 2),
            )
            for row in rows
        ),
        ("initial weights and rate bound", "alpha*, proved", "one step, attained", "attained / proved", "distance / envelope, largest",
         "condition number of M", "margin of the proof"),
        f"Contracting RENs, nx = {size.nx}, nv = {size.nv}, {size.activation}; {size.pairs} pairs of {size.steps} steps each",
    )  # fmt: skip
    t, charts = np.arange(size.steps + 1), []
    for row in rows:
        largest, level = np.asarray(row["largest"]), float(row["floor"])
        seen = slice(0, min(size.steps + 1, int(np.argmax(largest < 2 * level)) or size.steps + 1))
        charts.append(
            Chart(
                f"{row['start'].replace('_', ' ')}, bound {row['bound']:g}", "step", "distance over the initial one",
                (
                    Series("largest of all pairs", t[seen], largest[seen]), Series("median", t[seen], row["median"][seen]),
                    Series("certified, alpha*^t", t[seen], row["rate"] ** t[seen], role="bound"),
                ),
                log="y",
            )
        )  # fmt: skip
    states = ChartFigure(
        "states",
        "Two runs under the same input",
        "One state of the first pair, for the slowest network: what the runs share after a while is what the input made.",
        (Chart("Two initial states", "step", "first state", (
            Series("first run", np.arange(len(rows[-1]["states"][0])), rows[-1]["states"][0]),
            Series("second run", np.arange(len(rows[-1]["states"][1])), rows[-1]["states"][1]))),),
    )  # fmt: skip
    envelopes = ChartFigure(
        "envelopes",
        "Distances, and the certified envelope",
        "Distances are measured in M, relative to the initial one. No line may lie above the dotted one; they are drawn until rounding "
        "is all that is left. A long memory leaves little between them, random parameters forget faster than is proved.",
        tuple(charts), 3,
    )  # fmt: skip
    content = {
        "title": "Contraction: two initial states forget each other", "tables": [table], "figures": [envelopes, states],
        "sentence": f"{left} of {size.pairs * len(rows)} pairs of runs leave the certified envelope.",
        "notes": ["alpha*: the smallest rate that M and the multipliers prove, from the explicit matrices in closed form. Attained: "
                  "the spectral norm of the Jacobian in M at the worst states and inputs found, so that no rate below it can be "
                  f"proved in this M. Rounding is allowed for with {ROUNDING:g} |x|_M / (1 - alpha*).",
                  "Published: RobustNeuralNetworks.jl draws such a pair at the rate bound 1, which proves no rate."],
    }  # fmt: skip
    drawn = ("largest", "median", "states")
    metrics = {"networks": [{k: v for k, v in row.items() if k not in drawn} for row in rows]}
    return judged(criteria, metrics, size, **content)
