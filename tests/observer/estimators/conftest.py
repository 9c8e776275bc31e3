"""The plants of the estimators' tests."""

import numpy as np
import pytest
from linear_gaussian import linear_case

from observer.estimators import make
from systems import Signal, System, discretize, simulate
from systems.trajectories import draw_initial_states


@pytest.fixture(scope="session")
def linear():
    """(plant, A, B, C, covariances) of the exactness tests: linear and Gaussian."""
    return linear_case()


@pytest.fixture(scope="session")
def swing():
    """A pendulum with an angle, a limit, a known torque and a wind that the estimator must not see."""
    system = System(
        name="swing",
        states=[
            Signal("angle", "rad", (-3.0, 3.0), initial=(-1.0, 1.0), period=2 * np.pi),
            Signal("rate", "rad/s", (-4.0, 4.0), initial=(-1.0, 1.0), limits=(-4.5, 4.5)),
        ],
        inputs=[Signal("torque", "", (-1.0, 1.0)), Signal("wind", "", (-0.1, 0.3), role="disturbance")],
        outputs=[Signal("y", "rad", noise=0.01, period=2 * np.pi)],
        dynamics=lambda x, u: [x[1], -4 * np.sin(x[0]) - 0.3 * x[1] + u[0] + u[1]],
        output=lambda x: [x[0]],
        dt=0.05,
        duration=1.0,
    )
    return discretize(system)


@pytest.fixture(scope="session")
def trials(swing):
    data = simulate(swing, 4, seed=3, excitation={"wind": "constant"})
    return data, draw_initial_states(swing.system, 4, 11)


@pytest.fixture(scope="module")
def estimator(name, swing):
    """The estimator that the test file calls ``name``."""
    return make(name, swing)
