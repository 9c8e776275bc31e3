"""The page of the soundness experiment: three tables."""

from experiments.runner import Measured, Page
from reports.tables import Number, Table
from reports.writing import write_tables_report


def page(result: Measured) -> Page:
    """Soundness, tightness of the residual, and certified over observed steady errors."""
    rows = result.rows
    proved = {name: row for name, row in rows.items() if "ratio" in row}
    sound = tuple(
        (
            f"{name}, {law}", Number(t["trials"]), Number(t["left"]), Number(t["crossings"]), Number(t["exceeded"]),
            Number(t["closest"], "", 3), Number(t["reached"], "", 4),
        )
        for name, row in proved.items()
        for law, t in row["trials"].items()
    )  # fmt: skip
    tight = tuple(
        (
            name, Number(row["dimension"]), Number(row["residual_lower"]), Number(row["residual_upper"]), Number(row["ratio"]),
            Number(row["cells"]), Number(row["residual_seconds"], "s", 3), row["status"], Number(row["structural"]),
        )
        for name, row in proved.items()
    )  # fmt: skip
    steady = tuple(
        (
            f"{name}, {kind}", state, Number(ratios["proved"][i]), ratios["by"][i], Number(ratios["exact_start"][i]),
            Number(ratios["over_exact_start"][i], "", 3), Number(row["trials"][f"{kind}, exact start"]["begin"]),
            Number(ratios["window"][i]), Number(ratios["over_window"][i], "", 3),
        )
        for name, row in proved.items()
        for kind, ratios in row["steady"].items()
        for i, state in enumerate(row["states"])
    )  # fmt: skip
    tables = [
        Table(
            sound,
            (
                "plant and law", "trials", "left X", "crossed the envelope", "residual exceeded", "error / envelope, largest",
                "residual / bound, largest",
            ),
            "Nothing may cross while the plant is in X",
        ),
        Table(
            tight,
            ("plant", "dimension of (x, u)", "attained", "proved", "proved / attained", "cells", "time", "status", "structural"),
            "Supremum of |r|_M over the region",
        ),
        Table(
            steady,
            (
                "plant and inputs", "state", "proved", "by", "worst, exact initial estimate", "ratio", "from sample",
                "worst in the window", "ratio ",
            ),
            "Steady error: proved over worst observed",
        ),
    ]  # fmt: skip
    missing = [f"{name}: not proved. {row['reason']}" for name, row in rows.items() if "ratio" not in row]
    notes = [
        "Exact initial estimate: x̂₀ = x₀ anywhere in X, so that only the residual causes an error; the largest |eᵢ| while x is in X, "
        "from the sample on at which the ultimate bound applies. A search over x₀ and, where there is excitation, over the input "
        "makes the worst trials worse. "
        "Window: the usual law, second half of the trials that stayed in X.",
        "Trials are simulated with the discretised plant, of which the bounds are proved; trials that leave X count until then.",
        *missing,
    ]
    counts = sum(t["crossings"] + t["exceeded"] for row in proved.values() for t in row["trials"].values())
    total = sum(t["trials"] for row in proved.values() for t in row["trials"].values())
    summary = f"{counts} of {total} trials refute a proved bound, on {len(proved)} of {len(rows)} plants that have one."
    content = {"title": "Certificates against trials", "tables": tables, "summary": summary, "notes": notes}
    passed = all(row["sound"] for row in rows.values())
    return Page(passed, {"passed": passed, "plants": rows}, write_tables_report, content)
