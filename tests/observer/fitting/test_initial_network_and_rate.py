"""The initial network is the linear observer that it must be, strictly certified; impossible rates are refused with numbers."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from observer import RENObserver, certify, fit
from observer.fitting.initial.linear import linear_observer, projected_network, projection_gain
from observer.fitting.linear_algebra import barrier
from observer.fitting.problem import fitting_region, make_scaling, model_transitions, to_samples
from observer.fitting.rate import choose_rate, rate_margin, rate_of_settling
from systems import ALL_SYSTEMS, InputError, NotDetectable, Signal, System, discretize, search_metric, simulate

# Plants that a constant metric can see; the fields (reaction_diffusion) take minutes here and have their own tests.
SEEN = (
    "box", "double_integrator", "mass_spring_damper", "pendulum", "van_der_pol", "duffing", "lorenz", "fitzhugh_nagumo",
    "lotka_volterra", "quadruple_tank", "continuous_stirred_tank", "bioreactor", "induction_motor", "cart_pole",
)  # fmt: skip
UNSEEN = ("reverse_duffing",)


@functools.cache
def _prepared_once(name):
    return _prepared(discretize(ALL_SYSTEMS[name]()))


def _prepared(plant, **request):
    data = simulate(plant, 20, seed=0)
    region = fitting_region(plant, data)
    transitions = model_transitions(plant, data, region, 500, 0)
    scaling = make_scaling(plant, region, transitions.y)
    rate, found, warnings = choose_rate(plant, region, **request)
    scaling = scaling.in_coordinates(found.coordinates)
    return to_samples(plant, scaling, transitions, found.coordinates), scaling, rate, found, warnings


@pytest.mark.parametrize("name", ["mass_spring_damper", "double_integrator"])
def test_a_linear_plant_gives_the_projection_observer(name):
    """f_o*(x_hat, u, y) = F(S(x_hat, y), u), with K written down independently in physical units."""
    plant = discretize(ALL_SYSTEMS[name](), method="exact")
    samples, scaling, rate, found, _ = _prepared(plant)
    network, _ = projected_network(
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
    linear, _, _ = linear_observer(samples, found.metric, rate, found.rate, inputs)
    network, multipliers = projected_network(
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
    network, _ = projected_network(
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
    assert rate_margin(found.rate) <= rate * (1 + 1e-6) and rate < 1 and not warnings


def test_the_smallest_condition_number_that_serves(plants):
    slow, fast = (_prepared(plants["van_der_pol"], settling_time=t)[3] for t in (8.0, 0.6))
    assert slow.condition < fast.condition and slow.gain < fast.gain


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"settling_time": -1.0}, "settling_time is -1.0"),
        ({"contraction_rate": 1.0}, "guarantee no rate"),
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
    limit = search_metric(plant, 100.0).rate
    _, _, warnings = choose_rate(
        plant, region, contraction_rate=limit + 0.2 * (rate_margin(limit) - limit), condition=100.0
    )
    assert any("close to the fastest" in w for w in warnings)


def test_rate_of_settling():
    assert np.isclose(rate_of_settling(2.0, 0.01) ** 200, 0.02)


def test_automatic_is_the_default_and_keeps_noise_below_its_share(plants):
    plant = plants["box"]
    region, half = plant.system.state_ranges, 0.5 * np.ptp(plant.system.state_ranges, axis=1)
    rate, found, _ = choose_rate(plant, region, settling_time="auto")
    same, other, _ = choose_rate(plant, region)
    assert rate == same and np.array_equal(found.metric, other.metric)
    curve = found.trade_off
    assert curve.rate[curve.chosen] == found.rate and found.rate < rate
    assert (curve.noise[curve.chosen] <= 0.02 * 2 * half).all()


def _double_integrator(noise):
    return discretize(
        System(
            name="di", states=[Signal("q", "m", (-1, 1)), Signal("w", "m/s", (-1, 1))],
            outputs=[Signal("y", "m", noise=noise)], dynamics=lambda x: [x[1], 0 * x[0]], output=lambda x: [x[0]], dt=0.05,
        )
    )  # fmt: skip


def test_a_noisier_sensor_gives_a_slower_observer_and_at_last_a_warning():
    """No time constant of its own holds this plant back: the peak of the transient decides at first, then noise alone."""
    region = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    rates_, warned = [], []
    for noise in (3e-3, 1.5e-2, 1e-1):
        rate, _, warnings = choose_rate(_double_integrator(noise), region)
        rates_.append(rate)
        warned.append(any(text.startswith("noise:") for text in warnings))
    assert rates_[0] < rates_[1] < rates_[2] < 1 and warned == [False, False, True]


def _masses(damping):
    """Three equal masses between two walls; the middle one is the node of the mode (1, 0, -1)."""
    states = [Signal(n, "", (-1, 1)) for n in ("q1", "q2", "q3", "w1", "w2", "w3")]

    def dynamics(x):
        q, w = x[:3], x[3:]
        pull = [-2 * q[0] + q[1], q[0] - 2 * q[1] + q[2], q[1] - 2 * q[2]]
        return [*w, *(pull[k] - damping * w[k] for k in range(3))]

    return discretize(
        System(name="masses", states=states, outputs=[Signal("y")], dynamics=dynamics, output=lambda x: [x[1]], dt=0.2)
    )


def test_a_mode_measured_at_its_node_is_refused_by_name_and_damping_makes_it_slow():
    plant = _masses(0.0)
    with pytest.raises(NotDetectable, match="no observer of 'masses'") as caught:
        choose_rate(plant, plant.system.state_ranges)
    error = caught.value
    mode = np.array([1, 0, -1]) / np.sqrt(2)
    amplitude, speed = mode @ error.direction[:3], mode @ error.direction[3:]
    assert np.hypot(amplitude, speed) > 0.99  # all of the direction lies in the mode that the middle mass never shows
    assert error.fastest_rate == pytest.approx(1, abs=1e-4) and error.settling_time == np.inf
    damped = _masses(0.4)
    rate, found, _ = choose_rate(damped, damped.system.state_ranges)
    decay = np.exp(-0.5 * 0.4 * 0.2)  # of the hidden mode: |exp(lambda dt)|, lambda = -c/2 +- i w
    assert decay - 1e-6 < found.rate < 1 - 0.8 * (1 - decay) and found.rate < rate < 1


def test_a_refusal_carries_its_numbers():
    plant = _system(lambda x: [x[1] ** 3, -x[0]], lambda x: [x[0]])
    region = plant.system.state_ranges
    with pytest.raises(NotDetectable, match="no contracting observer can guarantee errors below") as caught:
        choose_rate(plant, region, contraction_rate=0.95)
    error = caught.value
    assert error.requested_rate == 0.95 and error.fastest_rate > 0.999
    assert abs(error.direction[1]) > 0.99 and abs(error.where[1]) < 0.2
    x, other = error.residual_bound.pair
    assert x[0] == pytest.approx(other[0]) and error.residual_bound.rate == 0.95
    assert (error.residual_bound.state_error > 0.02).all()
    assert error.trade_off.noise.shape[1] == 2


def test_roessler_is_fitted_in_observability_coordinates_and_proved(plants):
    """Refused in its own states at any condition number; HyperKKL's sampling and starts are the harder of the two."""
    plant = discretize(ALL_SYSTEMS["rossler"](), dt=0.05)
    data = simulate(plant, 20, seed=0)
    result = fit(plant, data, neurons=4, iterations=15, samples=500)
    assert result.search.coordinates is not None and result.search.along_trajectories
    assert result.observer.scaling.state_scale.shape == (3, 3)
    proof = certify(result.observer, plant)
    assert proof.holds and proof.rate <= result.observer.contraction_rate + 1e-9
    assert result.one_step_loss < result.start_loss
    again = RENObserver.from_arrays(result.observer.to_arrays(), result.observer.meta(), plant)
    np.testing.assert_array_equal(again.scaling.state_scale, result.observer.scaling.state_scale)


def test_a_singular_metric_and_states_that_copy_each_other(plants):
    samples, _, rate, found, _ = _prepared_once("van_der_pol")
    with pytest.raises(InputError, match="metric is singular"):
        linear_observer(samples, np.diag([1.0, 0.0]), rate, found.rate, 1)
    copied = replace(samples, x=np.repeat(samples.x[:, :1], 2, axis=1))
    network, multipliers = projected_network(
        copied, found.metric, rate, fastest=found.rate, inputs=1, neurons=4, activation="tanh", seed=0
    )
    assert barrier.factor(network, found.metric, multipliers, rate) is not None
