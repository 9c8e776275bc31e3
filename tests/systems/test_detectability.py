"""The metric search against closed forms and known limits (MATH 2h)."""

from itertools import pairwise

import numpy as np
import pytest

from systems import ALL_SYSTEMS, InputError, Signal, System, discretize
from systems.detectability import Jacobians, output_kernels, rates, sample_jacobians, search_metric


def _van_der_pol(x1, x2, output=0):
    return discretize(
        System(
            name="vdp", states=[Signal("x1", "", (-x1, x1)), Signal("x2", "", (-x2, x2))], outputs=[Signal("y")],
            dynamics=lambda x: [x[1], (1 - x[0] ** 2) * x[1] - x[0]], output=lambda x: [x[output]], dt=0.05,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("box", "condition", "expected"),
    [((3, 3), 10, 0.981), ((3, 3), 100, 0.828), ((3, 3), 1000, 0.518), ((3, 4), 100, 0.768), ((3, 4), 1000, 0.429)],
)
def test_limits_of_van_der_pol(box, condition, expected):
    """Independent values: an SDP by bisection found the same limits."""
    found = search_metric(_van_der_pol(*box), condition)
    assert abs(found.rate - expected) < 2e-3
    assert found.condition <= condition * (1 + 1e-6)
    assert np.isclose(np.linalg.eigvalsh(found.metric)[-1], 1.0)


def test_two_dimensional_optimum_against_a_grid():
    """In two states a metric is one angle and one condition number: a grid beats the search by its tolerance at most."""
    jacobians = sample_jacobians(_van_der_pol(3, 3), count=256)
    n = output_kernels(jacobians.c)
    best = 1e9
    for angle in np.linspace(0, np.pi, 721):
        r = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for condition in (20.0, 50.0):
            best = min(best, rates(r @ np.diag([1, 1 / condition]) @ r.T, jacobians.a, n)[0].max())
    found = search_metric(jacobians=jacobians, condition=50.0)
    assert best * 0.998 < found.rate <= best * (1 + 1e-4)


def test_the_rate_holds_at_points_the_search_never_saw(plants):
    plant = plants["pendulum"]
    found = search_metric(plant, 100.0, seed=0)
    fresh = sample_jacobians(plant, seed=99)
    assert rates(found.metric, fresh.a, output_kernels(fresh.c))[0].max() <= found.rate * 1.001


@pytest.mark.parametrize("output", [1])
def test_van_der_pol_from_its_second_state_is_refused(output):
    found = search_metric(_van_der_pol(3, 3, output), 1e4)
    assert found.rate >= 1 - 1e-3
    assert abs(found.direction[0]) > 0.99


def test_reverse_duffing_has_no_rate():
    system = System(
        name="rd", states=[Signal("x1", "", (-1, 1)), Signal("x2", "", (-1, 1))], outputs=[Signal("y")],
        dynamics=lambda x: [x[1] ** 3, -x[0]], output=lambda x: [x[0]], dt=0.05,
    )  # fmt: skip
    assert 0.9999 < search_metric(discretize(system), 1e4).rate <= 1.0001


def test_everything_measured_needs_no_time(plants):
    system = System(
        name="s",
        states=[Signal("x", "", (-1, 1))],
        outputs=[Signal("y")],
        dynamics=lambda x: [-x[0]],
        output=lambda x: [2 * x[0]],
        dt=0.1,
    )
    found = search_metric(discretize(system))
    assert found.rate == 0.0 and np.isclose(found.gain, 1.0)


def test_several_outputs_and_changing_rank(rng):
    a = rng.normal(size=(30, 4, 4)) * 0.4
    c = rng.normal(size=(30, 2, 4))
    c[3, 1] = c[3, 0]  # one output is redundant at one point
    found = search_metric(jacobians=Jacobians(a, c, np.zeros((30, 4))), condition=1000.0)
    assert 0 < found.rate < search_metric(jacobians=Jacobians(a, c[:, :1], np.zeros((30, 4))), condition=1000.0).rate


def test_more_condition_is_never_slower(plants):
    found = [search_metric(plants["box"], k).rate for k in (1.0, 10.0, 100.0, 1000.0)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(found))


def test_bad_condition():
    with pytest.raises(InputError, match=r"condition is 0\.5"):
        search_metric(discretize(ALL_SYSTEMS["box"]()), 0.5)
