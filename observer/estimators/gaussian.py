"""What the estimators share: the known plant, checked arguments, long runs as machine code; and a covariance for the filters."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.parameters import Covariances
from observer.known_plant import KnownPlant
from observer.state_observer import StateObserver, check_last
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem


class PlantEstimator(StateObserver):
    """An estimator of a discretised plant; ``model`` is the plant as it knows it. Its state may be the estimate itself."""

    def __init__(self, plant: DiscreteSystem) -> None:
        self.plant = plant
        self.model = KnownPlant(plant)

    def run(self, x_hat0: Any, u: Any, y: Any) -> np.ndarray:
        """As for every observer; as machine code where there is a kernel and the run is long enough."""
        x_hat0, u, y = self._sequences(x_hat0, u, y)
        serves = compiled.serves(self.plant, self._joint_noise, x_hat0[..., 0].size * u.shape[-2])
        found = self._run_compiled(x_hat0, u, y) if serves else None
        return super().run(x_hat0, u, y) if found is None else found

    @property
    def _joint_noise(self) -> np.ndarray:
        """R where the correction depends on it: kernels take in one output after the other, so it must be diagonal for them."""
        return np.eye(self.system.ny)

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray | None:
        """The whole run as machine code; None where there is no kernel."""
        return None

    def signals(self, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """u ``(..., nu)`` as the estimator knows it, and y ``(..., ny)``."""
        system = self.system
        u = check_last("u", u if system.nu else np.zeros(0), system.nu, system.input_names)
        return self.model.known(u), check_last("y", y, system.ny, system.output_names)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """x_hat[k] ``(..., nx)`` before y[k] is used, and its covariance P ``(..., nx, nx)``."""

    mean: np.ndarray
    covariance: np.ndarray


class GaussianFilter(PlantEstimator):
    """A filter with mean and covariance. ``noise``: Q, R, P0."""

    def __init__(self, plant: DiscreteSystem, noise: Covariances) -> None:
        super().__init__(plant)
        for name, size in (("q", plant.nx), ("r", plant.ny), ("p0", plant.nx)):
            shape = getattr(noise, name).shape
            if shape != (size, size):
                raise InputError(f"{name} has shape {shape}; expected ({size}, {size}) for plant '{plant.system.name}'")
        self.noise = noise

    @property
    def _joint_noise(self) -> np.ndarray:
        return self.noise.r

    @abstractmethod
    def covariance(self, state: Any) -> np.ndarray:
        """P ``(..., nx, nx)`` of the estimate."""

    @abstractmethod
    def innovation(self, state: Any, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """y - y_hat ``(..., ny)``, 0 where y is missing, and its covariance S ``(..., ny, ny)``."""


def finite(matrices: np.ndarray) -> np.ndarray:
    """``(..., 1, 1)``: which of the matrices ``(..., n, m)`` hold finite numbers only."""
    return np.asarray(np.isfinite(matrices).all(axis=(-2, -1)))[..., None, None]


def solve(s: np.ndarray, b: np.ndarray) -> np.ndarray:
    """S^-1 b for S ``(..., n, n)``, b ``(..., n, m)``; nan for the members of a batch where S is singular or not finite.

    One diverged trajectory must not stop the others, as an exception of NumPy would.
    """
    good = finite(s)
    safe = np.where(good, s, np.eye(s.shape[-1]))
    try:
        result = np.linalg.solve(safe, b)
    except np.linalg.LinAlgError:
        result = np.linalg.pinv(safe) @ b
    return np.where(good, result, np.nan)
