"""Process noise: what moves a plant beside its equations, as a standard deviation per square root of a second for each state.

    x[k+1] = F(x[k], u[k]) + sqrt(dt) diag(sigma) w[k],      w white, normal, of unit variance

The variance that a sample adds is sigma^2 dt, whatever the sampling time; a state with ``limits`` stays within them.
"""

from typing import TYPE_CHECKING

import numpy as np

from systems.integration import ReferenceMotion, reference_motion

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


def disturbed_motion(
    plant: "DiscreteSystem", x0: np.ndarray, u: np.ndarray, truth: str, added: np.ndarray
) -> ReferenceMotion:
    """The motion from x0 ``(K, nx)`` under u ``(K, N, nu)`` with ``added`` ``(K, N, nx)``, sample by sample."""
    x = np.empty((len(x0), u.shape[1] + 1, plant.nx))
    x[:, 0] = x0
    exact = truth == "model" or plant.system.kind == "discrete"
    method, warning = "discrete map" if plant.system.kind == "discrete" else plant.method, ""
    for k in range(u.shape[1]):
        if exact:
            following = plant.step(x[:, k], u[:, k], k * plant.dt)
        else:
            motion = reference_motion(plant.system, x[:, k], u[:, k : k + 1], plant.dt, t0=k * plant.dt)
            following, method, warning = motion.x[:, 1], motion.method, warning or motion.warning
        x[:, k + 1] = disturbed(plant, following, added[:, k])
    return ReferenceMotion(x, method, warning)
