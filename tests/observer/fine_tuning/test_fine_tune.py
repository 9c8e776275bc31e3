"""Fine-tuning: the Kalman predictor where theory knows the answer, and the proof, the best and the seed kept elsewhere."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_are

from observer import Progress, certify, fine_tune, fit
from observer.fine_tuning.constant_gain import design, gain_losses
from observer.fine_tuning.metric import centre
from observer.fine_tuning.rollouts import make_rollouts, make_sensing
from observer.fine_tuning.sensitivities import normal_equations, sensitivities
from observer.fitting.linear_algebra import barrier
from systems import InputError, Signal, System, discretize, simulate

A = np.array([[0.95, 0.2], [-0.15, 0.93]])
NOISE, DISTURBANCE = 0.1, 0.1
TUNING = {"noise": 0.05, "bias": 0.01, "dropout": 0.1, "horizon": 30, "rollouts": 24, "iterations": 12}


def with_curved_output() -> System:
    """A pendulum-like plant whose output is curved, so that a missing y has a slope of its own."""
    return System(
        name="curved",
        states=[Signal("x1", "", (-1.5, 1.5), initial=(-1, 1)), Signal("x2", "", (-2, 2), initial=(-1, 1))],
        inputs=[Signal("u", "", (-1, 1))],
        outputs=[Signal("y", "", noise=0.05)],
        dynamics=lambda x, u: [x[1], -np.sin(x[0]) - 0.3 * x[1] + u[0]],
        output=lambda x: [x[0] + 0.2 * x[0] ** 3],
        dt=0.1,
    )


@pytest.fixture(scope="module")
def curved():
    plant = discretize(with_curved_output())
    data = simulate(plant, 24, 8.0, seed=3)
    return plant, data, fit(plant, data, neurons=4, settling_time=2.0, iterations=60, samples=400)


def network_of(fitted, rate: float):
    """Network, centred metric and multipliers in network units."""
    observer, size = fitted.observer, fitted.observer.scaling.state_scale
    network = observer.scaling.inverse().fold(observer.weights)
    return network, *centre(network, observer.metric * np.outer(size, size), observer.multipliers, rate)


@pytest.fixture(scope="module")
def rollouts(curved):
    plant, data, fitted = curved
    sensing = make_sensing(plant, 0.05, 0.02, 0.2, 1.0)
    return make_rollouts(plant, data, fitted.observer.scaling, sensing, 12, 5, (1, 2), skip=3)


def test_on_a_linear_plant_it_finds_the_kalman_predictor():
    """Disturbed at every sample and measured with noise, nothing beats the Kalman predictor; the tuned one comes close."""
    system = System(
        name="linear", kind="discrete",
        states=[Signal("x1", "", (-2, 2)), Signal("x2", "", (-2, 2))],
        inputs=[Signal("w", "", (-DISTURBANCE, DISTURBANCE), role="disturbance")],
        outputs=[Signal("y", "", noise=NOISE)],
        dynamics=lambda x, u: [A[0, 0] * x[0] + A[0, 1] * x[1], A[1, 0] * x[0] + A[1, 1] * x[1] + u[0]],
        output=lambda x: [x[0]], dt=1.0,
    )  # fmt: skip
    plant = discretize(system)

    def simulated(count: int, seed: int, noise: bool):
        w = np.random.default_rng(seed).uniform(-DISTURBANCE, DISTURBANCE, (count, 201, 1))
        return simulate(plant, count, 200.0, seed, u=w, noise=noise)

    data = simulated(60, 0, False)
    fitted = fit(plant, data, neurons=0)
    tuned = fine_tune(fitted, data, horizon=60, rollouts=300, iterations=60)
    test = simulated(200, 77, True)
    c = np.array([[1.0, 0.0]])
    p = solve_discrete_are(A.T, c.T, np.diag([0.0, DISTURBANCE**2 / 3]), np.array([[NOISE**2]]))
    gain = A @ p @ c.T / (c @ p @ c.T + NOISE**2)
    kalman = np.zeros_like(test.x)
    for k in range(200):
        kalman[:, k + 1] = kalman[:, k] @ A.T + (test.y[:, k] - kalman[:, k] @ c.T) @ gain.T

    def rms(x_hat: np.ndarray) -> float:
        return float(np.sqrt(np.mean((x_hat - test.x)[:, 60:] ** 2)))

    best = rms(kalman)
    assert best == pytest.approx(float(np.sqrt(np.trace(p) / 2)), rel=0.03)  # the reference is the optimum
    before, after = (rms(f.observer.run(np.zeros((200, 2)), test.u, test.y)) for f in (fitted, tuned))
    assert before > 1.3 * best
    assert after < 1.02 * best


def test_the_proof_is_kept_at_the_slower_bound(curved):
    plant, data, fitted = curved
    tuned = fine_tune(fitted, data, **TUNING)
    proof = certify(tuned.observer, plant)
    assert proof.holds and proof.rate <= tuned.observer.contraction_rate + 1e-9
    assert tuned.observer.contraction_rate >= fitted.observer.contraction_rate
    asked = fine_tune(fitted, data, contraction_rate=0.93, **TUNING)
    proof = certify(asked.observer, plant)
    assert proof.holds and proof.rate <= 0.93 + 1e-9 and asked.observer.contraction_rate == 0.93
    from observer.networks.ren.contracting import ContractingREN

    ren = ContractingREN.from_direct(asked.observer.direct, contraction_rate=0.93, eps=asked.observer.eps)
    again = asked.observer.scaling.fold(ren.explicit().to_numpy())
    for name, value in asked.observer.weights.weights().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-7, atol=1e-7)


def test_it_is_better_under_noise_and_the_reported_losses_are_those_of_the_observers(curved):
    """Held-out loss recomputed through ``RENObserver.run`` on fresh noise."""
    plant, data, fitted = curved
    tuned = fine_tune(fitted, data, **(TUNING | {"rollouts": 100, "iterations": 30}))
    assert tuned.options["simulation_loss"] < 0.7 * tuned.options["simulation_loss_before"]
    fresh = simulate(plant, 200, 3.0, seed=91)
    rng = np.random.default_rng(5)
    sensing = make_sensing(plant, TUNING["noise"], TUNING["bias"], TUNING["dropout"], 1.0)
    y, start = sensing.measured(fresh.y, rng), sensing.initial_estimates(plant, fresh.x[:, 0], rng)
    for result, name in ((tuned, "simulation_loss"), (fitted, "simulation_loss_before")):
        error = (result.observer.run(start, fresh.u, y) - fresh.x) / fitted.observer.scaling.state_scale
        loss = float(np.mean(np.sum(error[:, 16:] ** 2, axis=2)))
        assert loss == pytest.approx(tuned.options[name], rel=0.35)


def test_never_worse_than_what_it_started_from(curved, monkeypatch):
    """A solver that ruins the observer is answered with the fitted one."""
    from observer.fine_tuning import fine_tune as module

    _, data, fitted = curved
    monkeypatch.setattr(module.Descent, "step", _ruined)
    monkeypatch.setattr(module, "find_reference", lambda *_: None)
    tuned = fine_tune(fitted, data, **TUNING)
    assert tuned.observer is fitted.observer and "was kept" in tuned.warnings[-1]
    assert tuned.options["simulation_loss"] == tuned.options["simulation_loss_before"]
    assert tuned.observer.contraction_rate == fitted.observer.contraction_rate


def _ruined(self, state):
    from dataclasses import replace

    theta = 0.5 * state.point.theta
    point = replace(state.point, theta=theta, iteration=state.point.iteration + 1)
    return self.judged(replace(state, point=point, held_out=self.held_out_loss(self.network(theta))))


def test_same_seed_same_observer_and_a_resumed_one_ends_as_an_unbroken_one(curved, tmp_path):
    _, data, fitted = curved
    whole, path, calls = fine_tune(fitted, data, **TUNING), tmp_path / "checkpoint.npz", 0

    def stop(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt

    first = fine_tune(fitted, data, progress=stop, checkpoint=path, **TUNING)
    assert first.status == "interrupted" and first.iterations < whole.iterations
    resumed = fine_tune(fitted, data, checkpoint=path, **TUNING)
    for name, value in whole.observer.weights.weights().items():
        np.testing.assert_array_equal(getattr(resumed.observer.weights, name), value)
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])


def test_sensitivities_are_those_of_autograd(curved, rollouts):
    """The loss rebuilt in torch, with h of a missing y inside the graph; gradient by backpropagation through time."""
    _, _, fitted = curved
    network, _, _ = network_of(fitted, 0.95)
    scaling = rollouts.scaling
    ren = network.to_torch()
    for name in ("A", "B1", "C1", "D11", "B2", "bx", "D12", "bv"):
        getattr(ren, name).requires_grad_()
    size, middle = (torch.from_numpy(a) for a in (scaling.state_scale, scaling.state_centre))
    x_hat, total = torch.from_numpy(rollouts.initial), 0.0
    for k in range(rollouts.steps):
        x1 = (x_hat * size + middle)[:, :1]
        expected = (x1 + 0.2 * x1**3 - scaling.input_centre[1]) / scaling.input_scale[1]
        v = torch.from_numpy(rollouts.v[:, k])
        y = torch.where(torch.isnan(v[:, 1:]), expected, torch.nan_to_num(v[:, 1:]))
        x_hat = ren.next_state(x_hat, torch.cat([v[:, :1], y], dim=1), kernel="reference")
        if k >= rollouts.skip:
            total = total + (x_hat - torch.from_numpy(rollouts.x[:, k + 1])).square().sum()
    loss = total / (2 * len(rollouts.x) * (rollouts.steps - rollouts.skip))
    loss.backward()
    assert np.isnan(rollouts.v).any() and loss.item() == pytest.approx(rollouts.loss(network) / 2, rel=1e-12)
    grads = {name: getattr(ren, name).grad.numpy() for name in ("A", "B1", "C1", "D11", "B2", "bx", "D12", "bv")}
    rows, columns = np.tril_indices(network.nv, -1)
    expected = [grads["A"], grads["B1"], grads["C1"], grads["D11"][rows, columns], grads["B2"], grads["bx"]]
    expected = np.concatenate([g.ravel() for g in [*expected, grads["D12"], grads["bv"]]])
    gradient, hessian = normal_equations(network, rollouts)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    _, s = sensitivities(network, rollouts)
    s = s[:, :, rollouts.skip :].reshape(len(s), -1)
    np.testing.assert_allclose(hessian, s @ s.T / (s.shape[1] / 2), rtol=1e-9, atol=1e-12)


def test_a_missing_measurement_is_replaced_as_the_observer_does_it(curved, rollouts):
    """``Rollouts.estimates`` in network units against ``RENObserver.run`` with nan in physical units."""
    _, _, fitted = curved
    network, _, _ = network_of(fitted, 0.95)
    scaling = rollouts.scaling
    v = rollouts.v * scaling.input_scale + scaling.input_centre
    pad = np.full((len(v), 1, 1), np.nan)
    u = np.concatenate([rollouts.u, rollouts.u[:, -1:]], axis=1)
    x_hat = fitted.observer.run(
        rollouts.initial * scaling.state_scale + scaling.state_centre, u, np.concatenate([v[:, :, 1:], pad], axis=1)
    )
    np.testing.assert_allclose(rollouts.estimates(network)[0], scaling.states(x_hat), atol=1e-10)


def test_the_metric_is_centred_without_touching_the_rate(curved):
    """At the centre no direction within tr M = const raises log det Q."""
    _, _, fitted = curved
    network, metric, multipliers = network_of(fitted, 0.95)
    metric, multipliers = centre(network, metric, multipliers, 0.95, steps=60)

    def value(m: np.ndarray, lam: np.ndarray) -> float:
        scale = np.trace(metric) / np.trace(m)
        factored = barrier.factor(network, scale * m, scale * lam, 0.95)
        return barrier.logdet(factored[1]) if factored is not None else -np.inf

    best, rng = value(metric, multipliers), np.random.default_rng(0)
    for _ in range(30):
        d = rng.standard_normal(metric.shape)
        assert (
            value(metric + 1e-3 * metric.min() * (d + d.T), multipliers * np.exp(1e-2 * rng.standard_normal(4))) < best
        )


def test_a_constant_gain_is_simulated_as_the_observer_it_is(curved, rollouts):
    """Zero gain is the plant's own model; on true starts it makes no error at all."""
    plant, _, fitted = curved
    from dataclasses import replace

    exact = replace(rollouts, initial=rollouts.x[:, 0])
    assert gain_losses(np.zeros((1, 2, 1)), exact) < 1e-20
    found = design(plant, fitted.observer.scaling, make_sensing(plant, 0.05, None, 0.0, 1.0), 100)
    gain = found.gain()
    assert found.rate(gain) < 1
    right, wild = gain_losses(np.stack([gain, 10 * gain]), rollouts)
    assert right < wild


@pytest.mark.parametrize(
    "options, words",
    [
        ({"noise": [0.1, 0.2]}, ["noise", "one number, or 1"]),
        ({"noise": "loud"}, ["noise", "one number"]),
        ({"noise": -1.0}, ["noise", "0 or more"]),
        ({"dropout": 1.0}, ["dropout", "below 1"]),
        ({"skip": 1.0}, ["skip", "below 1"]),
        ({"horizon": 4000}, ["4001 complete samples", "shorten horizon"]),
        ({"contraction_rate": 0.3}, ["contraction_rate", "certified at", "new fit"]),
        ({"contraction_rate": 1.0}, ["contraction_rate", "below 1"]),
        ({"budget": -1.0}, ["budget", "positive"]),
    ],
)
def test_unusable_arguments_are_refused_with_what_to_do(options, words, curved):
    _, data, fitted = curved
    with pytest.raises(InputError) as caught:
        fine_tune(fitted, data, **options)
    assert all(word in str(caught.value) for word in words), caught.value


def test_without_any_noise_there_is_nothing_to_tune_for(plants):
    with pytest.raises(InputError, match="nothing to tune for; give noise"):
        make_sensing(plants["box"], None, None, 0.0, 1.0)
