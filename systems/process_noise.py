"""Process noise: what moves a plant beside its equations, as a standard deviation per square root of a second for each state.

    x[k+1] = F(x[k], u[k]) + sqrt(dt) diag(sigma) w[k],      w white, normal, of unit variance

The variance that a sample adds is sigma^2 dt, whatever the sampling time; a state with ``limits`` stays within them.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from systems.discretization import DiscreteSystem


def sample_deviation(plant: "DiscreteSystem") -> np.ndarray:
    """Standard deviation ``(nx,)`` that the process noise adds to each state in a sample; zero where none is stated."""
    return np.sqrt(plant.dt) * np.array([signal.process_noise for signal in plant.system.states], dtype=float)


def process_noise(plant: "DiscreteSystem", count: int, steps: int, seed: int) -> np.ndarray:
    """``(count, steps, nx)``: what it adds in each of ``steps`` samples."""
    return sample_deviation(plant) * np.random.default_rng([seed, 4]).standard_normal((count, steps, plant.nx))


def disturbed(plant: "DiscreteSystem", following: np.ndarray, added: np.ndarray) -> np.ndarray:
    """The next states ``(..., nx)`` of the equations with what the noise adds, within the limits."""
    limits = [signal.limits or (-np.inf, np.inf) for signal in plant.system.states]
    return np.clip(following + added, *np.array(limits).T)
