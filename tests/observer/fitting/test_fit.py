"""Fitting end to end on small plants: it improves, keeps its proof, ends in words, and starts again where it stopped."""

import numpy as np
import pytest

from observer import certify, fit, validate
from systems import ALL_SYSTEMS, InputError, Signal, System, discretize, simulate


@pytest.fixture(scope="module")
def fitted(oscillator, oscillator_data):
    return fit(oscillator, oscillator_data, neurons=8, settling_time=2.0, iterations=100, samples=600)


def test_gauss_newton_is_orders_below_the_linear_start(fitted):
    assert fitted.one_step_loss < 1e-4 * fitted.start_loss


def test_the_reported_loss_is_the_loss(fitted, oscillator, rng):
    """Held-out loss, recomputed on points of the test's own drawing."""
    x = rng.uniform(*fitted.region.T, (4000, 2))
    u = rng.uniform(*oscillator.system.input_ranges.T, (4000, 1))
    r = fitted.observer.step(x, u, oscillator.output(x, u)) - oscillator.step(x, u)
    assert 0.1 < np.mean(np.sum(r**2, axis=1)) / fitted.one_step_loss < 10


def test_direct_parameters_give_the_shipped_weights(fitted):
    from observer.networks.ren.contracting import ContractingREN

    observer = fitted.observer
    ren = ContractingREN.from_direct(observer.direct, contraction_rate=observer.contraction_rate, eps=observer.eps)
    again = observer.scaling.fold(ren.explicit().to_numpy())
    for name, value in observer.weights.weights().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-8, atol=1e-8)


def test_a_run_gives_the_trade_off_back(fitted, oscillator, oscillator_data, tmp_path):
    from observer import runs

    runs.save_plant(tmp_path, oscillator)
    runs.save_trajectories(tmp_path, oscillator_data)
    runs.save_fit(tmp_path, fitted)
    curve, again = fitted.search.trade_off, runs.load_run(tmp_path).fit.search.trade_off
    assert curve.chosen == again.chosen >= 0 and curve.output_noise.tolist() == [0.01]
    for name in ("condition", "rate", "settling_time", "gain", "noise", "speed", "output_noise"):
        np.testing.assert_array_equal(getattr(again, name), getattr(curve, name))


def test_same_seed_same_observer(fitted, oscillator, oscillator_data):
    again = fit(oscillator, oscillator_data, neurons=8, settling_time=2.0, iterations=100, samples=600)
    for name, value in fitted.observer.weights.weights().items():
        np.testing.assert_array_equal(getattr(again.observer.weights, name), value)


