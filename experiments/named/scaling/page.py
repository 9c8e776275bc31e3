"""The page of ``scaling``: condition numbers, margins and times over the size, and where float32 fails."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.named.scaling.run import Growth, failure, networks
from experiments.runner import Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number, number_text
from reports.tables import Table


def page(result: Growth) -> Page:
    """Growing networks, and one of an ill-conditioned H."""
    size, rows, squeezed = result.size, result.rows, result.squeezed
    proved = sum(row["holds"] for row in rows)
    criteria = [
        Requirement("certificates that hold in float64", Number(proved), f"all {len(rows)}", proved == len(rows))
    ]
    names = list(networks())
    lost = [row for row in squeezed if not row["holds32"]]
    point = min((row["condition"] for row in lost), default=float("inf"))
    failing = [f"{name} at {failure(rows, name)}" for name in names if failure(rows, name).startswith("nx")]
    initial = (
        f"Before training float32 fails for {'; '.join(failing)}."
        if failing
        else "Before training every network is proved in float32 as well, at every size."
    )
    content = {
        "title": "How large a robust network can be",
        "sentence": f"{proved} of {len(rows)} certificates hold in float64. {initial} What makes float32 fail is the conditioning that "
        + f"training may bring: {f'from cond H = {number_text(point, 2)} on' if lost else 'not reached here'}.",
        "summary": "Guarantees hold for every parameter in exact arithmetic. In floating point the condition number of H bounds "
        "what the map may lose, and the margin of the recomputed certificate is what the network has to spare; training moves X away "
        "from its initial value.",
        "tables": tables(result),
        "notes": [
            "The float32 map is judged in float64, with the metric and the multipliers of the same parameters in float64. 'Off by': "
            "relative error of A or B1, whichever is larger.",
            "The hidden layer of the R2DN has nv neurons, its coupling min(nx, nv).",
            "No figures of this kind are published.",
        ],
        "figures": [growth_figure(rows)],
    }  # fmt: skip
    metrics = {
        "sizes": size.pairs,
        "rows": rows,
        "squeezed": squeezed,
        "float32_fails_at_condition": point,
        "float32_fails_at": {n: failure(rows, n) for n in names},
    }
    return judged(criteria, metrics, size, **content)


def tables(result: Growth) -> list[Table]:
    """Where float32 fails; the ill-conditioned H; all networks."""
    size, rows, squeezed = result.size, result.rows, result.squeezed
    table = Table(
        tuple(
            (
                f"{row['name']}", f"{row['nx']}, {row['nv']}", Number(row["parameters"]), Number(row["condition"], "", 3),
                Number(row["margin"], "", 3), Number(row["margin32"], "", 3), "proved" if row["holds32"] else "not proved",
                Number(row["off"], "", 2), Number(row["milliseconds"], "ms", 3), Number(row["milliseconds_back"], "ms", 3),
            )
            for row in rows
        ),
        ("network", "nx, nv", "parameters", "cond H", "margin", "margin, float32 map", "float32", "off by", "map", "with gradients"),
        "Before training, rate 0.95; margins are smallest eigenvalues of the form scaled to unit diagonal",
    )  # fmt: skip
    limits = Table(
        tuple((name, failure(rows, name)) for name in networks()),
        ("network", "first size that float32 does not prove"),
        "Float32 failure point",
    )

    conditions = Table(
        tuple(
            (
                number_text(row["condition"], 2), Number(row["margin"], "", 2), "proved" if row["holds"] else "not proved",
                Number(row["margin32"], "", 2), "proved" if row["holds32"] else "not proved", Number(row["off"], "", 2),
            )
            for row in squeezed
        ),
        ("cond H", "margin", "float64", "margin, float32 map", "float32", "A off by"),
        f"An ill-conditioned H: nx = nv = {size.squeezed}, singular values of X falling geometrically, eps = 0",
    )  # fmt: skip
    return [limits, conditions, table]


def growth_figure(rows: Sequence[Mapping[str, Any]]) -> ChartFigure:
    """Condition number, margins and time over nx = nv."""

    def series(field: str) -> tuple[Series, ...]:
        curves = []
        for name in networks():
            square = [row for row in rows if row["name"] == name and row["nx"] == row["nv"]]
            curves.append(Series(name, [r["nx"] for r in square], [r[field] for r in square], "both"))
        return tuple(curves)

    return ChartFigure(
        "scaling", "Growing networks of equal nx and nv",
        "Condition number: float32 keeps about seven digits, so that beyond 10⁷ it loses the smallest direction of H altogether. Margin: "
        "what the recomputed certificate has to spare; where the map was evaluated in float32, a negative margin is not shown. "
        "Time: one core, without gradients, float32.",
        (
            Chart("Condition number of H", "nx = nv", "cond H", series("condition"), log="xy"),
            Chart("Margin, evaluated in float64", "nx = nv", "margin", series("margin"), log="xy"),
            Chart("Margin, evaluated in float32", "nx = nv", "margin", series("margin32"), log="xy"),
            Chart("Time of the map direct to explicit", "nx = nv", "time", series("milliseconds"), "", "ms", log="xy"),
        ),
    )  # fmt: skip
