"""Tuning finds what it should, keeps its budget and repeats itself; NEES and NIS of a matched filter lie in their bands."""

from dataclasses import replace

import numpy as np
import pytest
from linear_gaussian import drawn, linear_plant

from observer.estimators import ESTIMATORS, make, tuning_parameters
from observer.estimators.consistency import consistency
from observer.estimators.extended_kalman import ExtendedKalman
from observer.estimators.parameters import Covariances, covariances
from observer.estimators.projection import Projection
from observer.estimators.tuning import error_loss, tune, tune_each
from systems import InputError, Trajectories, simulate

A, B, C = np.array([[1.0, 0.1], [-0.3, 0.9]]), np.array([[0.0], [0.2]]), np.array([[1.0, 0.0]])
TRUE = {"q_x0": 0.01, "q_x1": 0.02, "r_y0": 1.0}  # half ranges of 5, noise 0.1


@pytest.fixture(scope="module")
def matched():
    """(plant, covariances of TRUE, trajectories drawn from them)."""
    plant = linear_plant(A, B, C)
    noise = covariances(plant, **TRUE)
    x, u, y, _ = drawn(A, B, C, noise, 60, 40, seed=0)
    return plant, noise, Trajectories(np.arange(60.0), x, u, y, np.full(40, 60))


@pytest.fixture(scope="module")
def noisy(oscillator):
    return simulate(oscillator, 8, duration=4.0, seed=0, noise=True)


def test_likelihood_finds_the_covariances_the_data_were_drawn_from(matched):
    plant, _, data = matched
    found = tune("extended_kalman", plant, data, objective="likelihood", evaluations=90)
    for name, value in TRUE.items():
        assert 0.6 * value < found.values[name] < 1.6 * value
    assert found.held_out < found.default


def test_error_reaches_the_gain_of_the_true_covariances_and_tells_how_large_errors_are(matched):
    plant, _, data = matched
    found = tune("steady_kalman", plant, data, evaluations=60)
    best = make("steady_kalman", plant, **TRUE)
    assert np.abs(np.asarray(found.observer.gain) - best.gain).max() < 0.12
    # Q and R were scaled together to the size of the innovations.
    assert 0.8 < found.observer.steady[0, 0] / best.steady[0, 0] < 1.25


def test_tuning_beats_defaults_that_are_far_off(oscillator, noisy):
    first = {"q_q": 1e-7, "q_w": 1e-7, "r_y": 1e3}
    found = tune("extended_kalman", oscillator, noisy, evaluations=25, start=first)
    starts = np.zeros((len(noisy), 2))
    tuned = error_loss(oscillator, noisy.x, found.observer.run(starts, noisy.u, noisy.y))
    assert (
        tuned
        < error_loss(oscillator, noisy.x, make("extended_kalman", oscillator, **first).run(starts, noisy.u, noisy.y))
        - 1
    )
    assert found.held_out <= found.default + 0.05


def test_the_budget_is_kept_and_the_same_seed_gives_the_same_result(oscillator, noisy):
    first, again = (tune("steady_kalman", oscillator, noisy, evaluations=12, seed=3) for _ in range(2))
    assert first.evaluations <= 12 and dict(first.values) == dict(again.values)
    short = tune("steady_kalman", oscillator, noisy, evaluations=10_000, seconds=0.0)
    assert short.evaluations == 1 and short.message == "stopped at the time limit"


def test_all_are_tuned_and_those_that_cannot_serve_say_why(oscillator, noisy):
    few = replace(
        noisy, t=noisy.t[:12], x=noisy.x[:, :12], u=noisy.u[:, :12], y=noisy.y[:, :12], lengths=np.full(8, 12)
    )
    done = dict(tune_each(oscillator, few, evaluations=6))
    assert next(iter(done)) == "extended_kalman" and set(done) == set(ESTIMATORS)
    for kind, tuned in done.items():
        assert tuned.evaluations <= 6 and set(tuned.values) == {k.name for k in tuning_parameters(kind, oscillator)}
        assert np.isfinite([tuned.loss, tuned.held_out, tuned.default]).all() and tuned.to_data()["kind"] == kind


def test_what_cannot_be_tuned_says_so(oscillator, noisy):
    with pytest.raises(InputError, match="projection has no covariance, so its innovations have no likelihood"):
        tune("projection", oscillator, noisy, objective="likelihood")
    with pytest.raises(InputError, match="objective is 'speed'; expected error or likelihood"):
        tune("projection", oscillator, noisy, objective="speed")
    with pytest.raises(InputError, match="no x, so there is no error to minimise"):
        tune("projection", oscillator, replace(noisy, x=np.full_like(noisy.x, np.nan)))


def test_a_matched_filter_is_consistent(matched):
    plant, noise, _ = matched
    x, u, y, x_hat0 = drawn(A, B, C, noise, 80, 200, seed=5)
    found = consistency(ExtendedKalman(plant, noise), x, u, y, x_hat0)
    assert found.nees_inside > 0.94 and found.nis_inside > 0.94  # 99 % of 80 samples, four fewer at most
    assert found.mean_nis_band[0] < found.mean_nis < found.mean_nis_band[1]
    assert found.nees_band[0] < found.mean_nees < found.nees_band[1]
    assert found.white
    # Outputs that are missing are left out, and the rest is as consistent.
    y = np.where(np.random.default_rng(0).random(y.shape) < 0.3, np.nan, y)
    assert consistency(ExtendedKalman(plant, noise), x, u, y, x_hat0).nees_inside > 0.94


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_filter_with_wrong_covariances_is_not(matched, factor):
    plant, noise, _ = matched
    x, u, y, x_hat0 = drawn(A, B, C, noise, 40, 100, seed=6)
    wrong = Covariances(factor**2 * noise.q, factor**2 * noise.r, factor**2 * noise.p0)
    found = consistency(ExtendedKalman(plant, wrong), x, u, y, x_hat0)
    assert found.nees_inside < 0.2 and found.nis_inside < 0.2
    assert found.mean_nis == pytest.approx(factor**-2, rel=0.1)
    assert found.white  # the gain is the right one


def test_a_late_measurement_shows_in_nees_and_whiteness(matched):
    plant, noise, _ = matched
    x, u, y, x_hat0 = drawn(A, B, C, noise, 40, 100, seed=7)
    u = 20 * u  # the plant moves
    x, y = _driven(x, u, y)
    good = consistency(ExtendedKalman(plant, noise), x, u, y, x_hat0)
    late = consistency(ExtendedKalman(plant, noise), x, u, np.roll(y, 1, axis=1), x_hat0, skip=2)
    assert good.nees_inside > 0.9 and good.white
    assert late.nees_inside < 0.3 and not late.white


def _driven(x, u, y):
    """Add the response to 19/20 of u to x and y, which were drawn with the twentieth part of it."""
    extra = np.zeros_like(x)
    for k in range(x.shape[1] - 1):
        extra[:, k + 1] = extra[:, k] @ A.T + 0.95 * u[:, k] @ B.T
    return x + extra, y + extra @ C.T


def test_without_a_covariance_there_is_nothing_to_check(matched):
    plant, _, data = matched
    with pytest.raises(InputError, match="Projection has no covariance"):
        consistency(Projection(plant, np.eye(2)), data.x, data.u, data.y, np.zeros((40, 2)))
