"""Observers side by side under noise, bias and missing measurements: the same plant trials and the same draws for all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.fine_tuning.rollouts import Sensing
from observer.known_plant import periods, wrap
from observer.state_observer import StateObserver
from systems.discretization import DiscreteSystem
from systems.trajectories import draw_initial_states, simulate

USUAL_DROPOUT = 0.1  # shown where none is stated; the usual bias is one standard deviation of the noise


@dataclass(frozen=True, eq=False)
class Condition:
    """What the sensors do, in words, and ``rms`` ``(nx,)`` of each observer's error over the second half of the trials."""

    name: str
    rms: dict[str, np.ndarray]

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {"name": self.name, "rms": {name: values.tolist() for name, values in self.rms.items()}}


def compare_conditions(
    observers: Mapping[str, StateObserver],
    plant: DiscreteSystem,
    sensing: Sensing,
    trials: int = 100,
    duration: float | None = None,
    seed: int = 1,
    truth: str = "oracle",
) -> tuple[Condition, ...]:
    """RMS errors per state (units of the states) without noise, with noise, and with bias or missing measurements as well.

    Starts of plant and estimates are independent draws from the initial box, as in :func:`observer.validate`. A bias or a
    dropout that ``sensing`` does not state is shown at a usual size: one standard deviation of the noise, and 10 %.
    """
    data = simulate(plant, trials, duration, seed, truth=truth)
    starts = draw_initial_states(plant.system, len(data), seed + 7919)
    angles = periods(plant.system.states)
    bias = sensing.bias if sensing.bias.any() else sensing.noise
    dropout = sensing.dropout or USUAL_DROPOUT
    none = np.zeros(plant.ny)
    units = [f"{value:.3g} {s.unit}".strip() for value, s in zip(bias, plant.system.outputs, strict=True)]
    cases = {
        "no noise": Sensing(none, none, 0.0, 1.0),
        "noise": Sensing(sensing.noise, none, 0.0, 1.0),
        f"noise and bias ({', '.join(units)})": Sensing(sensing.noise, bias, 0.0, 1.0),
        f"noise, {100 * dropout:g} % missing": Sensing(sensing.noise, none, dropout, 1.0),
    }
    half = len(data.t) // 2
    found = []
    for name, case in cases.items():
        y = case.measured(data.y, np.random.default_rng([seed, 41]))
        rms = {}
        for label, observer in observers.items():
            with np.errstate(all="ignore"):
                error = wrap(observer.run(starts, data.u, y) - data.x, angles)[:, half:]
                rms[label] = np.sqrt(np.mean(error**2, axis=(0, 1)))
        found.append(Condition(name, rms))
    return tuple(found)
