"""What a validation found: trials of an observer against the true plant, and the criteria of the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from observer.validation.stored import read_stored, write_stored
from systems.angles import wrap
from systems.base.arrays import check_shapes
from systems.base.errors import InputError

#: the arrays of a validation
_SHAPES = {
    "t": ("N",), "x": ("K", "N", "nx"), "x_hat": ("K", "N", "nx"), "u": ("K", "N", "nu"), "y": ("K", "N", "ny"),
    "ranges": ("nx", 2), "periods": ("nx",), "diverged": ("K",), "converged": ("K",), "in_region": ("K",),
    "trial_settling": ("K", "nx"), "settling_time": ("nx",), "rms_error": ("nx",), "max_error": ("nx",), "window": (2,),
    "error_norm": ("K", "N"), "decay": ("N",), "lengths": ("K",),
}  # fmt: skip


def held_errors(error: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Errors ``(K, N, nx)`` with the last one of each trial held after its end."""
    if (lengths == error.shape[1]).all():
        return error
    last = np.minimum(np.arange(error.shape[1]), np.maximum(lengths - 1, 0)[:, None])
    return np.take_along_axis(error, last[..., None], axis=1)


@dataclass(frozen=True)
class Criterion:
    """One line of the verdict: a number, what was required of it, and whether it was met."""

    name: str
    value: float
    requirement: str
    passed: bool


def deciding(validation: "Validation | None", noisy: "Validation | None") -> "list[Validation]":
    """Those by which an observer is judged: without noise, then with the noise that the plant states; the last gives the headline."""
    return [check for check in (validation, noisy) if check is not None]


def overall_verdict(validation: "Validation | None", noisy: "Validation | None", certificate: Any) -> str:
    """``"pass"`` when every criterion passes, without noise and with the noise that is stated, and the certificate holds."""
    checks = deciding(validation, noisy)
    holds = certificate is None or certificate.holds
    return "pass" if checks and holds and all(check.verdict == "pass" for check in checks) else "fail"


@dataclass(frozen=True)
class Peak:
    """The largest error of any trial at any time, the transient included: of which ``state``, ``error`` in its ``unit``, in
    ``ranges``, and at what ``time`` [s] of which ``trial``. At time 0 it is an initial error, which no observer can help."""

    state: str
    error: float
    unit: str
    ranges: float
    time: float
    trial: int


def largest_peak(
    error: np.ndarray, t: np.ndarray, ranges: np.ndarray, names: Sequence[str], units: Sequence[str]
) -> Peak:
    """The peak of errors ``(K, N, nx)``; what is not finite counts as infinitely large."""
    share = np.abs(error) / np.ptp(ranges, axis=1)
    share = np.where(np.isfinite(share), share, np.inf)
    trial, sample, k = (int(i) for i in np.unravel_index(int(np.argmax(share)), share.shape))
    largest = float(share[trial, sample, k])
    return Peak(names[k], largest * float(np.ptp(ranges[k])), units[k], largest, float(t[sample]), trial)


@dataclass(frozen=True, eq=False)
class Validation:
    """Trials of an observer against the true plant, and what they show.

    t ``(N,)``; x, x_hat ``(K, N, nx)``; u ``(K, N, nu)``; y ``(K, N, ny)``; ranges ``(nx, 2)``. Per trial ``(K,)``:
    ``diverged`` (some error beyond ten ranges in the window, or not finite at any time), ``converged`` (every error within 2 % of its
    range over the whole window, or of trials with stated noise their RMS), ``in_region`` (the plant stayed within the ranges).
    ``trial_settling`` ``(K, nx)``: last time at which |e_i| exceeds 2 % of its range, nan where it does so at the end. Over the window
    and all trials: ``rms_error``,
    ``max_error`` ``(nx,)``. ``error_norm`` ``(K, N)`` is |e|_M; ``decay`` ``(N,)`` is rate^k; ``residual_level`` the
    largest one-step residual |r|_M sampled along the trials. ``lengths`` ``(K,)``: samples until the plant left its doubled ranges,
    where a trial ends; one that ends before the window is not judged.
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
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    def __post_init__(self) -> None:
        if not len(self.lengths):  # every trial to its end
            object.__setattr__(self, "lengths", np.full(len(self.x), len(self.t)))

    @cached_property
    def error(self) -> np.ndarray:
        """x_hat - x ``(K, N, nx)``, wrapped to half a period for angles; after the end of a trial its last one is held."""
        return held_errors(wrap(self.x_hat - self.x, self.periods), self.lengths)

    @cached_property
    def peak(self) -> Peak:
        """The largest error of any trial at any time."""
        return largest_peak(self.error, self.t, self.ranges, self.state_names, self.units)

    @property
    def trials(self) -> int:
        """How many trials."""
        return len(self.x)

    @property
    def n_diverged(self) -> int:
        """How many diverged."""
        return int(self.diverged.sum())

    @property
    def left(self) -> np.ndarray:
        """``(K,)``: trials that ended because the plant left its ranges."""
        return self.lengths < len(self.t)

    @property
    def judged(self) -> np.ndarray:
        """``(K,)``: trials that reached the window."""
        return self.lengths > int(np.argmax(self.t >= self.window[0] - 1e-9))

    @property
    def converged_fraction(self) -> float:
        """Share of the judged trials that converged."""
        return float(self.converged[self.judged].mean()) if self.judged.any() else 0.0

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
            "peak": {n: v if v != np.inf else None for n, v in vars(self.peak).items()},
            "window": [float(v) for v in self.window],
            "verdict": self.verdict,
            "plant_method": self.plant_method,
            "outside_region": int((~self.in_region).sum()),
            "left": int(self.left.sum()),
            "residual_level": self.residual_level,
            "noise": self.noise,
            "seed": self.seed,
            "criteria": [vars(c) for c in self.criteria],
        }

    def save(self, path: Path | str, origins: Mapping[str, Any] | None = None) -> None:
        """Write as ``.npz``, atomically; ``origins``: what the plant and the observer came from."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in values.items() if name not in arrays}
        write_stored(path, arrays, rest | {"criteria": [vars(c) for c in self.criteria]}, origins)

    @classmethod
    def load(cls, path: Path | str) -> "Validation":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""

        def build(arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> "Validation":
            arrays.setdefault("lengths", np.full(len(arrays["x"]), len(arrays["t"])))
            sizes = check_shapes(arrays, _SHAPES)
            if not len(rest["state_names"]) == len(rest["units"]) == sizes["nx"]:
                raise InputError(f"{sizes['nx']} states and {len(rest['state_names'])} names of states")
            rest["criteria"] = tuple(Criterion(**c) for c in rest["criteria"])
            lists = {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
            return cls(**{**arrays, **rest, **lists})

        return read_stored(path, "validation file", build)
