"""The page of ``pde``: ours, the authors' weights where they are at hand, and the published figures."""

from typing import Any

import numpy as np

from experiments.named.pde.run import LOSS_BAR, PUBLISHED, RMSE_BAR, Pde
from experiments.runner import Page
from reports import Number, Variant, write_comparison_report
from reports.figures.field import field_picture

TITLES = {"ours": "Ours, correct plant", "published": "Published weights, their plant"}


def page(result: Pde) -> Page:
    """Medians over the draws of the boundary; ``metrics.json`` is that of ours, with the medians beside it."""
    ours, draws = result.ours, result.size.draws
    assert ours.observer is not None and ours.fit is not None and ours.validation is not None
    neurons = ours.observer.weights.nv
    medians = {
        name: {key: float(np.median([t[key] for t in rows])) for key in ("one_step_loss", "rmse")}
        for name, rows in result.tests.items()
    }
    own = medians["ours"]
    variants = {"ours": Variant(None, None, ours.certificate, f"{neurons} neurons on the correct plant.", numbers(own))}
    note = "The authors' weights are not at hand (shared/golden beside the project): their published numbers are shown."
    if "published" in medians:
        description = "The authors' 500 neurons on the plant of their code."
        variants["published weights"] = Variant(description=description, numbers=numbers(medians["published"]))
        note = "The authors' weights were measured here on the plant of their own code, with the same boundary draws."
    variants["published figures"] = Variant(description="As published (arXiv 2306.12612).", numbers=numbers(PUBLISHED))
    content = {
        "title": "Reaction-diffusion observer: published and ours", "variants": variants, "notes": [note],
        "summary": f"From zero, over samples 1000 to 2000 of the published test, our observer with {neurons} neurons is off by "
        f"{own['rmse']:.2g} (RMSE over all nodes, median of {draws} boundaries), {PUBLISHED['rmse'] / own['rmse']:.0f} times below the "
        f"published {PUBLISHED['rmse']:.2g} of 500 neurons. It was fitted in {ours.fit.seconds:.0f} s.",
        "extra": [field_picture(f"field_{name}", TITLES[name], rows[0]["t"], rows[0]["x"], rows[0]["x_hat"])
                  for name, rows in result.tests.items()],
    }  # fmt: skip
    lines = [
        f"{name:<10} one-step loss {row['one_step_loss']:.2e}, RMSE samples 1000-2000 {row['rmse']:.2e} (median of {draws})"
        for name, row in medians.items()
    ]
    passed = own["one_step_loss"] <= LOSS_BAR and own["rmse"] <= RMSE_BAR and ours.validation.verdict == "pass"
    metrics = ours.metrics | {"variants": {"published_figures": PUBLISHED, **medians}}
    return Page(passed, metrics, write_comparison_report, content, lines)


def numbers(row: dict[str, float]) -> dict[str, Any]:
    """The lines of the table."""
    return {
        "one-step loss": Number(row["one_step_loss"], "", 3),
        "RMSE, samples 1000-2000": Number(row["rmse"], "", 3),
    }
