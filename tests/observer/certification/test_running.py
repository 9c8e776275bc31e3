"""The running envelope: the state of the plant stays in the set, with noise, missing samples and local bounds."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_envelope import certificate, proof

from observer.certification.accuracy import residual
from observer.certification.contraction import contraction_rate, input_gain
from observer.certification.running import open_loop_growth, running_envelope
from observer.networks.ren.explicit import ExplicitREN
from observer.state_observer import RENObserver, StateObserver
from systems import Signal, System, discretize
from systems.base.errors import InputError

DT = 0.1


def plant_and_observer(output=lambda x: [x[0]]):
    """A damped pendulum of which the observer knows a linear model, with a gain that makes it contract."""
    system = System(
        name="swing",
        states=[Signal("angle", "rad", (-1.0, 1.0)), Signal("rate", "rad/s", (-1.0, 1.0))],
        inputs=[Signal("torque", "N m", (-1.0, 1.0))],
        outputs=[Signal("y", "rad")],
        dynamics=lambda x, u: [x[1], -x[0] + 0.1 * x[0] ** 3 - 0.3 * x[1] + u[0]],
        output=output,
        dt=DT,
    )
    plant = discretize(system)
    x = np.zeros((1, 2))
    A, B = (part[0] for part in plant.jacobian(x, np.zeros((1, 1))))
    L = np.array([[0.6], [0.5]])
    none = np.zeros((2, 0))
    weights = ExplicitREN.with_identity_output(
        A - L @ np.array([[1.0, 0.0]]), none, np.hstack([B, L]), none.T, np.zeros((0, 0)), np.zeros((0, 2)), np.zeros(2),
        np.zeros(0),
    )  # fmt: skip
    M = np.diag([1.0, 1.0])
    for _ in range(200):  # the metric of that linear error, a little slower than its own rate
        M = np.eye(2) + weights.A.T @ M @ weights.A / 0.9**2
    rate = contraction_rate(weights, M, np.zeros(0))
    assert rate < 1
    parts = SimpleNamespace(weights=weights, metric=M, multipliers=np.zeros(0), plant=plant)
    return plant, _Stepped(parts), M, rate


class _Stepped:
    """The step of a RENObserver around plain weights."""

    def __init__(self, parts):
        vars(self).update(vars(parts))

    step = RENObserver.step
    init = StateObserver.init
    estimate = StateObserver.estimate
    system = RENObserver.system


def made(rho_share=1.0):
    plant, observer, M, rate = plant_and_observer()
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (20000, 3))
    r = residual(observer, plant, z[:, :2], z[:, 2:])
    rho = float(np.sqrt(np.einsum("ki,ij,kj->k", r, M, r)).max()) * 1.05 * rho_share
    gain = input_gain(observer.weights, M, np.zeros(0), [1])
    c = certificate(proof(M, rate, rho, gain_y=gain, multipliers=np.zeros(0)))
    return plant, observer, M, rate, rho, gain, c


def simulate(plant, observer, c, *, missing=0.0, noise=0.0, x0, h, steps=120, seed=1, **options):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-0.4, 0.4, (x0, 2))
    guess = x + h * rng.choice([-1.0, 1.0], (x0, 2))
    now = running_envelope(observer, c, guess, h, noise=noise, **options)
    for _ in range(steps):
        assert now.holds(x).all()
        assert (np.abs(x - now.estimate) <= now.half_widths * (1 + 1e-9)).all()
        u = 0.2 * rng.uniform(-1, 1, (x0, 1))
        y = plant.output(x, u) + noise * rng.choice([-1.0, 1.0], (x0, 1))
        y = np.where(rng.random((x0, 1)) < missing, np.nan, y)
        now, x = now.step(u, y), plant.step(x, u)
        assert np.abs(x).max() < 1
    return now


def test_the_state_stays_in_the_set_with_noise_and_missing_samples():
    plant, observer, *_, c = made()
    for missing, noise in ((0.0, 0.0), (0.0, 0.05), (0.3, 0.0), (0.3, 0.05), (1.0, 0.0)):
        simulate(plant, observer, c, missing=missing, noise=noise, x0=40, h=np.array([0.1, 0.2]))


def test_the_radius_by_hand():
    _plant, observer, M, rate, rho, gain, c = made()
    now = running_envelope(observer, c, np.zeros(2), [0.1, 0.0], noise=0.02, disturbance=0.003)
    start = 0.1 * np.sqrt(M[0, 0])
    assert_allclose(now.eta, start)
    after = now.step(np.zeros(1), np.zeros(1))
    assert_allclose(after.eta, rate * start + rho + gain * 0.02 + 0.003)
    assert_allclose(after.half_widths, after.eta * np.sqrt(np.diag(np.linalg.inv(M))))
    growth = open_loop_growth(observer, M, np.zeros(0), np.array([True]))
    lost = now.step(np.zeros(1), np.array([np.nan]))
    assert_allclose(lost.eta, growth * start + rho + 0.003)  # no measurement, no noise
    closed = observer.weights.A + observer.weights.B2[:, 1:] @ np.array([[1.0, 0.0]])
    root = np.linalg.cholesky(M).T
    assert growth == pytest.approx(np.linalg.norm(root @ closed @ np.linalg.inv(root), 2))  # linear: exact
    x_hat, eta, widths = now.run(np.zeros((5, 1)), np.zeros((5, 1)))
    assert x_hat.shape == widths.shape == (5, 2) and eta.shape == (5,) and eta[1] == after.eta


def test_a_local_bound_makes_the_set_smaller_and_is_never_above_the_region():
    plant, observer, _M, _rate, rho, _gain, c = made()
    small = simulate(plant, observer, c, x0=10, h=np.array([0.1, 0.2]), local=lambda x, eta, u: np.full(len(x), rho))
    large = simulate(plant, observer, c, x0=10, h=np.array([0.1, 0.2]), local=lambda x, eta, u: np.full(len(x), 9.0))
    assert_allclose(small.eta, large.eta)
    half = running_envelope(observer, c, np.zeros((1, 2)), 0.1, local=lambda x, eta, u: 0.5 * rho * np.ones(1))
    whole = running_envelope(observer, c, np.zeros((1, 2)), 0.1)
    assert_allclose(
        whole.step(np.zeros((1, 1)), np.zeros((1, 1))).eta - half.step(np.zeros((1, 1)), np.zeros((1, 1))).eta, rho / 2
    )


def test_too_small_a_bound_is_seen_to_fail():
    """The check itself: with a hundredth of the residual the state leaves the set."""
    plant, observer, *_, c = made(0.01)
    with pytest.raises(AssertionError):
        simulate(plant, observer, c, x0=40, h=np.array([1e-4, 1e-4]))


def test_what_cannot_be_said_is_refused():
    _plant, observer, _M, *_, c = made()
    with pytest.raises(InputError, match="no running envelope: the certificate proves no bound"):
        running_envelope(observer, certificate(kind="statistical"), np.zeros(2), 0.1)
    with pytest.raises(InputError, match="expected finite numbers, not below 0"):
        running_envelope(observer, c, np.zeros(2), -0.1)
    bent = plant_and_observer(output=lambda x: [x[0] + 0.1 * x[0] ** 3])[1]
    with pytest.raises(InputError, match="h is not linear in x"):
        running_envelope(bent, c, np.zeros(2), 0.1).step(np.zeros(1), np.array([np.nan]))
