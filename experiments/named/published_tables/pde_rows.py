"""The published reaction-diffusion test on the plant of the published code (four Euler steps, sensor at node 24).

Protocol as in ``experiments.named.pde.run``: x0 = 0.5, b(0) = 0.5, x_hat0 = 0, 2000 samples; the one-step loss along
the run and the RMSE over all nodes, samples 1000 to 2000, medians over five boundary draws.
A third entry is the held-out loss reached 10 s into
the fit. As many samples to learn from as published (1e5), from level profiles; a profile of independent nodes, as the
initial states of the library plant are, is one that a line with diffusion never shows.
"""

from typing import Any

import numpy as np

from experiments.named.pde import run as pde
from experiments.named.published_tables.rows import FULL, Entry, Fitted, Measurement, ProtocolSize, Row, thinned
from systems import DiscreteSystem, Trajectories, discretize, reaction_diffusion_parity, simulate

LOSS_BAR, RMSE_BAR, EARLY_BAR, EARLY = 1e-9, 5.5e-4, 3e-8, 10.0
BUDGET = 20.0
RECIPE: dict[str, Any] = {"neurons": 30, "contraction_rate": 0.998, "trajectories": 50}


def training_data(plant: DiscreteSystem, count: int, duration: float, seed: int) -> Trajectories:
    """Trajectories from level profiles, drawn from [0, 1], under the plant's own random walk of the boundary."""
    levels = np.random.default_rng([seed, 41]).uniform(0.0, 1.0, (count, 1))
    return simulate(plant, duration=duration, seed=seed, x0=np.repeat(levels, plant.nx, axis=1))


def measure(seed: int, size: ProtocolSize) -> Measurement:
    """Fit on the parity plant, and run the published test with five boundary draws."""
    plant = discretize(reaction_diffusion_parity())
    recipe = dict(RECIPE)
    count = size.trajectories or recipe.pop("trajectories")
    recipe.pop("trajectories", None)
    data = training_data(plant, count, size.duration * 2000 * plant.dt, seed)
    fitted = Fitted.on(plant, data, seed, size.fitting({"budget": BUDGET, **recipe}))
    result = fitted.result
    draws = pde.FULL.draws if size == FULL else 1
    tests = [pde.published_test(plant, result.observer.weights, draw) for draw in range(draws)]
    seconds = np.asarray(result.history.get("seconds", ()), dtype=float)
    held_out = np.asarray(result.history.get("held_out", ()), dtype=float)
    early = held_out[seconds <= EARLY]
    values = {
        "loss": float(np.median([t["one_step_loss"] for t in tests])),
        "rmse": float(np.median([t["rmse"] for t in tests])),
        "early": float(np.min(early)) if early.size else float("nan"),
        "held_out": result.one_step_loss,
        "worst_rmse": float(np.max([t["rmse"] for t in tests])),
    }
    facts = {
        "start loss": result.start_loss,
        "first below 3e-8 [s]": float(seconds[held_out <= EARLY_BAR][0]) if (held_out <= EARLY_BAR).any() else None,
    }  # fmt: skip
    curves = [
        thinned(t["t"][1:], np.sqrt(np.mean((t["x_hat"] - t["x"]) ** 2, axis=1))[1:], "pde", f"ours, boundary {k + 1}")
        for k, t in enumerate(tests)
    ]
    return fitted.measurement(values, facts, curves)


def rows() -> tuple[Row, ...]:
    """The one row."""
    entries = (
        Entry("loss", "one-step loss", "", pde.PUBLISHED["one_step_loss"], LOSS_BAR),
        Entry("rmse", "RMSE, samples 1000-2000", "", pde.PUBLISHED["rmse"], RMSE_BAR),
        Entry("early", "held-out loss within 10 s", "", 4.3e-6, EARLY_BAR),
    )

    return (Row("pde", "Reaction-diffusion, plant of the published code", entries, measure, RECIPE, BUDGET),)
