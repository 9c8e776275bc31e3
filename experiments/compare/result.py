"""What a comparison depends on and what it found, as values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from experiments.compare import words
from experiments.compare.measure import Result, as_good
from observer.estimators import ESTIMATORS, label
from observer.scenarios import SCENARIOS, get_scenario
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem


@dataclass(frozen=True)
class Settings:
    """What a comparison depends on. ``limit``: seconds that one estimator may take for one scenario."""

    trials: int = 20
    duration: float | None = None
    training: int = 24
    evaluations: int = 80
    seed: int = 0
    budget: float = 20.0
    limit: float = 60.0
    estimators: tuple[str, ...] = ESTIMATORS
    scenarios: tuple[str, ...] = tuple(item.name for item in SCENARIOS)
    truth: str = "reference"

    def __post_init__(self) -> None:
        for name, least in (("trials", 2), ("training", 2), ("evaluations", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}; expected a whole number, {least} or more")
        for name in self.estimators:
            label(name)
        for name in self.scenarios:
            get_scenario(name)

    def to_data(self) -> dict[str, Any]:
        """JSON-able, under the names that ``metrics.json`` has had from the first."""
        data = asdict(self)
        return data | {"conditions": data.pop("scenarios")}


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was measured: ``table`` scenario -> estimator -> :class:`Result`; ``names`` and ``titles`` are words for both;
    ``refused`` says who or what is missing, and why; ``tuned`` and ``consistency`` by estimator; ``gaps``: of the REN tuned for noise to
    the best other, by scenario (``gap`` of ``measure.py``); ``constant_gains``: the steady Kalman filter from low to high gain, with
    noise; ``proved``: estimators with a certificate of contraction."""

    plant: DiscreteSystem
    settings: Settings
    t: np.ndarray
    table: Mapping[str, Mapping[str, Result]]
    names: Mapping[str, str]
    titles: Mapping[str, str]
    refused: Mapping[str, str]
    tuned: Mapping[str, Mapping[str, Any]]
    consistency: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    runs_as: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, tuple[str, float, float, float]] = field(default_factory=dict)
    constant_gains: tuple[Result, ...] = ()
    proved: frozenset[str] = frozenset()

    @property
    def speed(self) -> dict[str, float]:
        """Microseconds of processor time per step, the median over the scenarios."""
        times: dict[str, list[float]] = {name: [] for name in self.names}
        for results in self.table.values():
            for name, result in results.items():
                times[name].append(result.microseconds)
        return {name: float(np.median(values)) for name, values in times.items() if values}

    @property
    def advice(self) -> tuple[str, ...]:
        """When to prefer which, in sentences."""
        return words.advice(self.table, self.names, self.titles, self.proved)

    def to_data(self) -> dict[str, Any]:
        """The content of ``metrics.json``."""
        states = self.plant.system.state_names
        return {
            "system": self.plant.system.name, "dt": self.plant.dt, "settings": self.settings.to_data(),
            "estimators": self.names, "refused": self.refused, "tuning": self.tuned, "consistency": self.consistency,
            "microseconds": self.speed, "runs_as": self.runs_as,
            "gaps": {c: {"best": best, "ratio": r, "interval": [low, high]} for c, (best, r, low, high) in self.gaps.items()},
            "constant_gains": [
                {"settling_time": float(np.max(r.settling)), "score": r.score} for r in self.constant_gains if not r.diverged
            ],
            "conditions": {
                name: {
                    "title": self.titles[name], "best": list(as_good(results)),
                    "results": {who: result.to_data(states) for who, result in results.items()},
                }
                for name, results in self.table.items()
            },
            "advice": list(self.advice),
        }  # fmt: skip
