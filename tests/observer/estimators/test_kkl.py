"""The KKL observer on plants whose map T is known: the Sylvester equation gives it, and its inverse must be found."""

import numpy as np
import pytest
from linear_gaussian import linear_plant
from scipy.linalg import solve_sylvester

from observer.estimators.kkl import KKL
from systems import ALL_SYSTEMS, InputError, discretize, simulate
from systems.trajectories import draw_initial_states

A = np.array([[0.95, 0.25], [-0.2, 0.97]])
B, C = np.array([[0.1], [0.3]]), np.array([[1.0, 0.0]])


@pytest.fixture(scope="module", params=[0, 1])
def case(request):
    plant = linear_plant(A, B[:, : request.param], C)
    data = simulate(plant, 60, 150.0, seed=5)
    return plant, KKL(plant, 0.4, 0.0, forget=25.0, data=data), data


def sylvester(observer):
    """T of z = T x, from T A = D T + (1 - D) C / scale, D the poles: the filters of the output alone."""
    poles = np.diag(observer.poles)
    gain = (1 - observer.poles)[:, None] * C / observer.model.output_scale
    return solve_sylvester(-poles, A, gain)  # -D T + T A = (1 - D) C


@pytest.mark.parametrize("case", [0], indirect=True)  # with inputs T depends on their history
def test_the_filter_tends_to_the_t_of_the_sylvester_equation_and_the_map_inverts_it(case):
    _, observer, data = case
    t = sylvester(observer)
    z = observer.steady(observer.signals_of(data.u[:, 0], data.y[:, 0]))
    for k in range(140):
        z = observer.filtered(z, observer.signals_of(data.u[:, k], data.y[:, k]))
    np.testing.assert_allclose(z, data.x[:, 140] @ t.T, atol=1e-6 * np.abs(z).max())
    x = 0.5 * np.abs(data.x[:, 100:]).max(axis=(0, 1)) * np.random.default_rng(0).uniform(-1, 1, (200, 2))
    np.testing.assert_allclose(observer.inverse(x @ t.T), x, atol=1e-4 * np.abs(x).max())


def test_it_converges_from_any_first_estimate_also_with_inputs(case):
    plant, observer, _ = case
    data = simulate(plant, 5, 120.0, seed=8)
    starts = draw_initial_states(plant.system, 5, 9)
    error = np.abs(observer.run(starts, data.u, data.y) - data.x)
    assert error[:, 100:].max() < 1e-3 * np.abs(data.x[:, 100:]).max()
    # The estimate is made of what was measured before: read one sample too early, it is off by a whole step of the plant.
    late = np.roll(data.y, 1, axis=1)
    shifted = np.abs(observer.run(starts, data.u, late) - data.x)
    assert shifted[:, 100:].max() > 20 * error[:, 100:].max()


def test_run_is_the_loop_over_steps(case):
    plant, observer, data = case
    starts = draw_initial_states(plant.system, 4, 3)
    u, y = data.u[:4, :30], data.y[:4, :30]
    state, rows = observer.init(starts), []
    for k in range(30):
        rows.append(observer.estimate(state))
        state = observer.step(state, u[:, k], y[:, k])
    np.testing.assert_allclose(observer.run(starts, u, y), np.stack(rows, axis=1), atol=1e-9)


def test_more_noise_in_training_makes_it_quieter_on_a_nonlinear_plant():
    plant = discretize(ALL_SYSTEMS["van_der_pol"]())
    data = simulate(plant, 8, 250 * plant.dt, seed=2)
    noisy = data.y + 0.1 * np.random.default_rng(0).standard_normal(data.y.shape)
    starts = draw_initial_states(plant.system, 8, 4)

    def late(observer, y):
        return np.sqrt(np.mean((observer.run(starts, data.u, y) - data.x)[:, 120:] ** 2))

    sharp, quiet = KKL(plant, 0.4, 0.01), KKL(plant, 0.4, 6.0)
    assert late(sharp, data.y) < late(quiet, data.y)
    assert late(quiet, noisy) < late(sharp, noisy)
    assert late(sharp, data.y) < 0.02 * np.ptp(plant.system.state_ranges)


def test_large_plants_and_unusable_numbers_are_refused():
    with pytest.raises(InputError, match="cannot be learned from samples, expected at most 16"):
        KKL(discretize(ALL_SYSTEMS["reaction_diffusion"]()))
    with pytest.raises(InputError, match="speed is 0 and noise 1"):
        KKL(linear_plant(A, B, C), 0, 1)
