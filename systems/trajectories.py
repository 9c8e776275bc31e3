"""Recorded or simulated motion of a plant, and the batched simulation that makes it.

One time axis for all signals: row k of x, u and y belongs to t_k; u[k] is held until t_{k+1}; y[k] = h(x[k], u[k]).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from systems.angles import angles
from systems.base.arrays import check_shapes, one_line, read_arrays
from systems.base.atomic_files import write_arrays
from systems.base.errors import InputError, RunawayError, SimulationError
from systems.base.memory import arrays, require
from systems.closed_loop import DrivenMotion, driven, is_driven, samples_inside, stepwise
from systems.discretization import DiscreteSystem
from systems.excitations import excite
from systems.feedback import commands_of
from systems.integration import reference_motion, time_scales
from systems.process_noise import process_noise as noise_of_process
from systems.process_noise import sample_deviation
from systems.regions import DRIFT, holds_along, initial_states
from systems.signals import Signal
from systems.system import System

SHORTEST = 20  # samples of half of the trajectories, below which a plant that leaves is refused


#: how the ``source`` of logs begins whose states were not measured but are those of the equations
BY_EQUATIONS = "states by the equations"


@dataclass(frozen=True)
class Transitions:
    """Pairs (k, k+1): x ``(m, nx)``, u ``(m, nu)``, y ``(m, ny)`` at k, and x_next ``(m, nx)`` at k+1."""

    x: np.ndarray
    u: np.ndarray
    y: np.ndarray
    x_next: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Trajectories:
    """A batch of K trajectories on one time axis.

    Attributes
    ----------
    t : ndarray (N,)
        Time [s].
    x, u, y : ndarray (K, N, nx), (K, N, nu), (K, N, ny)
        States, inputs and outputs; nan where a value is missing, and beyond the length of a trajectory.
    lengths : ndarray (K,)
        Samples of each trajectory.
    source : str
        Where they come from.
    warnings : tuple of str
        Sentences for a person.
    method : str
        What integrated or stepped the states; empty for logs. Not stored.
    """

    t: np.ndarray
    x: np.ndarray
    u: np.ndarray
    y: np.ndarray
    lengths: np.ndarray
    source: str = ""
    warnings: tuple[str, ...] = ()
    method: str = ""

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def reached(self) -> np.ndarray:
        """``(nx, 2)``: the smallest box that holds every state."""
        return np.stack([np.nanmin(self.x, axis=(0, 1)), np.nanmax(self.x, axis=(0, 1))], axis=1)

    @property
    def by_equations(self) -> bool:
        """Whether the states are those of the equations along logs that hold none: nothing to compare estimates with."""
        return self.source.startswith(BY_EQUATIONS)

    def transitions(self) -> Transitions:
        """All pairs of neighbouring samples without missing values; never a pair across two trajectories."""
        rows = len(self) * (len(self.t) - 1)
        x, u, y = (a[:, :-1].reshape(rows, a.shape[2]) for a in (self.x, self.u, self.y))
        x_next = self.x[:, 1:].reshape(rows, self.x.shape[2])
        complete = np.isfinite(np.concatenate([x, u, y, x_next], axis=1)).all(axis=1)
        return Transitions(x[complete], u[complete], y[complete], x_next[complete])

    def split(self, share: float, seed: int) -> tuple["Trajectories", "Trajectories"]:
        """(rest, held out) by whole trajectories; ``share`` of them, at least one, is held out.

        Of a single trajectory the last ``share`` of its samples is held out.
        """
        if len(self) == 1:
            cut = max(1, int((1 - share) * len(self.t)))
            return self._between(0, cut), self._between(cut, len(self.t))
        count = min(len(self) - 1, max(1, round(share * len(self))))
        order = np.random.default_rng(seed).permutation(len(self))
        return self.subset(np.sort(order[count:])), self.subset(np.sort(order[:count]))

    def _between(self, start: int, stop: int) -> "Trajectories":
        rows = slice(start, stop)
        lengths = np.clip(self.lengths, start, stop) - start
        return Trajectories(
            self.t[: stop - start], self.x[:, rows], self.u[:, rows], self.y[:, rows], lengths, self.source
        )

    def subset(self, which: np.ndarray) -> "Trajectories":
        """Some of the trajectories, by index."""
        return Trajectories(self.t, self.x[which], self.u[which], self.y[which], self.lengths[which], self.source)

    def save(self, path: Path | str, origins: Mapping[str, Any] | None = None) -> None:
        """Write as ``.npz``, atomically; ``origins``: what they were made from, kept as JSON."""
        made_from: dict[str, Any] = {"origins": json.dumps(origins)} if origins else {}
        write_arrays(
            path, format_version=1, t=self.t, x=self.x, u=self.u, y=self.y, lengths=self.lengths,
            source=self.source, warnings=np.array(self.warnings, dtype=str), **made_from,
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path | str) -> "Trajectories":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""
        try:
            data = read_arrays(path)
            if int(data["format_version"]) > 1:
                version = int(data["format_version"])
                raise InputError(f"{path} was written by a newer version (format {version}); update ren-observer")
            _check_stored(data)
            return cls(
                *(data[name] for name in ("t", "x", "u", "y", "lengths")),
                source=str(data["source"]), warnings=tuple(map(str, data["warnings"])),
            )  # fmt: skip
        except Exception as error:
            if str(path) in str(error) and isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} is no trajectory file ({one_line(error)}); make it again with `observer simulate`"
            ) from error


def _check_stored(data: dict[str, np.ndarray]) -> None:
    """Raise :class:`InputError` for arrays that are no trajectories: shapes, lengths, and a time axis that increases."""
    shapes = {"t": ("N",), "x": ("K", "N", "nx"), "u": ("K", "N", "nu"), "y": ("K", "N", "ny"), "lengths": ("K",)}
    sizes = check_shapes(data, shapes)
    lengths, t = data["lengths"], data["t"]
    if lengths.dtype.kind not in "iu" or not ((lengths >= 0) & (lengths <= sizes["N"])).all():
        raise InputError(f"lengths must be whole numbers from 0 to {sizes['N']}")
    if not (np.isfinite(t).all() and (np.diff(t) > 0).all()):
        raise InputError("t must be finite and increase")


def draw_initial_states(system: System, count: int, seed: int, spread: float = 1.0) -> np.ndarray:
    """``(count, nx)`` initial states, uniform over the initial box enlarged by ``spread`` about its middle, within limits and region."""
    box = system.initial_ranges
    middle, half = box.mean(axis=1), 0.5 * np.ptp(box, axis=1) * spread
    rng = np.random.default_rng([seed, 1])
    if system.region is not None:
        limits = np.array([signal.limits or (-np.inf, np.inf) for signal in system.states])
        wide = np.stack([middle - half, middle + half], axis=1)
        return initial_states(system, np.clip(wide, limits[:, :1], limits[:, 1:]), count, rng)
    x0 = middle + half * rng.uniform(-1, 1, (count, system.nx))
    for k, signal in enumerate(system.states):
        if signal.limits is not None:
            x0[:, k] = np.clip(x0[:, k], *signal.limits)
    return x0


def within_region(system: System, data: Trajectories) -> Trajectories:
    """``data`` with nan from the sample on at which a trajectory breaks the plant's constraints. Raises :class:`InputError` where
    no pair of samples is left."""
    if system.region is None:
        return data
    stays = np.logical_and.accumulate(holds_along(system, data.x, data.u, DRIFT), axis=1)
    if not stays[:, 1:].any():
        raise InputError(
            f"no trajectory stays in the region ({'; '.join(system.region.sentences)}) for two samples; narrow initial, or the "
            "inputs, or correct the condition"
        )
    x, u, y = (np.where(stays[:, :, None], part, np.nan) for part in (data.x, data.u, data.y))
    return replace(data, x=x, u=u, y=y, lengths=np.minimum(data.lengths, stays.sum(axis=1)))


def draw_inputs(
    system: System,
    dt: float,
    count: int,
    steps: int,
    seed: int,
    excitation: str | dict[str, str] | None = None,
    **options: Any,
) -> np.ndarray:
    """``(count, steps, nu)`` inputs; ``excitation`` is one kind for all inputs, or a kind per input name."""
    return _drawn(system, system.inputs, dt, count, steps, seed, excitation, **options)


def draw_commands(
    system: System, dt: float, count: int, steps: int, seed: int, excitation: str | dict[str, str] | None = None
) -> np.ndarray:
    """``(count, steps, nu + references)``: what moves a plant: the inputs of :func:`draw_inputs`, and the references of its feedback.

    A driven input whose excitation is ``zero`` stays at its middle: nothing is added to the law.
    """
    feedback = system.feedback
    if feedback is None:
        return draw_inputs(system, dt, count, steps, seed, excitation)
    commands = _drawn(system, commands_of(system), dt, count, steps, seed, excitation)
    for k, signal in enumerate(system.inputs):
        if signal.name in feedback.inputs and _kind(signal, excitation) == "zero":
            commands[:, :, k] = system.input_ranges[k].mean()
    return commands


def _kind(signal: Signal, excitation: str | dict[str, str] | None) -> str | None:
    asked = excitation.get(signal.name) if isinstance(excitation, dict) else excitation
    return asked or signal.excitation


def _drawn(
    system: System, signals: Sequence[Signal], dt: float, count: int, steps: int, seed: int,
    excitation: str | dict[str, str] | None, **options: Any,
) -> np.ndarray:  # fmt: skip
    result = np.empty((count, steps, len(signals)))
    scale = time_scales(system)[1] if system.kind == "continuous" else 20 * dt
    if isinstance(excitation, dict):
        names = [signal.name for signal in signals]
        unknown = set(excitation) - set(names)
        if unknown:
            raise InputError(
                f"excitation for unknown input '{sorted(unknown)[0]}'; known: {', '.join(names) or 'none'}"
            )
    for k, signal in enumerate(signals):
        rng = np.random.default_rng([seed, 2, k])
        result[:, :, k] = excite(signal, _kind(signal, excitation), count, steps, dt, rng, time_scale=scale, **options)
    return result


def check_states(system: System, t: np.ndarray, x: np.ndarray, lengths: np.ndarray | None = None) -> tuple[str, ...]:
    """Warnings for trajectories x ``(K, N, nx)`` that leave the ranges, or that ended after ``lengths`` ``(K,)`` samples.

    Raises :class:`SimulationError` for a non-finite state, a broken limit, or a state beyond ten ranges: which, when, from where.
    """
    known, warnings = angles(system), []
    inner, box = known.states(x), known.region(system.state_ranges)
    there = np.ones(x.shape[:2], dtype=bool) if lengths is None else np.arange(len(t)) < lengths[:, None]
    if not there.all():
        last = t[np.maximum(there.sum(axis=1)[~there[:, -1]] - 1, 0)]
        way_out = (
            "; a law in [feedback] that holds them, or smaller initial sets, would keep them"
            if 2 * len(last) > len(x)
            else ""
        )
        warnings.append(
            f"{len(last)} of {len(x)} trajectories leave {left_behind(system)} and end there, after {np.median(last):.3g} "
            f"{system.time_unit} in the median{way_out}"
        )
    for k, signal in enumerate(system.states):
        low, high = box[k]
        values = np.where(there, inner[:, :, k], 0.5 * (low + high))
        width, middle = high - low, 0.5 * (low + high)
        checks = [
            (
                ~np.isfinite(values),
                "is not finite",
                "choose initial states or inputs from which the plant stays finite",
            ),
            (
                np.abs(values - middle) > 10 * width,
                f"leaves ten times its range ({low:g}, {high:g})",
                "correct the equations, or widen the range",
            ),
        ]
        if signal.limits is not None:
            tolerance = 1e-9 * width
            broken = (values < signal.limits[0] - tolerance) | (values > signal.limits[1] + tolerance)
            advice = "choose initial states or inputs that keep it inside, or correct the limits"
            checks.insert(1, (broken, f"breaks its limits ({signal.limits[0]:g}, {signal.limits[1]:g})", advice))
        for mask, what, advice in checks:
            if mask.any():
                step = int(np.argmax(mask.any(axis=0)))
                trial = int(np.argmax(mask[:, step]))
                initial = ", ".join(f"{n}={v:.4g}" for n, v in zip(system.state_names, x[trial, 0], strict=True))
                raise SimulationError(
                    f"state '{signal.name}' {what} at t = {t[step]:g} {system.time_unit} (value {values[trial, step]:.4g}) in trajectory "
                    f"{trial} from the initial state {initial}; {advice}"
                )
        outside = (values < low) | (values > high)
        if outside.any():
            warnings.append(
                f"state '{signal.name}' is outside its range ({low:g}, {high:g}) in {100 * outside.sum() / there.sum():.2g} % "
                f"of the samples, from {values.min():.4g} to {values.max():.4g}; widen the range if that is normal operation"
            )
    return tuple(warnings)


def simulate(
    plant: DiscreteSystem,
    trajectories: int = 100,
    duration: float | None = None,
    seed: int = 0,
    excitation: str | dict[str, str] | None = None,
    *,
    noise: bool = False,
    spread: float = 1.0,
    x0: np.ndarray | None = None,
    u: np.ndarray | None = None,
    truth: str = "model",
    commands: np.ndarray | None = None,
    leave: bool = False,
    process_noise: bool | None = None,
) -> Trajectories:
    """Simulate a batch of trajectories.

    Parameters
    ----------
    plant : DiscreteSystem
    trajectories : int
        How many, K.
    duration : float, optional
        Seconds; the system's usual duration, or 200 samples, when left out. N = duration/dt + 1 samples.
    seed : int
        Of the initial states, the inputs and the noise.
    excitation : str or dict, optional
        Kind of every input, or kinds by input name; each signal's own when left out.
    noise : bool
        Add white Gaussian noise of each output's stated standard deviation to y.
    process_noise : bool, optional
        Move the states by their stated process noise; as ``noise`` when left out.
    spread : float
        Initial states are drawn from the initial box enlarged by this factor.
    x0, u : ndarray (K, nx), (K, N, nu), optional
        Given initial states and inputs instead of drawn ones; given inputs act as they are, without any feedback.
    truth : {"model", "reference"}
        ``"model"`` steps the discretised plant; ``"reference"`` integrates the continuous one (DOP853 or CVODES).
        ``"oracle"``, its former name, is still accepted.
    commands : ndarray (K, N, nu + references), optional
        What is drawn otherwise: inputs, and references of the plant's feedback law, which drives the inputs that it names.
    leave : bool
        A trajectory that leaves the doubled ranges ends there, with nan beyond, and is no error; under feedback and with process
        noise it always does.

    Returns
    -------
    Trajectories

    Raises
    ------
    SimulationError
        Where a state is not finite, breaks its limits or leaves ten ranges.
    InputError
        For arguments of the wrong shape or kind.
    """
    system, dt, unit = plant.system, plant.dt, plant.system.time_unit
    duration = duration if duration is not None else (system.duration or 200 * dt)
    if not duration >= dt:
        raise InputError(f"duration is {duration:g} {unit}; expected at least one sample (dt = {dt:g} {unit})")
    if x0 is None and (isinstance(trajectories, bool) or not isinstance(trajectories, int) or trajectories < 1):
        raise InputError(f"trajectories is {trajectories!r}; expected a whole number, 1 or more")
    way_out = "ask for fewer or shorter ones, or a larger dt"
    require(
        arrays((duration / dt, system.nx)),
        f"a trajectory of {duration:g} {unit} in samples of {dt:g} {unit}",
        way_out,
    )
    steps = round(duration / dt) + 1
    if x0 is None:
        require(arrays((trajectories, system.nx)), f"{trajectories} trajectories", "ask for fewer")
        x0 = draw_initial_states(system, trajectories, seed, spread)
    x0 = np.atleast_2d(np.asarray(x0, dtype=float))
    if x0.ndim != 2 or x0.shape[1] != system.nx:
        raise InputError(
            f"x0 has shape {x0.shape}; expected (trajectories, {system.nx}) for {', '.join(system.state_names)}"
        )
    count = len(x0)
    needed = arrays((3, count, steps, system.nx), (2, count, steps, system.nu), (2, count, steps, system.ny))
    require(needed, f"{count} trajectories of {duration:g} {unit} in samples of {dt:g} {unit}", way_out)
    if u is None and commands is None:
        commands = draw_commands(system, dt, count, steps, seed, excitation)
    given, width = (commands, len(commands_of(system))) if u is None else (u, system.nu)
    given = np.asarray(given, dtype=float)
    if given.shape != (count, steps, width):
        what = "commands" if u is None else "u"
        raise InputError(
            f"{what} has shape {given.shape}; expected {(count, steps, width)} (trajectories, samples, inputs)"
        )
    if truth not in ("model", "reference", "oracle"):
        raise InputError(f"truth is {truth!r}; expected model or reference")
    t, looped = dt * np.arange(steps), u is None and is_driven(system)
    errors, moved = None, None
    if noise:
        deviations = np.array([s.noise for s in system.outputs])
        errors = deviations * np.random.default_rng([seed, 3]).standard_normal((count, steps, system.ny))
    if (noise if process_noise is None else process_noise) and sample_deviation(plant).any():
        moved = noise_of_process(plant, count, steps - 1, seed)
    motion = _motion(plant, x0, given, errors, moved, truth, looped=looped, leave=leave)
    lengths = np.full(count, steps)
    if leave or looped or moved is not None:
        motion, lengths = _ended(system, motion, dt)
    said = (motion.warning,) if motion.warning else ()
    warnings = (*said, *check_states(system, t, motion.x, lengths))
    y = motion.y
    there = np.arange(steps) < lengths[:, None]
    if not np.isfinite(y[there]).all():
        bad = int(np.argmax(~np.isfinite(y[there]).all(axis=0)))
        raise SimulationError(
            f"output '{system.output_names[bad]}' is not finite along the trajectories; check its equation"
        )
    y = y if errors is None else y + errors
    return Trajectories(
        t, motion.x, motion.u, y, lengths, f"simulated, seed {seed}", (*system.unused, *plant.warnings, *warnings),
        motion.method,
    )  # fmt: skip


def _motion(
    plant: DiscreteSystem, x0: np.ndarray, commands: np.ndarray, noise: np.ndarray | None, moved: np.ndarray | None, truth: str,
    *, looped: bool, leave: bool
) -> DrivenMotion:  # fmt: skip
    """The motion from x0 under ``commands``, which are inputs unless it is ``looped``, with what process noise adds (``moved``)."""
    system, steps = plant.system, commands.shape[1]
    continuous = truth != "model" and system.kind == "continuous"
    name = "discrete map" if system.kind == "discrete" else plant.method
    t = plant.dt * np.arange(steps)
    if looped:
        law = None if system.feedback is None else system.feedback.law
        if continuous or moved is not None or (noise is not None and law is not None and law.used("y")):
            return stepwise(plant, x0, commands, noise, truth, moved)
        x, u = driven(plant, x0, commands)
        return DrivenMotion(x, u, system.measure(x, u, t), name)
    if moved is not None:
        return stepwise(plant, x0, commands, None, truth, moved)
    try:
        if continuous:
            found = reference_motion(system, x0, commands[:, :-1], plant.dt)
            return DrivenMotion(found.x, commands, system.measure(found.x, commands, t), found.method, found.warning)
        x = plant.rollout(x0, commands[:, :-1])
        return DrivenMotion(x, commands, system.measure(x, commands, t), name)
    except RunawayError:
        if not leave:
            raise
        return stepwise(plant, x0, commands, None, truth)


def left_behind(system: System) -> str:
    """What a trajectory leaves, in words."""
    return "the doubled ranges" + (
        "" if system.region is None else f" or the region ({'; '.join(system.region.sentences)})"
    )


def _ended(system: System, motion: DrivenMotion, dt: float) -> tuple[DrivenMotion, np.ndarray]:
    """(the motion with nan from where each trajectory leaves, samples before that). Raises where half of them leave at once."""
    lengths = samples_inside(system, motion.x, motion.u)
    count, steps = motion.x.shape[:2]
    if (lengths < steps).all() and np.median(lengths) < min(SHORTEST, steps):
        raise SimulationError(
            f"half of {count} trajectories leave {left_behind(system)} of '{system.name}' within {dt * np.median(lengths):.3g} "
            f"{system.time_unit}, whatever drives them; give a law for its inputs ([feedback]), widen the ranges, or "
            "narrow the initial states"
        )
    gone = (np.arange(steps) >= lengths[:, None])[..., None]
    if not gone.any():
        return motion, lengths
    return replace(motion, **{name: np.where(gone, np.nan, getattr(motion, name)) for name in ("x", "u", "y")}), lengths
