"""The options of a fit, checked in one place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from observer.fitting.initial.networks import check_initial
from observer.fitting.solvers import SOLVERS
from observer.networks.activations import get_activation
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.formulas import time_terms
from systems.system import System
from systems.trajectories import Trajectories


@dataclass(frozen=True, eq=False)
class FitOptions:
    """The keyword arguments of :func:`observer.fitting.fit.fit`, where they are explained."""

    neurons: int
    settling_time: float | str | None
    contraction_rate: float | None
    activation: str
    solver: str
    iterations: int | None
    budget: float | None
    tolerance: float | Mapping[str, float] | None
    dtype: str
    condition: float | None
    samples: int | None = None
    transitions: str = "model"
    start: str = "projected"
    region_share: float = 0.5

    def to_data(self) -> dict[str, Any]:
        """As plain data, for the result."""
        tolerance = dict(self.tolerance) if isinstance(self.tolerance, Mapping) else self.tolerance
        return asdict(self) | {"tolerance": tolerance}

    def allowed_error(self, plant: DiscreteSystem, region: np.ndarray) -> np.ndarray | None:
        """Steady error per state ``(nx,)`` in physical units at which to stop; states that are not named never stop a fit."""
        if self.tolerance is None:
            return None
        if not isinstance(self.tolerance, Mapping):
            return np.ptp(region, axis=1) * self.tolerance
        return np.array([self.tolerance.get(name, np.inf) for name in plant.system.state_names])


def check(options: FitOptions, plant: DiscreteSystem, data: Trajectories) -> None:
    """Raises :class:`InputError` for invalid options, and for a plant that cannot be fitted."""
    if plant.system.time_dependent:
        terms = " and ".join(_time_terms(plant.system)) or "the time-dependent signal"
        raise InputError(
            f"system '{plant.system.name}' depends on t explicitly, and a time-invariant observer cannot; "
            f"make {terms} a known input: name it under inputs, with its range, and write that name in the equations"
        )
    if isinstance(options.neurons, bool) or not isinstance(options.neurons, int) or options.neurons < 0:
        raise InputError(f"neurons is {options.neurons!r}; expected a whole number, 0 or more")
    check_positive({name: getattr(options, name) for name in ("iterations", "budget", "samples")})
    for name, expected in (
        ("solver", ("auto", *SOLVERS)),
        ("dtype", ("float32", "float64")),
        ("transitions", ("model", "data")),
    ):
        if getattr(options, name) not in expected:
            raise InputError(f"{name} is {getattr(options, name)!r}; expected {' or '.join(expected)}")
    if not 0 <= options.region_share <= 1:
        raise InputError(f"region_share is {options.region_share!r}; expected a number from 0 to 1")
    get_activation(options.activation)
    check_initial(options.start)
    _check_tolerance(options.tolerance, plant.system.state_names)
    for signal, (low, high) in zip(plant.system.states, data.reached, strict=True):
        if signal.period and high - low >= signal.period:
            raise InputError(
                f"state '{signal.name}' is an angle that turns through a full period: no constant metric contracts on a circle; "
                "use its sine and cosine as states and outputs, or narrow its range below one period"
            )


def _time_terms(system: System) -> list[str]:
    """What in the equations depends on the time alone."""
    names = {"t": ["t"], "x": system.state_names, "u": system.input_names, "p": tuple(system.parameters)}
    return list(dict.fromkeys([*time_terms(system.dynamics, names), *time_terms(system.output, names)]))


def check_positive(numbers: Mapping[str, float | None]) -> None:
    """Raises :class:`InputError` for a number that is given and not positive."""
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise InputError(f"{name} is {value!r}; expected a positive number")


def _check_tolerance(tolerance: float | Mapping[str, float] | None, states: tuple[str, ...]) -> None:
    if tolerance is None:
        return
    values = tolerance if isinstance(tolerance, Mapping) else {"tolerance": tolerance}
    for name, value in values.items():
        if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < np.inf):
            raise InputError(f"tolerance of {name} is {value!r}; expected a positive number")
    unknown = [name for name in values if name not in states] if isinstance(tolerance, Mapping) else []
    if unknown or not values:
        raise InputError(
            f"tolerance names {', '.join(map(repr, unknown)) or 'no state'}; expected states of the plant: {', '.join(states)}"
        )
