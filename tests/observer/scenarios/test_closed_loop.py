"""Deviations of a plant under feedback: the loop stays closed around the other plant."""

import numpy as np
import pytest

from observer.scenarios.plants import other_input, wrong_parameters
from systems import Feedback, Signal, System, discretize, simulate


@pytest.fixture(scope="module")
def cart():
    return discretize(
        System(
            name="cart", states=[Signal("x", "m", (-1, 1), initial=(-0.2, 0.2)), Signal("v", "m/s", (-3, 3), initial=(-0.3, 0.3))],
            inputs=[Signal("u", "", (-30, 30))], outputs=[Signal("y", "m")], parameters={"k": 10.0}, dt=0.02,
            dynamics=lambda x, u, p: [x[1], p["k"] * x[0] + u[0]], output=lambda x: [x[0]],
            feedback=Feedback(law=lambda x, r: -30 * (x[0] - r[0]) - 6 * x[1], references=[Signal("goal", "m", (-0.3, 0.3))]),
        )
    )  # fmt: skip


@pytest.mark.parametrize("scenario", [wrong_parameters(0.2), other_input()])
def test_the_other_plant_is_held_by_the_same_law(cart, scenario):
    data = simulate(cart, 6, duration=8.0)
    moved = scenario.apply(cart, data, 3, "model")
    assert np.abs(moved.x[..., 0]).max() < 1.0 and not np.allclose(moved.u, data.u)
    np.testing.assert_array_equal(moved.x[:, 0], data.x[:, 0])
    slope = (moved.x[:, 1:, 1] - moved.x[:, :-1, 1]) / 0.02 - moved.u[
        :, :-1, 0
    ]  # about k x: what moved is the plant, under these inputs
    k = np.sum(slope * moved.x[:, :-1, 0], axis=1) / np.sum(moved.x[:, :-1, 0] ** 2, axis=1)
    assert np.abs(k - 10).max() < (3.0 if scenario.name == "parameters" else 1.0)
