"""The start is the linear observer it claims to be, strictly certified; impossible rates are refused with numbers."""

import functools

import numpy as np
import pytest

from observer.fitting import barrier
from observer.fitting.problem import fitting_region, make_samples, make_scaling, to_samples
from observer.fitting.start import (
    choose_rate,
    headroom,
    initial_network,
    linear_start,
    projection_gain,
    rate_of_settling,
)
from systems import ALL_SYSTEMS, InputError, NotDetectable, Signal, System, discretize, search, simulate

# Plants that a constant metric can see; the fields (reaction_diffusion) take minutes here and have their own tests.
SEEN = (
    "box", "double_integrator", "mass_spring_damper", "pendulum", "van_der_pol", "duffing", "lorenz", "fitzhugh_nagumo",
    "lotka_volterra", "quadruple_tank", "continuous_stirred_tank", "bioreactor", "induction_motor", "cart_pole", "rossler",
)  # fmt: skip
UNSEEN = ("reverse_duffing",)


@functools.cache
def _prepared_once(name):
    return _prepared(discretize(ALL_SYSTEMS[name]()))


def _prepared(plant, **request):
    data = simulate(plant, 20, seed=0)
    region = fitting_region(plant, data)
    physical = make_samples(plant, data, region, 500, 0)
    scaling = make_scaling(plant, region, physical[2])
    rate, found, warnings = choose_rate(plant, region, **request)
    scaling = scaling.in_coordinates(found.coordinates)
    return to_samples(plant, scaling, *physical, found.coordinates), scaling, rate, found, warnings


@pytest.mark.parametrize("name", ["mass_spring_damper", "double_integrator"])
def test_a_linear_plant_gives_the_projection_observer(name):
    """f_o*(x_hat, u, y) = F(S(x_hat, y), u), with K written down independently in physical units."""
    plant = discretize(ALL_SYSTEMS[name](), method="exact")
    samples, scaling, rate, found, _ = _prepared(plant)
    network, _ = initial_network(
        samples, found.metric, rate, fastest=found.rate, inputs=1, neurons=0, activation="tanh", seed=0
    )
    physical = scaling.fold(network)
    metric = scaling.fold_metric(found.metric)
    c = np.array([[1.0, 0.0]])
    gain = np.linalg.solve(metric, c.T) / (c @ np.linalg.solve(metric, c.T))
    rng = np.random.default_rng(0)
    x_hat, u, y = rng.normal(size=(50, 2)), rng.normal(size=(50, 1)), rng.normal(size=(50, 1))
    projected = x_hat + (y - x_hat @ c.T) @ gain.T
    np.testing.assert_allclose(
        physical.next_state(x_hat, np.concatenate([u, y], axis=1)), plant.step(projected, u), atol=1e-8
    )


@pytest.mark.parametrize("name", UNSEEN)
def test_library_plants_that_no_constant_metric_sees_are_refused(name, plants):
    with pytest.raises(NotDetectable, match=f"no observer of '{name}' contracts at any rate below 1"):
        choose_rate(plants[name], plants[name].system.state_ranges)


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_initial_network_is_the_linear_observer_and_strictly_certified(name, activation, plants):
    samples, _, rate, found, _ = _prepared_once(name)
    inputs = len(plants[name].system.known)
    linear, _, _ = linear_start(samples, found.metric, rate, found.rate, inputs)
    network, multipliers = initial_network(
        samples, found.metric, rate, fastest=found.rate, inputs=inputs, neurons=10, activation=activation, seed=4
    )
    expected = samples.x @ linear["A"].T + samples.v @ linear["B2"].T + linear["bx"]
    np.testing.assert_allclose(network.next_state(samples.x, samples.v), expected, atol=1e-12)
    assert np.abs(network.C1).max() > 0.05 and not network.B1.any()
    factored = barrier.factor(network, found.metric, multipliers, rate)
    assert factored is not None and np.linalg.eigvalsh(factored[0])[0] > 0


