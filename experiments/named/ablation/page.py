"""The page of ``ablation``: a table per plant, and the loss over wall time per factor."""

from typing import Any

import numpy as np

from experiments.named.ablation.run import Ablation
from experiments.named.ablation.variants import DEFAULT, DEFAULT_NAMES, FACTORS, VARIANTS, Case, cases
from experiments.runner import Page
from reports.ablation import FactorTable, LossCourse, write_ablation_report


def page(result: Ablation) -> Page:
    """Every factor of every plant."""
    summaries = {case.name: summarise(case, result) for case in cases()}
    tables = [
        FactorTable(case, [{**row, "factor": FACTORS.get(row["factor"], row["factor"])} for row in rows.values()])
        for case, rows in summaries.items()
    ]
    content = {
        "tables": tables, "courses": {case: courses(case, result) for case in summaries}, "budget": result.size.budget,
        "seeds": result.seeds,
    }  # fmt: skip
    metrics = {"budget": result.size.budget, "seeds": result.seeds, "cases": summaries}
    return Page(True, metrics, write_ablation_report, content)


def courses(case: str, result: Ablation) -> dict[str, list[LossCourse]]:
    """Title of a factor -> the default and its variants, one run per seed."""
    panels = {}
    for factor, title in FACTORS.items():
        lines = [(DEFAULT, f"{DEFAULT_NAMES[factor]} (default)")]
        lines += [(v, v.name) for v in VARIANTS if v.factor == factor]
        panels[title] = [
            LossCourse(name, [(o.seconds, o.course) for o in (result.outcomes[case, v.key, s] for s in result.seeds)])
            for v, name in lines
        ]
    return panels


def summarise(case: Case, result: Ablation) -> dict[str, dict[str, Any]]:
    """Per variant: median and worst over the seeds, and the factor by which the median loss is above the default's."""
    rows = {}
    reference = float(np.median([result.outcomes[case.name, DEFAULT.key, s].loss for s in result.seeds]))
    for variant in VARIANTS:
        outcomes = [result.outcomes[case.name, variant.key, s] for s in result.seeds]
        losses = [o.loss for o in outcomes]
        rows[variant.key] = {
            "factor": variant.factor, "name": variant.name, "rate": outcomes[0].rate,
            "loss": {"median": float(np.median(losses)), "worst": max(losses)},
            "supremum": {"median": float(np.median([o.supremum for o in outcomes])), "worst": max(o.supremum for o in outcomes)},
            "times_the_default": float(np.median(losses)) / reference if reference > 0 else float("nan"),
            "seconds_to_a_hundredth_of_the_start": float(np.median([o.time_to(o.start_loss / 100) for o in outcomes])),
            "iterations": float(np.median([o.iterations for o in outcomes])),
            "status": sorted({o.status for o in outcomes}),
        }  # fmt: skip
    return rows
