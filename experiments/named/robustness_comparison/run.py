"""``observer experiment robustness_comparison``: networks robust by construction against the usual ways, in one table.

Accuracy, certified accuracy and attacked accuracy over radii, and processor time of training, certification and attack.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.named.classification.data import load_images
from experiments.runner import finish, interruptible, kept, one_thread, refuse


def run(
    out: Path,
    *,
    full: bool = False,
    seed: int = 0,
    quiet: bool = False,
    report: Callable[[str], None] = print,
    **options: Any,
) -> int:
    """Train by every method and compare into ``out``; 0 when no certificate is contradicted and the bounds are proved.

    ``options``: data (the folder of MNIST's IDX files; the embedded digits without it), rows (names of methods, separated by
    commas), fresh. ``full`` changes nothing.
    """
    from experiments.named.classification import methods
    from systems.base.errors import InputError

    refuse(options, ("data", "rows"))
    size = options.get("size") or methods.Size()
    names = tuple(options["rows"].split(",")) if options.get("rows") else tuple(methods.NAMES)
    wrong = [name for name in names if name not in methods.NAMES]
    if wrong:
        raise InputError(f"--rows names {', '.join(wrong)}; expected some of {', '.join(methods.NAMES)}")
    images = load_images(options.get("data"))
    if size.train is not None and size.test is not None:
        images = images.thinned(size.train, size.test)
    rows: dict[str, Any] = {}
    with interruptible(out), one_thread():
        for name in names:
            settings = methods.SETTINGS[images.name]
            key = {
                "size": asdict(size),
                "seed": seed,
                "settings": settings,
                "data": images.digest,
                "split": images.source,
            }

            def measured(name: str = name) -> dict[str, Any]:
                return methods.measure(name, images, size, seed)

            rows[name] = kept(out, f"{images.name}-{name}", key, measured, bool(options.get("fresh")))
            pairs = zip(rows[name]["certified_same"], rows[name]["attacked"], strict=True)
            report(
                f"{methods.NAMES[name]}: accuracy {100 * rows[name]['accuracy']:.2f} %, trained in "
                f"{rows[name]['train_seconds']:.0f} s; certified / attacked "
                + ", ".join(f"{100 * c:.1f}/{100 * a:.1f}" for c, a in pairs)
                + " %"
            )
    asked = "".join(f" --{key} {options[key]}" for key in ("data", "rows") if options.get(key))
    return _end(
        out, rows, images, size, f"observer experiment robustness_comparison{asked} --seed {seed} --out {out}", report
    )


def _end(out: Path, rows: dict[str, Any], images: Any, size: Any, command: str, report: Callable[[str], None]) -> int:
    from experiments.named.classification.measure import RADII
    from experiments.named.classification.methods import FAILURE, NAMES
    from reports.experiment_page import Chart, ChartFigure, Criterion, Curve
    from reports.quantities import Number, number_text
    from reports.tables import Table

    radii = RADII[images.name]
    sure = {name: row for name, row in rows.items() if row["deterministic"]}
    broken = sum(row["contradictions"] for row in sure.values())
    above = sum(c > a for row in rows.values() for c, a in zip(row["certified_same"], row["attacked"], strict=True))
    bound = [row for row in rows.values() if row["proved"] is not None]
    criteria = [
        Criterion("certified images that an attack broke (deterministic certificates)", Number(broken), "0", broken == 0),
        Criterion("radii at which certified exceeds attacked", Number(above), f"0 of {len(rows) * len(radii)}", above == 0),
        Criterion("Lipschitz bounds proved in float64", Number(sum(bool(row["proved"]) for row in bound)), f"all {len(bound)}",
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
            Curve(NAMES[name], radii, [100 * v for v in row[key]], "both", colour=k)
            for k, (name, row) in enumerate(rows.items())
        )
        return Chart(title, "radius |dx|", "accuracy", curves, y_unit="%", limits=(-3.0, 103.0))

    figure = ChartFigure(
        "comparison", "Certified and attacked accuracy",
        "Left: what is proved (of randomised smoothing: with high probability). Right: what the attack left. The truth lies between "
        "the two lines of a method.",
        (chart("certified_same", "Certified"), chart("attacked", "Attacked")),
    )  # fmt: skip
    page = {
        "title": "Robust by construction against the usual ways", "tables": [main, facts], "figures": [figure],
        "command": command, "toy": size.name != "full", "sentence": verdict(rows, radii, NAMES),
        "summary": f"Data: {images.source}. Dense networks {'-'.join(map(str, (images.train_x.shape[1], *size.hidden, 10)))}, relu, "
        f"Adam in batches of {size.batch}, {size.epochs} epochs ({size.conv_epochs} of the convolutional one).",
        "notes": [
            "Attack: descent of the margin in the ball, from the image and from random points; of the smoothed classifier through the "
            f"mean of 8 noisy copies, judged by the vote of {size.judge}. Its certificates count {size.many:,} copies an image "
            "(Clopper-Pearson), and each evaluation in use takes many copies too; the others take one pass. Where the vote is near one "
            "half a sampled vote may fall on the other side of what is certified: such images are counted, and do not fail the run.",
            "No published table has these sizes on one core; the methods' own papers use larger networks and 60,000 images.",
        ],
    }  # fmt: skip
    metrics = {"data": images.source, "radii": radii, "methods": rows}
    return finish(out, "robustness_comparison", criteria, metrics, page, report)


def verdict(rows: dict[str, Any], radii: tuple[float, ...], names: dict[str, str]) -> str:
    """Which method certifies most at a middle radius, deterministically, and which is hardest to attack there."""
    k = len(radii) // 2
    sure = {name: row["certified_same"][k] for name, row in rows.items() if row["deterministic"]}
    hard = {name: row["attacked"][k] for name, row in rows.items()}
    best, last = max(sure, key=lambda n: sure[n]), max(hard, key=lambda n: hard[n])
    return (
        f"At radius {radii[k]:g}, {names[best]} certifies most without probability ({100 * sure[best]:.1f} %), and {names[last]} "
        f"keeps most under attack ({100 * hard[last]:.1f} %)."
    )
