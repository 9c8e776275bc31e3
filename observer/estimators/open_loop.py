"""No observer: the model runs beside the plant and never looks at y. What every other estimator has to beat."""

from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.gaussian import Baseline
from observer.estimators.model import Knob
from systems.discretization import DiscreteSystem

LABEL = "open loop"
RUNS = "machine code"  # long runs; see observer.estimators.compiled


class OpenLoop(Baseline):
    """x_hat[k+1] = F(x_hat[k], u[k]). It forgets a wrong start only as fast as the plant does itself."""

    def step(self, state: Any, u: Any, y: Any) -> Any:
        """x_hat[k+1] from x_hat[k] and u[k]; y is not used."""
        u, y = self.signals(u, y)
        return self.plant.step(state, u)

    def run(self, x_hat0: Any, u: Any, y: Any) -> np.ndarray:
        """As for every observer, as machine code where the run is long enough."""
        start, u, y = self._sequences(x_hat0, u, y)
        if not compiled.serves(self.plant, np.eye(self.system.ny), start[..., 0].size * u.shape[-2]):
            return super().run(start, u, y)
        wide = np.zeros((self.system.nx, self.system.ny))
        return compiled.run("gain", self.model, start, u, y, wide)


def knobs(plant: DiscreteSystem) -> tuple[Knob, ...]:
    """Nothing to tune."""
    return ()


def make(plant: DiscreteSystem) -> OpenLoop:
    """The model itself."""
    return OpenLoop(plant)
