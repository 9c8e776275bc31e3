"""What every estimator keeps to: one suite, for the family and for whoever joins it."""

import numpy as np
import pytest

from observer.estimators import label, make, tuning_parameters
from observer.estimators.gaussian import GaussianFilter
from systems import simulate
from systems.trajectories import draw_initial_states

TURN = 2 * np.pi
NOT_THE_MODEL = (
    "unscented_kalman",
    "particle",
    "kkl",
)  # without measurements these do not follow the model's own trajectory


class EstimatorContract:
    """A test file with a fixture ``name`` inherits this; ``estimator`` and the plants come from conftest."""

    def test_it_is_a_predictor(self, name, estimator, trials):
        """Row 0 is x_hat0, row k rests on y[..k-1]: a change of y[k] shows in row k+1 and nowhere before."""
        data, starts = trials
        x_hat = estimator.run(starts, data.u, data.y)
        assert np.abs(x_hat[:, 0] - starts).max() < 1e-12
        changed = data.y.copy()
        changed[:, 12] += 0.05
        other = estimator.run(starts, data.u, changed)
        assert np.array_equal(other[:, :13], x_hat[:, :13])
        assert (np.abs(other[:, 13] - x_hat[:, 13]).max() > 1e-6) == (name != "open_loop")

    def test_it_is_batched_over_any_leading_dimensions(self, estimator, trials):
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

    def test_a_state_is_a_value(self, estimator, trials):
        data, starts = trials
        state = estimator.init(starts)
        for k in range(12):
            state = estimator.step(state, data.u[:, k], data.y[:, k])
        before = estimator.estimate(state).copy()
        first = estimator.step(state, data.u[:, 12], data.y[:, 12])
        second = estimator.step(state, data.u[:, 12], data.y[:, 12])
        assert np.array_equal(estimator.estimate(state), before)
        assert np.array_equal(estimator.estimate(first), estimator.estimate(second))

    def test_disturbances_are_not_seen(self, estimator, trials):
        data, starts = trials
        other = data.u.copy()
        other[..., 1] = 99.0
        assert np.array_equal(estimator.run(starts, data.u, data.y), estimator.run(starts, other, data.y))

    def test_a_missing_measurement_says_nothing(self, name, estimator, trials, swing):
        data, starts = trials
        alone = estimator.run(starts, data.u, np.full_like(data.y, np.nan))
        assert np.isfinite(alone).all()
        if name not in NOT_THE_MODEL:
            u = data.u.copy()
            u[..., 1] = 0.1  # the middle of the wind's range
            expected = swing.rollout(starts, u[:, :-1])
            assert np.abs(alone - expected).max() < 1e-6

    def test_an_angle_is_the_same_a_turn_later(self, estimator, trials):
        data, starts = trials
        turned = data.y + TURN * np.arange(-1, 3)[:, None, None]
        assert np.abs(estimator.run(starts, data.u, turned) - estimator.run(starts, data.u, data.y)).max() < 1e-6

    def test_covariance_is_one(self, estimator, trials):
        data, starts = trials
        state = estimator.init(starts)
        for k in range(8):
            state = estimator.step(state, data.u[:, k], data.y[:, k])
        p = estimator.covariance(state)
        assert (p is not None) == isinstance(estimator, GaussianFilter)
        if p is not None:
            assert p.shape == (4, 2, 2)
            assert np.array_equal(p, np.swapaxes(p, -1, -2)) or np.allclose(p, np.swapaxes(p, -1, -2), atol=1e-15)
            assert np.linalg.eigvalsh(p).min() > 0
            innovation, s = estimator.innovation(state, data.u[:, 8], data.y[:, 8])
            assert innovation.shape == (4, 1) and s.shape == (4, 1, 1) and (s > 0).all()

    @pytest.mark.parametrize("plant_name", ["box", "lorenz", "quadruple_tank"])
    def test_it_converges_on_library_plants(self, name, plant_name, plants):
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

    def test_tuning_parameters_are_where_they_may_be(self, name, swing):
        for parameter in tuning_parameters(name, swing):
            assert parameter.low <= parameter.default <= parameter.high
            for value in (parameter.low, parameter.high):
                make(name, swing, **{parameter.name: value})
        assert label(name)
