"""Plants of the library with all defaults.

The steps and options are those of ``observer run NAME --budget 20s``: 100 trajectories, the default network, a rate chosen by the
program, 200 trials from random initial states against the true ODE. The entry is the share of trials that did not converge; the
row holds when the verdict is pass.
"""

import time
from functools import partial

import numpy as np

from experiments.named.published_tables.rows import FULL, Entry, Measurement, ProtocolSize, Row, thinned

PLANTS = (
    "box", "double_integrator", "pendulum", "mass_spring_damper", "duffing", "van_der_pol", "fitzhugh_nagumo", "lorenz",
    "quadruple_tank", "continuous_stirred_tank", "bioreactor", "quanser_qube",
)  # fmt: skip
BUDGET = 20.0


def measure(name: str, seed: int, size: ProtocolSize) -> Measurement:
    """Simulate, fit, certify and validate with the defaults of the recipe."""
    from experiments.pipeline.recipe import build
    from observer import fit, validate
    from systems import ALL_SYSTEMS, discretize, simulate
    from systems.base.errors import NotDetectable

    recipe = build({"system": name, "seed": seed, "fit.budget": BUDGET})
    system = ALL_SYSTEMS[name]()
    plant = discretize(system, recipe.dt, recipe.method, recipe.substeps)
    length = None if size == FULL else 20 * plant.dt
    data = simulate(plant, size.trajectories or recipe.data.trajectories, length, seed)
    clock = time.process_time()
    try:
        result = fit(plant, data, seed=seed, **size.fitting({"neurons": recipe.fit.neurons, "budget": BUDGET}))
    except NotDetectable as refusal:
        return Measurement({"unconverged": 1.0}, False, str(refusal))
    processor = time.process_time() - clock
    check = validate(
        result.observer, plant, size.trials or recipe.validation.trials, length, seed + 1, truth=recipe.validation.truth
    )
    width = np.ptp(check.ranges, axis=1)
    relative = np.abs(check.error) / width
    faults = [
        f"{c.name}: {c.value:.4g} (required: {c.requirement})" for c in check.criteria if not c.passed
    ]  # a plant that misses one criterion is named with its number
    slow = np.where(np.isfinite(check.settling_time), check.settling_time, np.inf)
    worst = int(np.argmax(check.rms_error / width))
    late = relative[:, (check.t >= check.window[0]) & (check.t <= check.window[1])].max(axis=(0, 1))
    reason = ""
    if faults:
        reason = (
            f"{'; '.join(faults)}. Largest late error {100 * late.max():.3g} % of the range of "
            f"{check.state_names[int(np.argmax(late))]}; rate {result.observer.contraction_rate:.5g} per sample, fastest possible "
            f"{result.search.rate:.5g} at condition {result.search.condition:.3g}; fit {result.status}"
        )
    values = {
        "unconverged": 1.0 - check.converged_fraction,
        "settling": float(slow.max()),
        "rms": float((check.rms_error / width).max()),
        "loss": result.one_step_loss,
    }
    facts = {
        "verdict": check.verdict, "trials": check.trials, "diverged": check.n_diverged,
        "rate bound": result.observer.contraction_rate, "fastest rate": result.search.rate,
        "condition": result.search.condition, "neurons": result.observer.weights.nv, "status": str(result.status),
        "iterations": result.iterations, "hardest state": check.state_names[worst], "region": result.region,
        "outside the ranges": int((~check.in_region).sum()), "plant": check.plant_method,
        "warnings": list(result.warnings),
    }  # fmt: skip
    panel = "defaults" if PLANTS.index(name) < len(PLANTS) // 2 else "defaults, continued"
    curve = thinned(np.asarray(check.t[1:]), relative.max(axis=(0, 2))[1:], panel, name)
    return Measurement(values, check.verdict == "pass", reason, result.seconds, processor, facts, (curve,))


def _row(name: str) -> Row:
    entries = (Entry("unconverged", "share of trials not converged", "", None, 0.01),)
    return Row(
        f"defaults.{name}", f"{name}, defaults alone", entries, partial(measure, name), {"budget": BUDGET}, BUDGET
    )


def rows() -> tuple[Row, ...]:
    """One row per plant."""
    return tuple(_row(name) for name in PLANTS)
