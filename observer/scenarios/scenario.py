"""One condition: what happens to sensors or plant, as a small value."""

import zlib
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from observer.known_plant import KnownPlant
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories


@dataclass(frozen=True)
class Condition:
    """Nothing but the noise. ``name`` is a word for files, ``title`` what a person reads."""

    name: ClassVar[str] = "noise"
    noisy: ClassVar[bool] = True

    @property
    def title(self) -> str:
        """What happens, in words."""
        return "noise as stated"

    def move(self, plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        """The motion of the plant, with u as the observer is told."""
        return data

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """Noisy outputs ``(K, N, ny)`` -> what the observer gets."""
        return y

    def apply(self, plant: DiscreteSystem, data: Trajectories, seed: int = 0, truth: str = "oracle") -> Trajectories:
        """Trajectories as this condition makes them, from ``data`` without noise. The same seed gives the same.

        x is what the plant did, u what the observer is told, y what it measures (nan where nothing arrived). Raises
        :class:`InputError` where the condition makes no sense for the plant, and SimulationError where the plant does not
        survive it.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        moved = self.move(plant, data, rng, truth)
        model = KnownPlant(plant)
        # The noise is the same under every condition: what differs is the condition.
        noise = np.random.default_rng([seed, 3]).standard_normal(moved.y.shape) * model.output_noise
        y = moved.y + noise if self.noisy else moved.y
        return replace(moved, y=self.sense(y, model, rng), warnings=())
