"""The page of ``mnist``: accuracy beside the published one, the noise sweep, certified below attacked."""

from collections.abc import Mapping
from typing import Any

from experiments.named.classification.data import Images
from experiments.named.classification.measure import AUTHORS, RADII, OnImages
from experiments.named.mnist.run import AUTHORS_ACCURACY, NAMES, NOISE, PUBLISHED
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number, number_text
from reports.tables import Table


def page(result: OnImages) -> Page:
    """Accuracy beside the published one, noise, certified below attacked."""
    size, images, rows = result.size, result.images, result.rows
    radii = RADII[images.name]
    criteria = safety(rows)
    strongest = rows["lbdn"]["noise"][-1] - rows["dense"]["noise"][-1]
    criteria.append(
        Requirement(
            f"accuracy at noise {NOISE[-1]}/255: LBDN minus dense", Number(100 * strongest, "%", 4),
            "above 0, as published", strongest > 0,
        )
    )  # fmt: skip
    if "authors" in rows and rows["authors"]["images"] == 10_000:
        right = round(10_000 * rows["authors"]["accuracy"])
        criteria.append(
            Requirement("right of 10,000 by the authors' weights", Number(right), "exactly 9,724",
                      right == round(10_000 * AUTHORS_ACCURACY))
        )  # fmt: skip
    title = "Digits" if images.name == "digits" else "MNIST"
    content = {
        "title": f"{title}: classifiers that are robust by construction",
        "sentence": "No attack found an image within a certified radius, and certified accuracy lies below attacked accuracy at "
        "every radius." if all(c.passed for c in criteria) else "Something that is proved, or was published, did not hold.",
        "summary": f"Data: {images.source}. Networks: {'-'.join(map(str, (images.size[0] * images.size[1], *size.hidden, 10)))}, "
        f"gamma = {size.gamma:g}, relu; the dense ones by full-batch Adam as published.",
        "tables": [overview(rows, images), noise_table(rows), radii_table(rows, radii)],
        "figures": [noise_figure(rows), radii_figure(rows, radii)],
        "notes": notes(images, rows),
    }  # fmt: skip
    metrics = {"data": images.source, "radii": radii, "noise": NOISE, "published": PUBLISHED, "networks": rows}
    return judged(criteria, metrics, size, **content)


def safety(rows: Mapping[str, Any]) -> list[Requirement]:
    """What must hold whatever was trained: certificates against attacks, and the proofs."""
    broken = sum(row["contradictions"] for row in rows.values())
    pairs = [(c, a) for row in rows.values() for c, a in zip(row["certified_same"], row["attacked"], strict=True)]
    above = sum(c > a for c, a in pairs)
    bound = [row for row in rows.values() if row["proved"] is not None]
    return [
        Requirement("certified images that an attack broke", Number(broken), "0", broken == 0),
        Requirement("radii at which certified exceeds attacked", Number(above), f"0 of {len(pairs)}", above == 0),
        Requirement("Lipschitz bounds proved in float64", Number(sum(bool(row["proved"]) for row in bound)), f"all {len(bound)}",
                  all(row["proved"] for row in bound)),
    ]  # fmt: skip


def overview(rows: Mapping[str, Any], images: Images) -> Table:
    """One line per network."""
    published = {"lbdn": PUBLISHED["lbdn"][0], "dense": PUBLISHED["dense"][0], "authors": PUBLISHED["lbdn"][0]}
    return Table(
        tuple(
            (
                NAMES[name], Number(100 * row["accuracy"], "%", 4), Number(published.get(name), "%", 4),
                Number(row["gamma"], "", 4), "–" if row["proved"] is None else ("yes" if row["proved"] else "NO"),
                Number(row["parameters"]), Number(row["train_seconds"], "s", 3), Number(row["attack_seconds"], "s", 3),
                Number(row["images"]),
            )
            for name, row in rows.items()
        ),
        ("", "accuracy", "published", "Lipschitz bound", "proved", "parameters", "training", "attack", "test images"),
        "Networks" if images.published_split else "Networks (published: trained on 60,000 images of MNIST)",
    )  # fmt: skip


