"""What plants do that nobody has modelled: other parameters, unknown disturbances, inputs of another kind.

The motion is simulated anew from the same starts; the observer keeps the nominal model and is not told.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from observer.scenarios.scenario import Condition
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.graph import Graph
from systems.signals import Signal
from systems.system import System
from systems.trajectories import Trajectories, draw_inputs, simulate


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
            other = plant.with_system(system.with_parameters(**changed))
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
            pushed = plant.with_system(_pushed(system))
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
    push = Signal("unknown_push", "", (-width, width), role="disturbance")
    return replace(system, dynamics=dynamics, output=output, inputs=[*system.inputs, push])
