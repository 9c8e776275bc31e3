"""The numbers of an estimator that may be tuned, and the covariances that a filter assumes."""

from dataclasses import dataclass

import numpy as np

from observer.known_plant import KnownPlant
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.process_noise import sample_deviation

NOMINAL_MOTION = 0.003  # of a state's half range per sample: what the model is trusted to, before tuning


@dataclass(frozen=True)
class TuningParameter:
    """A positive number that may be tuned, on a log scale between ``low`` and ``high``."""

    name: str
    default: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Covariances:
    """What a filter assumes: Q ``(nx, nx)`` of the motion per sample, R ``(ny, ny)`` of the outputs, P0 ``(nx, nx)`` of the
    initial error; physical units."""

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


def covariance_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """``q_<state>``: motion the model does not explain, standard deviation per sample in parts of the half range, the process noise
    where it is stated;
    ``r_<output>``: standard deviation of an output in parts of its noise. P0 follows from the initial box."""
    system = plant.system
    stated = sample_deviation(plant) / KnownPlant(plant).state_scale
    motion = np.clip(np.where(stated > 0, stated, NOMINAL_MOTION), 1e-7, 1.0).tolist()
    return (
        *(TuningParameter(f"q_{name}", size, 1e-7, 1.0) for name, size in zip(system.state_names, motion, strict=True)),
        *(TuningParameter(f"r_{name}", 1.0, 1e-2, 1e3) for name in system.output_names),
    )


def covariances(plant: DiscreteSystem, **values: float) -> Covariances:
    """Q, R and P0 for values of :func:`covariance_parameters`."""
    model, system = KnownPlant(plant), plant.system
    q = np.array([values[f"q_{name}"] for name in system.state_names]) * model.state_scale
    r = np.array([values[f"r_{name}"] for name in system.output_names]) * model.output_noise
    return Covariances(np.diag(q**2), np.diag(r**2), np.diag(model.initial_error_deviation**2))
