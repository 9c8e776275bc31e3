"""How well outputs determine states: unobservable subspaces in Kalman's form, ranks and Gramians against closed forms, chains of masses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm, orth, solve_discrete_lyapunov, subspace_angles

from systems import Signal, System, discretize, lorenz, search_metric
from systems.detectability import Jacobians
from systems.observability import (
    distance_to_unobservable,
    empirical_gramian,
    equilibria,
    examine_observability,
    find_modes,
    local_rank,
    unobservable_directions,
    unobservable_modes,
    unobservable_subspace,
    windows,
)
from systems.observability.places import least_observable, places
from systems.observability.remedies import revealing_states
from systems.observability.words import decay_text, direction_text, plain_basis


def _plant(
    dynamics, output, names="ab", kind="continuous", dt=0.1, ranges=(-1, 1), inputs=(), noise=0.0, ny=1, **options
):
    """A plant with states of one range each."""
    return discretize(
        System(
            name="plant", kind=kind, states=[Signal(n, "", ranges, initial=(-0.3, 0.3)) for n in names],
            inputs=[Signal(n, "", (-1, 1)) for n in inputs], outputs=[Signal(f"y{k}", noise=noise) for k in range(ny)],
            dynamics=dynamics, output=output, dt=dt, duration=10.0,
        ),
        **options,
    )  # fmt: skip


def _linear(a, c, kind="discrete", **options):
    names = [f"x{k}" for k in range(len(a))]
    return _plant(
        lambda x: [sum(float(a[i, j]) * x[j] for j in range(len(a))) for i in range(len(a))],
        lambda x: [sum(float(c[i, j]) * x[j] for j in range(len(a))) for i in range(len(c))],
        names, kind, ny=len(c), **options,
    )  # fmt: skip


def _chain(damping=0.0, masses=3, measured=1):
    """Equal masses and springs between walls, one measured: dq_i = v_i, dv_i = q_(i-1) - 2 q_i + q_(i+1) - c v_i."""

    def dynamics(x):
        q, v = [0, *(x[k] for k in range(masses)), 0], [x[masses + k] for k in range(masses)]
        return [*v, *(q[k] - 2 * q[k + 1] + q[k + 2] - damping * v[k] for k in range(masses))]

    names = [f"q{k + 1}" for k in range(masses)] + [f"v{k + 1}" for k in range(masses)]
    return _plant(dynamics, lambda x: [x[measured]], names, ranges=(-2, 2))


def _kalman_form(seed, hidden, seen, outputs, repeated):
    """(A, C, T V0, eigenvalues of the hidden block): A = T [[H, *], [0, S]] T^-1, C = [0, C2] T^-1 with (S, C2) observable."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(hidden, hidden)) / np.sqrt(max(hidden, 1))
    if repeated:  # a Jordan chain: one eigenvector only
        h = 0.7 * np.eye(hidden) + np.diag(np.ones(max(hidden - 1, 0)), 1)[:hidden, :hidden]
    s = rng.normal(size=(seen, seen)) / np.sqrt(max(seen, 1))
    a = np.block([[h, rng.normal(size=(hidden, seen))], [np.zeros((seen, hidden)), s]])
    c = np.concatenate([np.zeros((outputs, hidden)), rng.normal(size=(outputs, seen))], axis=1)
    q1, q2 = (np.linalg.qr(rng.normal(size=(hidden + seen,) * 2))[0] for _ in range(2))
    t = q1 @ np.diag(np.exp(rng.uniform(-1, 1, hidden + seen))) @ q2
    back = np.linalg.inv(t)
    c = c @ back
    return (
        t @ a @ back,
        c / max(np.linalg.norm(c), 1e-300),
        t[:, :hidden],
        np.linalg.eigvals(h) if hidden else np.zeros(0),
    )


