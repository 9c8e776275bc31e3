"""Conditions beside the ranges: read, stored, and where samples, initial states, motions and metrics lie."""

import numpy as np
import pytest

from systems import Signal, System, discretize, simulate
from systems.base.errors import InputError
from systems.closed_loop import samples_inside
from systems.detectability import residual_lower_bound, sample_jacobians, search_metric
from systems.regions import DRIFT, admits, holds, holds_along, moved_in, region_points, whole_box
from systems.toml_files import system_from_toml
from systems.trajectories import draw_initial_states
from tests.plants import DRIVEN_SPRING

CIRCLE = dict(
    name="pendulum on the circle",
    states=[Signal("s", "", (-1, 1)), Signal("c", "", (-1, 1)), Signal("w", "rad/s", (-4, 4), initial=(-1, 1))],
    inputs=[Signal("u", "", (-1, 1))],
    outputs=[Signal("y1", noise=0.005), Signal("y2", noise=0.005)],
    dynamics=lambda x, u: [x[1] * x[2], -x[0] * x[2], -2 * x[0] - x[2] + u[0]],
    output=lambda x: [x[0], x[1]],
    dt=0.05,
)


def _circle(*more):
    return System(**CIRCLE, region=["s^2 + c^2 = 1", *more])


@pytest.fixture(scope="module")
def power():
    """A battery that may give no more than P."""
    return System(
        name="battery", states=[Signal("soc", "", (0.1, 0.9))], inputs=[Signal("i", "A", (-5, 5))],
        outputs=[Signal("v", "V", noise=0.002)], parameters={"P": 12.0},
        dynamics=lambda u: [-u[0] / 900], output=lambda x, u: [3 + x[0] - 0.02 * u[0]],
        region=lambda x, u, p: [u[0] * (3 + x[0] - 0.02 * u[0]) <= p.P, x[0] >= 0.2], dt=1.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("abs(q) <= 0.1", [(-0.1, False)]),
        ("0.1 >= q", [(-0.1, False)]),
        ("q^2 + w^2 = 1", [(-1, True)]),
        ("0 <= w + 0.5 < 2*q + 1", [(-0.5, False), (-0.5, False)]),
        ("where(q > 1, 2, 3) ≤ w", [(3, False)]),
    ],
)
def test_a_comparison_is_a_number_at_most_zero(text, rows):
    system = system_from_toml(DRIVEN_SPRING + f'[region]\nwhy = "{text}"\n', "spring.toml")
    assert system.region.equal == tuple(equal for _, equal in rows)
    np.testing.assert_allclose(system.region.values(np.zeros(2), np.zeros(1), np.zeros(0)), [v for v, _ in rows])
    assert set(system.region.texts) == {text} and system.region.sentences == (text,)


def test_it_may_use_definitions_parameters_and_inputs_and_comes_back_from_a_file():
    text = (
        DRIVEN_SPRING
        + '[definitions]\npush = "g*u"\n[parameters]\ng = 2\n[region]\nconstraints = ["push < q + 1", "w >= -1"]\n'
    )
    system = system_from_toml(text, "spring.toml")
    np.testing.assert_allclose(
        system.region.values(np.array([0.1, 0.2]), np.array([0.3]), np.array([2.0])), [-0.5, -1.2]
    )
    assert list(system.region.of_inputs) == [True, False]
    again = System.from_data(system.to_data())
    assert again.region == system.region and again.fingerprint == system.fingerprint
    assert "region" not in system_from_toml(DRIVEN_SPRING, "spring.toml").to_data()  # hashes of earlier files stay


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("q", "region.why: 'q' is no condition; expected a comparison such as"),
        ("q != 1", "is no condition"),
        ("q < 1 > w", "is no condition"),
        ("1 < 2", "is no comparison of states and inputs"),
        ("t < 1", "depends on t"),
        ("z < 1", "name 'z' is unknown"),
    ],
)
def test_what_is_no_condition_is_said(text, words):
    with pytest.raises(InputError, match=r"spring\.toml") as error:
        system_from_toml(DRIVEN_SPRING + f'[region]\nwhy = "{text}"\n', "spring.toml")
    assert words in str(error.value)


@pytest.mark.parametrize("entry", ["3", '["q < 1", 2]', "{ b = 1 }"])
def test_an_entry_is_a_text_or_texts(entry):
    with pytest.raises(
        InputError, match=r"spring\.toml: region\.why is .*; expected a condition in quotes, such as \"abs"
    ):
        system_from_toml(DRIVEN_SPRING + f"[region]\nwhy = {entry}\n", "spring.toml")


def test_a_function_returns_comparisons(power):
    assert power.region.equal == (False, False)
    found = System(**CIRCLE, region=lambda x: [(x[0] > -0.5) & (x[0] < 0.5), x[0] ** 2 + x[1] ** 2 == 1])
    assert found.region.equal == (False, False, True)
    with pytest.raises(InputError, match="is no comparison of states"):
        System(**CIRCLE, region=lambda x: [x[0]])


def test_samples_lie_where_the_conditions_hold():
    system = _circle("c >= 0.5", "abs(w) <= 3")
    points = region_points(system, whole_box(system), 200, seed=3)
    assert len(points) == 200
    np.testing.assert_allclose(points[:, 0] ** 2 + points[:, 1] ** 2, 1, atol=1e-4)
    assert points[:, 1].min() > 0.4999 and np.abs(points[:, 2]).max() < 3.0001
    assert np.ptp(points[:, 2]) > 5 and np.ptp(points[:, 0]) > 1.6  # they fill it
    np.testing.assert_array_equal(points, region_points(system, whole_box(system), 200, seed=3))


