"""Validation tells a good observer from a bad one, and its numbers are what anyone would compute."""

import dataclasses

import numpy as np
import pytest

from observer import Validation, fit, validate
from observer.scaling import Scaling
from observer.state_observer import RENObserver
from systems import InputError, discretize, simulate
from systems.angles import wrap


@pytest.fixture(scope="module")
def fitted(oscillator, oscillator_data):
    return fit(oscillator, oscillator_data, neurons=8, settling_time=2.0, iterations=60, samples=600)


@pytest.fixture(scope="module")
def checked(fitted, oscillator):
    return validate(fitted.observer, oscillator, trials=30, duration=15.0)


def test_a_good_observer_passes(checked):
    assert checked.verdict == "pass" and checked.n_diverged == 0 and checked.converged_fraction == 1.0
    assert checked.plant_method == "DOP853" and len(checked.criteria) == 3


def test_numbers_are_what_anyone_computes(checked, fitted, oscillator):
    late = (checked.t >= 7.5 - 1e-9)[None, :, None]
    error = checked.x_hat - checked.x
    np.testing.assert_allclose(
        checked.rms_error, np.sqrt(np.mean(np.where(late, error, np.nan)[:, checked.t >= 7.5 - 1e-9] ** 2, axis=(0, 1)))
    )
    x_hat = checked.x_hat[3, 0]
    for k in range(20):
        np.testing.assert_allclose(x_hat, checked.x_hat[3, k], atol=1e-12)
        x_hat = fitted.observer.step(x_hat, checked.u[3, k], checked.y[3, k])
    outside = np.abs(error) > 0.02 * np.ptp(checked.ranges, axis=1)
    for trial in range(5):
        for state in range(2):
            last = np.flatnonzero(outside[trial, :, state])
            assert np.isclose(checked.trial_settling[trial, state], checked.t[last[-1] + 1] if len(last) else 0.0)


def test_contraction_shows_in_every_trial(checked):
    """|e|_M <= rate^k |e_0|_M + r / (1 - rate) with r the largest residual met (MATH 2e)."""
    bound = checked.decay * checked.error_norm[:, :1] + checked.residual_level / (1 - checked.decay[1])
    assert (checked.error_norm <= bound * (1 + 1e-9) + 1e-12).all()


def test_two_estimates_approach_each_other_from_anywhere(fitted, oscillator, rng):
    observer = fitted.observer
    u, y = rng.normal(size=(60, 1)), rng.normal(size=(60, 1))
    a, b = observer.run(rng.normal(size=2) * 1e3, u, y), observer.run(rng.normal(size=2) * 1e3, u, y)
    norm = np.linalg.norm((a - b) @ np.linalg.cholesky(observer.metric), axis=1)
    assert (norm[1:] <= observer.contraction_rate * norm[:-1] * (1 + 1e-9) + 1e-12).all()


def test_a_measurement_shifted_by_one_sample_fails(fitted, oscillator):
    """y[k] belongs to x[k]: an observer fed y[k-1] is visibly worse."""
    data = simulate(oscillator, 20, 15.0, seed=4, truth="reference")
    right = fitted.observer.run(data.x[:, 0], data.u, data.y)
    late = fitted.observer.run(data.x[:, 0], data.u, np.roll(data.y, 1, axis=1))
    early = fitted.observer.run(data.x[:, 0], data.u, np.roll(data.y, -1, axis=1))
    error = [np.sqrt(np.mean((x_hat - data.x)[:, 50:-2] ** 2)) for x_hat in (right, late, early)]
    assert error[1] > 20 * error[0] and error[2] > 20 * error[0]


def test_missing_measurements_are_predicted(fitted, oscillator):
    data = simulate(oscillator, 5, 15.0, seed=4)
    y = data.y.copy()
    y[:, 60:65] = np.nan
    x_hat = fitted.observer.run(data.x[:, 0], data.u, y)
    assert np.isfinite(x_hat).all() and np.abs(x_hat - data.x)[:, 100:].max() < 0.02


def test_noise_is_seen_in_the_numbers(fitted, oscillator, checked):
    noisy = validate(fitted.observer, oscillator, trials=20, duration=15.0, noise=True)
    assert (noisy.rms_error > 3 * checked.rms_error).all() and noisy.noise


