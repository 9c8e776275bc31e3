"""Observers side by side under noise, bias and missing measurements: the same plant trials and the same draws for all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.fine_tuning.rollouts import Sensing
from observer.known_plant import KnownPlant
from observer.scenarios.scenario import Scenario
from observer.scenarios.sensors import measured
from observer.state_observer import StateObserver
from systems.angles import wrap
from systems.discretization import DiscreteSystem
from systems.trajectories import draw_initial_states, simulate

USUAL_DROPOUT = 0.1  # shown where none is stated; the usual bias is one standard deviation of the noise


@dataclass(frozen=True, eq=False)
class ScenarioErrors:
    """A scenario in words, and ``rms`` ``(nx,)`` of each observer's error over the second half of the trials."""

    name: str
    rms: dict[str, np.ndarray]

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "rms": {name: values.tolist() for name, values in self.rms.items()}}


def compare_scenarios(
    observers: Mapping[str, StateObserver],
    plant: DiscreteSystem,
    sensing: Sensing,
    trials: int = 100,
    duration: float | None = None,
    seed: int = 1,
    truth: str = "reference",
) -> tuple[ScenarioErrors, ...]:
    """RMS errors per state (units of the states) without noise, with noise, and with bias or missing measurements as well.

    Initial states and estimates are independent draws from the initial box, as in :func:`observer.validate`. A bias or a dropout that
    ``sensing`` does not state is shown at a usual size: one standard deviation of the noise, and 10 %.
    """
    data = simulate(plant, trials, duration, seed, truth=truth)
    x_hat0 = draw_initial_states(plant.system, len(data), seed + 7919)
    model, half = KnownPlant(plant), len(data.t) // 2
    found = []
    for scenario in _scenarios(plant, sensing):
        assert scenario.sense is not None
        y = scenario.sense(data.y, model, np.random.default_rng([seed, 41]))
        rms = {}
        for name, observer in observers.items():
            with np.errstate(all="ignore"):
                error = wrap(observer.run(x_hat0, data.u, y) - data.x, model.state_periods)[:, half:]
                rms[name] = np.sqrt(np.mean(error**2, axis=(0, 1)))
        found.append(ScenarioErrors(scenario.title, rms))
    return tuple(found)


def _scenarios(plant: DiscreteSystem, sensing: Sensing) -> tuple[Scenario, ...]:
    """No noise; noise; noise and bias; noise and missing measurements."""
    noise, none = sensing.noise, np.zeros(plant.ny)
    bias = sensing.bias if sensing.bias.any() else noise
    dropout = sensing.dropout or USUAL_DROPOUT
    units = [f"{value:.3g} {s.unit}".strip() for value, s in zip(bias, plant.system.outputs, strict=True)]
    return (
        measured(none, none, 0.0, "no noise"),
        measured(noise, none, 0.0, "noise"),
        measured(noise, bias, 0.0, f"noise and bias ({', '.join(units)})"),
        measured(noise, none, dropout, f"noise, {100 * dropout:g} % missing"),
    )