def test_points_are_moved_in_and_a_thin_region_is_found():
    system = System(**CIRCLE, region=["abs(s - 0.3) <= 1e-6", "c > 0.2"])
    points = region_points(system, whole_box(system), 64, seed=0)
    assert len(points) > 32 and np.abs(points[:, 0] - 0.3).max() < 3e-5 and points[:, 1].min() > 0.19
    corners = moved_in(system, np.array([[1.0, -1.0, 4.0, 1.0]]), whole_box(system))
    assert holds(system, corners).all() and corners[0, 2:].tolist() == [4, 1]


def test_an_empty_region_names_its_condition():
    system = System(**CIRCLE, region=["s^2 + c^2 = 1", "s > 3"])
    with pytest.raises(InputError, match=r"no point of the ranges satisfies the region \(s > 3\); correct"):
        draw_initial_states(system, 4, 0)


def test_initial_states_lie_inside(power):
    x = draw_initial_states(_circle(), 50, 1)
    np.testing.assert_allclose(x[:, 0] ** 2 + x[:, 1] ** 2, 1, atol=1e-4)
    assert len(np.unique(x[:, 0].round(3))) > 40 and np.abs(x[:, 2]).max() <= 1
    x = draw_initial_states(power, 200, 1)  # under some input all of them keep the power
    assert x.min() >= 0.2 - 1e-5 and x.max() > 0.8 and admits(power, x).all()


def test_a_motion_ends_where_it_leaves():
    system = System(
        name="drift", states=[Signal("q", "", (-1, 1), initial=(-0.5, 0.2))], outputs=[Signal("y")],
        dynamics=lambda x: [1.0 + 0 * x[0]], output=lambda x: [x[0]], region="q <= 0.5", dt=0.02,
    )  # fmt: skip
    data = simulate(discretize(system), 5, 2.0, leave=True)
    expected = np.ceil((0.5 - data.x[:, 0, 0]) / 0.02 - 1e-6).astype(int)
    assert np.abs(data.lengths - expected).max() <= 1 and np.nanmax(data.x) < 0.502
    assert np.isnan(data.x[0, data.lengths[0] :]).all() and "the region (q <= 0.5)" in " ".join(data.warnings)


@pytest.mark.parametrize("truth", ["model", "reference"])
def test_inputs_are_drawn_back_to_what_the_conditions_allow(power, truth):
    plant = discretize(power)
    data = simulate(plant, 6, 60.0, truth=truth, leave=True)
    assert (data.lengths == 61).all()
    assert holds_along(power, data.x, data.u).all() and (samples_inside(power, data.x, data.u) == 61).all()
    strong = data.u[..., 0] * data.y[..., 0]
    assert 11 < strong.max() <= 12.001 and data.u.min() < -4


def test_the_motion_of_a_plant_stays_on_its_equality():
    system = _circle()
    data = simulate(discretize(system), 5, 10.0)
    assert holds_along(system, data.x, data.u, DRIFT).all()


def test_the_metric_has_to_hold_along_the_region_alone():
    """Across the circle nothing decays (s^2 + c^2 is constant), and only s is measured: without the equality there is no observer."""
    plants = [
        discretize(System(**{**CIRCLE, "outputs": [Signal("y")], "output": lambda x: [x[0]]}, region=region))
        for region in (["c >= 0.6", "abs(w) <= 1"], ["s^2 + c^2 = 1", "c >= 0.6", "abs(w) <= 1"])
    ]
    box, on = (search_metric(jacobians=sample_jacobians(plant, count=256), condition=300) for plant in plants)
    assert box.rate > 0.999 and on.rate < 0.97
    jacobians = sample_jacobians(plants[1], count=256)
    points = jacobians.points
    assert holds(plants[1].system, points).all() and points[:, 1].max() > 0.999  # corners were moved in
    assert jacobians.c.shape[1] == 2  # s, and the circle


def test_pairs_of_a_lower_bound_lie_inside():
    """Two ranges: (x, y) and (x, -y) look the same, unless y > 0."""
    common = dict(
        name="two ranges", states=[Signal("x", "", (1, 10)), Signal("y", "", (-5, 5)), Signal("v", "", (-1, 1))],
        outputs=[Signal("r"), Signal("q")],
        dynamics=lambda x: [-0.2 * x[0], x[2], -0.2 * x[2] - 0.1 * x[1] + 1],
        output=lambda x: [x[0] ** 2 + x[1] ** 2, (x[0] - 12) ** 2 + x[1] ** 2], dt=0.1,
    )  # fmt: skip
    metric = np.diag([0.05, 0.1, 1.0])
    free, upper = (
        residual_lower_bound(discretize(System(**common, region=region)), metric, 0.95, pairs=256, iterations=10)
        for region in (None, "y > 0.1")
    )
    (a, b) = free.pair
    assert free.residual > 0.02 and a[1] * b[1] < 0 and abs(a[1] + b[1]) < 1e-3
    assert upper.residual < 0.5 * free.residual and upper.pair[:, 1].min() > 0.09
