"""A scenario: what happens to sensors or plant, as a value."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from observer.known_plant import KnownPlant
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories

Sense = Callable[[np.ndarray, KnownPlant, np.random.Generator], np.ndarray]
Move = Callable[[DiscreteSystem, Trajectories, np.random.Generator, str], Trajectories]


@dataclass(frozen=True)
class Scenario:
    """What sensors and plant do, while the observer keeps the nominal model.

        moved = move(plant, data),     y = sense(moved.y + noise)

    Parameters
    ----------
    name : a word for files; the draws depend on it. title : what a person reads.
    sense : noisy outputs ``(K, N, ny)``, the plant as it is known, draws -> what the observer gets, nan where nothing arrives.
    move : plant, trajectories, draws, truth -> the motion of the plant, with u as the observer knows it.
    noisy : whether the outputs have their noise.
    """

    name: str
    title: str
    sense: Sense | None = None
    move: Move | None = None
    noisy: bool = True

    def apply(self, plant: DiscreteSystem, data: Trajectories, seed: int = 0, truth: str = "reference") -> Trajectories:
        """Trajectories as this scenario makes them, from ``data`` without noise. The same seed gives the same.

        x is what the plant did, u what the observer knows, y what the sensors measured (nan where nothing arrived).

        Raises
        ------
        InputError
            Where the scenario makes no sense for the plant.
        SimulationError
            Where the plant does not survive it.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        moved = data if self.move is None else self.move(plant, data, rng, truth)
        model = KnownPlant(plant)
        # The noise is the same in every scenario: what differs is the scenario.
        noise = np.random.default_rng([seed, 3]).standard_normal(moved.y.shape) * model.output_noise
        y = moved.y + noise if self.noisy else moved.y
        return replace(moved, y=y if self.sense is None else self.sense(y, model, rng), warnings=())