def _tampered(observer: RENObserver, **changes) -> RENObserver:
    return dataclasses.replace(observer, weights=dataclasses.replace(observer.weights, **changes))


def test_an_unstable_observer_diverges_and_fails(fitted, oscillator):
    check = validate(_tampered(fitted.observer, A=fitted.observer.weights.A * 4), oscillator, trials=10)
    assert check.verdict == "fail" and check.n_diverged == 10 and check.converged_fraction == 0.0


def test_a_biased_observer_does_not_converge_and_fails(fitted, oscillator):
    check = validate(_tampered(fitted.observer, bx=fitted.observer.weights.bx + 0.05), oscillator, trials=10)
    assert check.verdict == "fail" and check.n_diverged == 0 and check.converged_fraction == 0.0
    assert [c.passed for c in check.criteria] == [True, False, True]


def test_starts_are_independent_and_spread(fitted, oscillator):
    near = validate(fitted.observer, oscillator, trials=40, duration=1.0)
    far = validate(fitted.observer, oscillator, trials=40, duration=1.0, spread=5.0)
    np.testing.assert_array_equal(near.x[:, 0], far.x[:, 0])
    assert np.abs(far.x_hat[:, 0]).max() > 3 * np.abs(near.x_hat[:, 0]).max()
    assert abs(np.corrcoef(near.x[:, 0, 0], near.x_hat[:, 0, 0])[0, 1]) < 0.5
    zero = validate(fitted.observer, oscillator, trials=4, duration=1.0, estimate_start="zero")
    assert not zero.x_hat[:, 0].any()


def test_the_former_name_of_the_reference_integrator_is_understood(fitted, oscillator):
    now, before = (
        validate(fitted.observer, oscillator, trials=2, duration=1.0, truth=t) for t in ("reference", "oracle")
    )
    assert np.array_equal(now.x, before.x) and now.plant_method == before.plant_method == "DOP853"


def test_files(checked, tmp_path):
    checked.save(tmp_path / "v.npz")
    again = Validation.load(tmp_path / "v.npz")
    assert again.metrics() == checked.metrics() and again.criteria == checked.criteria
    np.testing.assert_array_equal(again.error, checked.error)
    (tmp_path / "v.npz").write_bytes(b"no")
    with pytest.raises(InputError, match="no validation file"):
        Validation.load(tmp_path / "v.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"spread": 0.0}, "spread is 0"),
        ({"truth": "guess"}, "reference or model"),
        ({"estimate_start": "far"}, "random, zero, centre"),
        ({"estimate_start": np.zeros((3, 7))}, "estimate_start has shape"),
        ({"window": (900.0, 901.0)}, "holds no sample"),
    ],
)
def test_bad_arguments(arguments, words, fitted, oscillator):
    with pytest.raises(InputError, match=words):
        validate(fitted.observer, oscillator, **{"trials": 4, "duration": 2.0, **arguments})


def test_another_sampling_time_is_refused(fitted, oscillator):
    with pytest.raises(InputError, match=r"fitted for dt = 0\.1 s"):
        validate(fitted.observer, discretize(oscillator.system, dt=0.2))


def test_angles_wrap():
    error = wrap(np.array([[6.2, 6.2], [-3.2, 1.0]]), np.array([2 * np.pi, np.nan]))
    np.testing.assert_allclose(error, [[6.2 - 2 * np.pi, 6.2], [2 * np.pi - 3.2, 1.0]])


def test_wrong_sizes_name_the_signals(fitted):
    with pytest.raises(InputError, match=r"y has 2 elements .* expected 1 \(y\)"):
        fitted.observer.step([0.0, 0.0], [0.0], [0.0, 1.0])
    with pytest.raises(InputError, match=r"x_hat has 3 elements .* \(q, w\)"):
        fitted.observer.step([0.0, 0.0, 0.0], [0.0], [0.0])


def test_arrays_rebuild_the_observer(fitted, oscillator):
    observer = fitted.observer
    again = RENObserver.from_arrays(observer.to_arrays(), observer.meta(), oscillator)
    x, u, y = np.array([0.1, 0.2]), np.array([0.1]), np.array([0.3])
    np.testing.assert_array_equal(again.step(x, u, y), observer.step(x, u, y))
    assert isinstance(again.scaling, Scaling)
    with pytest.raises(InputError, match="cannot be read"):
        RENObserver.from_arrays({}, observer.meta(), oscillator)
