"""The projection observer: the estimate is moved onto what was measured, orthogonally in a metric, and then sent through the model.

    x_hat[k+1] = F(x_hat[k] + g K (y[k] - h(x_hat[k], u[k])), u[k]),     K = M^-1 C' (C M^-1 C')^-1,  C = dh/dx at x_hat[k]

For y = C x and g = 1 errors shrink by the rate of M per sample wherever M allows one (MATH 2h); g < 1 trades speed for a low noise gain
and proves nothing. M: :func:`systems.detectability.search_metric` at a bound on its condition number, in observability coordinates
where the plain states allow no rate. Own code: no library has it. Source: Sanfelice and Praly, IEEE TAC 2012.
"""

from typing import Any

import numpy as np

from observer.estimators import compiled
from observer.estimators.gaussian import PlantEstimator, finite
from observer.estimators.parameters import TuningParameter
from systems.base.errors import InputError
from systems.detectability import (
    SPEEDS,
    USELESS,
    MetricSearch,
    observability_coordinates,
    sample_jacobians,
    search_metric,
)
from systems.discretization import DiscreteSystem

LABEL = "projection"
RUNS = "machine code"  # long runs; see observer.estimators.compiled
STEPS_PER_DECADE = 2  # condition numbers are rounded to this grid: a search takes a fraction of a second
KEPT = 64
_found: dict[tuple[Any, ...], MetricSearch] = {}


class Projection(PlantEstimator):
    """The observer above for ``metric`` M ``(nx, nx)`` in physical units and the share ``relaxation`` g; its state is x_hat."""

    def __init__(self, plant: DiscreteSystem, metric: np.ndarray, relaxation: float = 1.0) -> None:
        super().__init__(plant)
        if not 0 < relaxation <= 1:
            raise InputError(f"relaxation is {relaxation!r}; expected a share of the way to the measurement, in (0, 1]")
        self.metric, self.relaxation = metric, float(relaxation)
        self._inverse = np.linalg.inv(metric)

    def step(self, state: Any, u: Any, y: Any) -> np.ndarray:
        """x_hat[k+1] from x_hat[k], u[k] and y[k]."""
        u, y = self.signals(u, y)
        difference, present = self.model.innovation(y, self.plant.output(state, u))
        c = np.where(present[..., None], self.model.output_jacobian(state, u), 0.0)
        # In parts of each output's range, so that the tolerance of the pseudo-inverse has a scale.
        c, difference = c / self.model.output_scale[:, None], difference / self.model.output_scale
        spread = self._inverse @ np.swapaxes(c, -1, -2)
        gram = c @ spread
        good = finite(gram)
        inverse = np.linalg.pinv(np.where(good, gram, 0.0), rcond=1e-12, hermitian=True)
        move = (spread @ (inverse @ difference[..., None]))[..., 0]
        return self.plant.step(self.model.clip(state + self.relaxation * move), u)

    def _run_compiled(self, x_hat0: np.ndarray, u: np.ndarray, y: np.ndarray) -> np.ndarray:
        scale = np.broadcast_to(self.model.output_scale, self.system.ny)
        return compiled.run("projection", self.model, x_hat0, u, y, self._inverse, scale, self.relaxation)


def metric_of(plant: DiscreteSystem, condition: float) -> MetricSearch:
    """The fastest metric for a bound on its condition number, from the cache of this process where it was searched before."""
    power = round(STEPS_PER_DECADE * float(np.log10(condition))) / STEPS_PER_DECADE
    key = (plant.system.fingerprint, plant.dt, plant.method, plant.substeps, power)
    if key not in _found:
        bound = max(1.0, 10.0**power)
        jacobians = sample_jacobians(plant)
        best = search_metric(jacobians=jacobians, condition=bound)
        for speed in SPEEDS if best.rate > USELESS else ():
            basis = observability_coordinates(plant, jacobians, speed)
            if basis is not None:
                best = min(
                    best, search_metric(jacobians=jacobians, condition=bound, coordinates=basis), key=lambda s: s.rate
                )
        while len(_found) >= KEPT:
            _found.pop(next(iter(_found)))
        _found[key] = best
    return _found[key]


def tuning_parameters(plant: DiscreteSystem) -> tuple[TuningParameter, ...]:
    """``condition``: bound on the metric's condition number. ``relaxation``: share of the way to the measurement."""
    return TuningParameter("condition", 100.0, 1.0, 3000.0), TuningParameter("relaxation", 1.0, 0.01, 1.0)


def make(plant: DiscreteSystem, condition: float, relaxation: float) -> Projection:
    """The observer of the fastest metric."""
    found = metric_of(plant, condition)
    scale = 0.5 * np.ptp(plant.system.state_ranges, axis=1)
    return Projection(plant, found.scaled_metric / np.outer(scale, scale), min(relaxation, 1.0))
