"""The reaction-diffusion plant as the published simulators compute it, for comparison with published numbers only.

Both published codes loop over five Euler steps and return the state *before* the last one, so that four steps (0.016 s) are
applied per sample. The Julia code measures the 25th of the 51 nodes, the JAX code the 26th, which is the true middle.
"""

from systems.library.reaction_diffusion import FACTS as FACTS
from systems.library.reaction_diffusion import reaction_diffusion
from systems.system import System

PUBLISHED_SENSORS = {"julia": 24, "jax": 25}  # zero-based


def reaction_diffusion_parity(sensor: int = PUBLISHED_SENSORS["julia"]) -> System:
    """Four Euler steps per sample and the sensor of the Julia code; ``PUBLISHED_SENSORS["jax"]`` gives that of the JAX code."""
    return reaction_diffusion(substeps=4, sensor=sensor, name="reaction_diffusion_parity")
