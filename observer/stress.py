"""What sensors and plants do to an observer in use: one small value per condition, applied to given trajectories.

A condition changes what is measured (``sense``) or what the plant does (``move``: simulated anew from the same starts and inputs,
while the observer keeps the nominal model). White noise of the stated size is always there but in ``Noiseless``. Sizes are
relative, so that one tuple serves every plant. The draws depend on seed and condition only: all observers meet the same.

To add one: a class here and an instance in ``CONDITIONS``.
"""

import zlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from observer.baselines.model import Model
from systems.discretization import DiscreteSystem, discretize
from systems.errors import InputError
from systems.graph import Graph
from systems.signals import Signal
from systems.system import System
from systems.trajectories import Trajectories, draw_inputs, simulate


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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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
        model = Model(plant)
        # The noise is the same under every condition: what differs is the condition.
        noise = np.random.default_rng([seed, 3]).standard_normal(moved.y.shape) * model.output_noise
        y = moved.y + noise if self.noisy else moved.y
        return replace(moved, y=self.sense(y, model, rng), warnings=())


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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
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

    def sense(self, y: np.ndarray, model: Model, rng: np.random.Generator) -> np.ndarray:
        """y in single precision."""
        return y.astype(np.float32).astype(float)


@dataclass(frozen=True)
class WrongParameters(Condition):
    """Every parameter of the plant is off by ``share``, up or down, drawn for each of a few groups of trials."""

    share: float = 0.1
    groups: int = 5
    name: ClassVar[str] = "parameters"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"parameters of the plant off by {100 * self.share:g} %"

    def move(self, plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        """The motion of plants that nobody has modelled."""
        system = plant.system
        values = dict(zip(system.parameters, system.parameter_values, strict=True))
        if not values:
            raise InputError(f"plant '{system.name}' has no parameters that could be wrong")
        x, y = data.x.copy(), data.y.copy()
        for rows in np.array_split(np.arange(len(data)), min(self.groups, len(data))):
            signs = rng.choice([-1.0, 1.0], len(values))
            changed = {
                name: float(v * (1 + self.share * sign)) for (name, v), sign in zip(values.items(), signs, strict=True)
            }
            other = _like(plant, system.with_parameters(**changed))
            part = _again(other, data.x[rows, 0], data.u[rows], plant, truth)
            x[rows], y[rows] = part.x, part.y
        return replace(data, x=x, y=y)


@dataclass(frozen=True)
class VeryWrongParameters(WrongParameters):
    """As :class:`WrongParameters`, three times as far."""

    share: float = 0.3
    name: ClassVar[str] = "parameters_30"


@dataclass(frozen=True)
class Disturbance(Condition):
    """An unknown constant acts on the plant: ``share`` of the half range of the first known input, or, of a plant without one,
    of the last state per its own time constant."""

    share: float = 0.1
    name: ClassVar[str] = "constant_disturbance"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"an unknown constant disturbance, {100 * self.share:g} % of the input"

    def signal(self, data: Trajectories, rng: np.random.Generator) -> np.ndarray:
        """``(K, N)`` between -1 and 1."""
        return np.broadcast_to(rng.choice([-1.0, 1.0], (len(data), 1)), data.u.shape[:2])

    def move(self, plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        """The disturbed motion; u is what the observer is told, without the disturbance."""
        system = plant.system
        d = self.share * self.signal(data, rng)
        if len(system.known):
            k = int(system.known[0])
            u = data.u.copy()
            u[..., k] += d * 0.5 * np.ptp(system.input_ranges[k])
            moved = _again(plant, data.x[:, 0], u, plant, truth)
        else:
            pushed = _like(plant, _pushed(system))
            scale = 0.5 * np.ptp(system.state_ranges[-1]) * (0.1 if system.kind == "discrete" else 1.0)
            u = np.concatenate([data.u, (d * scale)[..., None]], axis=2)
            moved = _again(pushed, data.x[:, 0], u, pushed, truth)
        return replace(data, x=moved.x, y=moved.y)


@dataclass(frozen=True)
class SineDisturbance(Disturbance):
    """As :class:`Disturbance`, a sine of ``periods`` over a trial."""

    periods: float = 5.0
    name: ClassVar[str] = "sine_disturbance"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return f"an unknown sinusoidal disturbance, {100 * self.share:g} % of the input"

    def signal(self, data: Trajectories, rng: np.random.Generator) -> np.ndarray:
        """A sine of its own phase for each trial."""
        time = np.linspace(0, 2 * np.pi * self.periods, len(data.t))
        return np.sin(time + rng.uniform(0, 2 * np.pi, (len(data), 1)))


@dataclass(frozen=True)
class OtherInput(Condition):
    """Known inputs of another kind than in training."""

    kind: str = "prbs"
    instead: str = "sine"
    name: ClassVar[str] = "other_input"

    @property
    def title(self) -> str:
        """What happens, in words."""
        return "inputs of another kind than in training"

    def move(self, plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        """The motion under ``kind``, or ``instead`` where the plant was trained with ``kind``."""
        system = plant.system
        if not len(system.known):
            raise InputError(f"plant '{system.name}' has no known input that could be another")
        kinds = {
            s.name: self.instead if (s.excitation or "steps") == self.kind else self.kind
            for s in (system.inputs[k] for k in system.known)
        }
        drawn = draw_inputs(system, plant.dt, len(data), len(data.t), int(rng.integers(2**31)), kinds)
        u = data.u.copy()
        u[..., system.known] = drawn[..., system.known]
        moved = _again(plant, data.x[:, 0], u, plant, truth)
        return replace(data, x=moved.x, y=moved.y, u=u)


#: In the order in which tables show them.
CONDITIONS: tuple[Condition, ...] = (
    Noiseless(), Noise(), LouderNoise(), Bias(), Outliers(), Quantisation(), Dropouts(), Delay(), SlowSensor(),
    SinglePrecision(), WrongParameters(), VeryWrongParameters(), Disturbance(), SineDisturbance(), OtherInput(),
)  # fmt: skip


def condition(name: str) -> Condition:
    """A condition of ``CONDITIONS`` by name. Raises :class:`InputError` for one that is not there."""
    for item in CONDITIONS:
        if item.name == name:
            return item
    raise InputError(f"condition is {name!r}; expected one of {', '.join(item.name for item in CONDITIONS)}")


def _like(plant: DiscreteSystem, system: System) -> DiscreteSystem:
    """Another system, sampled as this plant is."""
    return discretize(system, dt=plant.dt, method=plant.method if system.kind == "continuous" else "rk4",
                      substeps=plant.substeps if plant.graph is not None else None)  # fmt: skip


def _again(other: DiscreteSystem, x0: np.ndarray, u: np.ndarray, plant: DiscreteSystem, truth: str) -> Trajectories:
    duration = plant.dt * (u.shape[1] - 1)
    return simulate(other, duration=duration, x0=x0, u=u, truth=truth)


def _pushed(system: System) -> System:
    """The system with one more input, added to the last equation."""
    sizes = dict(system.dynamics.inputs)
    inputs = tuple((name, size + 1 if name == "u" else size) for name, size in system.dynamics.inputs)
    nodes, outputs = list(system.dynamics.nodes), list(system.dynamics.outputs)
    nodes += [("input", "u", sizes["u"]), ("add", outputs[-1], len(nodes))]
    outputs[-1] = len(nodes) - 1
    dynamics = Graph(inputs, tuple(nodes), tuple(outputs), system.dynamics.shape)
    output = replace(system.output, inputs=inputs)
    width = float(np.ptp(system.state_ranges[-1]))
    data: dict[str, Any] = system.to_data()
    data |= {"dynamics": dynamics.to_data(), "output": output.to_data()}
    push = Signal("unknown_push", "", (-width, width), role="disturbance")
    return System.from_data({**data, "inputs": [*data["inputs"], vars(push)]})
