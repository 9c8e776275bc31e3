"""Each scenario does what it says, to sensors or to the plant, the same for every observer."""

import numpy as np
import pytest
from scenario_contract import ScenarioContract

from observer import scenarios
from observer.known_plant import KnownPlant
from observer.scenarios import SCENARIOS, get_scenario
from systems import ALL_SYSTEMS, InputError, Signal, System, discretize, simulate

SENSORS = [item.name for item in SCENARIOS if item.move is None] + ["float32"]


@pytest.fixture(params=SCENARIOS, ids=[c.name for c in SCENARIOS], scope="module")
def scenario(request):
    return request.param


class TestScenarios(ScenarioContract):
    """Every scenario of the tuple."""


def test_the_noise_is_the_same_in_every_scenario(oscillator, clean):
    """What differs between two rows of a table is the scenario."""
    apart = {}
    for name in ("noise", "bias", "parameters", "constant_disturbance"):
        found = get_scenario(name).apply(oscillator, clean, seed=5, truth="model")
        apart[name] = found.y - oscillator.output(found.x, found.u)
    assert np.std(apart["noise"]) == pytest.approx(0.01, rel=0.1)
    assert np.allclose(apart["parameters"], apart["noise"], atol=1e-12)
    assert np.allclose(apart["constant_disturbance"], apart["noise"], atol=1e-12)
    offset = apart["bias"] - apart["noise"]
    assert np.allclose(offset, offset[:, :1], atol=1e-12) and np.allclose(
        np.abs(offset), 0.02 * KnownPlant(oscillator).output_scale
    )


def test_sensors_do_what_the_words_say(oscillator, clean):
    y = {c.name: c.apply(oscillator, clean, seed=1).y for c in SCENARIOS if c.name in SENSORS}
    scale = KnownPlant(oscillator).output_scale
    assert np.array_equal(y["noiseless"], clean.y)
    assert np.std(y["louder_noise"] - clean.y) == pytest.approx(0.05, rel=0.1)
    assert np.array_equal(y["delay"][:, 1:], y["noise"][:, :-1]) and np.isnan(y["delay"][:, 0]).all()
    assert np.array_equal(np.isfinite(y["slow_sensor"][0, :, 0]), np.arange(61) % 4 == 0)
    assert np.isnan(y["dropouts"]).mean() == pytest.approx(0.3, abs=0.05)
    assert np.abs(y["quantisation"] - y["noise"]).max() <= scale[0] / 2**6 + 1e-12
    assert len(np.unique(y["quantisation"])) <= 2**6
    hit = y["outliers"] != y["noise"]
    assert 0.005 < hit.mean() < 0.04 and np.abs(y["outliers"] - y["noise"]).max() <= scale[0]
    assert 0 < np.abs(y["float32"] - y["noise"]).max() < 1e-6


def test_a_wrong_parameter_is_one_of_the_plant_only(oscillator, clean):
    found = scenarios.wrong_parameters(0.3).apply(oscillator, clean, seed=0, truth="model")
    stiff, soft = (discretize(oscillator.system.with_parameters(k=k)) for k in (1.3, 0.7))
    for row in range(len(clean)):
        motions = [p.rollout(clean.x[row : row + 1, 0], clean.u[row : row + 1, :-1])[0] for p in (stiff, soft)]
        assert min(np.abs(m - found.x[row]).max() for m in motions) < 1e-4
    assert np.allclose(scenarios.wrong_parameters(1e-9).apply(oscillator, clean, truth="model").x, clean.x, atol=1e-6)


def test_a_disturbance_reaches_a_plant_without_inputs():
    system = System(
        name="free",
        states=[Signal("q", "m", (-1.0, 1.0)), Signal("w", "m/s", (-2.0, 2.0))],
        outputs=[Signal("y", "m")],
        dynamics=lambda x: [x[1], -x[0] - 0.5 * x[1]],
        output=lambda x: [x[0]],
        dt=0.1,
        duration=40.0,
    )
    plant = discretize(system)
    found = get_scenario("constant_disturbance").apply(plant, simulate(plant, 6, seed=0), truth="model")
    assert found.u.shape[2] == 0
    assert np.allclose(np.abs(found.x[:, -1, 0]), 0.2, atol=1e-3)  # 10 % of the half range of w over k = 1
    with pytest.raises(InputError, match="'free' has no parameters to change"):
        get_scenario("parameters").apply(plant, found)
    with pytest.raises(InputError, match="'free' has no known input to change"):
        get_scenario("other_input").apply(plant, found)


def test_the_reference_integrator_is_the_truth_where_asked(oscillator, clean):
    names = ("model", "reference", "oracle")
    model, reference, oracle = (get_scenario("sine_disturbance").apply(oscillator, clean, truth=t) for t in names)
    assert 0 < np.abs(model.x - reference.x).max() < 1e-4
    assert np.array_equal(reference.x, oracle.x)  # what it was called once


def test_unstated_noise_is_that_of_a_good_sensor():
    plant = discretize(ALL_SYSTEMS["van_der_pol"]())
    data = simulate(plant, 20, duration=5.0, seed=0)
    found = get_scenario("noise").apply(plant, data)
    assert np.std(found.y - data.y) == pytest.approx(0.005 * 3.3, rel=0.05)


def test_a_scenario_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="scenario is 'hail'; expected one of noiseless, noise"):
        get_scenario("hail")
    assert scenarios.delay(samples=3).title == "measurements 3 samples late"
