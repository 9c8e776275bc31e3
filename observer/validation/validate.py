"""Validation: does the estimation error really converge? Random starts, the true plant, and a verdict.

Each trial starts the plant and the observer independently. The plant is integrated by the oracle (DOP853 or CVODES) with
held inputs, not by the model that was fitted, unless asked. The verdict rests on printed criteria.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from observer.known_plant import chosen_plant, periods, wrap
from observer.state_observer import RENObserver, StateObserver
from systems.base.atomic_files import read_arrays, write_arrays
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.integration import stiff
from systems.trajectories import draw_initial_states, simulate

TOLERANCE = 0.02  # of each state's range: what counts as settled
ESTIMATE_STARTS = ("random", "zero", "centre")
SETTLING_TIMES_PER_TRIAL = 10.0


@dataclass(frozen=True)
class Criterion:
    """One line of the verdict: a number, what was required of it, and whether it was met."""

    name: str
    value: float
    requirement: str
    passed: bool


@dataclass(frozen=True, eq=False)
class Validation:
    """Trials of an observer against the true plant, and what they show.

    t ``(N,)``; x, x_hat ``(K, N, nx)``; u ``(K, N, nu)``; y ``(K, N, ny)``; ranges ``(nx, 2)``. Per trial ``(K,)``:
    ``diverged`` (some error beyond ten ranges, or not finite), ``converged`` (every error within 2 % of its range over the whole
    window), ``in_region`` (the plant stayed within the ranges). ``trial_settling`` ``(K, nx)``: last time at which
    |e_i| exceeds 2 % of its range, nan where it does so at the end. Over the window and all trials: ``rms_error``,
    ``max_error`` ``(nx,)``. ``error_norm`` ``(K, N)`` is |e|_M; ``decay`` ``(N,)`` is rate^k; ``residual_level`` the
    largest one-step residual |r|_M sampled along the trials.
    """

    t: np.ndarray
    x: np.ndarray
    x_hat: np.ndarray
    u: np.ndarray
    y: np.ndarray
    state_names: tuple[str, ...]
    units: tuple[str, ...]
    ranges: np.ndarray
    periods: np.ndarray
    dt: float
    diverged: np.ndarray
    converged: np.ndarray
    in_region: np.ndarray
    trial_settling: np.ndarray
    settling_time: np.ndarray
    rms_error: np.ndarray
    max_error: np.ndarray
    window: np.ndarray
    error_norm: np.ndarray
    decay: np.ndarray
    residual_level: float
    criteria: tuple[Criterion, ...]
    verdict: str
    plant_method: str
    seed: int
    noise: bool
    warnings: tuple[str, ...] = field(default=())

    @cached_property
    def error(self) -> np.ndarray:
        """x_hat - x ``(K, N, nx)``, wrapped to half a period for angles."""
        return wrap(self.x_hat - self.x, self.periods)

    @property
    def trials(self) -> int:
        """How many trials."""
        return len(self.x)

    @property
    def n_diverged(self) -> int:
        """How many diverged."""
        return int(self.diverged.sum())

    @property
    def converged_fraction(self) -> float:
        """Share of the trials that converged."""
        return float(self.converged.mean())

    def metrics(self) -> dict[str, Any]:
        """The entries of ``validation`` in metrics.json."""

        def per_state(values: np.ndarray) -> dict[str, float | None]:
            return {n: (float(v) if np.isfinite(v) else None) for n, v in zip(self.state_names, values, strict=True)}

        return {
            "trials": self.trials,
            "diverged": self.n_diverged,
            "converged_fraction": self.converged_fraction,
            "settling_time": per_state(self.settling_time),
            "rms_error": per_state(self.rms_error),
            "max_error": per_state(self.max_error),
            "window": [float(v) for v in self.window],
            "verdict": self.verdict,
            "plant_method": self.plant_method,
            "outside_region": int((~self.in_region).sum()),
            "residual_level": self.residual_level,
            "noise": self.noise,
            "seed": self.seed,
            "criteria": [vars(c) for c in self.criteria],
        }

    def save(self, path: Path | str) -> None:
        """Write as ``.npz``, atomically."""
        arrays = {
            name: value for name, value in vars(self).items() if isinstance(value, np.ndarray) and name != "error"
        }
        rest = {
            "format_version": 1, "state_names": self.state_names, "units": self.units, "dt": self.dt,
            "residual_level": self.residual_level, "criteria": [vars(c) for c in self.criteria], "verdict": self.verdict,
            "plant_method": self.plant_method, "seed": self.seed, "noise": self.noise, "warnings": self.warnings,
        }  # fmt: skip
        write_arrays(path, compress=True, meta=json.dumps(rest), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path | str) -> "Validation":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""
        try:
            arrays = read_arrays(path)
            rest = json.loads(str(arrays.pop("meta")))
            if rest.pop("format_version") > 1:
                raise InputError(f"{path} was written by a newer version; update ren-observer")
            rest["criteria"] = tuple(Criterion(**c) for c in rest["criteria"])
            for name in ("state_names", "units", "warnings"):
                rest[name] = tuple(rest[name])
            return cls(**arrays, **rest)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{path} is no validation file ({error}); make it again with `observer validate`"
            ) from error


def _estimates(system: Any, kind: Any, trials: int, seed: int, spread: float) -> np.ndarray:
    if isinstance(kind, str):
        if kind == "random":
            return draw_initial_states(system, trials, seed + 7919, spread)
        if kind == "zero":
            return np.zeros((trials, system.nx))
        if kind == "centre":
            return np.tile(system.initial_ranges.mean(axis=1), (trials, 1))
        raise InputError(f"estimate_start is {kind!r}; expected one of {', '.join(ESTIMATE_STARTS)}, or an array")
    starts = np.asarray(kind, dtype=float)
    try:
        return np.broadcast_to(starts, (trials, system.nx)).copy()
    except ValueError as error:
        raise InputError(f"estimate_start has shape {starts.shape}; expected ({trials}, {system.nx})") from error


def validate(
    observer: StateObserver,
    plant: DiscreteSystem | None = None,
    trials: int = 200,
    duration: float | None = None,
    seed: int = 1,
    *,
    spread: float = 1.0,
    estimate_start: Any = "random",
    truth: str = "oracle",
    noise: bool = False,
    excitation: str | dict[str, str] | None = None,
    x0: np.ndarray | None = None,
    window: tuple[float, float] | None = None,
    required_fraction: float = 0.99,
) -> Validation:
    """Run ``trials`` random trials and judge them.

    Parameters
    ----------
    plant : the plant to validate against; the observer's own when left out.
    duration : seconds; ten settling times of the observer, or the system's usual duration, when left out.
    spread : factor by which the observer's starts reach beyond the initial box (the plant's starts stay in it).
    estimate_start : ``random`` (independent of the plant's start), ``zero``, ``centre``, or an array ``(trials, nx)``.
    truth : ``oracle`` integrates the continuous plant; ``model`` steps the discretised one. Discrete plants are their own truth.
    noise : measure with each output's stated noise. The verdict of a noisy validation is about the noisy errors.
    window : seconds (from, to) over which errors are judged; the second half of the trial when left out.

    Raises :class:`InputError` for unusable arguments and :class:`SimulationError` where the plant itself diverges.
    """
    plant = chosen_plant(observer, plant)
    system = plant.system
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise InputError(f"trials is {trials!r}; expected a whole number, 1 or more")
    if not (np.isfinite(spread) and spread > 0):
        raise InputError(f"spread is {spread!r}; expected a positive number")
    if truth not in ("oracle", "model"):
        raise InputError(f"truth is {truth!r}; expected oracle or model")
    if duration is None:
        duration = system.duration
        if duration is None and isinstance(observer, RENObserver) and observer.contraction_rate < 1:
            duration = SETTLING_TIMES_PER_TRIAL * np.log(0.02) / np.log(observer.contraction_rate) * plant.dt
        duration = 200 * plant.dt if duration is None else duration
    data = simulate(plant, trials, duration, seed, excitation, noise=noise, x0=x0, truth=truth)
    starts = _estimates(system, estimate_start, len(data), seed, spread)
    with np.errstate(over="ignore", invalid="ignore"):
        x_hat = observer.run(starts, data.u, data.y)
        return judge(observer, plant, data, x_hat, seed, noise, truth, window, required_fraction)


def judge(observer, plant, data, x_hat, seed, noise, truth, window, required_fraction=0.99) -> Validation:  # type: ignore[no-untyped-def]
    """The verdict on estimates x_hat ``(K, N, nx)`` along complete ``data``; ``truth`` may be ``logs`` here."""
    system, t = plant.system, data.t
    angles = periods(system.states)
    error = wrap(x_hat - data.x, angles)
    ranges = system.state_ranges
    width = np.ptp(ranges, axis=1)
    magnitude = np.abs(error)
    finite = np.isfinite(magnitude)
    diverged = ((magnitude > 10 * width) | ~finite)[:, 1:].any(axis=(1, 2)) & ~(magnitude[:, 0] > 10 * width).any(
        axis=1
    )
    diverged |= ~finite.all(axis=(1, 2)) | (magnitude[:, -1] > 10 * width).any(axis=1)
    start, stop = window if window is not None else (0.5 * t[-1], t[-1])
    chosen = (t >= start - 1e-9) & (t <= stop + 1e-9)
    if not chosen.any():
        raise InputError(f"window is ({start:g}, {stop:g}) s and holds no sample of a trial of {t[-1]:g} s")
    settled = magnitude <= TOLERANCE * width
    converged = settled[:, chosen].all(axis=(1, 2)) & ~diverged
    # Last sample outside the tolerance; settled from the next one on.
    outside = ~settled
    last = len(t) - 1 - np.argmax(outside[:, ::-1], axis=1)
    settling = np.where(outside.any(axis=1), t[np.minimum(last + 1, len(t) - 1)], 0.0)
    settling[outside[:, -1]] = np.nan
    medians = np.array([np.median(np.where(np.isnan(column), np.inf, column)) for column in settling.T])
    late = error[:, chosen]
    in_region = ((data.x >= ranges[:, 0]) & (data.x <= ranges[:, 1])).all(axis=(1, 2))
    metric = getattr(observer, "metric", np.diag(1 / width**2))
    root = np.linalg.cholesky(metric)
    norm = np.linalg.norm(error @ root, axis=-1)
    exact = data.y[:, :-1] if truth == "logs" else system.measure(data.x[:, :-1], data.u[:, :-1])
    one_step = observer.step(data.x[:, :-1], data.u[:, :-1], exact) - data.x[:, 1:]
    level = float(np.max(np.linalg.norm(wrap(one_step, angles) @ root, axis=-1)))
    rate, holds = 1.0, True
    criteria = [
        Criterion("trials that diverged", float(diverged.sum()), "0", not diverged.any()),
        Criterion(
            f"share of trials within {100 * TOLERANCE:g} % of every range from {start:g} s to {stop:g} s",
            float(converged.mean()), f"at least {required_fraction:g}", bool(converged.mean() >= required_fraction),
        ),
    ]  # fmt: skip
    if isinstance(observer, RENObserver):
        from observer.certification.certificate import certify

        proof = certify(observer, plant, residual=False)
        rate, holds = float(proof.rate), bool(proof.holds)
        criteria.append(
            Criterion(
                "certificate: contraction rate per sample",
                rate,
                f"proved, at most {observer.contraction_rate:.6g}",
                holds,
            )
        )
    return Validation(
        t=t, x=data.x, x_hat=x_hat, u=data.u, y=data.y,
        state_names=system.state_names, units=tuple(s.unit for s in system.states), ranges=ranges, periods=angles, dt=plant.dt,
        diverged=diverged, converged=converged, in_region=in_region, trial_settling=settling, settling_time=medians,
        rms_error=np.sqrt(np.mean(late**2, axis=(0, 1))), max_error=np.max(np.abs(late), axis=(0, 1)),
        window=np.array([start, stop]), error_norm=norm, decay=np.minimum(rate, 1.0) ** np.arange(len(t)), residual_level=level,
        criteria=tuple(criteria), verdict="pass" if all(c.passed for c in criteria) else "fail",
        plant_method=_method(plant, truth), seed=seed, noise=noise, warnings=data.warnings,
    )  # fmt: skip


def _method(plant: DiscreteSystem, truth: str) -> str:
    if truth == "logs":
        return "logged data"
    if plant.system.kind == "discrete":
        return "discrete map"
    if truth == "model":
        return plant.method
    return "CVODES" if stiff(plant.system, plant.dt) else "DOP853"
