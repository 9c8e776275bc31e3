"""An angle that turns through is an ordinary state: for the observer, its proofs, its trials and its files."""

import numpy as np
import pytest

from observer import certify, fit, validate
from observer.certification.local import LocalResidual
from observer.certification.running import running_envelope
from observer.estimators import ESTIMATORS, make
from observer.storage import load_observer, save_observer
from systems import InputError, Signal, System, discretize, simulate
from systems.angles import angles, wrap

TURN = 360.0


def driven(dt=0.05, **output):
    """A rotor in degrees, measured with another zero and in the other direction; its range is not centred."""
    return discretize(
        System(
            name="rotor",
            states=[
                Signal("a", "deg", (-100.0, 260.0), period=TURN),
                Signal("w", "rad/s", (-4.0, 8.0), initial=(0.0, 6.0)),
            ],
            inputs=[Signal("u", "", (0.0, 5.0), excitation="steps")],
            outputs=[Signal("y", "deg", **{"period": TURN, "noise": 0.2, **output})],
            dynamics=lambda x, u: [
                57.29577951308232 * x[1],
                -2 * np.sin(0.017453292519943295 * x[0]) - 0.8 * x[1] + u[0],
            ],
            output=lambda x: [30 - x[0]],
            dt=dt,
            duration=6.0,
        )
    )


@pytest.fixture(scope="module")
def fitted():
    plant = driven()
    return fit(plant, simulate(plant, 20, seed=0), neurons=4, iterations=12, settling_time=1.0, samples=600)


@pytest.fixture(scope="module")
def proof(fitted):
    return certify(fitted.observer, work=0.05)


@pytest.fixture(scope="module")
def motion(fitted):
    data = simulate(fitted.observer.plant, 12, 6.0, seed=5)
    assert np.ptp(data.x[:, :, 0], axis=1).max() > 3 * TURN
    return data


def test_the_estimates_are_those_of_a_wrapped_log(fitted, motion):
    observer, first = fitted.observer, np.array([100.0, 1.0])
    plain = observer.run(first, motion.u, motion.y)
    for told in (np.mod(motion.y, TURN), np.mod(motion.y + 180, TURN) - 180, motion.y + 11 * TURN):
        np.testing.assert_allclose(observer.run(first, motion.u, told), plain, atol=1e-9)
    shifted = observer.run(first + np.array([3 * TURN, 0]), motion.u, np.mod(motion.y, TURN))
    np.testing.assert_allclose(shifted, plain + np.array([3 * TURN, 0]), atol=1e-9)


def test_run_is_the_loop_of_steps(fitted, motion):
    observer, u, y = fitted.observer, motion.u[:, :60], np.mod(motion.y[:, :60], TURN)
    first = motion.x[:, 0] + [40.0, -1.0]
    found, state, bare = [], observer.init(first), first
    for k in range(60):
        found.append(observer.estimate(state))
        np.testing.assert_allclose(bare, found[-1], atol=1e-9)
        state, bare = observer.step(state, u[:, k], y[:, k]), observer.step(bare, u[:, k], y[:, k])
    np.testing.assert_allclose(observer.run(first, u, y), np.stack(found, axis=1), atol=1e-9)


def test_estimates_under_the_same_measurements_contract(fitted, motion, rng):
    """From anywhere, also many turns away: the metric is that of the cover."""
    observer = fitted.observer
    root, rate = np.linalg.cholesky(observer.metric), certify(observer, residual=False).rate
    state = observer.init(motion.x[:, 0] + rng.normal(size=(12, 2)) * [50, 3])
    other = state + np.concatenate([rng.normal(size=(12, 2)) * [900, 20], np.zeros((12, 1))], axis=1)
    for k in range(40):
        before = np.linalg.norm((state - other)[:, :2] @ root, axis=1)
        state, other = (observer.step(s, motion.u[:, k], np.mod(motion.y[:, k], TURN)) for s in (state, other))
        assert (np.linalg.norm((state - other)[:, :2] @ root, axis=1) <= rate * before * (1 + 1e-6) + 1e-9).all()


def test_a_first_error_beyond_half_a_turn_is_the_same_angle_on_another_branch(fitted, motion):
    x_hat = fitted.observer.run(motion.x[:, 0] + [300.0, 2.0], motion.u, np.mod(motion.y, TURN))
    error = x_hat - motion.x
    np.testing.assert_allclose(error[:, -1, 0], TURN, atol=0.01 * TURN)
    assert np.abs(wrap(error, np.array([TURN, np.nan]))[:, 60:]).max() < 0.5


def test_gaps_are_bridged_by_the_prediction(fitted, motion):
    """A lost sample, and a gap of more than a turn."""
    y = np.mod(motion.y, TURN)
    y[:, 30], y[:, 40:75] = np.nan, np.nan
    x_hat = fitted.observer.run(motion.x[:, 0] + [20.0, 1.0], motion.u, y)
    assert np.abs(np.diff(motion.x[:, 40:75, 0], axis=1).sum(axis=1)).max() > TURN
    assert np.abs(wrap(x_hat - motion.x, np.array([TURN, np.nan]))[:, -20:]).max() < 0.5


