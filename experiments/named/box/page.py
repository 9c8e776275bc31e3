"""The page of ``box``: our variants and the published figure, side by side."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.named.box import published as published_box
from experiments.named.box.run import DURATION, VELOCITY_BAR, Box
from experiments.runner import Page
from reports import Curve, Number, Variant, write_comparison_report

if TYPE_CHECKING:
    from observer.validation.validate import Validation

FIGURE = {"position": published_box.RMS_POSITION, "velocity": published_box.RMS_VELOCITY}


def page(result: Box) -> Page:
    """Errors of all variants; ``metrics.json`` is that of ours, with the variants beside it."""
    ours, truth = result.ours.validation, result.truth.validation
    assert ours is not None and truth is not None
    velocity = float(ours.rms_error[1])
    passed = ours.verdict == truth.verdict == "pass" and velocity <= VELOCITY_BAR
    lines = [
        f"velocity RMS, {DURATION / 2:g}-{DURATION:g} s: published {published_box.RMS_VELOCITY:.3g} m/s (figure)",
        f"  ours, published model   {velocity:.3g} m/s (required: at most {VELOCITY_BAR:g})",
        f"  ours, true ODE          {truth.rms_error[1]:.3g} m/s",
    ]
    if result.published is not None:
        lines.append(f"  published, trained here {result.published.rms_error[1]:.3g} m/s")
    points = Curve("published figure, largest", published_box.FIGURE_TIME, published_box.FIGURE_VELOCITY, "points")
    certificate = result.ours.certificate
    content = {
        "title": "Box observer: published and ours", "variants": variants(result), "reference": {"velocity": [points]},
        "notes": [note(result)],
        "summary": f"On the published model and protocol ({ours.trials} initial states, estimates from zero, {DURATION:g} s) the velocity "
        f"error over the second half is {velocity:.2g} m/s RMS, {FIGURE['velocity'] / velocity:.0f} times below the published "
        f"{FIGURE['velocity']:.3g} m/s; the contraction rate {certificate.rate if certificate else np.nan:.4g} per step is proved.",
    }  # fmt: skip
    return Page(passed, metrics(result), write_comparison_report, content, lines)


def metrics(result: Box) -> dict[str, Any]:
    """The metrics of ours, and a summary of every variant."""
    largest = dict(zip(map(str, published_box.FIGURE_TIME), published_box.FIGURE_VELOCITY, strict=True))
    published: dict[str, Any] = {"figure": {"rms_error": FIGURE, "largest_velocity_error": largest}}
    if result.published is not None:
        published |= {"training": result.training, "retrained": _summary(result.published)}
    return result.ours.metrics | {
        "variants": {
            "ours": _summary(result.ours.validation) | {"against_true_ode": _summary(result.on_truth)},
            "ours_true_ode": _summary(result.truth.validation),
            "published": published,
        }
    }


def variants(result: Box) -> dict[str, Variant]:
    """The columns of the table."""
    ours, truth = result.ours, result.truth
    found = {
        "ours": Variant(
            ours.validation, ours.fit, ours.certificate, "Fitted to the published Euler model and judged on it, as published.",
        ),
        "ours_true_ode": Variant(
            truth.validation, truth.fit, truth.certificate,
            "Fitted to the Runge-Kutta model and judged against the true ODE, integrated by DOP853.",
        ),
        "ours on true ODE": Variant(
            result.on_truth, None, ours.certificate,
            "The first observer on the true ODE: what is left is the error of the Euler model itself.",
        ),
    }  # fmt: skip
    if result.published is not None and result.training is not None:
        found["published"] = Variant(
            result.published,
            description="The published recipe, trained again here, on the Euler model.",
            numbers={
                "mean training loss, last pass": Number(result.training["losses"][-1]),
                "slowest mode at rest": Number(result.training["slowest_mode"], "per step", 6),
                "time to fit": Number(result.training["seconds"], "s", 3),
            },
        )
    found["published figure"] = Variant(
        description="Numbers read off the published figure (arXiv 2306.12612).",
        numbers={
            "RMS error of position": Number(FIGURE["position"], "m", 3),
            "RMS error of velocity": Number(FIGURE["velocity"], "m/s", 3),
        },
    )
    return found


def note(result: Box) -> str:
    """What the re-trained recipe reached, and why that need not be the published number."""
    training, check = result.training, result.published
    if training is None or check is None:
        return "The published curve is read off the published figure; --full trains the published recipe again."
    spread = sorted(rms for _, rms in published_box.MEASURED.values())
    return (
        f"The published recipe, trained again here, reached a mean training loss of {training['losses'][-1]:.2g} in "
        f"{training['seconds']:.0f} s, and a velocity error of {check.rms_error[1]:.3g} m/s RMS "
        f"({check.rms_error[1] / published_box.RMS_VELOCITY:.2g} times the published one). That number depends on the random initial "
        f"weights: seeds 0 to {len(spread) - 1} gave {spread[0]:.2g} to {spread[-1]:.2g} m/s, with the published "
        f"{published_box.RMS_VELOCITY:.3g} among them. With rate bound 1 the one-step loss determines the error of one step, but not "
        f"how fast an error decays. Here the slowest mode at rest is {training['slowest_mode']:.6f} per step; it amplifies the error of "
        "one step by one over its distance from 1."
    )


def _summary(check: "Validation | None") -> dict[str, Any]:
    if check is None:
        return {}
    metrics = check.metrics()
    return {name: metrics[name] for name in ("trials", "diverged", "rms_error", "max_error", "verdict", "plant_method")}
