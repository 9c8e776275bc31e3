"""On a linear Gaussian plant all filters are one filter: the Kalman filter of the textbook."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_gaussian import drawn, linear_plant, textbook
from scipy.linalg import solve_discrete_are

from observer.estimators.extended_kalman import ExtendedKalman
from observer.estimators.moving_horizon import MovingHorizon
from observer.estimators.parameters import Covariances
from observer.estimators.particle import ParticleFilter
from observer.estimators.steady_kalman import SteadyKalman
from observer.estimators.unscented_kalman import UnscentedKalman
from systems import InputError, Signal, System, discretize

STEPS = 25


def covariances_along(filter_, x_hat0, u, y):
    state, found = filter_.init(x_hat0), []
    for k in range(u.shape[1]):
        found.append(filter_.covariance(state))
        state = filter_.step(state, u[:, k], y[:, k])
    return np.stack(found, axis=1)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    ("kind", "tolerance"), [(ExtendedKalman, 1e-9), (UnscentedKalman, 1e-9), (MovingHorizon, 1e-6)]
)
def test_filter_is_the_kalman_filter_on_a_linear_plant(linear, kind, tolerance, missing):
    plant, a, b, c, noise = linear
    _, u, y, x_hat0 = drawn(a, b, c, noise, STEPS, 3, seed=4)
    if missing:
        y = np.where(np.random.default_rng(1).random(y.shape) < 0.3, np.nan, y)
    means, covers = textbook(a, b, c, noise, x_hat0, u, y)
    filter_ = kind(plant, noise)
    assert np.abs(filter_.run(x_hat0, u, y) - means).max() < tolerance
    assert np.abs(covariances_along(filter_, x_hat0, u, y) - covers).max() < tolerance


@pytest.mark.parametrize("kind", [ExtendedKalman, UnscentedKalman, MovingHorizon])
def test_a_measurement_that_comes_a_sample_late_is_seen(linear, kind):
    """The bar of the tests above is not met by y[k-1] or y[k+1] in the place of y[k]."""
    plant, a, b, c, noise = linear
    _, u, y, x_hat0 = drawn(a, b, c, noise, STEPS, 2, seed=4)
    means, _ = textbook(a, b, c, noise, x_hat0, u, y)
    for shift in (1, -1):
        late = kind(plant, noise).run(x_hat0, u, np.roll(y, shift, axis=1))
        assert np.abs(late - means)[:, 2:-2].max() > 1e-2


@pytest.mark.parametrize("horizon", [1, 2, 7, 60])
def test_moving_horizon_is_the_kalman_filter_at_any_horizon(linear, horizon):
    plant, a, b, c, noise = linear
    _, u, y, x_hat0 = drawn(a, b, c, noise, 15, 2, seed=5)
    means, _ = textbook(a, b, c, noise, x_hat0, u, y)
    assert np.abs(MovingHorizon(plant, noise, horizon).run(x_hat0, u, y) - means).max() < 1e-6


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2), st.integers(1, 3), st.integers(0, 10**6))
def test_kalman_filters_of_any_size_agree(nx, nu, ny, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((nx, nx))
    a /= max(1.0, np.abs(np.linalg.eigvals(a)).max())
    b, c = rng.standard_normal((nx, nu)), rng.standard_normal((ny, nx))
    root = rng.standard_normal((nx, max(1, nx - 1)))  # Q is singular: its factor must not need a Cholesky factorisation
    noise = Covariances(0.01 * root @ root.T, np.diag(rng.uniform(0.01, 1, ny)), np.diag(rng.uniform(0, 1, nx)))
    plant = linear_plant(a, b, c)
    _, u, y, x_hat0 = drawn(a, b, c, noise, 10, 2, seed)
    means, covers = textbook(a, b, c, noise, x_hat0, u, y)
    for kind in (ExtendedKalman, UnscentedKalman):
        filter_ = kind(plant, noise)
        assert np.abs(filter_.run(x_hat0, u, y) - means).max() < 1e-9 * (1 + np.abs(means).max())
        assert np.abs(covariances_along(filter_, x_hat0, u, y) - covers).max() < 1e-9 * (1 + covers.max())


def test_particle_filter_is_the_kalman_filter_within_its_monte_carlo_error(linear):
    """Errors shrink with 1/sqrt(N), and their mean over seeds is zero within its own standard error."""
    plant, a, b, c, noise = linear
    _, u, y, x_hat0 = drawn(a, b, c, noise, STEPS, 1, seed=6)
    means, covers = textbook(a, b, c, noise, x_hat0, u, y)
    seeds, rms = 12, []
    for count in (500, 8000):
        runs = np.stack([ParticleFilter(plant, noise, count, seed).run(x_hat0, u, y) for seed in range(seeds)])
        error = (runs - means)[:, :, 1:] / np.sqrt(np.diagonal(covers, axis1=2, axis2=3))[:, 1:]
        rms.append(np.sqrt(np.mean(error**2)))
        standard = error.mean(axis=0) / (error.std(axis=0, ddof=1) / np.sqrt(seeds))
        assert np.sqrt(np.mean(standard**2)) < 1.5  # Student's t of 11 degrees of freedom has a deviation of 1.1
    assert 2.8 < rms[0] / rms[1] < 5.7  # sixteen times the particles
    assert rms[1] < 0.1
    state = ParticleFilter(plant, noise, 20_000, 0).init(x_hat0)
    assert np.abs(ParticleFilter(plant, noise, 20_000, 0).covariance(state) - noise.p0).max() < 0.1


def test_steady_gain_solves_the_riccati_equation(linear):
    plant, a, _, c, noise = linear
    observer = SteadyKalman(plant, noise)
    p, k = observer.steady, observer.gain
    s = c @ p @ c.T + noise.r
    assert np.abs(a @ p @ a.T - a @ p @ c.T @ np.linalg.solve(s, c @ p @ a.T) + noise.q - p).max() < 1e-12
    assert np.abs(k @ s - p @ c.T).max() < 1e-12
    assert np.allclose(p, solve_discrete_are(a.T, c.T, noise.q, noise.r), rtol=1e-9)
    assert np.abs(np.linalg.eigvals(a - a @ k @ c)).max() < 1


def test_steady_gain_is_where_the_time_varying_filter_ends(linear):
    plant, a, b, c, noise = linear
    _, u, y, x_hat0 = drawn(a, b, c, noise, 200, 1, seed=2)
    means, covers = textbook(a, b, c, noise, x_hat0, u, y)
    observer = SteadyKalman(plant, noise)
    assert np.abs(observer.steady - covers[0, -1]).max() < 1e-10
    assert np.abs(observer.run(x_hat0, u, y)[:, 150:] - means[:, 150:]).max() < 1e-6


def test_what_cannot_be_seen_has_no_constant_gain():
    plant = linear_plant(np.diag([0.5, 1.1]), np.zeros((2, 0)), np.array([[1.0, 0.0]]))
    with pytest.raises(InputError, match="not detectable from y0"):
        SteadyKalman(plant, Covariances(np.eye(2), np.eye(1), np.eye(2)))


def test_covariances_must_fit(linear):
    plant, *_, noise = linear
    with pytest.raises(InputError, match=r"r has shape \(1, 1\); expected \(2, 2\)"):
        ExtendedKalman(plant, Covariances(noise.q, np.eye(1), noise.p0))
    with pytest.raises(InputError, match="r is not positive definite"):
        Covariances(noise.q, np.zeros((2, 2)), noise.p0)


def test_unscented_moments_of_a_square_are_exact():
    """x ~ N(m, P): E x^2 = m^2 + P and var x^2 = 4 m^2 P + 2 P^2, which kappa = 3 - n makes exact for one state."""
    system = System(
        name="square", kind="discrete", dt=1.0, states=[Signal("x", "", (-5.0, 5.0))], outputs=[Signal("y")],
        dynamics=lambda x: [x[0] ** 2], output=lambda x: [x[0]],
    )  # fmt: skip
    filter_ = UnscentedKalman(discretize(system), Covariances(np.zeros((1, 1)), np.eye(1), np.array([[0.3]])))
    state = filter_.step(filter_.init([[0.7]]), np.zeros((1, 0)), [[np.nan]])
    assert np.allclose(state.mean, 0.7**2 + 0.3) and np.allclose(
        filter_.covariance(state), 4 * 0.7**2 * 0.3 + 2 * 0.3**2
    )