def _same_numbers(one, other, tolerance):
    """Whether two multisets of complex numbers agree: every one has a partner."""
    left = list(other)
    for value in one:
        k = int(np.argmin([abs(value - candidate) for candidate in left]))
        if abs(value - left.pop(k)) > tolerance:
            return False
    return not left


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4), st.integers(1, 2), st.booleans())
def test_the_hidden_subspace_of_kalmans_form_is_found_in_any_coordinates(seed, hidden, seen, outputs, repeated):
    if not hidden + seen:
        return
    a, c, basis, values = _kalman_form(seed, hidden, seen, outputs, repeated)
    v = unobservable_subspace(a, c)
    assert v.shape == (hidden + seen, hidden)
    np.testing.assert_allclose(v.T @ v, np.eye(hidden), atol=1e-12)
    found, modes = unobservable_modes(a, v)
    if hidden:
        assert subspace_angles(v, basis).max() < 1e-6
        # A chain of length n splits eigenvalues by the n-th root of the rounding error, in any algorithm.
        assert _same_numbers(found, values, 1e-13 ** (1 / hidden) * 10 if repeated else 1e-6)
        assert (np.diff(np.abs(found)) < 1e-9).all()
        np.testing.assert_allclose(c @ modes.T, 0, atol=1e-8)


def test_what_is_seen_only_a_little_is_not_hidden_and_a_double_integrator_hides_its_constant():
    shear = np.array([[1.0, 0.1], [0.0, 1.0]])
    assert unobservable_subspace(shear, np.array([[1.0, 0.0]])).shape == (2, 0)
    assert unobservable_subspace(shear, np.array([[1e-7, 0.0]])).shape == (2, 0)
    v = unobservable_subspace(shear, np.array([[0.0, 1.0]]))  # the velocity says nothing of the place
    np.testing.assert_allclose(np.abs(v[:, 0]), [1, 0], atol=1e-12)
    assert unobservable_subspace(np.eye(3), np.zeros((0, 3))).shape == (3, 3)
    twice = unobservable_subspace(
        0.9 * np.eye(2), np.array([[1.0, 1.0]])
    )  # any basis diagonalises A, few show what is hidden
    np.testing.assert_allclose(np.abs(twice.T @ [1, -1]), [np.sqrt(2)], atol=1e-12)
    fine = np.eye(2) + 1e-8 * np.array(
        [[0.0, 1.0], [0.0, 0.0]]
    )  # a sample of 10 ns: the step is small, the coupling is there
    assert unobservable_subspace(fine, np.array([[1.0, 0.0]])).shape == (2, 0)


def test_the_pbh_distance_is_the_size_of_the_change_that_hides_a_mode():
    a, c = np.diag([0.9, 0.5]), np.array([[1e-3, 1.0]])
    turned = np.linspace(0, np.pi, 200_001)
    v = np.stack([np.cos(turned), np.sin(turned)])
    least = np.linalg.norm(np.concatenate([a - 0.9 * np.eye(2), c]) @ v, axis=0).min()
    assert distance_to_unobservable(a, c, 0.9) == pytest.approx(least, rel=1e-3)
    assert distance_to_unobservable(a, np.array([[0.0, 1.0]]), 0.9) < 1e-15