def test_a_checkpoint_of_another_problem_is_not_used(oscillator, oscillator_data, tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(b"PK damaged")
    result = fit(oscillator, oscillator_data, neurons=2, settling_time=2.0, iterations=5, samples=200, checkpoint=path)
    assert result.one_step_loss <= result.start_loss


def test_no_neurons_is_the_linear_observer(oscillator, oscillator_data):
    result = fit(oscillator, oscillator_data, neurons=0, settling_time=2.0)
    assert result.status == "linear" and result.one_step_loss == pytest.approx(result.start_loss)
    assert certify(result.observer, oscillator).holds


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_other_activations(activation, oscillator, oscillator_data):
    result = fit(
        oscillator, oscillator_data, neurons=6, settling_time=2.0, activation=activation, iterations=45, samples=400
    )
    assert result.one_step_loss < result.start_loss / 3 and certify(result.observer, oscillator).holds


def test_float32_weights_are_certified_as_shipped(oscillator, oscillator_data):
    result = fit(oscillator, oscillator_data, neurons=6, settling_time=2.0, iterations=45, samples=400, dtype="float32")
    weights = result.observer.weights
    np.testing.assert_array_equal(weights.A, weights.A.astype(np.float32))
    assert certify(result.observer, oscillator).holds


def test_a_nonfinite_loss_ends_in_a_status(oscillator, oscillator_data, monkeypatch):
    """A solver whose every evaluation is nan must give the linear observer back, with words."""
    from observer.fitting.linear_algebra import normal_equations

    def broken(network, samples, root):
        return np.full(samples.x.size, np.nan), np.full(1, np.nan), np.full((1, 1), np.nan)

    monkeypatch.setattr(normal_equations, "normal_system", broken)
    result = fit(oscillator, oscillator_data, neurons=4, settling_time=2.0, iterations=10, samples=200)
    assert result.status == "non_finite" and result.one_step_loss <= result.start_loss * (1 + 1e-9)


def test_disturbances_and_several_outputs():
    system = System(
        name="two tanks", states=[Signal("h1", "m", (0.1, 1.0)), Signal("h2", "m", (0.1, 1.0))],
        inputs=[Signal("leak", "m/s", (-1e-4, 1e-4), role="disturbance"), Signal("inflow", "m^3/s", (0.02, 0.05))],
        outputs=[Signal("level", "m"), Signal("flow", "m^3/s")],
        parameters={"a": 0.01, "area": 0.3},
        dynamics=lambda x, u, p: [(u[1] - p.a * np.sqrt(19.62 * (x[0] + 0.05))) / p.area + u[0],
                                  p.a * (np.sqrt(19.62 * (x[0] + 0.05)) - np.sqrt(19.62 * (x[1] + 0.05))) / p.area],
        output=lambda x, u, p: [x[1], p.a * np.sqrt(19.62 * (x[0] + 0.05)) + 0.1 * u[1]], dt=0.5, duration=100.0,
    )  # fmt: skip
    plant = discretize(system)
    result = fit(plant, simulate(plant, 20, seed=0), neurons=4, iterations=20, samples=400)
    assert result.observer.weights.nu == 3  # the known inflow, and two outputs
    check = validate(result.observer, plant, trials=10, estimate_start="random")
    assert check.n_diverged == 0
    first = result.observer.step([0.5, 0.5], [0.0, 0.03], [0.5, 0.03])
    np.testing.assert_array_equal(first, result.observer.step([0.5, 0.5], [1e-4, 0.03], [0.5, 0.03]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"neurons": -1}, "neurons is -1"),
        ({"neurons": 2.5}, "neurons is 2.5"),
        ({"activation": "silu"}, "silu"),
        ({"activation": "gelu"}, "gelu"),
        ({"solver": "magic"}, "expected auto"),
        ({"dtype": "float16"}, "float16"),
        ({"iterations": 0}, "iterations is 0"),
        ({"budget": -3.0}, "budget is -3.0"),
    ],
)
def test_bad_arguments(arguments, words, oscillator, oscillator_data):
    with pytest.raises(InputError, match=words):
        fit(oscillator, oscillator_data, **arguments)


def test_time_dependence_and_turns_that_nothing_measures_are_refused():
    timed = System(
        name="timed", states=[Signal("x", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda t, x: [-x[0] + np.sin(t)], output=lambda x: [x[0]], dt=0.1,
    )  # fmt: skip
    plant = discretize(timed)
    with pytest.raises(InputError, match="known input"):
        fit(plant, simulate(plant, 2))
    turning = System(
        name="wheel", states=[Signal("angle", "rad", (-4.0, 4.0), period=2 * np.pi), Signal("w", "rad/s", (1.0, 2.0))],
        outputs=[Signal("y")], dynamics=lambda x: [x[1], 0 * x[1]], output=lambda x: [np.sin(x[0])], dt=0.1, duration=5.0,
    )  # fmt: skip
    plant = discretize(turning)
    with pytest.raises(InputError, match="no output measures it as an angle"):
        fit(plant, simulate(plant, 5))


def test_an_output_without_information_is_refused():
    system = System(
        name="blind", states=[Signal("x", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [-x[0]], output=lambda x: [0 * x[0] + 1], dt=0.1,
    )  # fmt: skip
    plant = discretize(system)
    with pytest.raises(InputError, match="output 'y' is constant"):
        fit(plant, simulate(plant, 2))


@pytest.mark.parametrize("name", ["double_integrator", "mass_spring_damper"])
def test_linear_plants_are_solved_to_rounding(name):
    plant = discretize(ALL_SYSTEMS[name]())
    result = fit(plant, simulate(plant, 10), neurons=3, iterations=20, samples=300)
    assert result.one_step_loss < 1e-20
