"""The contract of the estimators. A name in ``ESTIMATORS`` is tested by all of it."""

import numpy as np
import pytest
from estimator_contract import EstimatorContract

from observer.estimators import ESTIMATORS, make
from systems import ALL_SYSTEMS, InputError, discretize

BOUNDED = ("extended_kalman", "unscented_kalman", "particle", "moving_horizon")  # covariance kept, limits kept


@pytest.fixture(scope="module", params=ESTIMATORS)
def name(request):
    return request.param


class TestEstimators(EstimatorContract):
    """Every estimator of the tuple."""


@pytest.mark.parametrize("kind", BOUNDED)
def test_estimates_stay_within_the_limits(kind, swing, trials):
    data, starts = trials
    wild = data.y + np.random.default_rng(0).uniform(-3, 3, data.y.shape)
    estimator = make(kind, swing)
    state = estimator.init(starts)
    for k in range(20):
        state = estimator.step(state, data.u[:, k], wild[:, k])
        x_hat, p = estimator.estimate(state), estimator.covariance(state)
        # The model carries a state on from the limit by one sample.
        assert np.isfinite(x_hat).all() and np.abs(x_hat[:, 1]).max() < 4.5 + 0.05 * 5.5
        assert np.linalg.eigvalsh(p).min() > -1e-12 * np.abs(p).max()


def test_a_name_or_a_tuning_parameter_that_is_not_there_is_refused(swing):
    with pytest.raises(InputError, match="estimator is 'kalman'; expected one of open_loop"):
        make("kalman", swing)
    with pytest.raises(
        InputError, match="extended_kalman has no tuning parameter 'q'; expected some of q_angle, q_rate, r_y"
    ):
        make("extended_kalman", swing, q=1.0)
    with pytest.raises(InputError, match=r"tuning parameter 'q_rate' is 0\.0; expected a positive number"):
        make("extended_kalman", swing, q_rate=0.0)


def test_a_large_plant_is_refused_by_what_cannot_serve_it():
    plant = discretize(ALL_SYSTEMS["reaction_diffusion"]())
    with pytest.raises(InputError, match="derivatives of so high an order"):
        make("high_gain", plant)