def test_every_estimator_follows_the_turns(fitted, motion):
    plant = fitted.observer.plant
    for name in set(ESTIMATORS) - {"open_loop", "particle", "moving_horizon", "kkl", "high_gain"}:
        estimator = make(name, plant)
        first = motion.x[:, 0] + [20.0, 1.0]
        plain, told = (estimator.run(first, motion.u, y) for y in (motion.y, np.mod(motion.y, TURN)))
        np.testing.assert_allclose(wrap(told - plain, np.array([TURN, np.nan])), 0, atol=1e-6)
        assert np.abs(wrap(told - motion.x, np.array([TURN, np.nan]))[:, 90:]).max() < 2


def test_the_residual_is_proved_over_one_turn_and_holds_in_all(fitted, proof, rng):
    observer, plant = fitted.observer, fitted.observer.plant
    bounds = proof.bounds
    known = angles(plant.system)
    assert bounds.proved and bounds.settled is None and bounds.horizon is None and "turns through" in bounds.reason
    np.testing.assert_allclose(np.ptp(bounds.region.box[0]), TURN + 2 * known.margin[0])
    low, high = bounds.region.box.T
    points = rng.uniform(low, high, (4000, 3)) + rng.integers(-9, 9, (4000, 1)) * np.array([TURN, 0, 0])
    x, u = points[:, :2], points[:, 2:]
    y = np.mod(plant.output(x, u), TURN)
    r = np.linalg.norm((observer.step(x, u, y) - plant.step(x, u)) @ np.linalg.cholesky(observer.metric), axis=1)
    assert 0.3 * bounds.proofs[0].residual.lower < r.max() <= bounds.proofs[0].residual.upper


def test_trials_pass_and_stay_in_the_region(fitted):
    check = validate(fitted.observer, trials=40, duration=4.0)
    assert check.verdict == "pass" and check.in_region.all() and not check.diverged.any()


def test_the_running_set_holds_the_plant_on_its_branch(fitted, proof, motion):
    observer = fitted.observer
    first = motion.x[:, 0] + [60.0, 2.0]
    now = running_envelope(observer, proof, first, [100.0, 4.0], disturbance=0.0)
    for k in range(100):
        assert now.holds(motion.x[:, k]).all()
        now = now.step(motion.u[:, k], np.mod(motion.y[:, k], TURN))
    assert now.half_widths[:, 0].max() < 20
    gone = now.step(motion.u[:, 100], np.full((12, 1), np.nan))
    assert np.isinf(gone.eta).all() == (now.half_widths[:, 0] > angles(observer.system).margin[0]).all()


def test_a_local_bound_holds_across_the_seam_of_the_turn(fitted, proof, rng):
    observer, plant = fitted.observer, fitted.observer.plant
    local = LocalResidual(observer, plant, proof.bounds, cells=400)
    M, gain = local.proof.contraction.metric, local.proof.contraction.state_gain
    x_hat = np.stack([rng.uniform(-130, -80, 200) + TURN * rng.integers(0, 2, 200), rng.uniform(-3, 7, 200)], axis=1)
    eta = rng.uniform(5, 60, 200) / gain[0]
    v = rng.normal(size=(200, 300, 2))
    v *= (eta[:, None] / np.sqrt(np.einsum("abi,ij,abj->ab", v, M, v)))[..., None] * rng.random((200, 300, 1))
    x = x_hat[:, None] + v
    u = rng.uniform(0, 5, (200, 300, 1))
    r = observer.step(x, u, plant.output(x, u)) - plant.step(x, u)
    size = np.sqrt(np.einsum("abi,ij,abj->ab", r, M, r))
    there = (x[..., 1] >= local.box[1, 0]) & (x[..., 1] <= local.box[1, 1])
    assert (np.where(there, size, 0.0).max(axis=1) <= local(x_hat, eta) * (1 + 1e-9)).all()
    assert local(np.array([80.0, 2.0]), 1e-3 / gain[0]) < local.proof.before.upper


def test_a_stored_observer_turns_as_before(fitted, motion, tmp_path):
    save_observer(tmp_path / "observer.safetensors", fitted.observer)
    again = load_observer(tmp_path / "observer.safetensors", fitted.observer.plant)
    first = motion.x[:, 0]
    np.testing.assert_array_equal(again.run(first, motion.u, motion.y), fitted.observer.run(first, motion.u, motion.y))


def test_a_plant_that_turns_too_fast_for_its_samples_is_refused():
    plant = driven(dt=0.5)
    with pytest.raises(InputError, match=r"'a' turns by .* of its period in one sample .* take a dt below 0.41 s"):
        fit(plant, simulate(plant, 4, seed=0), neurons=0)


def test_an_angle_that_goes_round_in_spite_of_its_range_is_refused():
    system = driven().system.with_states(a={"range": (-50.0, 150.0)})
    plant = discretize(system)
    with pytest.raises(InputError, match=r"give it the range of a full turn, \(-130, 230\)"):
        fit(plant, simulate(plant, 8, seed=0), neurons=0)
