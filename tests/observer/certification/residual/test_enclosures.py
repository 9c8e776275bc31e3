"""Enclosures of plants and networks over cells hold what dense sampling finds in them, and close in on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.certification.residual.model import make_model
from tests.observer.certification.residual.hand_made import (
    inside,
    observer_of,
    plant_of,
    random_cells,
    random_observer,
)

OPERATIONS = {
    "add": (lambda x: x[0] + x[1], (-2, 3)),
    "sub": (lambda x: 1.5 - x[0] - x[1], (-2, 3)),
    "mul": (lambda x: x[0] * x[1], (-2, 3)),
    "cube": (lambda x: x[0] ** 3 - 2 * x[1] ** 2, (-2, 3)),
    "fourth power": (lambda x: x[0] ** 4 + x[1], (-2, 3)),
    "fifth power": (lambda x: (x[0] - x[1]) ** 5, (-2, 3)),
    "negative power": (lambda x: x[0] ** -3 * x[1], (0.5, 3)),
    "broken power": (lambda x: x[0] ** 1.7 - x[1] ** -0.4, (0.3, 3)),
    "power of a state": (lambda x: x[0] ** x[1], (0.3, 3)),
    "base": (lambda x: 2.0 ** x[0] + x[1], (-2, 3)),
    "div": (lambda x: x[0] / (x[1] + 2.5), (-2, 3)),
    "negative inverse": (lambda x: 1 / (x[0] - 4) + x[1], (-2, 3)),
    "exp": (lambda x: np.exp(x[0] - x[1] ** 2), (-2, 3)),
    "log": (lambda x: np.log(x[0]) * x[1], (0.1, 3)),
    "sqrt": (lambda x: np.sqrt(x[0]) - x[1], (0, 3)),
    "sin": (lambda x: np.sin(2 * x[0] + x[1]), (-5, 5)),
    "cos": (lambda x: np.cos(x[0] * x[1]), (-4, 4)),
    "tan": (lambda x: np.tan(x[0]) + x[1], (-1.4, 1.2)),
    "atan": (lambda x: np.arctan(3 * x[0]) * x[1], (-2, 3)),
    "tanh": (lambda x: np.tanh(2 * x[0] - x[1]), (-2, 3)),
    "sinh": (lambda x: np.sinh(x[0]) - x[1], (-2, 3)),
    "cosh": (lambda x: np.cosh(x[0]) - x[1], (-2, 3)),
    "abs": (lambda x: abs(x[0]) * x[1], (-2, 3)),
    "min": (lambda x: np.minimum(x[0], x[1] ** 2), (-2, 3)),
    "max": (lambda x: np.maximum(x[0], 1 - x[1]), (-2, 3)),
    "sign": (lambda x: np.sign(x[0]) + x[1], (-2, 3)),
}


def check(model, cells, count=60):
    """The largest ratio of what is found in each cell to its bound, never above 1."""
    bounds = model.bound(cells)
    points = inside(cells, count)
    flat = model.residual(np.concatenate([points, bounds.corners[:, None]], axis=1).reshape(-1, cells.shape[1]))
    found = model.norm(flat).reshape(len(cells), -1).max(axis=1)
    states = np.abs(flat).reshape(len(cells), -1, model.plant.nx).max(axis=1)
    assert (found <= bounds.bounds[:, 0]).all()
    assert (states <= bounds.bounds[:, 1:]).all()
    return found / bounds.bounds[:, 0]


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, order):
    function, (low, high) = OPERATIONS[name]
    plant = plant_of(lambda x: [function(x), 0.1 * x[0]], [(low, high)] * 2)
    made = make_model(observer_of(plant, B2=0.3), plant, None, None, 1)
    model = type(made)(made.observer, made.plant, made.region, made.metric, 1, order)
    check(model, random_cells(model.region, 300, seed=1))
    small = random_cells(model.region, 50, seed=2, smallest=-3.0)
    middle = small.mean(axis=2, keepdims=True)
    tiny = np.ascontiguousarray(middle + (small - middle) * 1e-3)
    if name not in ("sign", "abs", "min", "max", "sqrt"):
        assert check(model, tiny).min() > 0.99


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    nv=st.integers(0, 7),
    activation=st.sampled_from(["tanh", "relu", "sigmoid"]),
    scale=st.sampled_from([0.1, 1.0, 4.0]),
    order=st.sampled_from([1, 2, 3, 4]),
)
def test_networks(seed, nv, activation, scale, order):
    """Random networks, whose worst points nobody knows, of a plant with an input and a curved output."""
    plant = plant_of(
        lambda x, u: [x[0] + 0.1 * x[1] * u[0], x[1] - 0.1 * x[0] ** 3],
        [(-2, 2), (-3, 1)],
        [(-1, 1)],
        output=lambda x: [x[0] + 0.2 * np.sin(x[1])],
    )
    made = make_model(random_observer(plant, seed, nv, activation, scale), plant, None, None, 1)
    check(
        type(made)(made.observer, made.plant, made.region, made.metric, 1, max(order, 2)),
        random_cells(made.region, 60, seed),
    )


@pytest.mark.parametrize("order", [2, 3])
def test_a_remainder_falls_with_a_power_of_the_width(order):
    """Plant and network are the same function: all that is left to prove is remainders, of the third or fourth order."""
    plant = plant_of(lambda x: [np.tanh(2 * x[0] + 0.3)], [(-2, 2)])
    made = make_model(observer_of(plant, B1=1.0, C1=2.0, bv=0.3, nv=1), plant, None, None, 1)
    model = type(made)(made.observer, made.plant, made.region, made.metric, 1, order)
    cells = np.array([[[0.1 - half, 0.1 + half]] for half in (0.08, 0.04, 0.02)])
    over = model.bound(cells).bounds[:, 0]
    rates = np.log2(over[:-1] / over[1:])  # from above: the next order is in there too
    assert (order + 0.9 < rates).all() and (rates < order + 1.9).all()


def test_what_is_undefined_proves_nothing():
    plant = plant_of(lambda x: [np.log(x[0])], [(0.5, 2)])
    model = make_model(observer_of(plant), plant, [[-0.1, 2.0]], None, 1)
    bounds = model.bound(np.array([[[-0.1, 1.0]], [[0.5, 1.0]]]))
    assert bounds.bounds[0, 0] == np.inf and bounds.bounds[1, 0] < 1
