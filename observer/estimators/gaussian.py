"""What the Gaussian filters share: a mean and a covariance as their state, and checked arguments."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from observer.estimators.model import Covariances
from observer.known_plant import KnownPlant
from observer.state_observer import StateObserver, check_last
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem


class Baseline(StateObserver):
    """An estimator of a discretised plant; ``model`` is the plant as it knows it. Its state may be the estimate itself."""

    def __init__(self, plant: DiscreteSystem) -> None:
        self.plant = plant
        self.model = KnownPlant(plant)

    def init(self, x_hat0: Any) -> Any:
        """The first estimate itself."""
        return np.array(check_last("x_hat0", x_hat0, self.system.nx, self.system.state_names))

    def estimate(self, state: Any) -> np.ndarray:
        """The state is the estimate."""
        return state

    def signals(self, u: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """u ``(..., nu)`` as the estimator knows it, and y ``(..., ny)``."""
        system = self.system
        u = check_last("u", u if system.nu else np.zeros(0), system.nu, system.input_names)
        return self.model.known(u), check_last("y", y, system.ny, system.output_names)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """x_hat[k] ``(..., nx)`` before y[k] is seen, and its covariance P ``(..., nx, nx)``."""

    mean: np.ndarray
    covariance: np.ndarray


class GaussianFilter(Baseline):
    """A filter with mean and covariance. ``noise``: Q, R, P0."""

    def __init__(self, plant: DiscreteSystem, noise: Covariances) -> None:
        super().__init__(plant)
        for name, size in (("q", plant.nx), ("r", plant.ny), ("p0", plant.nx)):
            shape = getattr(noise, name).shape
            if shape != (size, size):
                raise InputError(f"{name} has shape {shape}; expected ({size}, {size}) for plant '{plant.system.name}'")
        self.noise = noise

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
