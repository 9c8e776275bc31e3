"""The plant as an estimator knows it, and the numbers that may be tuned.

Disturbances stand at the middle of their range, angles are compared on their circle, limits are physical bounds that an
estimate is kept within, and a missing measurement (nan) says nothing.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.integration import sample_region

NOMINAL_NOISE = 0.005  # of an output's half range, where no noise is stated: a good sensor
NOMINAL_MOTION = 0.003  # of a state's half range per sample: what the model is trusted to, before tuning
POINTS = 256


@dataclass(frozen=True)
class Knob:
    """A positive number that may be tuned, on a log scale between ``low`` and ``high``."""

    name: str
    default: float
    low: float
    high: float


def wrap(difference: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Differences ``(..., n)`` of angles taken to [-period/2, period/2); ``periods`` ``(n,)``, nan where there is none."""
    if not np.isfinite(periods).any():
        return difference
    safe = np.where(np.isfinite(periods), periods, 1.0)
    return np.where(np.isfinite(periods), (difference + safe / 2) % safe - safe / 2, difference)


@dataclass(frozen=True, eq=False)
class Model:
    """The discretised plant with what an estimator may know of it. All methods are batched over leading dimensions."""

    plant: DiscreteSystem

    @cached_property
    def state_periods(self) -> np.ndarray:
        """``(nx,)``, nan where a state is no angle."""
        return np.array([s.period or np.nan for s in self.plant.system.states])

    @cached_property
    def output_periods(self) -> np.ndarray:
        """``(ny,)``, nan where an output is no angle."""
        return np.array([s.period or np.nan for s in self.plant.system.outputs])

    @cached_property
    def state_scale(self) -> np.ndarray:
        """Half the range of every state ``(nx,)``."""
        return 0.5 * np.ptp(self.plant.system.state_ranges, axis=1)

    @cached_property
    def output_scale(self) -> np.ndarray:
        """Half the range of every output ``(ny,)``: as stated, or as reached over the region of the states."""
        system = self.plant.system
        box = np.concatenate([system.state_ranges, system.input_ranges])
        points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
        y = system.measure(points[:, : system.nx], points[:, system.nx :])
        y = y[np.isfinite(y).all(axis=1)]
        reached = 0.5 * np.ptp(y, axis=0) if len(y) else np.ones(system.ny)
        stated = [0.0 if s.range is None else 0.5 * (s.range[1] - s.range[0]) for s in system.outputs]
        scale = np.where(np.array(stated) > 0, stated, reached)
        return np.where(scale > 0, scale, 1.0)

    @cached_property
    def output_noise(self) -> np.ndarray:
        """Standard deviations ``(ny,)``: as stated with the outputs, else 0.5 % of an output's half range."""
        stated = np.array([s.noise for s in self.plant.system.outputs], dtype=float)
        return np.where(stated > 0, stated, NOMINAL_NOISE * self.output_scale)

    @cached_property
    def first_deviation(self) -> np.ndarray:
        """Standard deviations ``(nx,)`` of the first error: start and first estimate independent in the initial box."""
        return np.sqrt(2 / 3) * 0.5 * np.ptp(self.plant.system.initial_ranges, axis=1)

    @cached_property
    def _limits(self) -> np.ndarray | None:
        limits = [s.limits or (-np.inf, np.inf) for s in self.plant.system.states]
        return np.array(limits).T if np.isfinite(limits).any() else None

    @property
    def limits(self) -> np.ndarray:
        """``(2, nx)``: low and high physical bounds, infinite where there are none."""
        return np.array([[-np.inf], [np.inf]]) * np.ones(self.plant.nx) if self._limits is None else self._limits

    def clip(self, x: np.ndarray) -> np.ndarray:
        """x within the physical limits of the states."""
        return x if self._limits is None else np.clip(x, *self._limits)

    def known(self, u: np.ndarray) -> np.ndarray:
        """Inputs ``(..., nu)`` as the estimator knows them: disturbances at the middle of their range."""
        system = self.plant.system
        if len(system.known) == system.nu:
            return u
        nominal = np.broadcast_to(system.input_ranges.mean(axis=1), u.shape).copy()
        nominal[..., system.known] = u[..., system.known]
        return nominal

    def innovation(self, y: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(y - expected on the circle, 0 where y is missing; which are present), both ``(..., ny)``."""
        difference = wrap(y - expected, self.output_periods)
        present = np.broadcast_to(~np.isnan(y), difference.shape)
        return np.where(present, difference, 0.0), present

    def jacobian(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """dF/dx ``(..., nx, nx)``."""
        return self.plant.jacobian(x, u)[0]

    def output_jacobian(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """dh/dx ``(..., ny, nx)``."""
        return self.plant.output_jacobian(x, u)[0]


@dataclass(frozen=True, eq=False)
class Covariances:
    """What a filter assumes: Q ``(nx, nx)`` of the motion per sample, R ``(ny, ny)`` of the outputs, P0 ``(nx, nx)`` of the
    first error; physical units."""

    q: np.ndarray
    r: np.ndarray
    p0: np.ndarray

    def __post_init__(self) -> None:
        for name in ("q", "r", "p0"):
            matrix = np.array(getattr(self, name), dtype=float)
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T, rtol=1e-12):
                raise InputError(f"{name} has shape {matrix.shape}; expected a symmetric matrix")
            values = np.linalg.eigvalsh(matrix)
            if len(matrix) and not (values[0] > 0 if name == "r" else values[0] >= -1e-12 * values[-1]):
                raise InputError(f"{name} is not positive {'definite' if name == 'r' else 'semidefinite'}")
            object.__setattr__(self, name, matrix)


def covariance_knobs(plant: DiscreteSystem) -> tuple[Knob, ...]:
    """``q_<state>``: motion the model does not explain, standard deviation per sample in parts of the half range;
    ``r_<output>``: standard deviation of an output in parts of its noise. P0 follows from the initial box."""
    system = plant.system
    return (
        *(Knob(f"q_{name}", NOMINAL_MOTION, 1e-7, 1.0) for name in system.state_names),
        *(Knob(f"r_{name}", 1.0, 1e-2, 1e3) for name in system.output_names),
    )


def covariances(plant: DiscreteSystem, **values: float) -> Covariances:
    """Q, R and P0 for values of :func:`covariance_knobs`."""
    model, system = Model(plant), plant.system
    q = np.array([values[f"q_{name}"] for name in system.state_names]) * model.state_scale
    r = np.array([values[f"r_{name}"] for name in system.output_names]) * model.output_noise
    return Covariances(np.diag(q**2), np.diag(r**2), np.diag(model.first_deviation**2))
