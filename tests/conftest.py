"""Shared pieces of the tests: numbers are reproducible, and BLAS does not fight itself on small matrices."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from systems import ALL_SYSTEMS, Signal, System, discretize, simulate

# The same examples in every run, so that a change is judged by what it changed. `--hypothesis-profile=default --hypothesis-seed=N` looks
# at others.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

SHARED = Path(__file__).resolve().parents[2] / "shared"


class _Plants(dict):
    def __missing__(self, name):
        self[name] = discretize(ALL_SYSTEMS[name]())
        return self[name]


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def plants():
    """Every library plant, discretised once and not before it is asked for."""
    return _Plants()


@pytest.fixture(scope="session")
def oscillator():
    """A small nonlinear plant for fits that must be quick: a hardening spring, position measured."""
    system = System(
        name="oscillator",
        states=[Signal("q", "m", (-1.0, 1.0)), Signal("w", "m/s", (-1.5, 1.5), initial=(-0.5, 0.5))],
        inputs=[Signal("u", "N", (-0.3, 0.3))],
        outputs=[Signal("y", "m", noise=0.01)],
        parameters={"k": 1.0},
        dynamics=lambda x, u, p: [x[1], -p["k"] * x[0] - x[0] ** 3 - 0.2 * x[1] + u[0]],
        output=lambda x: [x[0]],
        dt=0.1,
        duration=10.0,
    )
    return discretize(system)


@pytest.fixture(scope="session")
def oscillator_data(oscillator):
    return simulate(oscillator, 40, seed=0)
