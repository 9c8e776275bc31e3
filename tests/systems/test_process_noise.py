"""Process noise per state: its variance over time, where it is used, and that a plant without it is stored as ever."""

import numpy as np
import pytest

from observer.estimators import make, tuning_parameters
from systems import InputError, Signal, System, discretize, simulate
from systems.detectability import trade_off
from systems.toml_files import system_from_toml

TEXT = """
[states]
x = { range = [-1, 1], process_noise = 0.2 }
[dynamics]
x = "-x"
[outputs]
y = { equation = "x", noise = 0.05 }
[sampling]
dt = 0.1
duration = 20
"""


@pytest.fixture(scope="module")
def plant():
    return discretize(system_from_toml(TEXT, "noisy.toml"))


def test_the_variance_is_that_of_the_stochastic_equation(plant):
    """dx = -x dt + sigma dw has the variance sigma^2 / 2 in the long run, whatever the sampling time."""
    for dt in (0.1, 0.05):
        data = simulate(discretize(plant.system, dt), 400, 10.0, 1, process_noise=True)
        assert np.var(data.x[:, -1]) == pytest.approx(0.2**2 / 2, rel=0.25)
    truth = simulate(plant, 20, 2.0, 1, noise=True, truth="reference")
    model = simulate(plant, 20, 2.0, 1, noise=True)
    assert truth.method == "DOP853" and np.allclose(truth.x, model.x, atol=1e-5)  # the same draws
    assert not np.allclose(model.x, simulate(plant, 20, 2.0, 1).x)


def test_it_is_stored_with_the_plant_and_left_out_where_it_is_not_stated(plant):
    again = System.from_data(plant.system.to_data())
    assert again.states[0].process_noise == 0.2 and again.fingerprint == plant.system.fingerprint
    silent = plant.system.with_states(x={"process_noise": 0.0})
    assert "process_noise" not in silent.to_data()["states"][0] and silent.has_noise
    with pytest.raises(InputError, match="it is for states"):
        plant.system.with_outputs(y={"process_noise": 1.0})
    with pytest.raises(InputError, match="process_noise is -1"):
        Signal("x", "", (-1, 1), process_noise=-1)


def test_filters_and_the_choice_of_the_rate_take_it(plant):
    stated = next(p for p in tuning_parameters("extended_kalman", plant) if p.name == "q_x")
    assert stated.default == pytest.approx(0.2 * np.sqrt(0.1))
    assert make("extended_kalman", plant).noise.q[0, 0] == pytest.approx(0.04 * 0.1)
    quiet = discretize(plant.system.with_states(x={"process_noise": 0.0}))
    noisy, still = (trade_off(p, conditions=(1.0,))[0].noise[0, 0] for p in (plant, quiet))
    assert noisy == pytest.approx(
        np.hypot(still, 0.2 * np.sqrt(0.1)), rel=1e-6
    )  # one measured state is forgotten in a sample


def test_limits_hold(plant):
    tank = plant.system.with_states(x={"limits": (-1.0, 1.0), "process_noise": 3.0})
    x = simulate(discretize(tank), 20, 5.0, 0, process_noise=True).x
    assert x.min() == -1.0 and x.max() == 1.0
