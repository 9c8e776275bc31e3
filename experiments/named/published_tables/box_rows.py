"""The published box test on two plants: the published Euler model, and the Runge-Kutta model judged against the true ODE.

Protocol of arXiv 2306.12612 as in ``experiments.named.box.run``: 50 initial states U[-0.2, 0.2]^2, no force, x_hat0 = 0, 20 s. Entries are
the held-out one-step loss, the velocity's RMS over 10-20 s and its largest error after 4 s over all trials.
"""

from functools import partial
from typing import Any

import numpy as np

from experiments.named.box import published as published_box
from experiments.named.box.run import DURATION, PROTOCOL, TRIALS
from experiments.named.published_tables.rows import Entry, Fitted, Measurement, ProtocolSize, Row, thinned
from systems import box, discretize, simulate

#: Of the same recipe trained again, on its training transitions.
PUBLISHED_LOSS = 4.4e-7
LOSS_BAR, RMS_BAR, MAX_BAR = 1e-10, 1e-4, 3e-4
LATE, AFTER = 10.0, 4.0  # s
BUDGET = 30.0
PLANTS: dict[str, tuple[str, str, str]] = {
    "euler": ("euler", "model", "Box, published Euler model"),
    "true_ode": ("rk4", "reference", "Box, Runge-Kutta model against the true ODE"),
}
RECIPES: dict[str, dict[str, Any]] = {
    "euler": {"neurons": 12, "contraction_rate": 0.95},
    "true_ode": {"neurons": 12, "contraction_rate": 0.95},
}


def measure(name: str, seed: int, size: ProtocolSize) -> Measurement:
    """Fit on one of the two models, and run the published test."""
    from observer import validate

    method, truth, _ = PLANTS[name]
    plant = discretize(box(), method=method)
    recipe = dict(RECIPES[name])
    data = simulate(plant, size.trajectories or recipe.pop("trajectories", 100), size.duration * DURATION, seed)
    fitted = Fitted.on(plant, data, seed, size.fitting({"budget": BUDGET, **recipe}))
    result = fitted.result
    end = size.duration * DURATION
    check = validate(
        result.observer, plant, size.trials or TRIALS, end, seed + 1,
        estimate_start=PROTOCOL["estimate_start"], truth=truth, excitation="zero",
        window=(size.duration * LATE, end),
    )  # fmt: skip
    error = np.abs(check.error[:, :, 1])
    values = {
        "loss": result.one_step_loss,
        "rms": float(check.rms_error[1]),
        "max": float(error[:, check.t >= size.duration * AFTER - 1e-9].max()),
        "rms_position": float(check.rms_error[0]),
    }
    facts = {"plant": check.plant_method, "verdict": check.verdict}
    curves = (
        thinned(check.t, error.max(axis=0), "box", f"{PLANTS[name][2].removeprefix('Box, ')}: largest"),
        thinned(check.t, np.sqrt(np.mean(error**2, axis=0)), "box", f"{PLANTS[name][2].removeprefix('Box, ')}: RMS"),
    )
    return fitted.measurement(values, facts, curves)


def _row(name: str) -> Row:
    published = name == "euler"
    entries = (
        Entry("loss", "one-step loss", "", PUBLISHED_LOSS if published else None, LOSS_BAR),
        Entry(
            "rms", "velocity RMS, 10-20 s", "m/s", published_box.RMS_VELOCITY if published else None, RMS_BAR
        ),
        Entry(
            "max", "largest velocity error after 4 s", "m/s",
            dict(zip(published_box.FIGURE_TIME, published_box.FIGURE_VELOCITY, strict=True))[AFTER] if published else None,
            MAX_BAR,
        ),
    )  # fmt: skip
    return Row(f"box.{name}", PLANTS[name][2], entries, partial(measure, name), RECIPES[name], BUDGET)


def rows() -> tuple[Row, ...]:
    """Both models."""
    return tuple(_row(name) for name in PLANTS)
