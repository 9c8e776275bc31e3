"""What sensors do: noise, bias, outliers, quantisation, gaps, delay. Sizes are relative, so that one scenario serves every plant."""

from dataclasses import replace

import numpy as np

from observer.known_plant import KnownPlant
from observer.scenarios.scenario import Scenario
from systems.discretization import DiscreteSystem
from systems.trajectories import Trajectories


def noise() -> Scenario:
    """White Gaussian noise as stated with the outputs; 0.5 % of the half range where none is."""
    return Scenario("noise", "noise as stated")


def noiseless() -> Scenario:
    """Perfect sensors."""
    return Scenario("noiseless", "no noise", noisy=False)


def louder_noise(factor: float = 5.0) -> Scenario:
    """Noise ``factor`` times as large as stated."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        # The variance of what is added and that of the stated noise add up.
        return y + np.sqrt(factor**2 - 1) * model.output_noise * rng.standard_normal(y.shape)

    return Scenario("louder_noise", f"noise {factor:g} times as large as stated", sense)


def bias(share: float = 0.02) -> Scenario:
    """Every sensor is off by ``share`` of its half range throughout a trial, with either sign."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        return y + share * model.output_scale * rng.choice([-1.0, 1.0], (len(y), 1, y.shape[2]))

    return Scenario("bias", f"sensors off by {100 * share:g} % of their half range", sense)


def outliers(share: float = 0.02, size: float = 1.0) -> Scenario:
    """A ``share`` of the samples is off by up to ``size`` half ranges."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        hit = rng.random(y.shape) < share
        return np.where(hit, y + size * model.output_scale * rng.uniform(-1, 1, y.shape), y)

    return Scenario("outliers", f"{100 * share:g} % outliers of up to {size:g} half ranges", sense)


def quantisation(bits: int = 6) -> Scenario:
    """Readings of a converter of so many ``bits`` over the range."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        step = 2 * model.output_scale / 2**bits
        return step * np.round(y / step)

    return Scenario("quantisation", f"readings of {bits} bits over the range", sense)


def dropouts(share: float = 0.3) -> Scenario:
    """A ``share`` of the samples is missing, each output by itself."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random(y.shape) < share, np.nan, y)

    return Scenario("dropouts", f"{100 * share:g} % of the measurements missing", sense)


def delay(samples: int = 1) -> Scenario:
    """Measurements arrive ``samples`` late without a time stamp; before the first one there is nothing."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        late = np.full_like(y, np.nan)
        late[:, samples:] = y[:, : y.shape[1] - samples]
        return late

    return Scenario("delay", f"measurements {samples} sample{'s' if samples > 1 else ''} late", sense)


def slow_sensor(every: int = 4) -> Scenario:
    """Only every ``every``-th sample is measured."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        return np.where(np.arange(y.shape[1])[:, None] % every == 0, y, np.nan)

    return Scenario("slow_sensor", f"a sensor that reads every {every}th sample", sense)


def single_precision() -> Scenario:
    """Readings and known inputs in float32, as they come from most converters and networks."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        return y.astype(np.float32).astype(float)

    def move(plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        return replace(data, u=data.u.astype(np.float32).astype(float))

    return Scenario("float32", "signals in single precision", sense, move)


def measured(deviations: np.ndarray, offsets: np.ndarray, missing: float, title: str = "") -> Scenario:
    """The sensors of :func:`readings`, known in numbers. Replaces the stated noise."""

    def sense(y: np.ndarray, model: KnownPlant, rng: np.random.Generator) -> np.ndarray:
        return readings(y, deviations, offsets, missing, rng)

    return Scenario("measured", title, sense, noisy=False)


def readings(
    y: np.ndarray, deviations: np.ndarray, offsets: np.ndarray, missing: float, rng: np.random.Generator
) -> np.ndarray:
    """y ``(K, N, ny)`` with noise and bias (standard deviations ``(ny,)``, units of the outputs; a bias is drawn once for each trial and
    output), and a share of missing samples (nan)."""
    noisy = y + deviations * rng.standard_normal(y.shape)
    noisy = noisy + offsets * rng.standard_normal((len(y), 1, y.shape[2]))
    return np.where(rng.random(y.shape) < missing, np.nan, noisy)
