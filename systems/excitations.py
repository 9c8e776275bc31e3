"""Test signals for the inputs. To add one: a function here and its name in ``signals.EXCITATIONS``.

Every excitation stays within the signal's range and is held over each sample. ``hold`` and ``band`` default to the
plant's own time scale tau: levels are held for tau, frequencies lie between 1/(20 tau) and 1/(2 tau) hertz. Only ``drift``
moves at every sample.
"""

from collections.abc import Callable

import numpy as np

from systems.base.errors import InputError
from systems.signals import EXCITATIONS, Signal


def _unit_zero(
    time: np.ndarray, hold: int, band: tuple[float, float], phase: float | None, rng: np.random.Generator
) -> np.ndarray:
    return np.zeros(len(time))


def _unit_constant(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    return np.full(len(time), rng.uniform(-1, 1))


def _held(levels: Callable[[int], np.ndarray], time: np.ndarray, hold: int) -> np.ndarray:
    return np.repeat(levels(len(time) // hold + 1), hold)[: len(time)]


def _unit_steps(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    return _held(lambda n: rng.uniform(-1, 1, n), time, hold)


def _unit_prbs(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    return _held(lambda n: rng.choice([-1.0, 1.0], n), time, hold)


def _tone(time, band, phase, rng):  # type: ignore[no-untyped-def]
    frequency = np.exp(rng.uniform(*np.log(band)))
    start = rng.uniform(0, 2 * np.pi) if phase is None else phase
    return 2 * np.pi * frequency * time + start


def _unit_sine(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    return rng.uniform(0.1, 1.0) * np.sin(_tone(time, band, phase, rng))


def _unit_square(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    return rng.uniform(0.1, 1.0) * np.where(np.sin(_tone(time, band, phase, rng)) >= 0, 1.0, -1.0)


def _unit_chirp(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    end = max(time[-1], 1e-12)
    start = rng.uniform(0, 2 * np.pi) if phase is None else phase
    rate = np.log(band[1] / band[0])
    return rng.uniform(0.1, 1.0) * np.sin(start + 2 * np.pi * band[0] * end / rate * (np.exp(rate * time / end) - 1))


def _unit_walk(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    def walk(n: int) -> np.ndarray:
        level, levels = rng.uniform(-1, 1), np.empty(n)
        for k in range(n):
            levels[k] = level
            level = np.clip(level + 0.5 * rng.standard_normal(), -1, 1)
        return levels

    return _held(walk, time, hold)


def _unit_drift(time, hold, band, phase, rng):  # type: ignore[no-untyped-def]
    """A walk that moves at every sample, whatever the plant's time scale: 0.05 of the width of the range, clipped."""
    level, levels = float(rng.uniform(-1, 1)), np.empty(len(time))
    for k, move in enumerate(0.1 * rng.standard_normal(len(time))):
        levels[k] = level
        level = min(max(level + move, -1.0), 1.0)
    return levels


_UNIT = {
    "zero": _unit_zero, "constant": _unit_constant, "steps": _unit_steps, "sine": _unit_sine, "chirp": _unit_chirp,
    "square": _unit_square, "prbs": _unit_prbs, "walk": _unit_walk,
    "drift": _unit_drift,
}  # fmt: skip


def excite(
    signal: Signal,
    kind: str | None,
    count: int,
    steps: int,
    dt: float,
    rng: np.random.Generator,
    *,
    time_scale: float,
    hold: float | None = None,
    band: tuple[float, float] | None = None,
    phase: float | None = None,
) -> np.ndarray:
    """``(count, steps)`` values of one input.

    Parameters
    ----------
    kind : one of ``EXCITATIONS``; the signal's own, or ``"steps"``, when left out.
    time_scale : seconds; sets the defaults of ``hold`` (seconds per level) and ``band`` (hertz, low and high).
    phase : radians, random when left out.

    ``zero`` means the physical value 0, or the end of the range nearest to it; the others swing about the middle.
    """
    kind = kind or signal.excitation or "steps"
    if kind not in _UNIT:
        raise InputError(f"input '{signal.name}': excitation is {kind!r}; expected one of {', '.join(EXCITATIONS)}")
    assert signal.range is not None
    low, high = signal.range
    if kind == "zero":
        return np.full((count, steps), float(np.clip(0.0, low, high)))
    tau = time_scale if np.isfinite(time_scale) else 20 * dt
    samples = max(1, round(min((hold if hold is not None else tau) / dt, steps)))
    tau = max(tau, 2 * dt)
    limits = band if band is not None else (1 / (20 * tau), min(1 / (2 * tau), 0.25 / dt))
    time = dt * np.arange(steps)
    unit = np.stack([_UNIT[kind](time, samples, limits, phase, rng) for _ in range(count)])
    return 0.5 * (low + high) + 0.5 * (high - low) * unit
