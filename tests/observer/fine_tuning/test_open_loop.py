"""Fine-tuning knows the plant in open loop, on initial estimates where the equations hold, and says when that errs less."""

from types import SimpleNamespace

import numpy as np
import pytest

from observer.fine_tuning.constant_gain import best_gain, design, gain_losses
from observer.fine_tuning.fine_tune import _better_gain
from observer.fine_tuning.rollouts import make_rollouts, make_sensing
from observer.fitting.problem import fitting_region, make_scaling
from systems import discretize, simulate
from systems.toml_files import system_from_toml

# Hosts and parasitoids: from a negative P everything runs away, and the data come close to zero.
HOSTS = """
[states]
H = { range = [0.1, 2], initial = [0.3, 1.5] }
P = { range = [0.05, 1.5], initial = [0.1, 1] }
[difference]
H = "H*exp(1.5*(1 - H/1.5) - P)"
P = "0.8*H*(1 - exp(-P))"
[outputs]
count = { equation = "H", noise = 0.02 }
[sampling]
dt = 1
duration = 60
"""


@pytest.fixture(scope="module")
def made():
    plant = discretize(system_from_toml(HOSTS, "hosts.toml"))
    data = simulate(plant, 60, seed=0)
    region = fitting_region(plant, data)
    scaling = make_scaling(plant, region, data.y.reshape(-1, 1))
    sensing = make_sensing(plant, None, None, 0.0, 2.0)
    return plant, data, region, scaling, sensing, make_rollouts(plant, data, scaling, sensing, 60, 300, (0, 1), skip=30)


def test_a_margin_makes_no_positive_quantity_negative(made):
    _, data, region, *_ = made
    assert data.reached[1, 0] < 0.05 and 0 < region[1, 0] <= data.reached[1, 0]


def test_initial_estimates_lie_in_the_region_and_no_gain_is_a_gain(made):
    plant, _, _, scaling, sensing, rollouts = made
    assert np.abs(rollouts.initial).max() <= 1
    open_loop = float(gain_losses(np.zeros((1, 2, 1)), rollouts)[0])
    assert np.isfinite(open_loop)
    _, loss = best_gain(design(plant, scaling, sensing, 60), rollouts)
    assert loss <= open_loop
    task = SimpleNamespace(gain=(np.zeros((2, 1)), open_loop), rollouts=(rollouts, rollouts))
    assert (
        "open loop" in _better_gain(task, 100 * open_loop)[0] and "10 times" in _better_gain(task, 100 * open_loop)[0]
    )
    assert _better_gain(task, open_loop) == ()
