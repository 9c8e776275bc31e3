"""What every baseline keeps to. A name in ``BASELINES`` is tested by all of this."""

import numpy as np
import pytest

from observer import estimators as baselines
from observer.estimators import BASELINES, make
from systems import ALL_SYSTEMS, InputError, Signal, System, discretize, simulate
from systems.trajectories import draw_initial_states

TURN = 2 * np.pi
DETERMINISTIC = ("open_loop", "steady_kalman", "projection", "high_gain", "extended_kalman", "moving_horizon")
BOUNDED = ("extended_kalman", "unscented_kalman", "particle", "moving_horizon")  # covariance kept, limits kept


@pytest.fixture(scope="module")
def swing():
    """A pendulum with an angle, a limit, a known torque and a wind that the estimator must not see."""
    system = System(
        name="swing",
        states=[
            Signal("angle", "rad", (-3.0, 3.0), initial=(-1.0, 1.0), period=TURN),
            Signal("rate", "rad/s", (-4.0, 4.0), initial=(-1.0, 1.0), limits=(-4.5, 4.5)),
        ],
        inputs=[Signal("torque", "", (-1.0, 1.0)), Signal("wind", "", (-0.1, 0.3), role="disturbance")],
        outputs=[Signal("y", "rad", noise=0.01, period=TURN)],
        dynamics=lambda x, u: [x[1], -4 * np.sin(x[0]) - 0.3 * x[1] + u[0] + u[1]],
        output=lambda x: [x[0]],
        dt=0.05,
        duration=1.0,
    )
    return discretize(system)


@pytest.fixture(scope="module")
def trials(swing):
    data = simulate(swing, 4, seed=3, excitation={"wind": "constant"})
    return data, draw_initial_states(swing.system, 4, 11)


@pytest.fixture(scope="module", params=BASELINES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def estimator(name, swing):
    return make(name, swing)


def test_it_is_a_predictor(name, estimator, trials):
    """Row 0 is x_hat0, row k rests on y[..k-1]: a change of y[k] shows in row k+1 and nowhere before."""
    data, starts = trials
    x_hat = estimator.run(starts, data.u, data.y)
    assert np.abs(x_hat[:, 0] - starts).max() < 1e-12
    changed = data.y.copy()
    changed[:, 12] += 0.05
    other = estimator.run(starts, data.u, changed)
    assert np.array_equal(other[:, :13], x_hat[:, :13])
    assert (np.abs(other[:, 13] - x_hat[:, 13]).max() > 1e-6) == (name != "open_loop")


def test_it_is_batched_over_any_leading_dimensions(estimator, trials):
    data, starts = trials
    together = estimator.run(starts, data.u[:, :20], data.y[:, :20])
    alone = np.stack([estimator.run(starts[k], data.u[k, :20], data.y[k, :20]) for k in range(4)])
    folded = estimator.run(
        starts.reshape(2, 2, 2), data.u[:, :20].reshape(2, 2, 20, 2), data.y[:, :20].reshape(2, 2, 20, 1)
    )
    assert np.abs(together - alone).max() < 1e-9
    assert np.abs(folded.reshape(4, 20, 2) - together).max() < 1e-9
    one_start = estimator.run(starts[0], data.u[:, :20], data.y[:, :20])
    assert np.abs(one_start[0] - together[0]).max() < 1e-9


def test_a_state_is_a_value(estimator, trials):
    data, starts = trials
    state = estimator.init(starts)
    for k in range(12):
        state = estimator.step(state, data.u[:, k], data.y[:, k])
    before = estimator.estimate(state).copy()
    first = estimator.step(state, data.u[:, 12], data.y[:, 12])
    second = estimator.step(state, data.u[:, 12], data.y[:, 12])
    assert np.array_equal(estimator.estimate(state), before)
    assert np.array_equal(estimator.estimate(first), estimator.estimate(second))


def test_disturbances_are_not_seen(estimator, trials):
    data, starts = trials
    other = data.u.copy()
    other[..., 1] = 99.0
    assert np.array_equal(estimator.run(starts, data.u, data.y), estimator.run(starts, other, data.y))


def test_a_missing_measurement_says_nothing(name, estimator, trials, swing):
    data, starts = trials
    alone = estimator.run(starts, data.u, np.full_like(data.y, np.nan))
    assert np.isfinite(alone).all()
    if name in DETERMINISTIC:
        u = data.u.copy()
        u[..., 1] = 0.1  # the middle of the wind's range
        expected = swing.rollout(starts, u[:, :-1])
        assert np.abs(alone - expected).max() < 1e-6


def test_an_angle_is_the_same_a_turn_later(estimator, trials):
    data, starts = trials
    turned = data.y + TURN * np.arange(-1, 3)[:, None, None]
    assert np.abs(estimator.run(starts, data.u, turned) - estimator.run(starts, data.u, data.y)).max() < 1e-6


def test_covariance_is_one(name, estimator, trials):
    data, starts = trials
    state = estimator.init(starts)
    for k in range(8):
        state = estimator.step(state, data.u[:, k], data.y[:, k])
    p = estimator.covariance(state)
    if p is None:
        assert name in ("open_loop", "projection", "high_gain", "kkl")
    else:
        assert p.shape == (4, 2, 2)
        assert np.array_equal(p, np.swapaxes(p, -1, -2)) or np.allclose(p, np.swapaxes(p, -1, -2), atol=1e-15)
        assert np.linalg.eigvalsh(p).min() > 0
        innovation, s = estimator.innovation(state, data.u[:, 8], data.y[:, 8])
        assert innovation.shape == (4, 1) and s.shape == (4, 1, 1) and (s > 0).all()


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


@pytest.mark.parametrize("plant_name", ["box", "lorenz", "quadruple_tank"])
def test_it_converges_on_library_plants(name, plant_name, plants):
    """Every observer but the open loop forgets a wrong start; two of them are shown one that it does not know."""
    plant = plants[plant_name]
    data = simulate(plant, 3, duration=150 * plant.dt, seed=1)
    starts = draw_initial_states(plant.system, 3, 77)
    x_hat = make(name, plant).run(starts, data.u, data.y)
    error = np.abs(x_hat - data.x)[:, 100:] / np.ptp(plant.system.state_ranges, axis=1)
    before = np.abs(starts - data.x[:, 0]) / np.ptp(plant.system.state_ranges, axis=1)
    assert np.isfinite(error).all()
    if name != "open_loop":
        assert error.mean() < 0.3 * before.mean()


def test_a_name_or_a_knob_that_is_not_there_is_refused(swing):
    with pytest.raises(InputError, match="baseline is 'kalman'; expected one of open_loop"):
        make("kalman", swing)
    with pytest.raises(InputError, match="extended_kalman has no knob 'q'; expected some of q_angle, q_rate, r_y"):
        make("extended_kalman", swing, q=1.0)
    with pytest.raises(InputError, match=r"knob 'q_rate' is 0\.0; expected a positive number"):
        make("extended_kalman", swing, q_rate=0.0)


def test_knobs_are_where_they_may_be(name, swing):
    for knob in baselines.knobs(name, swing):
        assert knob.low <= knob.default <= knob.high
        for value in (knob.low, knob.high):
            make(name, swing, **{knob.name: value})
    assert baselines.label(name)


def test_a_large_plant_is_refused_by_what_cannot_serve_it():
    plant = discretize(ALL_SYSTEMS["reaction_diffusion"]())
    with pytest.raises(InputError, match="derivatives of so high an order"):
        make("high_gain", plant)
