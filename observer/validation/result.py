"""What a validation found: trials of an observer against the true plant, and the criteria of the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    "error_norm": ("K", "N"), "decay": ("N",),
}  # fmt: skip


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

    def save(self, path: Path | str, origins: Mapping[str, Any] | None = None) -> None:
        """Write as ``.npz``, atomically; ``origins``: what the plant and the observer came from."""
        values = {name: value for name, value in vars(self).items() if name != "error"}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in values.items() if name not in arrays}
        write_stored(path, arrays, rest | {"criteria": [vars(c) for c in self.criteria]}, origins)

    @classmethod
    def load(cls, path: Path | str) -> "Validation":
        """Read what :meth:`save` wrote; raises :class:`InputError` for anything else."""

        def build(arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> "Validation":
            sizes = check_shapes(arrays, _SHAPES)
            if not len(rest["state_names"]) == len(rest["units"]) == sizes["nx"]:
                raise InputError(f"{sizes['nx']} states and {len(rest['state_names'])} names of states")
            rest["criteria"] = tuple(Criterion(**c) for c in rest["criteria"])
            lists = {name: tuple(value) for name, value in rest.items() if isinstance(value, list)}
            return cls(**{**arrays, **rest, **lists})

        return read_stored(path, "validation file", build)
