"""Open loop: the model alone, without measurements. The baseline of every other estimator."""

from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.gaussian import PlantEstimator
from observer.estimators.parameters import TuningParameter
from systems.discretization import DiscreteSystem

LABEL = "open loop"
RUNS = "machine code"  # long runs; see observer.estimators.compiled


class OpenLoop(PlantEstimator):
    """x_hat[k+1] = F(x_hat[k], u[k]). An initial error decays only as fast as in the plant itself."""

    def step(self, state: Any, u: Any, y: Any) -> Any:
        """x_hat[k+1] from x_hat[k] and u[k]; y is not used."""
        u, y = self.signals(u, y)
        return self.plant.step(state, u)

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        wide = np.zeros((self.system.nx, self.system.ny))
        return compiled.run("gain", self.model, x_hat0, u, y, wide)


def tuning_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """Nothing to tune."""
    return ()


def make(plant: DiscreteSystem) -> OpenLoop:
    """The model itself."""
    return OpenLoop(plant)
