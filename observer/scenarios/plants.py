"""Deviations of the plant from its model: other parameters, unknown disturbances, inputs of another kind.

The motion is simulated anew from the same initial states; the observer keeps the nominal model. Under a feedback law the loop stays
closed, with references and excitation of their own draw: its inputs of before would not hold another plant.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from observer.scenarios.scenario import Scenario
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.graph import Graph
from systems.signals import Signal
from systems.system import System
from systems.trajectories import Trajectories, draw_commands, simulate


def wrong_parameters(share: float = 0.1, name: str = "parameters", groups: int = 5) -> Scenario:
    """Every parameter of the plant is off by ``share``, up or down, drawn for each of a few groups of trials."""

    def move(plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        system = plant.system
        if not system.parameters:
            raise InputError(f"plant '{system.name}' has no parameters to change")
        x, u, y = data.x.copy(), data.u.copy(), data.y.copy()
        for rows in np.array_split(np.arange(len(data)), min(groups, len(data))):
            signs = rng.choice([-1.0, 1.0], len(system.parameters))
            values = np.asarray(system.parameter_values) * (1 + share * signs)
            changed = dict(zip(system.parameters, values.tolist(), strict=True))
            other = plant.with_system(system.with_parameters(**changed))
            drawn = data.u[rows] if system.feedback is None else _commands(plant, rows, data, rng)
            part = _again(other, data.x[rows, 0], drawn, truth)
            x[rows], u[rows], y[rows] = part.x, part.u, part.y
        return replace(data, x=x, u=u, y=y)

    return Scenario(name, f"parameters of the plant off by {100 * share:g} %", move=move)


def constant_disturbance(share: float = 0.1) -> Scenario:
    """An unknown constant acts on the plant: ``share`` of the half range of the first known input, or, of a plant without one,
    of the last state per its own time constant."""

    def constant(data: Trajectories, rng: np.random.Generator) -> np.ndarray:
        return np.broadcast_to(rng.choice([-1.0, 1.0], (len(data), 1)), data.u.shape[:2])

    title = f"an unknown constant disturbance, {100 * share:g} % of the input"
    return _disturbed("constant_disturbance", title, share, constant)


def sine_disturbance(share: float = 0.1, periods: float = 5.0) -> Scenario:
    """As :func:`constant_disturbance`, a sine of ``periods`` over a trial, of its own phase for each trial."""

    def sine(data: Trajectories, rng: np.random.Generator) -> np.ndarray:
        time = np.linspace(0, 2 * np.pi * periods, len(data.t))
        return np.sin(time + rng.uniform(0, 2 * np.pi, (len(data), 1)))

    title = f"an unknown sinusoidal disturbance, {100 * share:g} % of the input"
    return _disturbed("sine_disturbance", title, share, sine)


def other_input(kind: str = "prbs", instead: str = "sine") -> Scenario:
    """Known inputs of another kind than in training: ``kind``, or ``instead`` where the plant was trained with ``kind``."""

    def move(plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        system = plant.system
        if not len(system.known):
            raise InputError(f"plant '{system.name}' has no known input to change")
        known = [system.inputs[k] for k in system.known]
        kinds = {s.name: instead if (s.excitation or "steps") == kind else kind for s in known}
        drawn = draw_commands(system, plant.dt, len(data), len(data.t), int(rng.integers(2**31)), kinds)
        if system.feedback is None:
            drawn, known = data.u.copy(), drawn[..., system.known]
            drawn[..., system.known] = known
        moved = _again(plant, data.x[:, 0], drawn, truth)
        return replace(data, x=moved.x, y=moved.y, u=moved.u)

    return Scenario("other_input", "inputs of another kind than in training", move=move)


def _disturbed(
    name: str, title: str, share: float, signal: Callable[[Trajectories, np.random.Generator], np.ndarray]
) -> Scenario:
    """A plant pushed by ``signal``, ``(K, N)`` between -1 and 1; u is what the observer knows, without the disturbance."""

    def move(plant: DiscreteSystem, data: Trajectories, rng: np.random.Generator, truth: str) -> Trajectories:
        system = plant.system
        d = share * signal(data, rng)
        if len(system.known):
            k = int(system.known[0])
            u = data.u.copy()
            u[..., k] += d * 0.5 * np.ptp(system.input_ranges[k])
            moved = _again(plant, data.x[:, 0], u, truth, looped=False)
        else:
            scale = 0.5 * np.ptp(system.state_ranges[-1]) * (0.1 if system.kind == "discrete" else 1.0)
            u = np.concatenate([data.u, (d * scale)[..., None]], axis=2)
            moved = _again(plant.with_system(_pushed(system)), data.x[:, 0], u, truth)
        return replace(data, x=moved.x, y=moved.y)

    return Scenario(name, title, move=move)


def _commands(plant: DiscreteSystem, rows: np.ndarray, data: Trajectories, rng: np.random.Generator) -> np.ndarray:
    return draw_commands(plant.system, plant.dt, len(rows), len(data.t), int(rng.integers(2**31)))


def _again(
    plant: DiscreteSystem, x0: np.ndarray, commands: np.ndarray, truth: str, *, looped: bool = True
) -> Trajectories:
    """Simulated with the loop closed where there is one; without it, commands are inputs."""
    duration = plant.dt * (commands.shape[1] - 1)
    if looped:
        return simulate(plant, duration=duration, x0=x0, truth=truth, commands=commands)
    return simulate(plant, duration=duration, x0=x0, truth=truth, u=commands)


def _pushed(system: System) -> System:
    """The system with one more input, added to the last equation."""
    inputs = tuple((name, size + 1 if name == "u" else size) for name, size in system.dynamics.inputs)
    nodes, outputs = list(system.dynamics.nodes), list(system.dynamics.outputs)
    nodes += [("input", "u", system.nu), ("add", outputs[-1], len(nodes))]
    outputs[-1] = len(nodes) - 1
    dynamics = Graph(inputs, tuple(nodes), tuple(outputs), system.dynamics.shape)
    output = replace(system.output, inputs=inputs)
    width = float(np.ptp(system.state_ranges[-1]))
    push = Signal("unknown_push", "", (-width, width), role="disturbance")
    region = system.region
    if region is not None:
        region = replace(region, graph=replace(region.graph, inputs=inputs))
    more = [*system.inputs, push]
    return replace(system, dynamics=dynamics, output=output, inputs=more, feedback=None, region=region)