def test_neurons_see_the_projected_state_only(plants):
    """C1 x_hat + D12_y y must not change when x_hat moves along what y will overwrite."""
    samples, _, rate, found, _ = _prepared(plants["van_der_pol"])
    network, _ = initial_network(
        samples, found.metric, rate, fastest=found.rate, inputs=1, neurons=6, activation="tanh", seed=1
    )
    c = np.array([[1.0, 0.0]])
    k = projection_gain(found.metric, c)
    assert np.abs(network.C1 @ k).max() < 1e-8


@pytest.mark.parametrize("request_", [{"settling_time": 1.0}, {"contraction_rate": 0.9}, {}])
def test_the_rate_is_what_was_asked_for(request_, plants):
    plant = plants["van_der_pol"]
    *_, rate, found, warnings = _prepared(plant, **request_)
    if "settling_time" in request_:
        assert np.isclose(rate ** (1.0 / plant.dt), 0.02)
    elif request_:
        assert rate == 0.9
    assert headroom(found.rate) <= rate * (1 + 1e-6) and rate < 1 and not warnings


def test_the_smallest_condition_number_that_serves(plants):
    slow, fast = (_prepared(plants["van_der_pol"], settling_time=t)[3] for t in (8.0, 0.6))
    assert slow.condition < fast.condition and slow.gain < fast.gain


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"settling_time": -1.0}, "settling_time is -1.0"),
        ({"contraction_rate": 1.0}, "promise no rate"),
        ({"contraction_rate": 0.9, "settling_time": 1.0}, "give one"),
        ({"condition": 0.1}, "condition is 0.1"),
    ],
)
def test_bad_requests(request_, words, plants):
    with pytest.raises(InputError, match=words):
        choose_rate(plants["box"], plants["box"].system.state_ranges, **request_)


def _system(dynamics, output, width=1.0):
    states = [Signal(n, "", (-width, width)) for n in ("a", "b")]
    return discretize(System(name="s", states=states, outputs=[Signal("y")], dynamics=dynamics, output=output, dt=0.05))


@pytest.mark.parametrize(
    ("plant", "direction"),
    [
        (lambda: _system(lambda x: [x[1] ** 3, -x[0]], lambda x: [x[0]]), "b"),  # the true reverse Duffing
        (
            lambda: _system(lambda x: [x[1], (1 - x[0] ** 2) * x[1] - x[0]], lambda x: [x[1]], 3.0),
            "a",
        ),  # van der Pol from x2
        (lambda: _system(lambda x: [-x[0], 0 * x[1]], lambda x: [x[0]]), "b"),  # a constant nobody sees
    ],
)
@pytest.mark.parametrize("request_", [{}, {"settling_time": 5.0}])
def test_what_cannot_be_observed_is_refused_before_training(plant, direction, request_):
    plant = plant()
    with pytest.raises(NotDetectable) as caught:
        choose_rate(plant, plant.system.state_ranges, **request_)
    text = str(caught.value)
    assert "fastest rate found is" in text and f" {direction})" in text.replace(f"{direction},", f"{direction})")


def test_too_fast_is_refused_with_the_fastest(plants):
    with pytest.raises(NotDetectable, match="ask for a longer settling time"):
        choose_rate(plants["double_integrator"], plants["double_integrator"].system.state_ranges, settling_time=0.05)


def test_close_to_the_limit_is_a_warning(plants):
    plant = plants["van_der_pol"]
    region = plant.system.state_ranges
    limit = search(plant, 100.0).rate
    _, _, warnings = choose_rate(
        plant, region, contraction_rate=limit + 0.2 * (headroom(limit) - limit), condition=100.0
    )
    assert any("close to the fastest" in w for w in warnings)


def test_rate_of_settling():
    assert np.isclose(rate_of_settling(2.0, 0.01) ** 200, 0.02)
