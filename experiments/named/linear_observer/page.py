"""The page of ``linear_observer``: found against known, and the price of a gain under noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.named.linear_observer.run import EXACT, LinearObserverSize, label
from experiments.runner import Measured, Page, judged
from reports.experiment_page import Chart, ChartFigure, Requirement, Series
from reports.quantities import Number, number_text
from reports.tables import Table


def page(result: Measured) -> Page:
    """Found against known, gains and speeds, and the price of a gain under noise."""
    size, rows = result.size, result.rows
    criteria = judge(size, rows)
    content = {
        "title": "Linear plants: the fit against the observer that is known", "tables": tables(size, rows),
        "figures": [decay_figure(rows)],
        "sentence": "The fit is the observer that theory gives: A - LC, B and the gain of the projection observer in its metric, with "
        "or without neurons." if all(c.passed for c in criteria) else "The fit is not the observer that theory gives.",
        "notes": [
            "The gain is a criterion for the default initial weights only. From random weights the fit finds an exact "
            "observer too, but another gain: every gain that contracts is exact, and the one-step loss does not choose among them.",
            "A fit without noise has no reason to keep the noise gain low: it uses the whole measurement at once (one eigenvalue at "
            "zero per output). `observer fine-tune` trades speed for a lower noise gain. The Kalman filter of the same speed is the "
            "Riccati gain for a larger force noise, the smallest that is as fast.",
            "RMS is taken over the trials at several times, so its own error is below that of independent trials.",
        ],
    }  # fmt: skip
    shown = [{key: value for key, value in row.items() if not key.endswith("decay")} for row in rows]
    return judged(criteria, {"observers": shown}, size, **content)


def judge(size: LinearObserverSize, rows: Sequence[Mapping[str, Any]]) -> list[Requirement]:
    """Criteria from theory."""
    projected = [row for row in rows if row["start"] == "projected"]
    worst = {
        key: max(row[key] for row in projected)
        for key in ("consistency", "input_error", "gain_error", "error_dynamics")
    }
    worst |= {key: max(row[key] for row in rows) for key in ("consistency", "input_error")}  # of every exact observer
    off = max(abs(s / r - 1) for row in projected for s, r in zip(row["rms_seen"], row["rms"], strict=True))
    slow = max(row["eigenvalues"][-1] / row["rate"] for row in projected)
    allowed = 4 / np.sqrt(2 * size.trials)  # four deviations of an RMS over as many independent trials
    return [
        Requirement("df/dx is A - LC, relative", Number(worst["consistency"], "", 2), f"at most {EXACT:g}", worst["consistency"] <= EXACT),
        Requirement("df/du is B, relative", Number(worst["input_error"], "", 2), f"at most {EXACT:g}", worst["input_error"] <= EXACT),
        Requirement("gain is the projection observer's, relative", Number(worst["gain_error"], "", 2), f"at most {1e-6:g}",
                  worst["gain_error"] <= 1e-6),
        Requirement("errors follow (A - LC)^k", Number(worst["error_dynamics"], "", 2), f"at most {EXACT:g}",
                  worst["error_dynamics"] <= EXACT),
        Requirement("spectral radius of A - LC over the certified rate", Number(slow, "", 5), "at most 1", slow <= 1 + 1e-9),
        Requirement("RMS under noise against Lyapunov's", Number(100 * off, "%", 3), f"within {100 * allowed:.2g} %", off <= allowed),
        Requirement("noise over the Kalman filter's, least", Number(min(row["noise_ratio"] for row in rows), "", 4),
                  "at least 1: nothing beats it", min(row["noise_ratio"] for row in rows) >= 1 - 1e-9),
    ]  # fmt: skip


def tables(size: LinearObserverSize, rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Found against known; gains and rates; noise."""
    found = Table(
        tuple(
            (
                label(row), Number(row["consistency"], "", 2), Number(row["input_error"], "", 2), Number(row["gain_error"], "", 2),
                Number(row["error_dynamics"], "", 2), Number(row["loss"], "", 2), Number(row["seconds"], "s", 2),
            )
            for row in rows
        ),
        ("", "df/dx + LC - A", "df/du - B", "gain against the projection's", "errors against (A - LC)^k", "one-step loss", "fit"),
        "Found against known, relative",
    )  # fmt: skip
    gains = Table(
        tuple(
            (
                label(row), vector(np.ravel(row["gain"])), vector(np.ravel(row["projection_gain"])), vector(row["eigenvalues"]),
                Number(row["rate"], "", 4), Number(row["bound"], "", 4),
            )
            for row in rows
        ),
        ("", "gain L found", "projection observer's", "|eigenvalues| of A - LC", "certified alpha*", "bound asked"),
        "Gains and speeds",
    )  # fmt: skip
    noisy = Table(
        tuple(
            (
                label(row), vector(row["rms"]), vector(row["rms_seen"]), vector(row["kalman_rms"]),
                vector(row["same_speed"]) if row["same_speed"] else "none so fast", Number(row["noise_ratio"], "", 4),
            )
            for row in rows
        ),
        ("", "RMS, Lyapunov", "RMS, simulated", "Kalman filter's", "Kalman filter of the same speed", "times the Kalman filter's"),
        f"Under noise: measurement {size.measurement:g}, force {size.force:g} (standard deviations); states "
        + ", ".join(rows[0]["states"]),
    )  # fmt: skip
    return [found, gains, noisy]


def decay_figure(rows: Sequence[Mapping[str, Any]]) -> ChartFigure:
    """The decay of errors, plant by plant."""
    projected = [row for row in rows if row["start"] == "projected"]

    def chart(plant: str) -> Chart:
        own = [row for row in projected if row["plant"] == plant and row["neurons"] == projected[0]["neurons"]]
        curves = [Series(f"fit, {row['settling']:g} s", range(len(row["decay"])), row["decay"]) for row in own]
        kalman = own[0]["kalman_decay"]
        curves.append(Series("Kalman gain", range(len(kalman)), kalman, role="published"))
        return Chart(plant.replace("_", " "), "sample", "largest |e| of |e_0| = 1", tuple(curves), log="y")

    return ChartFigure(
        "decay", "How fast errors die",
        "The largest singular value of (A - LC)^k: what can be left of an initial error of length 1. After a rise (position errors "
        "become velocity errors) the fits decay as fast as asked for; the Kalman gain is slower, with a lower noise gain.",
        tuple(chart(name) for name in dict.fromkeys(row["plant"] for row in rows)),
    )  # fmt: skip


def vector(values: Any) -> str:
    """Numbers in one cell."""
    return ", ".join(number_text(0.0 if abs(float(v)) < 1e-12 else float(v), 4) for v in values)
