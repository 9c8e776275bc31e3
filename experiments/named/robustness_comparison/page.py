"""The page of ``robustness_comparison``: certified and attacked accuracy, and what each method costs."""

from collections.abc import Mapping
from typing import Any

from experiments.named.classification.measure import RADII, OnImages
from experiments.named.classification.methods import FAILURE, NAMES
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number, number_text
from reports.tables import Table


def page(result: OnImages) -> Page:
    """The methods side by side."""
    size, images, rows = result.size, result.images, result.rows
    radii = RADII[images.name]
    sure = {name: row for name, row in rows.items() if row["deterministic"]}
    broken = sum(row["contradictions"] for row in sure.values())
    above = sum(c > a for row in rows.values() for c, a in zip(row["certified_same"], row["attacked"], strict=True))
    bound = [row for row in rows.values() if row["proved"] is not None]
    criteria = [
        Requirement("certified images that an attack broke (deterministic certificates)", Number(broken), "0", broken == 0),
        Requirement("radii at which certified exceeds attacked", Number(above), f"0 of {len(rows) * len(radii)}", above == 0),
        Requirement("Lipschitz bounds proved in float64", Number(sum(bool(row["proved"]) for row in bound)), f"all {len(bound)}",
                  all(row["proved"] for row in bound)),
    ]  # fmt: skip
    shown = [k for k, r in enumerate(radii) if r > 0][1::2]
    heads = [f"{word} at {number_text(radii[k], 3)}" for word in ("certified", "attacked") for k in shown]
    main = Table(
        tuple(
            (
                NAMES[name], Number(100 * row["accuracy"], "", 4),
                *(Number(100 * row[key][k], "", 4) for key in ("certified_same", "attacked") for k in shown),
                Number(row["train_seconds"], "", 3),
            )
            for name, row in rows.items()
        ),
        ("", "accuracy", *heads, "training [s]"),
        f"Accuracy [%] in Euclidean balls ({next(iter(rows.values()))['attacked_images']} test images) and processor time",
    )  # fmt: skip
    kinds = {"plain": "product of norms", "adversarial": "product of norms", "interval": "intervals"}
    facts = Table(
        tuple(
            (
                NAMES[name], str(row.get("setting", "–")),
                f"with probability {1 - FAILURE:g} each" if not row["deterministic"] else kinds.get(name, "proved Lipschitz bound"),
                Number(row["certify_seconds"], "s", 3), Number(row["attack_seconds"], "s", 3), Number(row["parameters"]),
                Number(row["contradictions"]),
            )
            for name, row in rows.items()
        ),
        ("", "trained with", "certificate", "to certify", "to attack", "parameters", "certified and broken"),
        "How each is certified, and what that takes",
    )  # fmt: skip

    def chart(key: str, title: str) -> Chart:
        curves = tuple(
            Series(NAMES[name], radii, [100 * v for v in row[key]], "both", colour=k)
            for k, (name, row) in enumerate(rows.items())
        )
        return Chart(title, "radius |dx|", "accuracy", curves, y_unit="%", limits=(-3.0, 103.0))

    figure = ChartFigure(
        "comparison", "Certified and attacked accuracy",
        "Left: what is proved (of randomised smoothing: with high probability). Right: what the attack left. The truth lies between "
        "the two lines of a method.",
        (chart("certified_same", "Certified"), chart("attacked", "Attacked")),
    )  # fmt: skip
    content = {
        "title": "Robust by construction against the usual ways", "tables": [main, facts], "figures": [figure],
        "sentence": verdict(rows, radii),
        "summary": f"Data: {images.source}. Dense networks {'-'.join(map(str, (images.train_x.shape[1], *size.hidden, 10)))}, relu, "
        f"Adam in batches of {size.batch}, {size.passes} passes over the images ({size.conv_passes} for the convolutional one).",
        "notes": [
            "Attack: descent of the margin in the ball, from the image and from random points; of the smoothed classifier through the "
            f"mean of 8 noisy copies, judged by the vote of {size.judge}. Its certificates count {size.many:,} copies an image "
            "(Clopper-Pearson), and each evaluation in use takes many copies too; the others take one pass. Where the vote is near one "
            "half a sampled vote may fall on the other side of what is certified: such images are counted, and do not fail the run.",
            "No published table has these sizes on one core; the methods' own papers use larger networks and 60,000 images.",
        ],
    }  # fmt: skip
    metrics = {"data": images.source, "radii": radii, "methods": rows}
    return judged(criteria, metrics, size, **content)


def verdict(rows: Mapping[str, Any], radii: tuple[float, ...]) -> str:
    """Which method certifies most at a middle radius, deterministically, and which is hardest to attack there."""
    k = len(radii) // 2
    sure = {name: row["certified_same"][k] for name, row in rows.items() if row["deterministic"]}
    hard = {name: row["attacked"][k] for name, row in rows.items()}
    best, last = max(sure, key=lambda n: sure[n]), max(hard, key=lambda n: hard[n])
    return (
        f"At radius {radii[k]:g}, {NAMES[best]} certifies most without probability ({100 * sure[best]:.1f} %), and {NAMES[last]} "
        f"keeps most under attack ({100 * hard[last]:.1f} %)."
    )
