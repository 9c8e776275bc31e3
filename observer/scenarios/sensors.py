"""What sensors do: noise, bias, outliers, steps, gaps, lateness."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from observer.known_plant import KnownPlant
from observer.scenarios.scenario import Condition
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories


@dataclass(frozen=True)
class Noise(Condition):
    """White Gaussian noise as stated with the outputs; 0.5 % of the half range where none is."""


@dataclass(frozen=True)
class Noiseless(Condition):
    """Perfect sensors."""

    name: ClassVar[str] = "noiseless"
    noisy: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """What happens, in words."""
        return "no noise"


@dataclass(frozen=True)
class LouderNoise(Condition):
    """Noise ``factor`` times as large as stated."""

    factor: float = 5.0
    name: ClassVar[str] = "louder_noise"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"noise {self.factor:g} times as large as stated"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """More noise, so that the variances add up."""
        return y + np.sqrt(self.factor**2 - 1) * model.output_noise * rng.standard_normal(y.shape)


@dataclass(frozen=True)
class Bias(Condition):
    """Every sensor is off by ``share`` of its half range throughout a trial, to either side."""

    share: float = 0.02
    name: ClassVar[str] = "bias"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"sensors off by {100 * self.share:g} % of their half range"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y plus a constant for each trial and output."""
        return y + self.share * model.output_scale * rng.choice([-1.0, 1.0], (len(y), 1, y.shape[2]))


@dataclass(frozen=True)
class Outliers(Condition):
    """A ``share`` of the samples is off by up to ``size`` half ranges."""

    share: float = 0.02
    size: float = 1.0
    name: ClassVar[str] = "outliers"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"{100 * self.share:g} % outliers of up to {self.size:g} half ranges"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y with outliers."""
        hit = rng.random(y.shape) < self.share
        return np.where(hit, y + self.size * model.output_scale * rng.uniform(-1, 1, y.shape), y)


@dataclass(frozen=True)
class Quantisation(Condition):
    """Readings in steps: a converter of so many ``bits`` over the range."""

    bits: int = 6
    name: ClassVar[str] = "quantisation"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"readings of {self.bits} bits over the range"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y rounded to the nearest step."""
        step = 2 * model.output_scale / 2**self.bits
        return step * np.round(y / step)


@dataclass(frozen=True)
class Dropouts(Condition):
    """A ``share`` of the samples is missing, each output by itself."""

    share: float = 0.3
    name: ClassVar[str] = "dropouts"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"{100 * self.share:g} % of the measurements missing"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y with nan."""
        return np.where(rng.random(y.shape) < self.share, np.nan, y)


@dataclass(frozen=True)
class Delay(Condition):
    """Measurements arrive ``samples`` late and nobody says so; before the first one there is nothing."""

    samples: int = 1
    name: ClassVar[str] = "delay"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"measurements {self.samples} sample{'s' if self.samples > 1 else ''} late"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y[k - samples] at k."""
        late = np.full_like(y, np.nan)
        late[:, self.samples :] = y[:, : y.shape[1] - self.samples]
        return late


@dataclass(frozen=True)
class SlowSensor(Condition):
    """Only every ``every``-th sample is measured."""

    every: int = 4
    name: ClassVar[str] = "slow_sensor"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"a sensor that reads every {self.every}th sample"

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y with nan in between."""
        return np.where(np.arange(y.shape[1])[:, None] % self.every == 0, y, np.nan)


@dataclass(frozen=True)
class SinglePrecision(Condition):
    """Readings in float32, as they come from most converters and networks."""

    name: ClassVar[str] = "float32"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return "signals in single precision"

    def move(self, plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        """The observer is told u in single precision."""
        return replace(data, u=data.u.astype(np.float32).astype(float))

    def sense(self, y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        """y in single precision."""
        return y.astype(np.float32).astype(float)