def test_a_field_with_many_states_keeps_its_hidden_half():
    """Diffusion measured in the middle: all 25 antisymmetric modes are hidden, which a staircase of 51 steps no longer sees."""
    n = 51
    laplace = np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    a = expm(0.4 * laplace)
    v = unobservable_subspace(a, np.eye(n)[n // 2][None])
    assert v.shape == (n, 25)
    np.testing.assert_allclose(v + v[::-1], 0, atol=1e-9)
    slowest = np.exp(0.4 * (2 * np.cos(2 * np.pi / (n + 1)) - 2))
    assert np.abs(unobservable_modes(a, v)[0][0]) == pytest.approx(slowest, rel=1e-9)


def test_a_chain_measured_at_a_node_hides_the_undamped_mode_by_name():
    plant = _chain()
    (mode,) = unobservable_directions(plant).modes
    assert mode.everywhere and mode.rate == pytest.approx(1, abs=1e-7) and len(mode.eigenvalues) == 2
    assert mode.frequency == pytest.approx(np.sqrt(2), rel=1e-5)
    np.testing.assert_allclose(mode.direction, np.array([1, 0, -1, 0, 0, 0]) / np.sqrt(2), atol=1e-9)
    text = mode.text(plant.system)
    assert "(+0.71 q1 -0.71 q3) and (+0.71 v1 -0.71 v3)" in text and "does not decay" in text and "4.44 s" in text
    assert revealing_states(plant, mode, 0.9998) == ("q1", "q3", "v1", "v3")


@pytest.mark.parametrize("damping", [0.1, 0.4])
def test_damping_makes_the_hidden_mode_decay_at_half_of_it(damping):
    (mode,) = unobservable_directions(_chain(damping)).modes
    assert mode.decay == pytest.approx(damping / 2, rel=1e-5)
    assert f"{damping / 2:.3g} per second" in mode.text(_chain(damping).system)
    assert unobservable_directions(_chain(damping, measured=0)).modes == ()  # the first mass moves in every mode


def test_a_long_chain_of_forty_states_is_examined_like_a_short_one():
    plant = _chain(masses=21, measured=10)
    found = unobservable_directions(plant)
    assert found.dimension == 20 and found.rate == pytest.approx(1, abs=1e-6)
    frequencies = 2 * np.sin(np.arange(2, 21, 2) * np.pi / 44)  # modes with a node in the middle
    np.testing.assert_allclose(
        np.sort(np.abs(np.angle(found.modes[0].eigenvalues)))[::2], np.sort(frequencies) * plant.dt, rtol=1e-5
    )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(0, 2), st.integers(1, 3), st.integers(1, 2))
def test_rank_and_gramian_of_a_linear_plant_are_kalmans(seed, hidden, seen, outputs):
    a, c, basis, _ = _kalman_form(seed, hidden, seen, outputs, False)
    a = 0.9 * a / max(np.abs(np.linalg.eigvals(a)).max(), 0.1)
    plant = _linear(a, c, noise=1.0)
    samples, n = 40, len(a)
    u = np.zeros((3, samples, 0))
    starts = np.random.default_rng(seed).uniform(-1, 1, (3, n))
    found = windows(plant, plant.rollout(starts, u)[:, :-1], u)
    rank = local_rank(found)
    flows = [np.linalg.matrix_power(a, k) for k in range(samples)]
    stacked = np.concatenate(
        [(c / np.linalg.norm(c, axis=1, keepdims=True).clip(1e-300)) @ f for f in flows[: rank.samples]]
    )
    assert (rank.ranks == seen).all() and rank.share == (hidden > 0)
    values = np.linalg.svd(stacked, compute_uv=False)
    np.testing.assert_allclose(rank.singular_values[0], values[:n] / values[0], atol=1e-9)
    if hidden:
        assert subspace_angles(rank.lost.T, basis).max() < 1e-5
        growth = np.linalg.norm(flows[rank.samples - 1] @ a @ orth(basis), 2) ** (1 / rank.samples)
        if growth > 0.6:  # else the 1e-9 of other directions in the lost ones outlive them
            assert rank.growth == pytest.approx(growth, rel=1e-4)
    gramian = empirical_gramian(plant, starts, u, np.ones(outputs))
    exact = sum(f.T @ c.T @ c @ f for f in flows)
    np.testing.assert_allclose(gramian.gramian, exact, atol=1e-9 * max(1, np.abs(exact).max()))
    endless = solve_discrete_lyapunov(a.T, c.T @ c)
    rest = flows[-1] @ a
    np.testing.assert_allclose(gramian.gramian, endless - rest.T @ endless @ rest, atol=1e-8 * np.abs(endless).max())
    assert (gramian.condition == np.inf) == (hidden > 0)


def test_jacobians_along_a_bent_motion_agree_with_moved_starts():
    """The rank's matrix against the Gramian of small differences, on a plant whose Jacobians change all the time."""
    plant = discretize(lorenz())
    start, u = np.array([[3.0, -4.0, 20.0]]), np.full((1, 50, 1), 0.5)
    found = windows(plant, plant.rollout(start, u)[:, :-1], u)
    rank = local_rank(found)
    gramian = empirical_gramian(plant, start, u, found.output_scale, share=1e-5)
    assert rank.samples == 50 and gramian.assumed
    squared = (rank.singular_values[0] * rank.largest) ** 2 / 0.005**2
    np.testing.assert_allclose(squared[::-1], gramian.eigenvalues, rtol=1e-5)
    assert abs(rank.weakest @ gramian.directions[0]) == pytest.approx(1, abs=1e-6)


def test_the_gramian_is_in_half_ranges_and_standard_deviations():
    """y = 3 x, x in +-5, noise 0.2: each sample weighs (3 * 5 / 0.2)^2; unstated noise is 0.5 % of what half a range moves."""
    plant = _plant(lambda x: [x[0]], lambda x: [3 * x[0]], "x", "discrete", ranges=(-5, 5), noise=0.2)
    u = np.zeros((1, 4, 0))
    found = empirical_gramian(plant, np.zeros((1, 1)), u, np.array([15.0]))
    assert found.gramian == pytest.approx(np.array([[4 * 75.0**2]])) and not found.assumed
    assert found.deviation == pytest.approx(1 / (2 * 75))
    quiet = _plant(lambda x: [x[0]], lambda x: [3 * x[0]], "x", "discrete", ranges=(-5, 5))
    assumed = empirical_gramian(quiet, np.zeros((1, 1)), u, np.array([15.0]))
    assert assumed.assumed and assumed.gramian == pytest.approx(np.array([[4 * 200.0**2]]))


def test_an_integrator_that_nobody_sees_is_hidden_everywhere():
    plant = _plant(lambda x: [-x[0], 0 * x[1]], lambda x: [x[0]])
    found = examine_observability(plant)
    (mode,) = found.unobservable.modes
    assert mode.everywhere and mode.rate == 1 and direction_text(plant.system, mode.direction) == "+1 b"
    assert found.rank.smallest == 1 and found.rank.share == 1 and found.rank.growth == pytest.approx(1)
    np.testing.assert_allclose(np.abs(found.gramian.directions[0]), [0, 1], atol=1e-9)
    assert found.gramian.deviation == np.inf and revealing_states(plant, mode, 1.0) == ("b",)


@pytest.mark.parametrize(("pull", "rate"), [(0.0, 1.0), (1.0, np.exp(-0.1))])
def test_rank_that_is_lost_at_one_point_only_is_found_there(pull, rate):
    """y = a^2 + b: at a = 0 nothing is seen of a, everywhere else all is."""
    plant = _plant(lambda x: [-pull * x[0], -2 * x[1]], lambda x: [x[0] ** 2 + x[1]])
    found = examine_observability(plant)
    mode = found.unobservable.slowest()
    assert mode.kind == "equilibrium" and not mode.everywhere and mode.point == pytest.approx([0, 0], abs=1e-9)
    assert mode.rate == pytest.approx(rate, rel=1e-6) and direction_text(plant.system, mode.direction) == "+1 a"
    assert found.rank.smallest == 1 and 0 < found.rank.share < 0.3
    np.testing.assert_allclose(found.rank.where, [0, 0], atol=1e-9)


def test_a_blind_line_off_the_middle_is_searched_for():
    """y = (a - 0.3137)^2 with a still: no random point and no middle lies on the line where it says nothing."""
    plant = _plant(lambda x: [0 * x[0], -x[1]], lambda x: [(x[0] - 0.3137) ** 2, x[1]], ranges=(-1, 2), ny=2)
    point = least_observable(plant, plant.system.state_ranges)
    assert point[0, 0] == pytest.approx(0.3137, abs=1e-8)
    assert unobservable_directions(plant).rate == pytest.approx(1, abs=1e-9)
    assert not unobservable_directions(plant, thorough=False).modes


@pytest.mark.parametrize(
    ("dynamics", "points"),
    [
        (lambda x: [x[1], -x[0] + x[0] ** 3], [[0, 0], [1, 0], [-1, 0]]),
        (lambda x: [x[1] ** 3, -x[0]], [[0, 0]]),  # of order three: Newton converges slowly
        (lambda x: [x[1], 5 + x[0] ** 2], []),
    ],
)
def test_equilibria_are_all_found_and_exact(dynamics, points):
    found = equilibria(_plant(dynamics, lambda x: [x[0]], ranges=(-1.5, 1.7)))
    assert len(found) == len(points)
    for point in points:
        assert np.abs(found - point).max(axis=1).min() < 1e-9


def test_equilibria_of_a_map_and_of_held_inputs():
    halving = _plant(lambda x, u: [0.5 * x[0] + 0.25 * u[0]], lambda x: [x[0]], "a", "discrete", inputs="u")
    np.testing.assert_allclose(np.sort(equilibria(halving)[:, 0]), [-0.5, 0, 0.5], atol=1e-12)


def test_no_metric_is_faster_than_what_is_hidden():
    """At the origin of Lorenz's attractor y = x2 does not see x3, which decays by exp(-8/3 dt): a bound for every search."""
    plant = discretize(lorenz())
    seen = places(plant)
    hidden = unobservable_directions(plant, looked_at=seen)
    assert hidden.rate == pytest.approx(np.exp(-8 / 3 * plant.dt), rel=1e-6)
    at_most = Jacobians(
        seen.jacobians.a, seen.jacobians.c, seen.points, seen.jacobians.scale, seen.jacobians.output_scale
    )
    for condition in (10.0, 1000.0):
        assert search_metric(jacobians=at_most, condition=condition).rate >= hidden.rate - 1e-9


def test_modes_say_what_is_stiff_and_what_the_sampling_misses():
    stiff = find_modes(_plant(lambda x: [-1e4 * x[0], -x[1]], lambda x: [x[0] + x[1]], dt=0.009, method="cvodes"))
    assert (
        stiff.fastest == pytest.approx(1e-4)
        and stiff.slowest == pytest.approx(1)
        and stiff.stiffness == pytest.approx(1e4)
    )
    assert any("stiff" in text for text in stiff.advice) and any(
        "dies away within a sample" in text for text in stiff.advice
    )
    turning = find_modes(_plant(lambda x: [x[1], -400 * x[0]], lambda x: [x[0]], dt=0.2))
    assert turning.period == pytest.approx(2 * np.pi / 20) and "half a period" in turning.advice[0]
    free = find_modes(_plant(lambda x: [x[1], 0 * x[0]], lambda x: [x[0]]))
    assert free.integrators and free.fastest == np.inf and free.advice == ()
    assert find_modes(_plant(lambda x: [x[0]], lambda x: [x[0]], "a", "discrete")) is None


def test_sampling_at_half_the_period_hides_what_the_plant_shows():
    """q'' = -w^2 q sampled every half period: A = -I, and y = q says nothing of the velocity."""
    plant = _plant(lambda x: [x[1], -(np.pi**2) * x[0]], lambda x: [x[0]], dt=1.0, method="exact")
    assert unobservable_directions(plant).rate == pytest.approx(1, abs=1e-9)
    assert not unobservable_directions(
        _plant(lambda x: [x[1], -(np.pi**2) * x[0]], lambda x: [x[0]], dt=0.3, method="exact")
    ).modes


def test_a_plant_that_runs_away_is_examined_from_its_region():
    found = examine_observability(_plant(lambda x: [2 * x[0] + x[1], -x[1]], lambda x: [x[0]], dt=0.1))
    assert not found.simulated and found.unobservable.modes == ()


def test_words():
    system = _chain().system
    assert direction_text(system, np.array([0, -1, 0, 0.5, 0.001, 0])) == "+1 q2 -0.5 v1"
    wide = _linear(np.eye(9), np.eye(9)).system
    assert direction_text(wide, np.ones(9) / 3).endswith("and 3 smaller parts")
    assert "does not decay" in decay_text(1.0, 0.1) and "grows" in decay_text(1.1, 0.1)
    assert "gone within a sample" in decay_text(0.0, 0.1) and "0.5 per second" in decay_text(np.exp(-0.05), 0.1)
    rows = np.array([[1.0, 1, 0, 0], [1, -1, 0, 0]]) / np.sqrt(2)
    np.testing.assert_allclose(plain_basis(rows), np.eye(4)[:2], atol=1e-12)
