"""Reference observers of fine-tuning: error dynamics against differences, proof against simulation, what a network makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from observer import certify, fine_tune, fit
from observer.estimators import make
from observer.fine_tuning.constant_gain import design
from observer.fine_tuning.descent import Anchor
from observer.fine_tuning.reference_observer import ReferenceObserver, best_reference, in_network_units
from observer.fine_tuning.rollouts import make_rollouts, make_sensing
from observer.fitting.linear_algebra.least_squares import pack, unpack
from observer.fitting.problem import to_samples
from systems import Signal, System, discretize, simulate
from systems.detectability import sample_jacobians
from systems.trajectories import Transitions

NOISE = 0.01


@pytest.fixture(scope="module")
def spring():
    """A spring with drag whose output is position: enough for a gain that noise wants low and wrong initial estimates want high."""
    plant = discretize(
        System(
            name="spring",
            states=[Signal("q", "m", (-1.2, 1.2), initial=(-0.5, 0.5)), Signal("w", "m/s", (-2, 2), initial=(-0.5, 0.5))],
            inputs=[Signal("u", "N", (-0.5, 0.5))],
            outputs=[Signal("y", "m", noise=NOISE)],
            dynamics=lambda x, u: [x[1], -2 * x[0] - 0.5 * x[1] * abs(x[1]) + u[0]],
            output=lambda x: [x[0]],
            dt=0.05,
        )
    )  # fmt: skip
    data = simulate(plant, 24, 8.0, seed=3, excitation="zero")  # what inputs do, simulations of it do not show
    return plant, data, fit(plant, data, neurons=6, settling_time=1.0, iterations=60, samples=400)


def rollouts_of(spring, count: int = 24):
    plant, data, fitted = spring
    return make_rollouts(
        plant, data, fitted.observer.scaling, make_sensing(plant, None, None, 0.0, 2.0), 80, count, (1, 2), 40
    )


def test_the_corners_enclose_the_slope_of_a_step(spring):
    """Differences of two estimates under one y: A (I - N C) - (G + T D) C with T between 0 and 1, at small and large innovations."""
    plant, _, fitted = spring
    rollouts, scaling = rollouts_of(spring), fitted.observer.scaling
    reference = ReferenceObserver(
        np.array([[0.2], [0.1]]), np.array([[0.1], [0.3]]), np.array([[-0.05], [0.2]]), np.array([0.05])
    )
    points = np.array([[0.3, 0.8, 0.1]])
    jacobians = in_network_units(plant, sample_jacobians(plant, fitted.region, points=points), rollouts)
    corners = reference.closed_loop(jacobians).a
    assert len(corners) == 2

    def step(x_hat: np.ndarray, nu0: float) -> np.ndarray:
        """The step at z = the point, with innovation nu0 there, moved by x_hat."""
        z = scaling.states(points[:, :2])
        c = jacobians.c[0]
        nu = np.array([nu0]) - c @ x_hat
        inside, after = reference.corrections(nu)
        zero, _ = reference.corrections(np.array([nu0]))
        x = (z + x_hat + inside - zero) * scaling.state_scale + scaling.state_centre
        return (scaling.states(plant.step(x, points[:, 2:])) + after)[0]

    for nu0, share in ((0.0, 1.0), (10.0, 0.0), (0.03, 1 - np.tanh(0.6) ** 2)):
        slope = np.stack([(step(1e-6 * e, nu0) - step(-1e-6 * e, nu0)) / 2e-6 for e in np.eye(2)], axis=1)
        np.testing.assert_allclose(slope, (1 - share) * corners[0] + share * corners[1], atol=1e-6)


def test_a_proved_observer_brings_any_two_estimates_together_at_its_rate(spring):
    """|dx+|_M <= alpha |dx|_M for pairs of estimates all over the region and any y."""
    plant, _, fitted = spring
    rollouts, scaling = rollouts_of(spring), fitted.observer.scaling
    found = design(plant, scaling, make_sensing(plant, None, None, 0.0, 2.0), 80)
    jacobians = in_network_units(plant, sample_jacobians(plant, fitted.region), rollouts)
    proved = best_reference(found, np.array([[1.0], [0.5]]), jacobians, rollouts, 0.99, 30)
    assert proved is not None
    reference, proof, loss = proved.observer, proved.proof, proved.loss
    assert proof.rate <= 0.99 and loss == pytest.approx(reference.loss(rollouts), rel=1e-12)
    assert best_reference(found, None, jacobians, rollouts, 0.5, 5) is None  # nothing that low a gain is that fast
    odd = jacobians.a.copy()
    odd[1] *= 2.0  # one that the search skips, and the proof may not
    assert best_reference(found, None, replace(jacobians, a=odd), rollouts, 0.99, 5) is None
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-0.6, 0.6, (2, 4000, 2))
    u, y = rng.uniform(-0.5, 0.5, (4000, 1)), rng.uniform(-0.6, 0.6, (4000, 1))

    def step(x_hat: np.ndarray) -> np.ndarray:
        inside, after = reference.corrections(y - rollouts.expected(x_hat, u))
        x = (x_hat + inside) * scaling.state_scale + scaling.state_centre
        return scaling.states(plant.step(x, u)) + after

    root = np.linalg.cholesky(proof.metric).T
    before, after = (np.linalg.norm(d @ root.T, axis=1) for d in (a - b, step(a) - step(b)))
    assert (after <= (proof.rate + 1e-6) * before).all()


def test_the_tuned_network_is_proved_and_as_little_disturbed_by_noise_as_the_steady_kalman_filter(spring):
    """From far initial estimates, with inputs that the data do not have, against the best gain of the steady Kalman filter."""
    plant, data, fitted = spring
    tuned = fine_tune(fitted, data, horizon=80, rollouts=60, iterations=30)
    assert tuned.options["start"] == "reference" and certify(tuned.observer, plant, residual=False).holds
    fresh = simulate(plant, 60, 4.0, seed=91, noise=True)
    initial = np.random.default_rng(5).uniform(-0.5, 0.5, (60, 2))

    def rms(observer) -> float:  # type: ignore[no-untyped-def]
        error = (observer.run(initial, fresh.u, fresh.y) - fresh.x) / np.ptp(plant.system.state_ranges, axis=1)
        return float(np.sqrt(np.mean(error[:, 40:] ** 2)))

    qs = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    kalman = min(rms(make("steady_kalman", plant, q_q=a, q_w=b, r_y=1.0)) for a in qs for b in qs)
    assert rms(fitted.observer) > 2 * kalman
    assert rms(tuned.observer) < 1.15 * kalman


def test_the_anchor_is_differentiated_right(spring):
    plant, data, fitted = spring
    x, u = data.x[:, 0], data.u[:, 0]
    samples = to_samples(
        plant, fitted.observer.scaling, Transitions(x, u + 0.2, plant.output(x, u), plant.step(x, u + 0.2))
    )
    anchor, network = Anchor(samples, samples, 7.0), fitted.observer.scaling.inverse().fold(fitted.observer.weights)
    network = replace(network, A=network.A + 0.1)
    theta = pack(network)
    gradient, hessian = anchor.normal_equations(network)
    rng = np.random.default_rng(0)
    for _ in range(4):
        d = rng.standard_normal(len(theta))
        low, high = (anchor.loss(unpack(theta + h * d, 2, 6, 2, "tanh")) / 2 for h in (-1e-6, 1e-6))
        assert (high - low) / 2e-6 == pytest.approx(gradient @ d, rel=1e-5)
    assert np.linalg.eigvalsh(hessian)[0] > -1e-9 * np.trace(hessian)
