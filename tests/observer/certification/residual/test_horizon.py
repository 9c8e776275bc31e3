"""What N steps add up to: against closed forms, and against rollouts."""

import numpy as np
import pytest

from observer.certification.residual import bound_horizon, bound_residual
from observer.certification.residual.model import make_model
from systems.base.errors import InputError
from tests.observer.certification.residual.hand_made import inside, observer_of, plant_of, random_cells


def linear():
    """x+ = F x, f_o = (F + E) x_hat + L (x_1 - x_hat_1): the error obeys a linear recursion."""
    F, E, L = np.array([[0.9, 0.2], [-0.2, 0.8]]), 0.01 * np.array([[1.0, -2.0], [0.5, 1.0]]), np.array([[0.3], [0.1]])
    plant = plant_of(lambda x: [F[0, 0] * x[0] + F[0, 1] * x[1], F[1, 0] * x[0] + F[1, 1] * x[1]], [(-1, 1), (-2, 2)])
    return plant, observer_of(plant, A=F + E - L @ [[1.0, 0.0]], B2=L), F, F + E - L @ [[1.0, 0.0]], E


def test_a_linear_recursion_is_met_exactly():
    plant, observer, F, A, E = linear()
    steps, gain, power = 12, np.zeros((2, 2)), np.eye(2)
    for _ in range(steps):  # d+ = A d + E x
        gain, power = A @ gain + E @ power, F @ power
    bound = bound_horizon(observer, plant, rate=0.9, steps=steps, threads=1)
    assert np.allclose(bound.state_upper, np.abs(gain) @ [1, 2], rtol=1e-7)
    corners = np.array([[1, 2], [1, -2]]) @ gain.T
    assert bound.upper == pytest.approx(np.linalg.norm(corners, axis=1).max(), rel=1e-7)
    assert (bound.state_lower <= bound.state_upper).all() and bound.lower <= bound.upper and bound.status == "tight"


def curved():
    """A swinging plant with an input, and an observer that copies it but for a few neurons; contracting at 0.8 for M = I."""
    plant = plant_of(
        lambda x, u: [0.8 * x[0] + 0.3 * x[1], -0.3 * np.sin(x[0]) + 0.8 * x[1] + 0.1 * u[0]],
        [(-1, 1), (-1, 1)],
        [(-0.5, 0.5)],
    )
    A, B2 = np.array([[0.0, 0.3], [0.0, 0.6]]), np.array([[0.0, 0.8], [0.1, -0.25]])
    return plant, observer_of(plant, A=A, B2=B2, B1=[[0.02, 0.01], [-0.02, 0.03]], C1=[[0.5, 1.0], [-1.0, 0.3]], nv=2)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_rollouts_stay_inside_each_cell(steps):
    plant, observer = curved()
    model = make_model(observer, plant, None, None, 1)
    cells = random_cells(model.region, 60, seed=steps)
    bounds = model.bound(cells, 0.8, steps)
    points = inside(cells, 50).reshape(-1, 3)
    x, u = points[:, :2], points[:, 2:]
    estimate = x
    for _ in range(steps):
        y = plant.output(x, u)
        x, estimate = plant.step(x, u), observer.step(estimate, u, y)
    d = (estimate - x).reshape(len(cells), -1, 2)
    assert (np.linalg.norm(d, axis=2).max(axis=1) <= bounds.bounds[:, 0]).all()
    assert (np.abs(d).max(axis=1) <= bounds.bounds[:, 1:]).all()


def test_one_step_from_equal_states_is_the_residual():
    plant, observer = curved()
    one = bound_horizon(observer, plant, rate=0.8, steps=1, input="held", gap=0.02, threads=1)
    residual = bound_residual(observer, plant, gap=0.02, threads=1)
    assert residual.lower <= one.upper and one.lower <= residual.upper and one.upper <= 1.03 * residual.upper


