"""The options of a fit, checked in one place."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from observer.fitting.initial.networks import check_initial
from observer.fitting.solvers import SOLVERS
from observer.networks.activations import get_activation
from systems.angles import POINTS, angles
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.formulas import time_terms
from systems.regions import sample_region
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
    _check_angles(plant, data)


def _check_angles(plant: DiscreteSystem, data: Trajectories) -> None:
    """Raises :class:`InputError` where an observer could not tell on which turn an angle is."""
    system, known = plant.system, angles(plant.system)
    if not known.any:
        return
    if known.ambiguous:
        raise InputError(known.fault or known.ambiguous)
    x, turning = known.states(data.x), known.turning
    crossed = (np.abs(np.diff(x, axis=1)) > known.periods / 2).any(axis=(0, 1))
    for k in np.flatnonzero(crossed).tolist():
        if k not in turning:
            if known.fault:
                raise InputError(known.fault)
            low = known.middles[k] - known.periods[k] / 2
            raise InputError(
                f"state '{system.states[k].name}' is an angle that goes more than half a turn away from the middle of its range; give it "
                f"the range of a full turn, ({low:.6g}, {low + known.periods[k]:.6g}), or keep it nearer"
            )
    if not len(turning):
        return
    box = np.concatenate([known.region(system.state_ranges), system.input_ranges])
    points = sample_region(box[:, 0], box[:, 1], POINTS, seed=0)
    moved = np.abs(plant.step(points[:, : plant.nx], points[:, plant.nx :]) - points[:, : plant.nx])[:, turning]
    share = np.nanmax(moved / known.turn, axis=0, initial=0.0)
    if (share >= 0.5).any():
        k = int(np.argmax(share))
        raise InputError(
            f"state '{system.states[turning[k]].name}' turns by {share[k]:.3g} of its period in one sample within the ranges, so "
            "measurements cannot tell how far it turned; expected less than half: take a dt below "
            f"{0.5 * plant.dt / share[k]:.2g} s, or narrow the ranges"
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
