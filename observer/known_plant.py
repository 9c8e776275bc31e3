"""The plant as an observer knows it: angles, nominal inputs, limits; and the one check that a plant is the observer's own."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from systems.angles import Angles, angles, wrap
from systems.base.errors import InputError
from systems.discretization import DiscreteSystem
from systems.integration import sample_region
from systems.system import System

NOMINAL_NOISE = 0.005  # of an output's half range, where no noise is stated: a good sensor
POINTS = 256


class HasPlant(Protocol):
    """Whatever was made for one plant."""

    @property
    def plant(self) -> DiscreteSystem:
        """The plant that it was made for."""
        ...


def chosen_plant(observer: HasPlant, plant: DiscreteSystem | None = None) -> DiscreteSystem:
    """The plant to work with: ``plant`` where one is given, else the observer's own.

    Raises
    ------
    InputError
        Where ``plant`` has other states, inputs or outputs, or another sampling time, than the observer's plant. Equations
        and parameters may differ: that is what a second plant is for.
    """
    own = observer.plant
    if plant is None or plant is own:
        return own
    ours, theirs = own.system, plant.system
    for what in ("state_names", "input_names", "output_names"):
        if getattr(ours, what) != getattr(theirs, what):
            raise InputError(
                f"the observer of '{ours.name}' has {what} {getattr(ours, what)}, the plant '{theirs.name}' has"
                f" {getattr(theirs, what)}; expected a plant with the signals of the one that the observer was fitted to"
            )
    unit = theirs.time_unit
    if not math.isclose(own.dt, plant.dt, rel_tol=1e-9):
        raise InputError(
            f"the observer was fitted for dt = {own.dt:g} {unit}, the plant is discretised at {plant.dt:g} {unit};"
            f" discretise the plant with dt={own.dt:g}, or fit again"
        )
    return plant


def nominal_inputs(system: System, u: np.ndarray) -> np.ndarray:
    """Inputs ``(..., nu)`` with disturbances, which an observer does not know, at the middle of their range."""
    if len(system.known) == system.nu:
        return u
    nominal = np.broadcast_to(system.input_ranges.mean(axis=1), u.shape).copy()
    nominal[..., system.known] = u[..., system.known]
    return nominal


@dataclass(frozen=True, eq=False)
class KnownPlant:
    """A discretised plant as an observer may know it; all methods are batched over leading dimensions.

    Disturbances stand at the middle of their range, angles are compared on their circle, ``limits`` are physical bounds
    that an estimate is kept within, and a missing measurement (nan) says nothing."""

    plant: DiscreteSystem

    @property
    def angles(self) -> Angles:
        """Its periodic signals."""
        return angles(self.plant.system)

    @property
    def state_periods(self) -> np.ndarray:
        """``(nx,)``, nan where a state is no angle."""
        return self.angles.periods

    @property
    def output_periods(self) -> np.ndarray:
        """``(ny,)``, nan where an output is no angle."""
        return self.angles.output_periods

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
    def initial_error_deviation(self) -> np.ndarray:
        """Standard deviations ``(nx,)`` of the initial error: x0 and x_hat0 independent in the initial box."""
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
        return nominal_inputs(self.plant.system, u)

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