def noise_table(rows: Mapping[str, Any]) -> Table:
    """Accuracy [%] per level of the noise, ours and the published."""
    lines = [(NAMES[name], *(Number(100 * v, "", 4) for v in row["noise"])) for name, row in rows.items()]
    lines += [(f"published, {NAMES[name]}", *(Number(v, "", 4) for v in values)) for name, values in PUBLISHED.items()]
    return Table(tuple(lines), ("noise eps · 255", *map(str, NOISE)), "Accuracy [%] under uniform noise of every pixel")


def radii_table(rows: Mapping[str, Any], radii: tuple[float, ...]) -> Table:
    """Certified and attacked accuracy [%] per radius."""
    lines = []
    for name, row in rows.items():
        lines.append((f"{NAMES[name]}, certified", *(Number(100 * v, "", 4) for v in row["certified_same"])))
        lines.append((f"{NAMES[name]}, attacked", *(Number(100 * v, "", 4) for v in row["attacked"])))
    return Table(
        tuple(lines), ("radius |dx|", *(number_text(r, 3) for r in radii)),
        f"Accuracy [%] in a Euclidean ball around each of {next(iter(rows.values()))['attacked_images']} test images",
    )  # fmt: skip


def noise_figure(rows: Mapping[str, Any]) -> ChartFigure:
    """Accuracy over noise."""
    curves = [
        Series(NAMES[name], NOISE, [100 * v for v in row["noise"]], colour=k)
        for k, (name, row) in enumerate(rows.items())
    ]
    curves += [
        Series(f"published, {NAMES[name]}", NOISE, values, "points", "published", k)
        for k, (name, values) in enumerate(PUBLISHED.items())
    ]
    return ChartFigure(
        "noise", "Accuracy under noise",
        "Lines: ours; black marks: published (trained on 60,000 images of MNIST). The bounded networks lose little, the plain one "
        "falls to half.",
        (Chart("Uniform noise of every pixel", "noise eps · 255", "accuracy", tuple(curves), y_unit="%"),),
    )  # fmt: skip


def radii_figure(rows: Mapping[str, Any], radii: tuple[float, ...]) -> ChartFigure:
    """Certified and attacked accuracy over the radius, one panel per network."""
    charts = tuple(
        Chart(
            NAMES[name], "radius |dx|", "accuracy",
            (
                Series("", radii, [100 * v for v in row["certified_same"]], "band", colour=0, upper=[100 * v for v in row["attacked"]]),
                Series("attacked", radii, [100 * v for v in row["attacked"]], "both", colour=1),
                Series("certified", radii, [100 * v for v in row["certified_same"]], "both", colour=0),
            ),
            y_unit="%", limits=(-3.0, 103.0),
        )
        for name, row in rows.items()
    )  # fmt: skip
    return ChartFigure(
        "radii", "Certified and attacked accuracy",
        "The true accuracy in the ball lies in the shaded band: above what is certified, below what the attack left. A plain network "
        "has a bound too (the product of its norms), but it certifies next to nothing.",
        charts,
    )  # fmt: skip


def notes(images: Images, rows: Mapping[str, Any]) -> list[str]:
    """Remarks below the tables."""
    found = [
        "Certified: margin / (sqrt2 gamma) > r, in float64 from the folded weights whose bound `verify()` proves. Attacked: descent "
        "of the margin in the ball (`pgd`), from the image and from random points of the ball; pixels may leave [0, 1]. Times are "
        "processor seconds of one core.",
    ]
    if images.name == "digits":
        found.append(
            "The published figures are of MNIST; `--data DIR` takes its IDX files. Radii are those of 64 pixels."
        )
    elif not images.published_split:
        found.append(
            "Ours learned from 9,000 images, the published networks from 60,000: compare the shape, not the last per cent."
        )
    if images.name == "mnist" and "authors" not in rows:
        found.append(
            f"The authors' weights are measured too where `{'/'.join(AUTHORS.parts[-3:])}` lies beside the project."
        )
    return found