@pytest.mark.parametrize("held", [None, [0.4], "held"])
def test_the_steady_error_of_rollouts_stays_below_its_bound(held):
    """From wrong first estimates, after the first errors have gone; the plant stays in its region."""
    plant, observer = curved()
    bound = bound_horizon(observer, plant, rate=0.8, input=held, threads=1, region=[[-2, 2], [-2, 2], [-0.5, 0.5]])
    assert 14 <= bound.steps <= 35 and bound.status == "tight"
    rng = np.random.default_rng(0)
    x, estimate = rng.uniform(-1, 1, (300, 2)), rng.uniform(-3, 3, (300, 2))
    u = rng.uniform(*bound.region[2], (300, 1))
    for k in range(200):
        y = plant.output(x, u)
        x, estimate = plant.step(x, u), observer.step(estimate, u, y)
        assert (np.abs(x) <= 2).all()
        if k > 100:
            assert (np.abs(estimate - x) <= bound.steady_state).all()
    assert (bound.steady_state >= bound.state_upper).all()


def test_signs_cancel_where_the_sum_of_residuals_does_not_see_it():
    """A residual that alternates along the trajectories of x+ = -x adds up to far less than rho / (1 - alpha)."""
    plant = plant_of(lambda x: [-x[0]], [(-1, 1)])
    observer = observer_of(plant, A=0.9, B2=-1.91)  # r = -0.01 x
    bound = bound_horizon(observer, plant, rate=0.9, threads=1)
    assert bound.steady_state[0] < 0.01 and bound_residual(observer, plant, threads=1).upper / (1 - 0.9) > 0.09


@pytest.mark.parametrize("gains", [None, [0.7]])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_what_kinks_leave_adds_up_over_the_steps(steps, gains):
    """x stays where it is and each step adds b relu(x): over a cell with the kink inside, the supremum is at its right end."""
    a, b = 0.7, 0.1
    plant = plant_of(lambda x: [1.0 * x[0]], [(-1, 1)])
    observer = observer_of(plant, A=a, B2=1 - a, B1=b, D12=1.0, nv=1, activation="relu")
    exact = b * (1 - a**steps) / (1 - a)
    bounds = make_model(observer, plant, None, None, 1).bound(np.array([[[-1.0, 1.0]]]), a, steps, gains).bounds[0]
    assert (bounds >= exact).all() and bounds == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("gains", [None, [0.0, 0.0]])
def test_a_state_that_is_no_polynomial_of_the_start_reaches_the_residual(gains):
    """x_0+ = |x_0| - 1/2 is only a box over a cell with the kink inside, and the residual of x_1 is 10 x_0 after one step."""
    plant = plant_of(lambda x: [abs(x[0]) - 0.5, 0.0 * x[1]], [(-1, 1), (-1, 1)])
    observer = observer_of(plant, B2=[[0.0], [10.0]])
    whole = np.array([[[-1.0, 1.0], [-1.0, 1.0]]])
    bounds = make_model(observer, plant, None, None, 1).bound(whole, 0.1, 2, gains).bounds[0]
    assert bounds[2] >= 5.0  # at x_0 = 1: x_0 becomes 1/2


def test_the_steady_error_of_a_constant_residual_is_met_exactly():
    """e+ = a e + c tends to c / (1 - a), from below when it starts at zero: N steps from zero are not enough."""
    a, c = 0.8, 0.01
    plant = plant_of(lambda x: [1.0 * x[0]], [(-1, 1)])
    bound = bound_horizon(observer_of(plant, A=a, B2=1 - a, bx=c), plant, rate=a, steps=5, threads=1)
    assert bound.state_upper[0] == pytest.approx(c * (1 - a**5) / (1 - a), rel=1e-7)
    assert c / (1 - a) <= bound.steady_state[0] <= c / (1 - a) * (1 + 1e-7)


def test_unusable_arguments():
    plant, observer = curved()
    refused = [
        ({"rate": 1.0}, "rate"),
        ({"steps": 0}, "steps"),
        ({"input": "any"}, "held"),
        ({"input": [1, 2]}, "shape"),
    ]
    for change, text in refused:
        with pytest.raises(InputError, match=text):
            bound_horizon(observer, plant, **({"rate": 0.8} | change))
